//! Rules of the ports around a source.

use super::{Bench, content, fill, order, pattern};
use crate::{Contents, Watched, World};
use forebay::frame::{Charge, Mode, ModeRefused};
use forebay::port::{Accounting, CachingControl, DmaMap, EvictHooks, LinearMap};
use forebay::{AllocRequest, BufferId, Context, FrameSource, OwnedBlock, Pages, Platform};

/// Whether there is a slice or not; the blocks are the same after it.
pub(super) fn a_slice_is_of_just_these_blocks<P: Platform>(b: &Bench<'_, P>) {
    let (id, mode, cx) = (BufferId(0), P::Mode::CACHED, Context::THREAD);
    let mut blocks = vec![b.take(1), b.take(0), b.take(1), b.take(0), b.take(0)];
    blocks.sort_by_key(OwnedBlock::pfn);
    for turn in 0..blocks.len() {
        blocks.rotate_left(turn);
        for n in 1..=blocks.len() {
            let some = &mut blocks[..n];
            let bytes: Vec<_> =
                some.iter_mut().zip(1..).flat_map(|(block, seed)| fill(block, seed)).collect();
            if let Some(slice) = b.source.contiguous(id, mode, some.iter(), cx) {
                assert!(slice == bytes, "other bytes than those of the blocks");
            }
            let new = pattern(turn as u64, bytes.len());
            if let Some(slice) = b.source.contiguous_mut(id, mode, some.iter_mut(), cx) {
                assert!(slice == bytes, "other bytes than those of the blocks");
                slice.copy_from_slice(&new);
                let now: Vec<_> = some.iter().flat_map(content).collect();
                assert!(now == new, "what is written to the slice is not in the blocks");
            }
            assert!(b.source.before_evict(id, &mut blocks.iter_mut(), cx).is_ok(), "no slice is left");
            assert!(b.source.after_restore(id, cx).is_ok());
        }
    }
    blocks.into_iter().for_each(|block| b.source.free(block));
}

/// What is mapped has addresses of its own, all of it; and mapping, syncing and unmapping changes no byte for the CPU.
pub(super) fn addresses_of_two_blocks_do_not_overlap<P: Platform>(b: &Bench<'_, P>) {
    let cx = Context::THREAD;
    for turn in 0..3 {
        let mut blocks = vec![b.take(1), b.take(0), b.take(2), b.take(0)];
        let bytes: Vec<_> = blocks.iter_mut().zip(turn..).map(|(block, seed)| fill(block, seed)).collect();
        let addresses: Vec<_> = blocks.iter().map(|block| b.source.map(block, cx)).collect();
        let mut ranges: Vec<_> = blocks
            .iter()
            .zip(&addresses)
            .filter_map(|(block, at)| Some(((*at)?.get(), block.bytes() as u64)))
            .collect();
        ranges.sort();
        for pair in ranges.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "two blocks at one address: {ranges:x?}");
        }
        // A block without an address is not for a device, but harmed by nothing.
        for (block, at) in blocks.iter().zip(&addresses).filter(|(_, at)| at.is_some()) {
            let len = block.bytes();
            for part in [0..len, 0..0, len..len, 1..3, len - 5..len, 0..len] {
                b.source.sync_for_device(block, part.clone());
                assert!(content(block) == bytes[index(&blocks, block)], "a sync changes nothing for the CPU");
                b.source.sync_for_cpu(block, part);
                assert!(content(block) == bytes[index(&blocks, block)], "a sync changes nothing for the CPU");
            }
            b.source.unmap(block, at.expect("filtered"));
        }
        b.source.flush(cx);
        for (block, bytes) in blocks.into_iter().zip(bytes) {
            assert!(content(&block) == bytes, "unmapping changes nothing for the CPU");
            b.source.free(block);
        }
    }
}

fn index<B: OwnedBlock>(blocks: &[B], block: &B) -> usize {
    blocks.iter().position(|other| other.pfn() == block.pfn()).expect("it is one of them")
}

/// Hooks come in pairs for each buffer, of several at once, and touch no byte.
pub(super) fn an_eviction_may_be_given_up<P: Platform>(b: &Bench<'_, P>) {
    for cx in [Context::THREAD, Context::NO_IO, Context::INTERRUPT] {
        let mut buffers = [0, 1].map(|id| (BufferId(id), vec![b.take(0), b.take(1)]));
        for _ in 0..2 {
            let mut called = Vec::new();
            for (id, blocks) in &mut buffers {
                let bytes: Vec<_> = blocks.iter_mut().zip(id.0 as u64..).map(|(b, n)| fill(b, n)).collect();
                // In other contexts it may refuse what would take long.
                match b.source.before_evict(*id, &mut blocks.iter_mut(), cx) {
                    Ok(()) => called.push(*id),
                    Err(_) => assert!(cx != Context::THREAD, "{id:?} is not in use"),
                }
                assert!(blocks.iter().map(content).eq(bytes), "a hook touches no byte");
            }
            for id in called {
                assert_eq!(b.source.after_restore(id, Context::THREAD), Ok(()), "{id:?}");
            }
        }
        buffers.into_iter().flat_map(|(_, blocks)| blocks).for_each(|block| b.source.free(block));
    }
}

/// The oracle knows how much each token pays for.
pub(super) fn what_is_charged_is_uncharged_in_parts<P: Platform>(b: &Bench<'_, P>) {
    for cx in [Context::THREAD, Context::NO_IO, Context::INTERRUPT] {
        let charge = |id, n| Some((b.source.charge(BufferId(id), Pages::new(n), cx)?, n));
        // Those that are over a limit pay nothing.
        let all: Vec<(Charge, usize)> =
            [charge(0, 3), charge(1, 1), charge(0, 2)].into_iter().flatten().collect();
        for (payer, n) in &all {
            b.source.uncharge(*payer, Pages::new(n / 2));
        }
        for (payer, n) in all {
            b.source.uncharge(payer, Pages::new(n - n / 2));
        }
    }
}

/// The suite for caching control: for a platform with these modes, among them [`Mode::CACHED`], and at least 8 free pages.
///
/// # Panics
/// If a rule is broken.
pub fn modes<P: Platform>(platform: P, modes: &[P::Mode]) {
    assert!(modes.iter().all(|mode| mode.index() < P::Mode::COUNT), "a mode has a number below the count");
    assert!(modes.iter().any(|mode| mode.index() == P::Mode::CACHED.index()), "one of the modes is CACHED");
    let world = World::new(Contents::Compared);
    let platform = Watched::new(platform, &world);
    for cx in [Context::THREAD, Context::NO_IO, Context::INTERRUPT] {
        for (from, to) in modes.iter().flat_map(|from| modes.iter().map(|to| (*from, *to))) {
            a_change_of_mode_keeps_the_bytes(&platform, from, to, cx);
            halves_have_modes_of_their_own(&platform, from, to, cx);
            world.validate();
            world.assert_empty();
        }
    }
}

/// A block of that order with known bytes, if the source gives one.
fn filled<P: Platform>(platform: &Watched<'_, P>, k: u8) -> (P::Block, Vec<u8>) {
    let mut block =
        platform.allocate(AllocRequest::new(order(k)), Context::THREAD).expect("the source has enough");
    let bytes = fill(&mut block, 5);
    (block, bytes)
}

/// From one mode to another and a flush. Returns the mode that the block has now: a refusal changes nothing, and is no answer
/// in a thread.
fn change<P: Platform>(
    platform: &Watched<'_, P>,
    block: &mut P::Block,
    from: P::Mode,
    to: P::Mode,
    cx: Context,
) -> P::Mode {
    let bytes = content(block);
    let result = platform.set_mode(block, from, to, cx);
    platform.flush(cx);
    assert!(content(block) == bytes, "a change of mode touches no byte, made or refused");
    match result {
        Ok(()) => to,
        Err(ModeRefused) => {
            assert!(cx != Context::THREAD, "refused in a thread");
            from
        }
    }
}

fn a_change_of_mode_keeps_the_bytes<P: Platform>(
    platform: &Watched<'_, P>,
    from: P::Mode,
    to: P::Mode,
    cx: Context,
) {
    for k in 0..=2 {
        let (mut block, bytes) = filled(platform, k);
        let mut mode = change(platform, &mut block, P::Mode::CACHED, from, cx);
        mode = change(platform, &mut block, mode, to, cx);
        assert!(content(&block) == bytes);
        // What is written in that mode is read in it, and in the next.
        let new = fill(&mut block, 6);
        assert!(content(&block) == new);
        change(platform, &mut block, mode, P::Mode::CACHED, Context::THREAD);
        assert!(content(&block) == new);
        platform.free(block);
    }
}

fn halves_have_modes_of_their_own<P: Platform>(
    platform: &Watched<'_, P>,
    from: P::Mode,
    to: P::Mode,
    cx: Context,
) {
    let (mut block, bytes) = filled(platform, 1);
    let mode = change(platform, &mut block, P::Mode::CACHED, from, cx);
    let (mut lower, mut upper) = match block.split() {
        Ok(both) => both,
        Err(mut block) => {
            change(platform, &mut block, mode, P::Mode::CACHED, Context::THREAD);
            return platform.free(block);
        }
    };
    let low = change(platform, &mut lower, mode, to, cx);
    assert!([content(&lower), content(&upper)].concat() == bytes);
    change(platform, &mut upper, mode, P::Mode::CACHED, Context::THREAD);
    change(platform, &mut lower, low, P::Mode::CACHED, Context::THREAD);
    assert!([content(&lower), content(&upper)].concat() == bytes);
    platform.free(lower);
    platform.free(upper);
}

#[cfg(test)]
mod tests {
    use super::modes;
    use crate::kit::{Machine, PAGE, near};
    use crate::world::noncoherent::{Adversary, Forget, NonCoherent};
    use forebay::Caching::{self, Uncached, WriteBack, WriteCombined};

    const ALL: [Caching; 3] = [WriteBack, WriteCombined, Uncached];

    /// Rule: the machines of the tests keep the rules of caching control.
    #[test]
    fn machines_of_the_tests() {
        let near = near(16);
        modes(&near, &[()]);
        modes(Machine::new(&near), &ALL);
        for seed in 0..10 {
            modes(NonCoherent::new(&near, PAGE / 8, Adversary::of(seed)), &ALL);
        }
    }

    /// Rule: a clean that is missing is found.
    #[test]
    #[should_panic(expected = "a change of mode touches no byte")]
    fn a_missing_clean_is_found() {
        let machine = NonCoherent::new(near(16), PAGE / 8, Adversary::Idle);
        machine.forget(Forget::CleanAtMode);
        modes(&machine, &ALL);
    }
}
