//! Buffers that come and go while others reclaim: they lie in a list behind a lock, of which a reclaimer takes a clone.

use forebay_backends::RamBlock;
use hosted_tests::kit::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

type Tile<P, S> = Arc<Buffer<Arc<Forebay<P, S>>>>;

fn tile<P: Platform, S: BackingStore<P::Block>>(home: &Arc<Forebay<P, S>>, seed: u8) -> Tile<P, S> {
    let tile = Buffer::new(Arc::clone(home), order(1));
    fill(&tile, seed);
    Arc::new(tile)
}

/// A clone of the list: what a reclaimer looks at.
fn clone_of<B>(list: &Mutex<Vec<Arc<B>>>) -> Vec<Arc<B>> {
    list.lock().unwrap().clone()
}

/// Rule: what is put in is reclaimed, and comes out as it is; what was taken out is reclaimed no more.
#[test]
fn in_and_out() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = Arc::new(forebay(&near, &far, &world));
    let list = Mutex::new(Vec::new());
    assert_eq!(home.reclaim(clone_of(&list), ALL, Evict::ANY, CX).evicted, Evicted::default());
    list.lock().unwrap().extend([1, 2].map(|seed| tile(&home, seed)));
    let report = home.reclaim(clone_of(&list), pages(3), Evict::TRANSFER, CX);
    assert_eq!((report.evicted.transferred, report.outcome), (pages(4), Outcome::Reached));
    let taken = std::mem::take(&mut *list.lock().unwrap());
    check(&taken[0], 1);
    check(&taken[1], 2);
    assert_eq!(home.reclaim(clone_of(&list), ALL, Evict::ANY, CX).evicted, Evicted::default());
    list.lock().unwrap().push(tile(&home, 3));
    drop(taken);
    world.validate();
    assert_eq!(world.frames_out(), pages(2));
    check(&list.lock().unwrap()[0], 3);
    drop(list);
    assert_eq!(Arc::strong_count(&home), 1);
    all_returned(&world, &near, &far);
}

/// Rule: a buffer that is taken out lives as long as a reclaimer has it: that one evicts it, others use it. Then it gives all
/// back.
#[test]
fn in_use() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = Arc::new(forebay(&near, &far, &world));
    let list = Mutex::new(vec![tile(&home, 1)]);
    let theirs = clone_of(&list);
    let ended = Arc::downgrade(&theirs[0]);
    list.lock().unwrap().clear();
    assert_eq!(home.reclaim(&theirs, ALL, Evict::ANY, CX).evicted.moved(), pages(2), "taken out, but idle");
    let guard = theirs[0].read().unwrap();
    assert_eq!(home.reclaim(&theirs, ALL, Evict::ANY, CX).evicted.moved(), NONE, "held by a guard");
    drop(guard);
    check(&theirs[0], 1);
    world.validate();
    assert_eq!(world.frames_out(), pages(2));
    drop(theirs);
    assert!(ended.upgrade().is_none());
    all_returned(&world, &near, &far);
}

/// What another context does before the next eviction.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl EvictHooks<RamBlock<PAGE>> for Meanwhile {
    fn before_evict(
        &self,
        _: BufferId,
        _: &mut dyn Iterator<Item = &mut RamBlock<PAGE>>,
        _: Context,
    ) -> Result<(), Busy> {
        let meanwhile = self.0.lock().unwrap().take();
        meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        Ok(())
    }
}

/// Rule: a reclaim that is just there is a use like any other: its buffer is not ended under it, and others are told that it is
/// busy; other buffers come and go.
#[test]
fn a_walk_is_a_use() {
    let home = Arc::new(Forebay::new(WithHooks(near(16), Meanwhile::default()), far(32)));
    let list = Arc::new(Mutex::new(vec![tile(&home, 1), tile(&home, 2)]));
    let (theirs, more) = (Arc::clone(&list), Arc::clone(&home));
    let meanwhile = move || {
        let out = std::mem::take(&mut *theirs.lock().unwrap());
        assert_eq!(out[0].residency(), Err(Busy), "pulled from under a reclaim");
        assert_eq!(out[0].purge(CX), Err(Busy));
        assert!(out[0].read().is_err());
        check(&out[1], 2);
        theirs.lock().unwrap().push(tile(&more, 3));
    };
    *home.platform().1.0.lock().unwrap() = Some(Box::new(meanwhile));
    let report = home.reclaim(clone_of(&list), pages(1), Evict::COPY, CX);
    assert_eq!(report.gained, pages(2));
    assert_eq!(home.platform().0.unused(), pages(14), "the two that were taken out are gone");
    check(&list.lock().unwrap()[0], 3);
    list.lock().unwrap().clear();
    let (near, far) = (&home.platform().0, home.store());
    assert_eq!((near.unused(), far.space()), (near.total(), Space { pages: far.total(), transfers: 16 }));
}

/// Rule: dropping what was taken out gives back its blocks and handles, in whatever state it is; so does dropping the list.
#[test]
fn dropping_gives_all_back() {
    for (how, settled) in
        [(None, 0), (Some(Evict::TRANSFER), 0), (Some(Evict::TRANSFER), 9), (Some(Evict::COPY), 0)]
    {
        for taken in [1, 4] {
            let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
            let home = Arc::new(forebay(&near, &far, &world));
            let list = Mutex::new((0..4).map(|seed| tile(&home, seed)).collect::<Vec<_>>());
            if let Some(how) = how {
                home.reclaim(clone_of(&list), pages(5), how, CX);
                home.settle(pages(settled), CX);
            }
            list.lock().unwrap().drain(..taken);
            world.validate();
            assert_eq!(world.frames_out() + world.stored() > NONE, taken < 4);
            for (i, tile) in list.lock().unwrap().iter().enumerate() {
                check(tile, (i + taken) as u8);
            }
            drop(list);
            all_returned(&world, &near, &far);
        }
    }
}

/// Rule: with an index, what is put in is found; what is taken out and dropped is not.
#[test]
fn places_in_an_index() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = Arc::new(forebay(&near, &far, &world));
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(100)]);
    let make = |i| {
        let slots = index.indexed(i, [Slot::EMPTY]).unwrap();
        Arc::new(Buffer::with_slots(Arc::clone(&home), slots, Order::PAGE))
    };
    let mut places: Vec<_> = (0..100).map(|i| Some(make(i))).collect();
    let clone_of = |places: &[Option<_>]| -> Vec<_> { places.iter().flatten().cloned().collect() };
    for seed in 0..3 {
        for i in [3, 99] {
            drop(places[i].take());
            let buffer = make(i);
            fill(&buffer, seed);
            places[i] = Some(buffer);
        }
        let theirs = clone_of(&places);
        let report = home.reclaim(index.candidates(&theirs), ALL, Evict::COPY, CX);
        assert_eq!(report.evicted.copied, pages(2));
        drop(theirs);
        for i in [3, 99] {
            let buffer = places[i].take().unwrap();
            check(&buffer, seed);
            drop(buffer);
            places[i] = Some(make(i));
        }
        let theirs = clone_of(&places);
        let report = home.reclaim(index.candidates(&theirs), ALL, Evict::ANY, CX);
        assert_eq!(report.evicted, Evicted::default());
    }
    drop(places);
    all_returned(&world, &near, &far);
}

const ROUNDS: usize = 3000;
const PLACES: usize = 8;

/// Rule: buffers are registered, used and ended by some threads while others reclaim from the list, with an index and without;
/// bytes are looked at, and at the end nothing leaked.
#[test]
fn buffers_come_and_go_while_others_walk() {
    let _crowd = crate::crowd();
    let (near, far) = (near(64), region::<16>(256, 0));
    let home = &Arc::new(Forebay::new(&near, &far));
    let index = &EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(PLACES)]);
    let stone = &Buffer::new(Arc::clone(home), order(0));
    let list: &Mutex<Vec<Option<Arc<Buffer<_, _>>>>> = &Mutex::new((0..PLACES).map(|_| None).collect());
    let stop = &AtomicBool::new(false);
    let (moved, lives, reads) = (&AtomicUsize::new(0), &AtomicUsize::new(0), &AtomicUsize::new(0));
    // Every byte of a buffer is the same number; no reader sees a mixture.
    let look = |buffer: &Arc<Buffer<_, _>>| {
        let Ok(guard) = buffer.read() else { return };
        let mut bytes = vec![0; guard.bytes()];
        guard.read_at(0, &mut bytes);
        assert!(bytes.iter().all(|b| *b == bytes[0]), "a torn buffer");
        reads.fetch_add(1, Ordering::Relaxed);
    };
    // `None`: the last buffer there is in use still.
    let make = |at, byte: Option<u8>| {
        let slots = index.indexed(at, [Slot::EMPTY]).ok()?;
        let buffer = Buffer::with_slots(Arc::clone(home), slots, Order::PAGE);
        if let Some(byte) = byte
            && let Ok(mut guard) = buffer.write()
        {
            guard.write_at(0, &[byte; PAGE]);
        }
        Some(Arc::new(buffer))
    };
    thread::scope(|s| {
        for k in 0..2 {
            s.spawn(move || {
                for n in (k..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let target = [ReclaimTarget::moved(pages(3)), ReclaimTarget::freed(pages(2))][n % 2];
                    let how = METHODS[n % 6];
                    let theirs = list.lock().unwrap().clone();
                    let mut all: Vec<&dyn Evictable> = vec![stone; PLACES];
                    for (at, buffer) in
                        theirs.iter().enumerate().filter_map(|(at, b)| Some((at, b.as_ref()?)))
                    {
                        all[at] = buffer;
                    }
                    let report = match n % 3 {
                        0 => home.reclaim(&all, target, how, CX),
                        _ => home.reclaim(index.candidates(&all), target, how, CX),
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
                        // Four places for each, so that no two buffers are indexed under one number.
                        let at = 4 * k + n % 4;
                        let old = list.lock().unwrap()[at].take();
                        let was_there = old.is_some();
                        old.iter().for_each(look);
                        drop(old);
                        if let Some(new) = make(at, was_there.then_some(n as u8)) {
                            list.lock().unwrap()[at] = Some(new);
                            lives.fetch_add(usize::from(was_there), Ordering::Relaxed);
                        }
                        let theirs = list.lock().unwrap()[(at + 4) % PLACES].clone();
                        theirs.iter().for_each(look);
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|w| w.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    list.lock().unwrap().drain(..).flatten().for_each(|buffer| look(&buffer));
    assert!(lives.load(Ordering::Relaxed) > 100 && reads.load(Ordering::Relaxed) > 100);
    assert!(moved.load(Ordering::Relaxed) > 0);
    assert_eq!(Arc::strong_count(home), 2, "the home and the stone");
    assert_eq!((near.unused(), far.space()), (near.total(), Space { pages: far.total(), transfers: 16 }));
}
