//! Addresses for devices: once for a block, for all of a buffer or none, and removed before the block leaves
//! (`ttm-semantics.md` rules 12, 14, 16 and 30; B4).

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// Devices see blocks through this: each mapping has addresses that none had before.
struct Iommu {
    next: Cell<u64>,
    /// How many more mappings succeed.
    room: Cell<usize>,
    maps: Cell<usize>,
    unmaps: Cell<usize>,
    syncs: RefCell<Vec<(&'static str, usize, Range<usize>)>>,
}

impl Iommu {
    fn new() -> Self {
        Iommu {
            next: Cell::new(0x8000_0000),
            room: Cell::new(usize::MAX),
            maps: Cell::default(),
            unmaps: Cell::default(),
            syncs: RefCell::default(),
        }
    }

    /// Mappings and unmappings since the last time.
    fn calls(&self) -> (usize, usize) {
        (self.maps.take(), self.unmaps.take())
    }
}

impl DmaMap<RamBlock<PAGE>> for Iommu {
    fn map(&self, block: &RamBlock<PAGE>, _: Context) -> Option<DmaAddr> {
        self.room.set(self.room.get().checked_sub(1)?);
        self.maps.set(self.maps.get() + 1);
        let at = self.next.get();
        self.next.set(at.wrapping_add(block.bytes() as u64 + 0x1_0000));
        DmaAddr::new(at)
    }
    fn unmap(&self, _: &RamBlock<PAGE>, _: DmaAddr) {
        self.unmaps.set(self.unmaps.get() + 1);
    }
    fn sync_for_device(&self, block: &RamBlock<PAGE>, bytes: Range<usize>) {
        self.syncs.borrow_mut().push(("device", block.pfn().0, bytes));
    }
    fn sync_for_cpu(&self, block: &RamBlock<PAGE>, bytes: Range<usize>) {
        self.syncs.borrow_mut().push(("cpu", block.pfn().0, bytes));
    }
}

/// A machine with modes and hooks, and an IOMMU.
type Remapped<'n> = AllPorts<Machine<WithDma<&'n Near, Iommu>>>;
type WatchedMachine<'w> = AllPorts<Watched<'w, &'w Remapped<'w>>>;
type Plat<'w> = WithLists<WatchedMachine<'w>, FreeListArray<WatchedMachine<'w>, { 4 * 3 }, 4>>;
type Store<'w> = Watched<'w, &'w Scripted<Far, RamBlock<PAGE>>>;
type Pooled<'w> = Forebay<Plat<'w>, Store<'w>>;
type Slots8<'m, 'w> = &'m mut [Slot<Plat<'w>>];

/// A source, a store and an oracle, for a test that puts a forebay in front of them.
struct Rig {
    near: Near,
    store: Scripted<Far, RamBlock<PAGE>>,
    world: World,
}

impl Rig {
    fn new() -> Self {
        Rig { near: near(64), store: Scripted::new(far(64)), world: World::new(Contents::Compared) }
    }

    fn machine(&self) -> Remapped<'_> {
        Machine::new(WithDma(&self.near, Iommu::new()))
    }

    fn forebay<'w>(&'w self, machine: &'w Remapped<'w>) -> Pooled<'w> {
        let platform = with_lists(Watched::platform(machine, &self.world));
        Forebay::new(platform, Watched::new(&self.store, &self.world))
    }

    /// Runs a test, after which every block is in the source again.
    fn run(&self, test: impl for<'w> FnOnce(&'w Remapped<'w>, &Pooled<'w>)) {
        let machine = self.machine();
        let home = self.forebay(&machine);
        test(&machine, &home);
        home.pool().trim(Zones::ALL, ALL, CX);
        drop(home);
        all_returned(&self.world, &self.near, &self.store.inner);
    }
}

/// Eight slots, and as many addresses.
fn arrays<'w>() -> ([Slot<Plat<'w>>; 8], [Option<DmaAddr>; 8]) {
    ([const { Slot::EMPTY }; 8], [None; 8])
}

fn addressed<'h, 'm, 'w>(
    home: &'h Pooled<'w>,
    arrays: &'m mut ([Slot<Plat<'w>>; 8], [Option<DmaAddr>; 8]),
) -> Buffer<&'h Pooled<'w>, Addressed<'m, Slots8<'m, 'w>>> {
    let slots: Slots8<'_, '_> = &mut arrays.0;
    Buffer::with_slots(home, Addressed::new(slots, &mut arrays.1).unwrap(), Order::PAGE)
}

/// The address of each page, all of which there are, as a test sees them.
fn addresses<'w>(guard: &ReadGuard<'_, &Pooled<'w>, Addressed<'_, Slots8<'_, 'w>>>) -> Vec<u64> {
    (0..8).map(|page| dma_address(guard, page * PAGE).unwrap().get()).collect()
}

/// Rule: a block is mapped once, as a whole; each of its pages has the next address.
#[test]
fn a_block_is_mapped_once_and_each_page_has_its_address() {
    Rig::new().run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        let guard = buffer.read().unwrap();
        let first = dma_address(&guard, 0).unwrap().get();
        assert_eq!(addresses(&guard), (0..8).map(|n| first + n * PAGE as u64).collect::<Vec<_>>());
        assert_eq!(dma_address(&guard, PAGE + 7).unwrap().get(), first + PAGE as u64 + 7);
        assert_eq!(dma_address(&guard, 8 * PAGE), None, "past the end");
        drop(guard);
        drop(buffer.write().unwrap());
        assert_eq!(iommu.calls(), (1, 0), "it stays mapped between two guards");
    });
}

/// Rule: the scatter list has each block once, in order, and covers the buffer.
#[test]
fn several_blocks_make_a_scatter_list() {
    let rig = Rig::new();
    let hogged = leave(&rig.near, [0, 1, 4, 5, 6, 7, 10, 13]); // blocks of 4, 2 and 1
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        let guard = buffer.read().unwrap();
        let list: Vec<_> = guard.segments().collect();
        assert_eq!(list.iter().map(|s| s.bytes / PAGE).collect::<Vec<_>>(), [4, 2, 1, 1]);
        let mut at = 0;
        for (segment, (byte, block)) in list.iter().zip(guard.blocks()) {
            assert_eq!((segment.at, segment.bytes), (at, block.bytes()));
            assert_eq!(segment.at, byte);
            assert_eq!(Some(segment.address), dma_address(&guard, at));
            at += segment.bytes;
        }
        assert_eq!(at, 8 * PAGE);
        assert_eq!(iommu.calls(), (4, 0));
        drop(guard);
        drop(buffer);
        give_back(&rig.near, hogged);
    });
}

/// Rule: if one block can't be mapped, none of the buffer is; all of it is resident, and the next guard maps all.
#[test]
fn a_refused_mapping_undoes_all_of_the_buffer() {
    for room in 0..8 {
        let rig = Rig::new();
        let hogged = leave(&rig.near, (0..64).step_by(2)); // single pages
        rig.run(|machine, home| {
            let iommu = &machine.inner.1;
            let mut arrays = arrays();
            let buffer = addressed(home, &mut arrays);
            iommu.room.set(room);
            assert_eq!(buffer.read().err(), Some(AccessError::MapRefused));
            assert_eq!(iommu.calls(), (room, room));
            assert_eq!(rig.world.mapped(), NONE);
            assert_eq!(buffer.residency(), residency(8, 0, 0));
            iommu.room.set(8);
            fill(&buffer, 3);
            assert_eq!(iommu.calls(), (8, 0));
            check(&buffer, 3);
            drop(buffer);
            give_back(&rig.near, hogged);
        });
    }
}

/// Rule: a block is unmapped before it leaves, whichever way; the oracle looks at each step.
#[test]
fn unmapped_before_it_leaves_by_every_way() {
    for how in METHODS {
        let rig = Rig::new();
        rig.run(|machine, home| {
            let iommu = &machine.inner.1;
            let mut arrays = arrays();
            let buffer = addressed(home, &mut arrays).with_mode(Caching::WriteCombined);
            for seed in 0..3 {
                fill(&buffer, seed);
                assert_eq!(rig.world.mapped(), pages(8));
                assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
                assert_eq!(rig.world.mapped(), NONE);
                home.settle(ALL, CX);
                check(&buffer, seed);
                assert_eq!(rig.world.mapped(), pages(8));
            }
            buffer.purge(CX).unwrap();
            assert_eq!(rig.world.mapped(), NONE);
            fill(&buffer, 9);
            drop(buffer); // mapped
            let (maps, unmaps) = iommu.calls();
            assert_eq!(maps, unmaps);
        });
    }
}

/// Rule: what was mapped and stays is mapped again, so that a guard has nothing to do (B4: zero progress changes nothing).
#[test]
fn what_stays_is_mapped_again() {
    for (mode, no) in
        [(Caching::WriteBack, No::Never), (Caching::Uncached, No::Never), (Caching::Uncached, No::Mode)]
    {
        let rig = Rig::new();
        rig.run(|machine, home| {
            let iommu = &machine.inner.1;
            let mut arrays = arrays();
            let buffer = addressed(home, &mut arrays).with_mode(mode);
            fill(&buffer, 5);
            let before = addresses(&buffer.read().unwrap());
            iommu.calls();
            rig.store.answer(Script {
                transfer: Some(StoreError::Full),
                save: Some(StoreError::Full),
                ..Script::default()
            });
            machine.say_no(no);
            let evicted = buffer.evict(ALL, Evict::ANY, CX).unwrap();
            assert_eq!((evicted.moved(), evicted.refused), (NONE, pages(8)));
            assert_eq!(rig.world.mapped(), pages(8));
            assert_eq!(machine.0.hooks(), ["before", "after"]);
            assert_eq!(iommu.calls(), (1, 1));
            machine.say_no(No::Never);
            rig.store.answer(Script::default());
            let guard = buffer.read().unwrap();
            assert_eq!(iommu.calls(), (0, 0), "the guard found it mapped");
            assert_ne!(addresses(&guard), before, "this IOMMU never gives the same address twice");
            drop(guard);
            check(&buffer, 5);
        });
    }
}

/// Rule: if it can't be mapped again, the next guard tries that, and only then runs the hook.
#[test]
fn what_stays_and_is_not_mapped_again_is_mapped_by_the_next_guard() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        fill(&buffer, 5);
        iommu.room.set(0);
        rig.store.answer(Script { transfer: Some(StoreError::Full), ..Script::default() });
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), NONE);
        assert_eq!(rig.world.mapped(), NONE);
        assert_eq!(machine.0.hooks(), ["before"]);
        assert_eq!(buffer.read().err(), Some(AccessError::MapRefused));
        assert_eq!(machine.0.hooks(), [""; 0]);
        iommu.room.set(1);
        check(&buffer, 5);
        assert_eq!(machine.0.hooks(), ["after"]);
        rig.store.answer(Script::default());
    });
}

/// Rule: what stays, but not in its mode, is not mapped: its mode will change once more.
#[test]
fn what_stays_in_another_mode_is_not_mapped() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays).with_mode(Caching::Uncached);
        fill(&buffer, 5);
        rig.store.answer(Script { transfer: Some(StoreError::Full), ..Script::default() });
        machine.say_no(No::ModeTo(Caching::Uncached));
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), NONE);
        assert_eq!(rig.world.mapped(), NONE);
        assert_eq!(buffer.read().err(), Some(AccessError::Alloc(AllocError::ModeRefused)));
        machine.say_no(No::Never);
        rig.store.answer(Script::default());
        check(&buffer, 5);
        assert_eq!(rig.world.mapped(), pages(8));
    });
}

/// Rule: a block that would end past the last address is not mapped.
#[test]
fn what_has_no_address_at_its_end_has_none() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        iommu.next.set(u64::MAX - 8 * PAGE as u64 + 1); // one byte too few
        assert_eq!(buffer.read().err(), Some(AccessError::MapRefused));
        assert_eq!((rig.world.mapped(), iommu.calls()), (NONE, (1, 1)));
        iommu.next.set(0);
        assert_eq!(addresses(&buffer.read().unwrap())[7], 7 * PAGE as u64);
    });
}

/// Rule: a part that stays keeps its address; what came back gets a new one.
#[test]
fn a_part_that_stays_keeps_its_address() {
    let rig = Rig::new();
    let hogged = leave(&rig.near, (0..64).step_by(2)); // single pages
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        fill(&buffer, 1);
        let before = addresses(&buffer.read().unwrap());
        iommu.calls();
        assert_eq!(buffer.evict(pages(3), Evict::TRANSFER, CX).unwrap().moved(), pages(3));
        assert_eq!(iommu.calls(), (0, 3));
        assert_eq!(rig.world.mapped(), pages(5));
        let guard = buffer.read().unwrap();
        assert_eq!(iommu.calls(), (3, 0));
        let after = addresses(&guard);
        assert_eq!(before[3..], after[3..]);
        assert!(before[..3].iter().all(|old| !after.contains(old)));
        drop(guard);
        check(&buffer, 1);
        drop(buffer);
        give_back(&rig.near, hogged);
    });
}

/// Rule: a batch of blocks is unmapped with one flush.
#[test]
fn a_batch_is_unmapped_with_one_flush() {
    let rig = Rig::new();
    let hogged = leave(&rig.near, (0..64).step_by(2)); // single pages
    rig.run(|_, home| {
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        fill(&buffer, 1);
        let before = rig.world.counts().flushes;
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), pages(8));
        assert_eq!(rig.world.counts().flushes - before, 1);
        drop(buffer);
        give_back(&rig.near, hogged);
    });
}

/// Rule: the same where there is one mode, and nothing else to flush.
#[test]
fn a_batch_is_unmapped_with_one_flush_where_there_is_one_mode() {
    let rig = Rig::new();
    let hogged = leave(&rig.near, (0..64).step_by(2)); // single pages
    let one_mode = forebay(&rig.near, &rig.store.inner, &rig.world);
    let mut arrays = ([const { Slot::EMPTY }; 8], [None; 8]);
    let buffer =
        Buffer::with_slots(&one_mode, Addressed::new(&mut arrays.0, &mut arrays.1).unwrap(), Order::PAGE);
    fill(&buffer, 1);
    let before = rig.world.counts().flushes;
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), pages(8));
    assert_eq!(rig.world.counts().flushes - before, 1);
    drop(buffer);
    give_back(&rig.near, hogged);
}

/// Rule: a block that is split is unmapped as a whole, and what stays of it is mapped by the next guard.
#[test]
fn the_parts_of_a_split_block_are_mapped_anew() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        fill(&buffer, 7);
        iommu.calls();
        assert_eq!(buffer.evict(pages(3), Evict::SPLIT, CX).unwrap().moved(), pages(3));
        assert_eq!(rig.world.mapped(), NONE);
        assert_eq!(iommu.calls(), (0, 1));
        let guard = buffer.read().unwrap();
        assert_eq!(guard.segments().map(|s| s.bytes).sum::<usize>(), 8 * PAGE);
        drop(guard);
        check(&buffer, 7);
    });
}

/// Rule: restoring to the end maps too, where that may block, so that a guard in an interrupt has nothing to do.
#[test]
fn a_restore_to_the_end_maps() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        assert_eq!(buffer.populate(pages(2), CX).total(), pages(2));
        assert_eq!(rig.world.mapped(), NONE);
        assert_eq!(buffer.populate(ALL, CX).total(), pages(6));
        assert_eq!(rig.world.mapped(), pages(8));
        iommu.calls();
        drop(buffer.read_in(Context::INTERRUPT).unwrap());
        assert_eq!(iommu.calls(), (0, 0));
        buffer.purge(CX).unwrap();
        iommu.room.set(0);
        assert_eq!(buffer.populate(ALL, CX).why, Some(AccessError::MapRefused));
    });
}

/// Rule: a sync calls the port for each block that the range touches, with the bytes of it that are meant, and returns how
/// many bytes those were.
#[test]
fn a_sync_covers_the_range_block_by_block() {
    let rig = Rig::new();
    let hogged = leave(&rig.near, [0, 1, 4, 5, 6, 7, 10, 13]); // blocks of 4, 2 and 1
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = arrays();
        let buffer = addressed(home, &mut arrays);
        let guard = buffer.write().unwrap();
        let pfns: Vec<_> = guard.blocks().map(|(_, block)| block.pfn().0).collect();
        assert_eq!(guard.sync_for_device(3 * PAGE + 8..6 * PAGE + 1), 3 * PAGE - 7);
        let four = 3 * PAGE + 8..4 * PAGE;
        assert_eq!(
            iommu.syncs.take(),
            [("device", pfns[0], four), ("device", pfns[1], 0..2 * PAGE), ("device", pfns[2], 0..1)]
        );
        assert_eq!(guard.sync_for_cpu(7 * PAGE + 1..usize::MAX), PAGE - 1);
        assert_eq!(iommu.syncs.take(), [("cpu", pfns[3], 1..PAGE)]);
        assert_eq!(guard.sync_for_cpu(8 * PAGE..9 * PAGE), 0);
        assert_eq!(guard.sync_for_cpu(5..5), 0);
        #[expect(clippy::reversed_empty_ranges, reason = "bad input")]
        let backwards = 9..5;
        assert_eq!(guard.sync_for_device(backwards), 0);
        assert!(iommu.syncs.take().is_empty());
        drop(guard);
        let guard = buffer.read().unwrap();
        assert_eq!(guard.sync_for_cpu(0..1), 1, "readers may read what a device wrote");
        drop(guard);
        drop(buffer);
        give_back(&rig.near, hogged);
    });
}

/// Rule: a buffer without an array for addresses is never mapped, and syncs all the same.
#[test]
fn a_buffer_without_addresses_is_never_mapped() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let buffer = Buffer::new(home, order(2));
        fill(&buffer, 1);
        let guard = buffer.read().unwrap();
        assert_eq!((dma_address(&guard, 0), guard.segments().count()), (None, 0));
        assert_eq!(guard.sync_for_device(0..9), 9);
        drop(guard);
        assert_eq!(iommu.calls(), (0, 0));
    });
}

/// Rule: a slot of a larger unit has the address of its first page.
#[test]
fn a_larger_unit_has_one_address_for_each_slot() {
    let rig = Rig::new();
    rig.run(|machine, home| {
        let iommu = &machine.inner.1;
        let mut arrays = ([const { Slot::EMPTY }; 2], [None; 2]);
        let slots: &mut [Slot<Plat<'_>>] = &mut arrays.0;
        let buffer = Buffer::with_slots(home, Addressed::new(slots, &mut arrays.1).unwrap(), order(2));
        let guard = buffer.read().unwrap();
        let first = dma_address(&guard, 0).unwrap().get();
        for at in [1, PAGE, 4 * PAGE - 1, 4 * PAGE, 8 * PAGE - 1] {
            assert_eq!(dma_address(&guard, at).unwrap().get(), first + at as u64);
        }
        drop(guard);
        assert_eq!(iommu.calls(), (1, 0));
    });
}

/// Rule: an array that is too short is refused, and the error says how long it must be. One that is too long does no harm.
#[test]
fn a_short_array_is_refused() {
    let rig = Rig::new();
    rig.run(|_, _| {
        let (mut slots, mut few) = ([const { Slot::EMPTY }; 8], [None; 7]);
        let slots: Slots8<'_, '_> = &mut slots;
        let refused = Addressed::new(slots, &mut few).unwrap_err();
        assert_eq!(refused, TooShort { given: 7, slots: 8 });
        assert_eq!(
            refused.to_string(),
            "a side table of 7 elements for 8 slots: give it one element for each slot"
        );
    });
}

/// Rule: what a leaked buffer left in its slots is forgotten, and so is what it left in the side table.
#[test]
fn a_leaked_buffer_leaves_no_address() {
    let rig = Rig::new();
    let machine = rig.machine();
    let home = rig.forebay(&machine);
    let mut arrays = arrays();
    let leaked = addressed(&home, &mut arrays);
    let old = dma_address(&leaked.read().unwrap(), 0);
    std::mem::forget(leaked);
    assert_eq!(arrays.1[0], old, "it is still in the table");
    let buffer = addressed(&home, &mut arrays);
    let guard = buffer.read().unwrap();
    assert_ne!(dma_address(&guard, 0), old, "that is another block's");
    let first = guard.blocks().next().unwrap().1.pfn();
    assert_eq!(rig.world.address(first), dma_address(&guard, 0));
}

/// Rule: unless the platform has its own map, a device uses the physical address. What is no address is refused.
#[test]
fn without_an_iommu_the_address_is_the_physical_one() {
    let near = near(16);
    let block = near.allocate(AllocRequest::new(order(2)), CX).unwrap();
    let at = ().map(&block, CX).unwrap().get();
    assert_eq!(at, block.pfn().0 as u64 * PAGE as u64);
    ().unmap(&block, DmaAddr::new(at).unwrap());
    near.free(block);
    assert_eq!(DmaAddr::new(u64::MAX), None);
    assert_eq!(DmaAddr::new(0).map(DmaAddr::get), Some(0));
    assert_eq!(format!("{:?}", DmaAddr::new(0x4000).unwrap()), "D4000");
    assert_eq!(size_of::<Option<DmaAddr>>(), 8);
}
