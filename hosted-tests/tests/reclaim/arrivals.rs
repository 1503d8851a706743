//! Places for buffers that come and go while others walk by.

use hosted_tests::kit::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

type Tile<'h, P, S> = Buffer<'h, P, S>;

fn tile<'h, P: Platform, S: BackingStore<P::Block>>(home: &'h Forebay<P, S>, seed: u8) -> Tile<'h, P, S> {
    let tile = Buffer::new(home, order(1));
    fill(&tile, seed);
    tile
}

fn berths<E, const N: usize>() -> [Berth<SpinRawMutex, E>; N] {
    [const { Berth::new() }; N]
}

/// Rule: what is put in is walked over, and comes out as it is; an occupied place takes nothing more, and gives what was
/// offered back.
#[test]
fn in_and_out() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let places: [_; 3] = berths();
    assert!(places[1].take().unwrap().is_none() && places[1].get().unwrap().is_none());
    assert_eq!(home.reclaim(&places, ALL, Evict::ANY, CX).evicted, Evicted::default());
    places[1].put(tile(home, 1)).unwrap();
    let refused = places[1].put(tile(home, 2)).unwrap_err();
    assert_eq!(refused.why, Busy);
    check(&refused.item, 2);
    places[2].put(refused.item).unwrap();
    let report = home.reclaim(&places, pages(3), Evict::TRANSFER, CX);
    assert_eq!((report.evicted.transferred, report.outcome), (pages(4), Outcome::Reached));
    let taken = [1, 2].map(|i| places[i].take().unwrap().unwrap());
    assert!(places[1].get().unwrap().is_none());
    check(&taken[0], 1);
    check(&taken[1], 2);
    assert_eq!(home.reclaim(&places, ALL, Evict::ANY, CX).evicted, Evicted::default());
    places[1].put(tile(home, 3)).unwrap();
    drop(taken);
    world.validate();
    assert_eq!(world.frames_out(), pages(2));
    check(places[1].get().unwrap().as_ref().unwrap(), 3);
    drop(places);
    all_returned(&world, &near, &far);
}

/// Rule: while somebody uses what is in a place, or its emptiness, nothing is taken out or put in; others use it too, and a
/// walk comes by; afterwards all goes.
#[test]
fn in_use() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let places: [_; 2] = berths();
    places[0].put(tile(home, 1)).unwrap();
    let (one, two) = (places[0].get().unwrap(), places[0].get().unwrap());
    assert_eq!(places[0].take().err(), Some(Busy));
    assert_eq!(home.reclaim(&places, ALL, Evict::ANY, CX).evicted.moved(), pages(2), "used, but idle");
    let guard = one.as_ref().unwrap().read().unwrap();
    assert_eq!(home.reclaim(&places, ALL, Evict::ANY, CX).evicted.moved(), NONE, "held by a guard");
    drop(guard);
    drop(one);
    assert_eq!(places[0].take().err(), Some(Busy), "the other one is there still");
    drop(two);
    check(&places[0].take().unwrap().unwrap(), 1);
    let empty = places[1].get().unwrap();
    let refused = places[1].put(tile(home, 2)).unwrap_err();
    assert_eq!(refused.why, Busy);
    drop(empty);
    places[1].put(refused.item).unwrap();
    check(places[1].get().unwrap().as_ref().unwrap(), 2);
    drop(places);
    all_returned(&world, &near, &far);
}

/// Tries, while it is asked for pages, what others may do with the places: its own is the first.
struct Probe(&'static [Berth<SpinRawMutex, Probe>; 3]);

impl Evictable for Probe {
    fn evict_if_idle(&self, _: EvictRequest) -> Evicted {
        let places = self.0;
        assert_eq!(places[0].take().map(drop), Err(Busy), "pulled from under a walk");
        assert!(places[0].put(Probe(places)).is_err());
        assert!(places[0].get().is_ok_and(|guest| guest.is_some()), "others may use it");
        assert!(places[1].put(Probe(places)).is_ok(), "another place is free");
        assert!(places[1].take().is_ok_and(|out| out.is_some()));
        let mut evicted = Evicted::default();
        evicted.copied = pages(1);
        evicted
    }
}

/// Rule: a walk that is just there is a use like any other: nothing is pulled from under it, and other places are free.
#[test]
fn a_walk_is_a_use() {
    let (near, far) = (near(16), far(32));
    let home = &Forebay::new(&near, &far);
    let places: &'static [Berth<SpinRawMutex, Probe>; 3] = forever(berths());
    assert!(places[0].put(Probe(places)).is_ok());
    let report = home.reclaim(places, pages(1), Evict::COPY, CX);
    assert_eq!(report.gained, pages(1));
    assert!(places[0].take().is_ok_and(|out| out.is_some()), "free again");
}

/// Rule: dropping what was taken out gives back its blocks and handles, in whatever state it is; so does dropping the places.
#[test]
fn dropping_gives_all_back() {
    for (how, settled) in
        [(None, 0), (Some(Evict::TRANSFER), 0), (Some(Evict::TRANSFER), 9), (Some(Evict::COPY), 0)]
    {
        for taken in [1, 4] {
            let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
            let home = &forebay(&near, &far, &world);
            let places: [_; 4] = berths();
            for (i, place) in places.iter().enumerate() {
                place.put(tile(home, i as u8)).unwrap();
            }
            if let Some(how) = how {
                home.reclaim(&places, pages(5), how, CX);
                home.settle(pages(settled), CX);
            }
            for place in &places[..taken] {
                drop(place.take().unwrap());
            }
            world.validate();
            assert_eq!(world.frames_out() + world.stored() > NONE, taken < 4);
            for (i, place) in places.iter().enumerate().skip(taken) {
                check(place.get().unwrap().as_ref().unwrap(), i as u8);
            }
            drop(places);
            all_returned(&world, &near, &far);
        }
    }
}

/// Rule: with a roster, who is put in is found, who is taken out and dropped is not.
#[test]
fn places_on_a_roster() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let roster = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(100)]);
    let places: [_; 100] = berths();
    for seed in 0..3 {
        for i in [3, 99] {
            let buffer = Buffer::of(roster.list(i, [Slot::EMPTY]).unwrap(), home);
            fill(&buffer, seed);
            places[i].put(buffer).unwrap();
        }
        let report = home.reclaim(roster.of(&places), ALL, Evict::COPY, CX);
        assert_eq!(report.evicted.copied, pages(2));
        for i in [3, 99] {
            let buffer = places[i].take().unwrap().unwrap();
            check(&buffer, seed);
            drop(buffer);
        }
        assert_eq!(home.reclaim(roster.of(&places), ALL, Evict::ANY, CX).evicted, Evicted::default());
    }
    drop(places);
    all_returned(&world, &near, &far);
}

const ROUNDS: usize = 3000;

/// Rule: buffers are registered, used and ended by some threads while others reclaim from the places, with a roster and
/// without; bytes are looked at, and at the end nothing leaked.
#[test]
fn buffers_come_and_go_while_others_walk() {
    let _crowd = crate::crowd();
    let (near, far) = (near(64), region::<16>(256, 0));
    let home = &Forebay::new(&near, &far);
    let roster = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(8)]);
    let places: [_; 8] = berths();
    let (stop, moved, lives, reads) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let (home, roster, places, stop, moved, lives, reads) =
        (home, &roster, &places, &stop, &moved, &lives, &reads);
    // Every byte of a buffer is the same number; nobody sees a mixture.
    let look = |buffer: &Buffer<_, _>| {
        let Ok(guard) = buffer.read() else { return };
        let mut bytes = vec![0; guard.bytes()];
        guard.read_at(0, &mut bytes);
        assert!(bytes.iter().all(|b| *b == bytes[0]), "a torn buffer");
        reads.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|s| {
        for k in 0..2 {
            s.spawn(move || {
                for n in (k..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let want = [ReclaimTarget::moved(pages(3)), ReclaimTarget::freed(pages(2))][n % 2];
                    let how = METHODS[n % 6];
                    let report = match n % 3 {
                        0 => home.reclaim(places, want, how, CX),
                        _ => home.reclaim(roster.of(places), want, how, CX),
                    };
                    moved.fetch_add(report.evicted.moved().get(), Ordering::Relaxed);
                    thread::yield_now();
                }
            });
        }
        let workers: Vec<_> = (0..2)
            .map(|k| {
                s.spawn(move || {
                    for n in 0..ROUNDS {
                        // Four seats for each, so that nobody lists two buffers under one.
                        let i = 4 * k + n % 4;
                        let place = &places[i];
                        match place.take() {
                            Ok(Some(old)) => {
                                look(&old);
                                drop(old);
                                let new = Buffer::of(roster.list(i, [Slot::EMPTY]).unwrap(), home);
                                if let Ok(mut guard) = new.write() {
                                    guard.write_at(0, &[n as u8; PAGE]);
                                }
                                let _ = place.put(new).is_ok();
                                lives.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(None) => {
                                let new = Buffer::of(roster.list(i, [Slot::EMPTY]).unwrap(), home);
                                let _ = place.put(new).is_ok();
                            }
                            Err(Busy) => {}
                        }
                        if let Ok(guest) = places[(i + 4) % 8].get() {
                            guest.iter().for_each(look);
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|w| w.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    places.iter().for_each(|place| place.take().unwrap().iter().for_each(look));
    assert!(lives.load(Ordering::Relaxed) > 100 && reads.load(Ordering::Relaxed) > 100);
    assert!(moved.load(Ordering::Relaxed) > 0);
    assert_eq!((near.unused(), far.space()), (near.total(), Space { pages: far.total(), transfers: 16 }));
}
