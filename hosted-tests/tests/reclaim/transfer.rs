//! The pass of an interrupt: it transfers, and nothing else.

use hosted_tests::kit::*;

/// Rule: as much leaves as was asked for, to the block; the pass goes on where the last one ended; every byte comes back.
#[test]
fn as_much_as_asked() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let buffers: [_; 6] = std::array::from_fn(|_| Buffer::new(home, Order::PAGE));
    buffers.iter().zip(0..).for_each(|(buffer, seed)| fill(buffer, seed));
    let resident = || buffers.iter().map(|b| b.residency().unwrap().resident.get()).collect::<Vec<_>>();
    assert_eq!(home.transfer(&buffers, NONE), NONE);
    assert_eq!(resident(), [1; 6]);
    assert_eq!(home.transfer(&buffers, pages(2)), pages(2), "the second round: all were used");
    assert_eq!(resident(), [0, 0, 1, 1, 1, 1]);
    check(&buffers[0], 0);
    assert_eq!(home.transfer((&buffers[..3], &buffers[3..]), pages(2)), pages(2));
    assert_eq!(resident(), [1, 0, 0, 0, 1, 1], "it goes on with the third");
    assert_eq!(home.transfer(&buffers, ALL), pages(3));
    assert_eq!(home.transfer(&buffers, ALL), NONE, "nothing is left");
    assert_eq!(home.transfer(&buffers[..0], ALL), NONE);
    buffers.iter().zip(0..).for_each(|(buffer, seed)| check(buffer, seed));
    drop(buffers);
    all_returned(&world, &near, &far);
}

/// Rule: what is in use is passed, and stays as it is; a backlog ends the pass; after a settle it goes on. Nothing is copied.
#[test]
fn in_use_and_a_backlog() {
    const MANY: usize = 40;
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
    let home = &forebay(&near, &far, &world);
    let buffers: [_; MANY] = std::array::from_fn(|_| Buffer::new(home, Order::PAGE));
    buffers.iter().zip(0..).for_each(|(buffer, seed)| fill(buffer, seed));
    let guard = buffers[0].read().unwrap();
    let (mut left, mut backlogs) = (NONE, 0);
    while left < pages(MANY - 1) {
        let room = home.store().space().transfers;
        let moved = home.transfer(&buffers, ALL);
        assert!(moved > NONE && moved.get() <= room, "{moved} with room for {room}");
        left += moved;
        backlogs += usize::from(left < pages(MANY - 1));
        home.settle(ALL, CX);
    }
    let evicted = home.stats().evicted;
    assert_eq!((evicted.transferred, evicted.copied, evicted.clean), (pages(MANY - 1), NONE, NONE));
    assert_eq!(evicted.backlogs, backlogs, "one ends a pass");
    assert_eq!(home.transfer(&buffers, ALL), NONE, "one is in use");
    drop(guard);
    assert_eq!(home.transfer(&buffers, ALL), pages(1));
    buffers.iter().zip(0..).for_each(|(buffer, seed)| check(buffer, seed));
    drop(buffers);
    all_returned(&world, &near, &far);
}

/// Rule: what is clean leaves too, and counts; a store that refuses has it all stay.
#[test]
fn clean_and_refused() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let buffers: [_; 2] = std::array::from_fn(|_| Buffer::new(home, Order::PAGE));
    fill(&buffers[0], 1);
    buffers[0].evict(ALL, Evict::COPY, CX).unwrap();
    check(&buffers[0], 1);
    assert_eq!(home.transfer(&buffers, ALL), pages(1));
    assert_eq!((home.stats().evicted.clean, home.stats().evicted.transferred), (pages(1), NONE));
    check(&buffers[0], 1);
    drop(buffers);
    all_returned(&world, &near, &far);
}
