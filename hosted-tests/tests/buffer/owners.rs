//! Handles to a forebay: buffers that borrow it, lie in statics next to it, or own it together with others.

use super::complete;
use forebay_backends::shmem::Arena;
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread;

/// Pages of an arena.
const LARGE: usize = 4096;

/// A virtual machine monitor that owns its memory: arena, forebay and buffers, without a lifetime.
struct Monitor {
    arena: Arc<Arena>,
    home: Shared,
    units: Vec<Buffer<Shared>>,
}

type Shared = Arc<Forebay<Arc<Arena>, Arc<Arena>>>;

impl Monitor {
    const UNITS: usize = 12;

    fn new() -> Self {
        let arena = Arc::new(Arena::builder(4 << 20).chunk(16 * LARGE).create().unwrap());
        let home = Arc::new(Forebay::new(Arc::clone(&arena), Arc::clone(&arena)));
        let units = (0..Self::UNITS).map(|n| Buffer::new(Arc::clone(&home), order(2)).with_id(BufferId(n)));
        let units = units.collect();
        Monitor { arena, home, units }
    }

    fn fill(&self) {
        self.units.iter().zip(0..).for_each(|(unit, seed)| fill(unit, seed));
    }

    fn check(&self) {
        self.units.iter().zip(0..).for_each(|(unit, seed)| check(unit, seed));
    }
}

/// Rule: one struct owns arena, forebay and buffers. It is filled here, moves to another thread, is evicted there by transfer,
/// has every byte there, is evicted in part, and is dropped there, in whatever order its fields are. Nothing is left.
#[test]
fn one_struct_owns_everything_and_moves_between_threads() {
    let monitor = Monitor::new();
    monitor.fill();
    let all = pages(4 * Monitor::UNITS);
    assert_eq!((monitor.arena.resident(), monitor.arena.stored()), (all, NONE));
    let left: (Weak<Arena>, Weak<_>) = thread::spawn(move || {
        let report = monitor.home.reclaim(&monitor.units, ALL, Evict::TRANSFER, CX);
        assert_eq!((report.evicted.transferred, report.evicted.why), (all, None));
        assert_eq!((monitor.arena.resident(), monitor.arena.stored()), (NONE, all));
        monitor.check();
        assert_eq!((monitor.arena.resident(), monitor.home.stats().restored.taken_back), (all, all));
        let part = monitor.home.reclaim(&monitor.units, pages(9), Evict::TRANSFER, CX);
        assert_eq!(part.evicted.transferred, pages(12));
        (Arc::downgrade(&monitor.arena), Arc::downgrade(&monitor.home))
    })
    .join()
    .unwrap();
    assert!(left.0.upgrade().is_none() && left.1.upgrade().is_none(), "a buffer still has a handle");
}

/// Rule: the last buffer keeps the forebay alive, and both memories with it.
#[test]
fn the_last_buffer_keeps_its_forebay() {
    let Monitor { arena, home, units } = Monitor::new();
    let (memory, forebay) = (Arc::downgrade(&arena), Arc::downgrade(&home));
    drop((arena, home));
    let last = units.into_iter().next().unwrap();
    fill(&last, 1);
    assert_eq!(last.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4));
    check(&last, 1);
    assert_eq!(forebay.strong_count(), 1);
    drop(last);
    assert_eq!((forebay.strong_count(), memory.strong_count()), (0, 0));
}

/// What a program does with a buffer, whatever its handle.
#[track_caller]
fn use_it<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, sizes: usize) {
    assert!(contents(buffer).iter().all(|byte| *byte == 0));
    for (how, seed) in METHODS.into_iter().zip(1..) {
        fill(buffer, seed);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(sizes), "{how:?}");
        assert_eq!(buffer.residency(), residency(0, 0, sizes));
        let mut guard = buffer.write().unwrap();
        assert_eq!(guard.write_at(3, b"changed"), 7);
        drop(guard);
        let mut expected = pattern(seed, contents(buffer).len());
        expected[3..10].copy_from_slice(b"changed");
        assert!(contents(buffer) == expected, "{how:?}");
    }
    buffer.purge(CX).unwrap();
}

/// Uses buffers of each kind with that handle.
#[track_caller]
fn use_each<H: Home + Clone>(home: H) {
    use_it(&Buffer::new(home.clone(), order(2)), 4);
    use_it(&Buffer::<_, [_; 6]>::inline(home.clone(), Order::PAGE), 6);
    let mut slots = [const { Slot::EMPTY }; 5];
    use_it(&Buffer::with_slots(home.clone(), &mut slots, Order::PAGE), 5);
    use_it(&Buffer::with_slots(home, &mut slots[..3], order(1)), 6);
}

/// Rule: buffers are the same with a borrowed handle, a static one, and a counted one of either kind; also through a facade
/// around a forebay, and through a handle of a handle's target.
#[test]
fn each_handle_makes_the_same_buffers() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let home = forebay(&near, &far, &world);
    use_each(&home);
    let home = Rc::new(home);
    use_each(&*home);
    use_each(Rc::clone(&home));
    let home = Arc::new(Rc::into_inner(home).expect("every buffer is gone"));
    use_each(Arc::clone(&home));
    drop(home);
    all_returned(&world, &near, &far);

    static HOME: Forebay<Near, Far> = Forebay::new(Near::new(), Far::new(StoreId::DEFAULT));
    let bytes = 32 * PAGE;
    HOME.platform().add(memory::leak(bytes, 0), memory::words(Near::metadata_words(bytes))).unwrap();
    HOME.store().init(memory::leak(bytes, 0), memory::words(Far::metadata_words(bytes))).unwrap();
    use_each(&HOME);
    assert_eq!((HOME.platform().unused(), HOME.store().space().pages), (pages(32), pages(32)));

    let facade = Ram16::new();
    let words = memory::words(Ram16::metadata_words(bytes));
    facade.init(memory::leak(bytes, 0), memory::leak(bytes, 0), words).unwrap();
    use_each(&facade);
    use_each(facade.home());
    let facade = Arc::new(facade);
    use_each(Arc::clone(&facade));
    assert_eq!((facade.free(), facade.pending()), (bytes, 0));
}

/// Rule: a handle is one word, and a counted one costs no more than a borrowed one.
#[test]
fn a_handle_is_one_word() {
    type Plain = Forebay<&'static Near, &'static Far>;
    assert_eq!(size_of::<Buffer<&Plain>>(), size_of::<Buffer<Arc<Plain>>>());
    assert_eq!(size_of::<Buffer<&Plain>>(), size_of::<Buffer<&'static Ram16>>());
}

type Ram16 = RamForebay<SpinRawMutex, PAGE, 16>;

static RAM: Ram16 = Ram16::new();
static TILES: [Buffer<&'static Ram16>; 64] = [const { Buffer::new(&RAM, Order::PAGE) }; 64];
static AUDIO: [RamBuffer<SpinRawMutex, PAGE, 16>; 4] = [const { RAM.buffer::<{ 4 * PAGE }>() }; 4];

/// Rule: forebay and buffers are statics, made at compile time. The buffers take no memory before their first use. Then they
/// share what there is, also from several threads.
#[test]
fn buffers_lie_in_statics() {
    let (fast, slow) = (48 * PAGE, 128 * (PAGE + size_of::<usize>())); // a page has a word behind the pages
    let out = Some(AccessError::Alloc(AllocError::Never));
    assert_eq!((TILES[0].read().err(), AUDIO[0].read().err()), (out, out), "no memory yet");
    let words = memory::words(Ram16::metadata_words(fast));
    RAM.init(memory::leak(fast, 0), memory::leak(slow, 0), words).unwrap();
    thread::scope(|threads| {
        for part in TILES[..32].chunks(8) {
            threads.spawn(move || part.iter().for_each(|tile| fill(tile, 1)));
        }
    });
    assert_eq!(RAM.free(), fast - 32 * PAGE);
    let all = (&TILES, &AUDIO);
    for (n, tile) in TILES.iter().enumerate() {
        let guard = RAM.or_reclaim(all, pages(1), Evict::TRANSFER, CX, || tile.write());
        guard.unwrap().copy_from_slice(&pattern(n as u8, PAGE));
    }
    for (buffer, seed) in AUDIO.iter().zip(100..) {
        assert!(RAM.make_room(all, 4 * PAGE).unwrap() >= 4 * PAGE);
        fill(buffer, seed);
    }
    assert!(RAM.stats().evicted.transferred >= pages(64 + 16 - 48), "more than the fast RAM has");
    for (n, tile) in TILES.iter().enumerate() {
        let guard = RAM.or_reclaim(all, pages(1), Evict::TRANSFER, CX, || tile.read()).unwrap();
        assert!(guard[..] == pattern(n as u8, PAGE)[..], "tile {n}");
    }
    for (buffer, seed) in AUDIO.iter().zip(100..) {
        assert!(RAM.make_room(all, 4 * PAGE).unwrap() >= 4 * PAGE);
        check(buffer, seed);
    }
    TILES.iter().for_each(|tile| tile.purge(CX).unwrap());
    AUDIO.iter().for_each(|buffer| buffer.purge(CX).unwrap());
    assert_eq!((RAM.free(), RAM.store().space().pages), (fast, pages(128)));
}

/// Rule: source and store are all that a forebay needs, and it is made of them without naming a type: owned, borrowed or
/// counted, in any mixture.
#[test]
fn a_forebay_is_made_without_naming_a_type() {
    let owned = Forebay::new(near(8), far(8));
    use_it(&Buffer::new(&owned, order(2)), 4);
    let (source, store) = (near(8), far(8));
    let mixed = Forebay::new(&source, store);
    use_it(&Buffer::new(&mixed, order(2)), 4);
    let store = far(8);
    let counted = Forebay::new(Arc::new(near(8)), &store as &dyn BackingStore<RamBlock<PAGE>>);
    use_it(&Buffer::new(&counted, order(2)), 4);
    let none = Forebay::new(near(8), Null);
    assert!(contents(&Buffer::new(&none, order(1))) == [0; 2 * PAGE]);
}

/// Writes down when it runs. Two methods, for blocks of any kind.
#[derive(Default)]
struct Hooks(RefCell<Vec<(&'static str, BufferId, usize)>>);

impl<B: OwnedBlock> EvictHooks<B> for Hooks {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut B>,
        _: Context,
    ) -> Result<(), Busy> {
        let pages = blocks.map(|block| block.order().pages().get()).sum();
        self.0.borrow_mut().push(("before", id, pages));
        Ok(())
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        self.0.borrow_mut().push(("after", id, 0));
        Ok(())
    }
}

/// Hooks run once, and in pairs, however many steps lie between.
fn hooks_run_in_pairs<P, S>(home: &Forebay<WithHooks<P, Hooks>, S>)
where
    P: Platform<Hooks = ()>,
    S: BackingStore<P::Block>,
{
    let hooks = &home.platform().1;
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_id(BufferId(7));
    fill(&buffer, 1);
    assert_eq!(hooks.0.take(), [], "nothing was mapped before the first use");
    for seed in 1..4 {
        for _ in 0..3 {
            buffer.evict(pages(1), Evict::TRANSFER, CX).unwrap();
        }
        home.reclaim([&buffer], ALL, Evict::TRANSFER, CX);
        assert_eq!(buffer.residency(), residency(0, 0, 6));
        assert_eq!(hooks.0.take(), [("before", BufferId(7), 6)]);
        complete(buffer.restore(pages(1), CX));
        complete(buffer.restore(ALL, CX));
        assert_eq!(hooks.0.take(), [], "no guard was given out");
        check(&buffer, seed);
        check(&buffer, seed);
        assert_eq!(hooks.0.take(), [("after", BufferId(7), 0)]);
        fill(&buffer, seed + 1);
    }
    drop(buffer);
    assert_eq!(hooks.0.take(), [("before", BufferId(7), 6)]);
}

/// Rule: hooks are added to any source with two methods and one adapter.
#[test]
fn hooks_are_added_to_any_source() {
    let (near, far) = (near(16), far(16));
    hooks_run_in_pairs(&Forebay::new(WithHooks(&near, Hooks::default()), &far));
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));

    let arena = Arena::builder(1 << 20).chunk(16 * LARGE).create().unwrap();
    hooks_run_in_pairs(&Forebay::new(WithHooks(&arena, Hooks::default()), &arena));
    assert_eq!((arena.resident(), arena.stored()), (NONE, NONE));
}

/// Rule: slots may lie on the heap, in a `Vec` or a boxed slice, also below side tables. With a counted handle such a buffer
/// has no lifetime.
#[test]
fn slots_may_lie_on_the_heap() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let home = &forebay(&near, &far, &world);
    fn empty<P: Platform>(n: usize) -> Vec<Slot<P>> {
        (0..n).map(|_| Slot::EMPTY).collect()
    }
    use_it(&Buffer::with_slots(home, empty(5), Order::PAGE), 5);
    use_it(&Buffer::with_slots(home, empty(3).into_boxed_slice(), order(1)), 6);
    let (mut addresses, mut charges) = (vec![None; 5], vec![None; 5]);
    let addressed = Addressed::new(empty(5), &mut addresses).unwrap();
    let both = Charged::new(addressed, &mut charges).unwrap();
    use_it(&Buffer::with_slots(home, both, Order::PAGE), 5);
    let short = Addressed::new(empty::<Near>(5), &mut addresses[..4]).err();
    assert_eq!(short, Some(TooShort { given: 4, slots: 5 }));
    let none = Buffer::with_slots(home, empty(0), Order::PAGE);
    assert_eq!(none.read().unwrap().bytes(), 0);
    assert_eq!(none.evict(ALL, Evict::ANY, CX), Ok(Evicted::default()));
    drop(none);
    all_returned(&world, &near, &far);

    owned_slots_move_between_threads(empty(8).into_boxed_slice());
}

fn owned_slots_move_between_threads(slots: Box<[Slot<Near>]>) {
    let home = Arc::new(Forebay::new(near(8), far(8)));
    let buffer = Buffer::with_slots(home, slots, Order::PAGE);
    is_static(&buffer);
    fill(&buffer, 9);
    thread::spawn(move || {
        assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().copied, pages(8));
        check(&buffer, 9);
    })
    .join()
    .unwrap();
}

fn is_static<T: Send + Sync + 'static>(_: &T) {}
