//! The pool: take, give and trim, by caching mode and order. What comes from TTM's tests is in `scenarios.rs`.

use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::{Contents, Watched, World};

type Modal<'w> = Traced<Watched<'w, Machine<&'w Near>>, &'w Log>;

fn modal<'w>(near: &'w Near, world: &'w World, log: &'w Log) -> Modal<'w> {
    Traced::new(Watched::new(Machine::new(near), world), log)
}

fn machine<'p, 'w>(pool: &'p Pool<Modal<'w>>) -> &'p Machine<&'w Near> {
    pool.platform().inner().inner()
}

const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];

/// Rule: a full shelf sends a block home, in the plain mode ("anything returned to the system needs to be
/// cached").
#[test]
fn a_full_shelf_sends_home() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(32));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 9]>::new(modal(&near, &world, &log), 1);
    let two = [0; 2].map(|_| pool.take(order(1), Caching::WriteCombined, CX).unwrap());
    log.take();
    for block in two {
        pool.give(block, Context::THREAD).unwrap();
        world.validate();
    }
    let events = log.take();
    assert!(
        matches!(events[..], [Event::SetMode(a, 0, Ok(())), Event::FlushModes, Event::Release(b, o)] if a == b && o == order(1))
    );
    assert_eq!(
        (pool.ready(), near.unused(), machine(pool).in_mode(Caching::WriteCombined)),
        (pages(2), pages(30), 2)
    );
    pool.trim(ALL, Context::THREAD);
    world.assert_empty();
}

/// Rule: depth 0, no places, or too few for an order: straight home, and nothing is kept.
#[test]
fn a_pool_may_have_no_shelves() {
    fn through(pool: &Pool<Modal<'_>>, world: &World) -> Pages {
        for n in [0, 3] {
            let block = pool.take(order(n), Caching::WriteCombined, CX).unwrap();
            pool.give(block, Context::THREAD).unwrap();
            world.validate();
        }
        let ready = pool.ready();
        assert_eq!(pool.trim(ALL, Context::THREAD), ready);
        world.assert_empty();
        ready
    }
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(32));
    let new = || modal(&near, &world, &log);
    assert_eq!(through(&Pool::<_, [Place<_>; 0]>::new(new(), 5), &world), NONE);
    assert_eq!(through(&Pool::<_, [Place<_>; 9]>::new(new(), 0), &world), NONE);
    // Orders 0 to 2 have their places.
    assert_eq!(through(&Pool::<_, [Place<_>; 9]>::new(new(), 1), &world), pages(1));
    // Not even order 0 has all of its places: those of the first mode only.
    assert_eq!(through(&Pool::<_, [Place<_>; 1]>::new(new(), 1), &world), NONE);
    assert_eq!(near.unused(), near.total());
}

/// Rule: what a taker gets is zeros, from the shelf as from the platform, in every mode (TTM zeroes on give
/// and trusts the system for the rest; item 10).
#[test]
fn a_taken_block_has_nobodys_secrets() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(8));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 12]>::new(modal(&near, &world, &log), 1);
    let zero = |b: &PooledBlock<Modal<'_>>| b.block().iter().all(|b| *b == 0);
    for mode in MODES {
        // The whole source is one secret now, and so is the shelf after the second round.
        for _ in 0..2 {
            let mut block = pool.take(order(3), mode, CX).unwrap();
            assert!(zero(&block));
            block.bytes_mut().fill(0x5E);
            pool.give(block, Context::THREAD).unwrap();
        }
        let mut block = pool.take_up_to(order(3), order(0), mode, CX).unwrap();
        assert!(zero(&block) && block.block().order() == order(3));
        block.bytes_mut().fill(0x5E);
        pool.give(block, Context::THREAD).unwrap();
        pool.trim(ALL, Context::THREAD);
    }
    world.assert_empty();
}

/// Rule: trim ends although no block can go (B16: TTM's trim loop can't end if its pages are elsewhere); they
/// stay on their shelf, in their mode, and go another time.
#[test]
fn trim_ends_when_modes_cannot_be_undone() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(64));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 18]>::new(modal(&near, &world, &log), 2);
    for mode in MODES {
        let two = [0; 2].map(|_| pool.take(order(1), mode, CX).unwrap());
        two.into_iter().for_each(|b| pool.give(b, Context::THREAD).unwrap());
    }
    machine(pool).say_no(No::ModeTo(Caching::WriteBack));
    assert_eq!(pool.trim(ALL, Context::THREAD), pages(4)); // the plain ones
    assert_eq!((pool.trim(pages(1), Context::THREAD), pool.ready()), (NONE, pages(8)));
    assert_eq!(MODES.map(|m| machine(pool).in_mode(m) > 0), [false, true, true]);
    world.validate();
    let again = pool.take(order(1), Caching::Uncached, CX).unwrap(); // still of use
    pool.give(again, Context::THREAD).unwrap();
    machine(pool).say_no(No::Never);
    assert_eq!(pool.trim(ALL, Context::THREAD), pages(8));
    world.assert_empty();
}

/// Rule: a block whose mode could not be undone is tried once more when the pool is dropped, since it is lost otherwise.
#[test]
fn a_dropped_pool_tries_twice() {
    let (world, near) = (World::new(Contents::Compared), near(64));
    let machine = Watched::new(Faulty::<_, SpinRawMutex>::new(Machine::new(&near)), &world);
    let blocks = 6;
    for kth in (0..blocks).map(Some) {
        let pool = Pool::<_, [Place<_>; 18]>::new(&machine, 2);
        for mode in [Caching::WriteCombined, Caching::Uncached] {
            let three = [0, 1, 2].map(|n| pool.take(order(n), mode, CX).unwrap());
            three.into_iter().for_each(|b| pool.give(b, CX).unwrap());
        }
        machine.inner().set(Faults { kth, ..Faults::default() });
        drop(pool);
        assert_eq!((machine.inner().failed(), machine.inner().calls()), (1, blocks + 1));
        machine.inner().set(Faults::default());
        world.assert_empty();
        assert_eq!(near.unused(), near.total());
    }
}

/// Rule: a mode that is refused on take sends the block home, plain, and changes nothing (B14: TTM leaks
/// attributes into the system after a late error).
#[test]
fn a_refused_mode_on_take_changes_nothing() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(8));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 9]>::new(modal(&near, &world, &log), 1);
    machine(pool).say_no(No::Mode);
    assert_eq!(pool.take(order(2), Caching::Uncached, CX).err(), Some(AllocError::ModeRefused));
    assert_eq!(
        pool.take_up_to(order(2), order(0), Caching::Uncached, CX).err(),
        Some(AllocError::ModeRefused)
    );
    world.assert_empty();
    assert_eq!((near.unused(), pool.ready()), (near.total(), NONE));
    let plain = pool.take(order(2), Caching::WriteBack, CX).unwrap(); // needs no change
    pool.give(plain, Context::THREAD).unwrap();
    machine(pool).say_no(No::Never);
    pool.trim(ALL, Context::THREAD);
    world.assert_empty();
}

/// Rule: a block that can't go anywhere comes back from `give` as it was: frames, mode and bytes.
#[test]
fn a_refused_give_returns_the_block() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(8));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 0]>::new(modal(&near, &world, &log), 0);
    let mut block = pool.take(order(1), Caching::WriteCombined, CX).unwrap();
    let pfn = block.block().pfn();
    block.bytes_mut().copy_from_slice(&pattern(3, 2 * PAGE));
    machine(pool).say_no(No::Mode);
    let refused = pool.give(block, Context::THREAD).unwrap_err();
    assert_eq!(refused.why, ModeRefused);
    let block = refused.item;
    assert_eq!((block.block().pfn(), block.mode()), (pfn, Caching::WriteCombined));
    assert!(block.block()[..] == pattern(3, 2 * PAGE));
    world.validate();
    machine(pool).say_no(No::Never);
    pool.give(block, Context::THREAD).unwrap();
    world.assert_empty();
}

/// Rule: a split block goes home half by half, and the halves are whole again for the next taker.
#[test]
fn halves_go_home_one_by_one() {
    let (world, near) = (World::new(Contents::Compared), near(8));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 0]>::new(Watched::new(&near, &world), 0);
    let whole = pool.take(order(3), (), CX).unwrap().into_plain(pool.platform(), Context::THREAD).unwrap();
    let pfn = whole.pfn();
    let (lower, upper) = whole.split().unwrap();
    let (a, b) = upper.split().unwrap();
    assert_eq!(
        [lower.pfn(), a.pfn(), b.pfn()].map(|p| p.get() - pfn.get()),
        [0, 4, 6],
        "in order, without a gap"
    );
    for block in [a, lower, b] {
        pool.free(block);
        world.validate();
    }
    let whole = pool.take(order(3), (), CX).unwrap();
    assert_eq!(whole.block().pfn(), pfn);
    pool.give(whole, Context::THREAD).unwrap();
    world.assert_empty();
}

/// Rule: `least` is the least, also where `most` is below it by mistake.
#[test]
fn nothing_below_the_least_is_taken() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(8));
    let pool: &Pool<_> = &Pool::<_, [Place<_>; 9]>::new(modal(&near, &world, &log), 1);
    let small = pool.take(order(0), Caching::WriteBack, CX).unwrap();
    pool.give(small, CX).unwrap(); // the shelf of `most` has one
    let block = pool.take_up_to(order(0), order(2), Caching::WriteBack, CX).unwrap();
    assert_eq!(block.block().order(), order(2));
    let none = pool.take_up_to(order(1), order(2), Caching::WriteBack, CX);
    assert_eq!(
        none.err(),
        Some(AllocError::AllocError(forebay::AllocError::Exhausted)),
        "there are single pages, and they are too small"
    );
    pool.give(block, CX).unwrap();
    pool.trim(ALL, CX);
    world.assert_empty();
}
