//! `Outcome::Nothing` says that trying again at once does not help.

use super::reclaim_ends::{Plain, Settles, Sys, is_here};
use forebay_backends::*;
use hosted_tests::kit::*;
use proptest::prelude::*;
use std::sync::atomic::Ordering::Relaxed;

/// Nothing left: so nothing leaves if it is tried again at once.
#[track_caller]
fn nothing_is_nothing(mut reclaim: impl FnMut() -> Report) -> Report {
    let report = reclaim();
    if report.outcome == Outcome::Nothing {
        let again = reclaim();
        assert_eq!((again.outcome, again.evicted.moved()), (Outcome::Nothing, NONE), "{again:?}");
    }
    report
}

/// Rule: `Nothing` says that trying again at once does not help: a backlog that the settle after it ended is tried again by the
/// same call.
#[test]
fn a_backlog_that_the_settle_ends_is_not_nothing() {
    for cx in [CX, Context::INTERRUPT] {
        let near = near(16);
        let mut store = Sys::new(Settles::Reclaimable);
        store.most = 1;
        let home = &Forebay::new(AllPorts(Plain::new(&near)), store);
        let tiles: [_; 8] = std::array::from_fn(|_| Buffer::new(home, order(1)));
        tiles.iter().for_each(|b| fill(b, 1));
        assert_eq!(tiles[0].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(2));
        let mut moved = 2;
        for _ in 0..7 {
            let report = nothing_is_nothing(|| home.reclaim(&tiles, pages(12), Evict::TRANSFER, cx));
            assert_eq!((report.evicted.transferred, report.outcome), (pages(2), Outcome::Short));
            moved += 2;
            assert_eq!(tiles.iter().filter(|tile| is_here(tile)).count(), 8 - moved / 2);
        }
        let report = nothing_is_nothing(|| home.reclaim(&tiles, pages(12), Evict::TRANSFER, cx));
        assert_eq!(report.outcome, Outcome::Nothing, "all are gone");
        tiles.iter().for_each(|b| check(b, 1));
    }
}

/// Rule: the same where one block meets a backlog, and another would be taken that was skipped before it: as with two stores, of
/// which the one with entries is too small for the first block.
#[test]
fn a_backlog_of_one_block_is_not_nothing() {
    for target in [ReclaimTarget::moved, ReclaimTarget::freed] {
        let (near, small, full) = (near(64), region::<4>(2, 1), region::<1>(64, 2));
        let home = &Forebay::new(&near, Tiered(&small, &full));
        let tiles = [0, 1, 3].map(|n| Buffer::new(home, order(n)));
        tiles.iter().for_each(|b| fill(b, 1));
        let [last, one, large] = &tiles;
        let (entry, used) = (near.allocate(AllocRequest::new(order(0)), CX).unwrap(), [one, large]);
        let entry = full.transfer(entry, None).unwrap(); // the only one
        large.evict_if_idle(&EvictRequest::new(NONE, Evict::TRANSFER, CX)); // not lately used
        let cx = Context::INTERRUPT; // so that the entry stays taken
        let report = nothing_is_nothing(|| home.reclaim(used, target(pages(12)), Evict::TRANSFER, cx));
        assert_eq!((report.evicted.transferred, is_here(one), is_here(large)), (pages(2), false, true));
        full.discard(entry).unwrap().into_iter().for_each(|block| near.free(block));
        tiles.iter().for_each(|b| check(b, 1));
        drop(last.write().unwrap());
    }
}

/// Rule: a backlog does not hide a buffer that may be purged and was skipped because it was purged before and used since.
#[test]
fn a_backlog_hides_no_purge() {
    let (near, far) = (near(16), region::<1>(32, 0));
    let home = &Forebay::new(&near, &far);
    let [full, dirty, unneeded] = [0, 0, 1].map(|n| Buffer::new(home, order(n)));
    for buffer in [&full, &dirty, &unneeded] {
        fill(buffer, 1);
    }
    full.evict(ALL, Evict::TRANSFER, CX).unwrap();
    let _ = unneeded.set_purgeable(true).unwrap();
    let all = [&dirty, &unneeded];
    let how = Evict::TRANSFER | Evict::PURGE;
    assert_eq!(home.reclaim(all, pages(1), how, CX).evicted.purged, pages(2));
    assert!(contents(&unneeded).iter().all(|byte| *byte == 0)); // resident, and used
    dirty.evict_if_idle(&EvictRequest::new(NONE, how, CX)); // not lately used, so it meets the backlog first
    for (gained, outcome) in [(2, Outcome::Short), (0, Outcome::Nothing)] {
        let report = nothing_is_nothing(|| home.reclaim(all, pages(12), how, Context::INTERRUPT));
        assert_eq!((report.gained, report.outcome), (pages(gained), outcome));
    }
    check(&dirty, 1);
    check(&full, 1);
}

/// Rule: what may be purged, was purged before and used since, and lies in the store only, goes at once: there is no use left to
/// spare.
#[test]
fn what_is_stored_is_purged_at_once() {
    for how in [Evict::PURGE, Evict::ANY] {
        let (near, far) = (near(16), far(32));
        let home = &Forebay::new(&near, &far);
        let buffer = Buffer::new(home, order(1));
        fill(&buffer, 1);
        let _ = buffer.set_purgeable(true).unwrap();
        assert_eq!(home.reclaim([&buffer], pages(1), how, CX).evicted.purged, pages(2));
        drop(buffer.read().unwrap()); // a use
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(2));
        assert_eq!(buffer.residency(), residency(0, 0, 2));
        let report = nothing_is_nothing(|| home.reclaim([&buffer], pages(2), how, CX));
        assert_eq!((report.evicted.purged, report.outcome), (pages(2), Outcome::Reached), "{how:?}");
        assert_eq!((near.unused(), far.pending()), (near.total(), NONE));
    }
}

/// Rule: the same for what refused to leave before its owner evicted it: nothing of it is left that could refuse again.
#[test]
fn what_refused_and_is_stored_now_is_purged_at_once() {
    for how in [Evict::PURGE, Evict::ANY, Evict::TRANSFER | Evict::PURGE] {
        let (near, far, hooks) = (near(16), far(32), Odd::default());
        let home = &Forebay::new(WithHooks(&near, &hooks), &far);
        let buffer = Buffer::new(home, order(1)).with_id(BufferId(1));
        fill(&buffer, 1); // a use, so that it refuses in the second round
        hooks.0.store(true, Relaxed);
        let report = home.reclaim([&buffer], ReclaimTarget::moved(pages(2)), Evict::TRANSFER, CX);
        assert_eq!((report.evicted.why, report.outcome), (Some(RefusalReason::Hook), Outcome::Nothing));
        hooks.0.store(false, Relaxed);
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(2));
        let _ = buffer.set_purgeable(true).unwrap();
        let report = nothing_is_nothing(|| home.reclaim([&buffer], pages(2), how, CX));
        assert_eq!((report.evicted.purged, report.outcome), (pages(2), Outcome::Reached), "{how:?}");
    }
}

/// One thing that is done to one of a few buffers.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write,
    Read,
    Evict(usize, usize),
    Restore(usize),
    SetPurgeable(bool),
    Cool,
    Settle(usize),
    Hook(bool),
    /// The store fails to copy.
    CopiesFail(bool),
    Reclaim {
        pages: usize,
        kind: usize,
        how: u16,
        interrupt: bool,
    },
}

const COUNT: usize = 6;

fn ops() -> impl Strategy<Value = Vec<(usize, Op)>> {
    let op = prop_oneof![
        3 => Just(Op::Write),
        2 => Just(Op::Read),
        2 => (1_usize..6, 0_usize..6).prop_map(|(n, how)| Op::Evict(n, how)),
        1 => (1_usize..6).prop_map(Op::Restore),
        2 => any::<bool>().prop_map(Op::SetPurgeable),
        2 => Just(Op::Cool),
        1 => (0_usize..6).prop_map(Op::Settle),
        1 => any::<bool>().prop_map(Op::Hook),
        1 => any::<bool>().prop_map(Op::CopiesFail),
        4 => (1_usize..14, 0_usize..4, 0_u16..16, any::<bool>())
            .prop_map(|(pages, kind, how, interrupt)| Op::Reclaim { pages, kind, how, interrupt }),
    ];
    proptest::collection::vec((0..COUNT, op), 1..60)
}

/// A hook that refuses the buffer with an odd number, when it is told to.
#[derive(Default)]
struct Odd(std::sync::atomic::AtomicBool);

impl EvictHooks<RamBlock<PAGE>> for Odd {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut RamBlock<PAGE>>,
        _: Context,
    ) -> Result<(), Busy> {
        if self.0.load(Relaxed) && id.0 % 2 == 1 { Err(Busy) } else { Ok(()) }
    }
}

/// Does all that. If nothing left and nothing was gained, the same call at once does no better.
fn nothing_helps(ops: &[(usize, Op)]) -> Result<(), TestCaseError> {
    let (near, hooks) = (near(24), Odd::default());
    let (small, large) = (region::<2>(6, 1), region::<1>(16, 2));
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(Tiered(&small, &large));
    let home = &Forebay::new(WithHooks(&near, &hooks), &store);
    let buffers: [_; COUNT] = std::array::from_fn(|i| {
        let slots = [2, 1, 4, 1, 8, 3][i];
        let unit = order([0, 1, 0, 2, 0, 0][i]);
        let slots: Vec<_> = (0..slots).map(|_| Slot::EMPTY).collect();
        Buffer::with_slots(home, slots, unit).with_id(BufferId(i))
    });
    for (i, op) in ops.iter().copied() {
        let buffer = &buffers[i];
        match op {
            Op::Write => drop(buffer.write().map(|mut guard| guard.write_at(0, &[i as u8 + 1; 8 * PAGE]))),
            Op::Read => drop(buffer.read()),
            Op::Evict(n, how) => drop(buffer.evict(pages(n), METHODS[how], CX)),
            Op::Restore(n) => drop(buffer.restore(pages(n), CX)),
            Op::SetPurgeable(purgeable) => drop(buffer.set_purgeable(purgeable)),
            Op::Cool => drop(buffer.evict_if_idle(&EvictRequest::new(NONE, Evict::TRANSFER, CX))),
            Op::Settle(n) => drop(home.settle(pages(n), CX)),
            Op::Hook(refuses) => hooks.0.store(refuses, Relaxed),
            Op::CopiesFail(fails) => {
                store.answer(Script { save: fails.then_some(StoreError::Io), ..Script::default() });
            }
            Op::Reclaim { pages: n, kind, how, interrupt } => {
                let (how, cx) =
                    (Evict::from_bits_truncate(how), if interrupt { Context::INTERRUPT } else { CX });
                let target = match kind {
                    0 | 1 => ReclaimTarget::moved(pages(n)),
                    2 => ReclaimTarget::freed(pages(n)),
                    _ => ReclaimTarget::block(order((n % 4) as u8)),
                };
                let report = home.reclaim(&buffers, target, how, cx);
                let moved = report.evicted.moved();
                match report.outcome {
                    Outcome::Nothing => {
                        prop_assert_eq!((moved, report.gained), (NONE, NONE));
                        let again = home.reclaim(&buffers, target, how, cx);
                        prop_assert_eq!(
                            (again.evicted.moved(), again.gained),
                            (NONE, NONE),
                            "{:?}: {:?}",
                            op,
                            again
                        );
                    }
                    Outcome::Reached if kind < 3 => prop_assert!(report.gained >= pages(n), "{:?}", report),
                    Outcome::Short => prop_assert!(moved + report.gained > NONE, "{:?}", report),
                    Outcome::Pending => prop_assert!(report.settled.pending > NONE, "{:?}", report),
                    _ => {}
                }
            }
        }
    }
    drop(buffers);
    prop_assert_eq!(near.unused(), near.total());
    prop_assert_eq!(small.space(), Space { pages: small.total(), transfers: 2 });
    prop_assert_eq!(large.space(), Space { pages: large.total(), transfers: 1 });
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: whatever was done before, and whichever methods there are: if nothing left and nothing was gained, the same call at
    /// once does no better. An outcome is what the numbers say.
    #[test]
    fn nothing_helps_after_nothing(ops in ops()) {
        nothing_helps(&ops)?;
    }
}

/// Rule: the same, where buffers that would be transferred were asked without transfers, after the backlog of another: since
/// other methods are not possible in an interrupt, or since the store fails.
#[test]
fn nothing_helps_after_others_were_asked_without_transfers() {
    for interrupt in [true, false] {
        let reclaim = |pages, how, interrupt| Op::Reclaim { pages, kind: 0, how, interrupt };
        let write = [1, 5, 0, 4].map(|i| (i, Op::Write));
        let more = [(3, Op::Write), (2, Op::Write), (0, Op::Write), (2, Op::Cool), (3, Op::Cool)];
        let ops = [
            &write[..],
            &[(0, reclaim(5, 2, false)), (0, reclaim(3, 5, false))],
            &more,
            &[(0, Op::CopiesFail(!interrupt)), (0, reclaim(1, 13, interrupt))],
        ];
        nothing_helps(&ops.concat()).unwrap();
    }
}
