//! A reclaim for some zones: what is elsewhere stays, and is found again.

use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;

/// What the store has of the buffers before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Copies {
    None,
    All,
}

fn sizes<H: Home, T: Slots<Platform = H::Platform>>(buffers: &[Buffer<H, T>]) -> Vec<[usize; 2]> {
    let of = |b: &Buffer<H, T>| b.residency().map(|r| [r.resident.get(), r.stored.get()]).unwrap();
    buffers.iter().map(of).collect()
}

/// Eight pages in the high zone, eight in the low one, and four in each; eaten up by zones, one after the other, by walks
/// over a slice or an index.
fn eat(want: fn(Pages) -> ReclaimTarget, how: Evict, copies: Copies, listed: bool) {
    let world = World::new(Contents::Compared);
    let (near, far) = (TwoZones::new(12, 16), far(64));
    let home = &forebay(&near, &far, &world);
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(3)]);
    let buffer = |i, zones| {
        let slots = index.indexed(i, [const { Slot::EMPTY }; 2]).unwrap();
        let buffer = Buffer::with_slots(home, slots, order(2)).with_zones(zones).with_id(BufferId(i));
        fill(&buffer, i as u8);
        if copies == Copies::All {
            assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
            check(&buffer, i as u8);
        }
        buffer
    };
    let buffers = [buffer(0, Zones::of(HIGH)), buffer(1, Zones::of(LOW)), buffer(2, Zones::ALL)];
    let free =
        |zone: u8| near.supply(&AllocRequest::new(order(0)).within(Zones::of(zone))).free.unwrap().get();
    assert_eq!((sizes(&buffers), [free(LOW), free(HIGH)]), (vec![[8, 0]; 3], [0, 4]));
    let left = |zones: Zones, want: ReclaimTarget| {
        let report = match listed {
            true => home.reclaim(index.candidates(&buffers), want.within(zones), how, CX),
            false => home.reclaim(&buffers, want.within(zones), how, CX),
        };
        home.settle(ALL, CX);
        world.validate();
        assert_eq!(report.gained, report.evicted.moved());
        let expected = [Evicted::default().clean, report.evicted.moved()];
        if copies == Copies::All {
            assert_eq!([report.evicted.transferred + report.evicted.copied, report.evicted.clean], expected);
        }
        (report.evicted.moved().get(), report.outcome)
    };
    assert_eq!(left(Zones::of(LOW), want(ALL)), (12, Outcome::Short));
    assert_eq!((sizes(&buffers), [free(LOW), free(HIGH)]), (vec![[8, 0], [0, 8], [4, 4]], [12, 4]));
    assert_eq!(left(Zones::of(LOW), want(ALL)), (0, Outcome::Nothing));
    assert_eq!(left(Zones::of(HIGH), want(pages(11))), (12, Outcome::Reached), "they are found still");
    assert_eq!((sizes(&buffers), [free(LOW), free(HIGH)]), (vec![[0, 8]; 3], [12, 16]));
    for (i, buffer) in buffers.iter().enumerate() {
        check(buffer, i as u8);
    }
    assert_eq!(left(Zones::ALL, want(ALL)), (24, Outcome::Short));
    drop(buffers);
    world.assert_empty();
}

/// Rule: only blocks in these zones leave, dirty or clean; a buffer with blocks in several keeps the others, and the next
/// walk, over a slice or an index, finds them.
#[test]
fn only_blocks_of_these_zones_leave() {
    for how in [Evict::TRANSFER, Evict::COPY, Evict::ANY] {
        for copies in [Copies::None, Copies::All] {
            for listed in [false, true] {
                eat(ReclaimTarget::moved, how, copies, listed);
                eat(ReclaimTarget::freed, how, copies, listed);
            }
        }
    }
}

/// Rule: a block in some zone is free when the source has one there, whatever it has elsewhere; and blocks elsewhere stay.
#[test]
fn a_block_in_a_zone() {
    let world = World::new(Contents::Compared);
    let (near, far) = (TwoZones::new(8, 16), far(64));
    let home = &forebay(&near, &far, &world);
    let buffer = |zone: u8| Buffer::new(home, order(2)).with_zones(Zones::of(zone));
    let buffers: [Buffer<_>; 4] = [HIGH, LOW, HIGH, LOW].map(buffer);
    buffers.iter().for_each(|b| fill(b, 5));
    let block = ReclaimTarget::block(order(2));
    let report = home.reclaim(&buffers, block.within(Zones::of(HIGH)), Evict::ANY, CX);
    assert_eq!((report.evicted.moved(), report.outcome), (NONE, Outcome::Reached), "there is one");
    let report = home.reclaim(&buffers, block.within(Zones::of(LOW)), Evict::ANY, CX);
    assert_eq!((report.gained, report.outcome), (pages(4), Outcome::Reached));
    assert_eq!(sizes(&buffers).iter().filter(|b| **b == [4, 0]).count(), 3);
    assert_eq!(near.supply(&AllocRequest::new(order(2)).within(Zones::of(LOW))).ready, Some(true));
    world.validate();
    buffers.iter().for_each(|b| check(b, 5));
    drop(buffers);
    world.assert_empty();
}

/// Rule: what the source has in other zones is no such block, and does not hide the one that comes free.
#[test]
fn a_block_elsewhere_is_none() {
    let world = World::new(Contents::Compared);
    let (near, far) = (TwoZones::new(8, 8), far(64));
    let home = &forebay(&near, &far, &world);
    let buffers: [Buffer<_>; 2] = [(); 2].map(|()| Buffer::new(home, order(2)).with_zones(Zones::of(HIGH)));
    buffers.iter().for_each(|b| fill(b, 5));
    let report =
        home.reclaim(&buffers, ReclaimTarget::block(order(2)).within(Zones::of(HIGH)), Evict::ANY, CX);
    assert_eq!((report.gained, report.outcome), (pages(4), Outcome::Reached));
    assert_eq!((near.low.unused(), near.high.unused()), (pages(8), pages(4)));
    world.validate();
    buffers.iter().for_each(|b| check(b, 5));
    drop(buffers);
    world.assert_empty();
}
