//! The pool: take, put and trim, by caching mode and order. What comes from TTM's tests is in `scenarios.rs`.

use forebay_backends::*;
use hosted_tests::kit::*;

type Modal<'w> = AllPorts<Traced<WatchedPlatform<'w, AllPorts<Machine<&'w Near>>>, &'w Log>>;

fn modal<'w>(near: &'w Near, world: &'w World, log: &'w Log) -> Modal<'w> {
    AllPorts(Traced::new(Watched::platform(Machine::new(near), world), log))
}

fn machine<'p, 'w>(modal: &'p Modal<'w>) -> &'p Machine<&'w Near> {
    modal.inner().inner()
}

/// `LISTS` lists of `DEPTH` blocks each.
type Lists<'p, 'w, const LISTS: usize, const DEPTH: usize> =
    WithLists<&'p Modal<'w>, FreeListArray<Modal<'w>, LISTS, DEPTH>>;

fn pool<'p, 'w, const LISTS: usize, const DEPTH: usize>(
    modal: &'p Modal<'w>,
) -> Pool<Lists<'p, 'w, LISTS, DEPTH>> {
    Pool::new(WithLists(modal, FreeListArray::new()))
}

const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];

fn request(k: u8) -> AllocRequest {
    AllocRequest::new(order(k))
}

/// Rule: a block for which its list has no room is returned to the source, in the mode `CACHED` ("anything returned to the
/// system needs to be cached").
#[test]
fn a_full_list_returns_to_the_source() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(32));
    let modal = modal(&near, &world, &log);
    let pool = pool::<9, 1>(&modal);
    let two = [0; 2].map(|_| pool.take(request(1), Caching::WriteCombined, CX).unwrap());
    log.take();
    for block in two {
        pool.put(block, Context::THREAD).unwrap();
        world.validate();
    }
    let events = log.take();
    assert!(
        matches!(events[..], [Event::SetMode(a, 0, Ok(())), Event::Flush, Event::Free(b, o)] if a == b && o == order(1)),
        "{events:?}"
    );
    let ready = pool.ready(Zones::ALL);
    assert_eq!(
        (ready, near.unused(), machine(&modal).in_mode(Caching::WriteCombined)),
        (pages(2), pages(30), 2)
    );
    pool.trim(Zones::ALL, ALL, Context::THREAD);
    world.assert_empty();
}

/// Rule: no lists, lists without room, or too few for an order: straight to the source, and nothing is kept.
#[test]
fn a_pool_may_have_no_lists() {
    fn through<P: Platform<Mode = Caching>>(pool: &Pool<P>, world: &World) -> Pages {
        for n in [0, 3] {
            let block = pool.take(request(n), Caching::WriteCombined, CX).unwrap();
            pool.put(block, Context::THREAD).unwrap();
            world.validate();
        }
        let ready = pool.ready(Zones::ALL);
        assert_eq!(pool.trim(Zones::ALL, ALL, Context::THREAD), ready);
        world.assert_empty();
        ready
    }
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(32));
    let modal = &modal(&near, &world, &log);
    assert_eq!(through(&Pool::new(modal), &world), NONE);
    assert_eq!(through(&pool::<0, 5>(modal), &world), NONE);
    assert_eq!(through(&pool::<9, 0>(modal), &world), NONE);
    // Orders 0 to 2 have their lists.
    assert_eq!(through(&pool::<9, 1>(modal), &world), pages(1));
    // Not even order 0 has all of its lists: that of the first mode only.
    assert_eq!(through(&pool::<1, 1>(modal), &world), NONE);
    assert_eq!(near.unused(), near.total());
}

/// Rule: what is taken is zeros, from a list as from the platform, in every mode, also through a buffer (TTM zeroes when a
/// block is given back, and trusts the system for the rest; item 10).
#[test]
fn a_taken_block_has_no_secrets() {
    let (world, log, near, far) = (World::new(Contents::Compared), Log::default(), near(8), far(8));
    let modal = modal(&near, &world, &log);
    let home = Forebay::new(WithLists(&modal, FreeListArray::<Modal<'_>, 12, 1>::new()), &far);
    let pool = home.pool();
    let zeros = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
    for (n, mode) in MODES.into_iter().enumerate() {
        // The whole source is one secret now, and so is the list after the second round.
        for _ in 0..2 {
            let mut block = pool.take(request(3), mode, CX).unwrap();
            assert!(zeros(&block));
            assert_eq!(block.write_at(0, &[0x5E; 8 * PAGE]), 8 * PAGE);
            pool.put(block, Context::THREAD).unwrap();
        }
        let buffer = Buffer::<_, [Slot<_>; 8]>::inline(&home, Order::PAGE);
        let buffer = buffer.with_mode(mode).with_id(BufferId(n));
        let mut guard = buffer.write().unwrap();
        assert!(guard.blocks().map(|(_, block)| block.order()).eq([order(3)]));
        let mut bytes = [0xA5; 8 * PAGE];
        assert_eq!(guard.read_at(0, &mut bytes), 8 * PAGE);
        assert!(zeros(&bytes));
        guard.write_at(0, &[0x5E; 8 * PAGE]);
        drop(guard);
        drop(buffer);
        let block = pool.take(request(3), mode, CX).unwrap();
        assert!(zeros(&block), "what the buffer left");
        pool.put(block, CX).unwrap();
        pool.trim(Zones::ALL, ALL, Context::THREAD);
    }
    world.assert_empty();
}

/// Rule: trim ends although no block can leave (B16: TTM's trim loop can't end if its pages are elsewhere); they stay in
/// their list, in their mode, and leave another time.
#[test]
fn trim_ends_when_modes_cannot_be_undone() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(64));
    let modal = modal(&near, &world, &log);
    let (machine, pool) = (machine(&modal), pool::<9, 2>(&modal));
    for mode in MODES {
        let two = [0; 2].map(|_| pool.take(request(1), mode, CX).unwrap());
        two.into_iter().for_each(|b| pool.put(b, Context::THREAD).unwrap());
    }
    machine.say_no(No::ModeTo(Caching::WriteBack));
    let trim = |pages| pool.trim(Zones::ALL, pages, Context::THREAD);
    assert_eq!(trim(ALL), pages(4), "those that are cached already");
    assert_eq!((trim(pages(1)), pool.ready(Zones::ALL)), (NONE, pages(8)));
    assert_eq!(MODES.map(|m| machine.in_mode(m) > 0), [false, true, true]);
    world.validate();
    let again = pool.take(request(1), Caching::Uncached, CX).unwrap(); // still of use
    pool.put(again, Context::THREAD).unwrap();
    machine.say_no(No::Never);
    assert_eq!(trim(ALL), pages(8));
    world.assert_empty();
}

/// Rule: a block whose mode could not be undone is tried once more when the pool is dropped, since it is leaked otherwise.
#[test]
fn a_dropped_pool_tries_twice() {
    type Source<'w> = WatchedPlatform<'w, AllPorts<Faulty<AllPorts<Machine<&'w Near>>, SpinRawMutex>>>;
    let (world, near) = (World::new(Contents::Compared), near(64));
    let machine: Source<'_> = Watched::platform(AllPorts(Faulty::new(Machine::new(&near))), &world);
    let blocks = 6;
    for kth in (0..blocks).map(Some) {
        let pool = Pool::new(WithLists(&machine, FreeListArray::<Source<'_>, 9, 2>::new()));
        for mode in [Caching::WriteCombined, Caching::Uncached] {
            let three = [0, 1, 2].map(|n| pool.take(request(n), mode, CX).unwrap());
            three.into_iter().for_each(|b| pool.put(b, CX).unwrap());
        }
        machine.inner().set(Faults { kth, ..Faults::default() });
        drop(pool);
        assert_eq!((machine.inner().failed(), machine.inner().calls()), (1, blocks + 1));
        machine.inner().set(Faults::default());
        world.assert_empty();
        assert_eq!(near.unused(), near.total());
    }
}

/// Rule: a mode that is refused when a block is taken returns the block to the source, cached, and changes nothing (B14: TTM
/// leaks attributes into the system after a late error). A buffer keeps it, cached, until its mode is accepted.
#[test]
fn a_refused_mode_on_take_changes_nothing() {
    let (world, log, near, far) = (World::new(Contents::Compared), Log::default(), near(8), far(8));
    let modal = modal(&near, &world, &log);
    let machine = machine(&modal);
    let home = Forebay::new(WithLists(&modal, FreeListArray::<Modal<'_>, 9, 1>::new()), &far);
    let pool = home.pool();
    machine.say_no(No::Mode);
    assert_eq!(pool.take(request(2), Caching::Uncached, CX).err(), Some(AllocError::ModeRefused));
    world.assert_empty();
    let buffer = Buffer::new(&home, order(2)).with_mode(Caching::Uncached);
    assert_eq!(buffer.read().err(), Some(AccessError::Alloc(AllocError::ModeRefused)));
    assert_eq!((buffer.residency(), machine.in_mode(Caching::Uncached)), (residency(4, 0, 0), 0));
    drop(buffer);
    assert_eq!(pool.ready(Zones::ALL), pages(4), "it is in the list for its mode");
    let cached = pool.take(request(2), Caching::WriteBack, CX).unwrap(); // needs no change
    pool.put(cached, Context::THREAD).unwrap();
    machine.say_no(No::Never);
    pool.trim(Zones::ALL, ALL, Context::THREAD);
    world.assert_empty();
}

/// Rule: `put` returns a block that is neither kept nor returned to the source, with the same frames, mode and bytes.
#[test]
fn a_refused_put_returns_the_block() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(8));
    let modal = modal(&near, &world, &log);
    let (machine, pool) = (machine(&modal), Pool::new(&modal));
    let mut block = pool.take(request(1), Caching::WriteCombined, CX).unwrap();
    let (pfn, text) = (block.pfn(), format!("{block:?}"));
    assert!(text.ends_with("mode 1"), "{text}");
    block.write_at(0, &pattern(3, 2 * PAGE));
    machine.say_no(No::Mode);
    let refused = pool.put(block, Context::THREAD).unwrap_err();
    assert_eq!(refused.why, ModeRefused);
    let block = refused.item;
    assert_eq!((block.pfn(), format!("{block:?}")), (pfn, text));
    assert_eq!(machine.in_mode(Caching::WriteCombined), 2);
    assert!(block[..] == pattern(3, 2 * PAGE));
    world.validate();
    machine.say_no(No::Never);
    pool.put(block, Context::THREAD).unwrap();
    world.assert_empty();
}

/// Rule: a split block is returned half by half, and the halves are whole again for the next taker.
#[test]
fn halves_are_returned_one_by_one() {
    let (world, near) = (World::new(Contents::Compared), near(8));
    let source = Watched::platform(&near, &world);
    let pool = Pool::new(&source);
    let whole = source.allocate(request(3), CX).unwrap();
    let pfn = whole.pfn();
    let (lower, upper) = whole.split().unwrap();
    let (a, b) = upper.split().unwrap();
    assert_eq!([lower.pfn(), a.pfn(), b.pfn()].map(|p| p.0 - pfn.0), [0, 4, 6], "in order, without a gap");
    for block in [a, lower, b] {
        source.free(block);
        world.validate();
    }
    let whole = pool.take(request(3), (), CX).unwrap();
    assert_eq!(whole.pfn(), pfn);
    pool.put(whole, Context::THREAD).unwrap();
    world.assert_empty();
}

/// Rule: a buffer has no block below its unit, although a list or the source has smaller ones.
#[test]
fn nothing_below_the_unit_is_taken() {
    let (world, log, near, far) = (World::new(Contents::Compared), Log::default(), near(8), far(8));
    let modal = modal(&near, &world, &log);
    let home = Forebay::new(WithLists(&modal, FreeListArray::<Modal<'_>, 9, 1>::new()), &far);
    let pool = home.pool();
    let small = pool.take(request(0), Caching::WriteBack, CX).unwrap();
    pool.put(small, CX).unwrap();
    let [first, second] =
        [1, 2].map(|n| Buffer::<_, [Slot<_>; 2]>::inline(&home, order(2)).with_id(BufferId(n)));
    assert_eq!(first.populate(pages(1), CX).populated, pages(4));
    assert!(pool.ready(Zones::ALL) == pages(1) && near.unused() == pages(3), "there are single pages");
    assert_eq!(second.populate(pages(1), CX).why, Some(AccessError::Alloc(AllocError::Exhausted)));
    assert_eq!(second.residency(), residency(0, 0, 0));
    drop((first, second));
    pool.trim(Zones::ALL, ALL, CX);
    world.assert_empty();
}
