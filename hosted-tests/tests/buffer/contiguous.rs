//! A buffer of several blocks as one slice, where its blocks are neighbours (`mmu.rs`: where an MMU maps them side by side);
//! and one of a single slot as bytes, with or without side tables.

mod mmu;

use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::ops::DerefMut;

/// Rule: blocks that are neighbours in one range of memory, in the order of the buffer, are one slice, to read and to write,
/// with any side tables. Others are not, and are copied. A single block is a slice too.
#[test]
fn neighbours_are_one_slice() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let home = &forebay(with_slices(&near), &far, &world);
    let rows: [(&[usize], usize, bool); 4] = [
        (&[4, 5, 6, 7, 8, 9, 10, 11], 2, true),
        (&[8, 9, 10, 11, 12, 13, 14, 15], 1, true),
        (&[1, 2, 3, 4], 3, false), // 2 and 3, then 1, then 4
        (&[0, 1, 4, 5], 2, false),
    ];
    for (free, blocks, one) in rows {
        let hogged = leave(&near, free.iter().copied());
        let (mut slots, mut addresses, mut charges) = ([const { Slot::EMPTY }; 8], [None; 8], [None; 8]);
        let layered = Addressed::new(&mut slots[..free.len()], &mut addresses).unwrap();
        let buffer = Buffer::with_slots(home, Charged::new(layered, &mut charges).unwrap(), Order::PAGE)
            .with_id(BufferId(1));
        fill(&buffer, 1);
        let mut guard = buffer.write().unwrap();
        let first = guard.blocks().next().map(|(_, block)| block.as_ptr());
        assert_eq!(guard.blocks().count(), blocks);
        assert_eq!(guard.contiguous(CX).map(<[u8]>::as_ptr), first.filter(|_| one), "{free:?}");
        match guard.contiguous_mut(Context::INTERRUPT) {
            Some(bytes) => bytes.copy_from_slice(&pattern(2, free.len() * PAGE)),
            None => assert_eq!(guard.write_at(0, &pattern(2, free.len() * PAGE)), free.len() * PAGE),
        }
        drop(guard);
        check(&buffer, 2);
        let guard = buffer.read().unwrap();
        let bytes = guard.contiguous(CX);
        assert_eq!(bytes.map(|bytes| bytes == pattern(2, free.len() * PAGE)), one.then_some(true));
        drop(guard);
        drop(buffer);
        give_back(&near, hogged);
    }
    all_returned(&world, &near, &far);
}

/// Rule: a slice never reaches from one range of memory into the next, even if the two touch.
#[test]
fn touching_ranges_are_no_slice() {
    let (world, near, far) = (World::new(Contents::Compared), Near::new(), far(16));
    let (lower, upper) = memory::leak(8 * PAGE, 0).split_at_mut(4 * PAGE);
    for range in [lower, upper] {
        near.add(range, memory::words(Near::metadata_words(4 * PAGE))).unwrap();
    }
    let home = &forebay(with_slices(&near), &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    let mut guard = buffer.write().unwrap();
    let [lower, upper] = [0, 1].map(|n| guard.blocks().nth(n).unwrap().1.as_ptr_range());
    assert_eq!(lower.end, upper.start, "they touch");
    assert_eq!(guard.contiguous(CX), None);
    assert_eq!(guard.contiguous_mut(CX), None);
    drop(guard);
    check(&buffer, 1);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a slice has the mode of the buffer, which the platform receives (the oracle compares it with that of each frame).
/// The layers between pass it on.
#[test]
fn the_platform_receives_the_mode() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(with_slices(&near));
    let machine = AllPorts(Faulty::<_, SpinRawMutex>::new(AllPorts(Traced::new(machine, &log))));
    let home = &forebay(&machine, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE)
        .with_mode(Caching::WriteCombined)
        .with_id(BufferId(3));
    fill(&buffer, 1);
    log.take();
    let mut guard = buffer.write().unwrap();
    assert!(guard.contiguous(CX).is_some_and(|bytes| bytes == pattern(1, 8 * PAGE)));
    assert!(guard.contiguous_mut(CX).is_some());
    let slice = Event::Contiguous(BufferId(3), Some(8 * PAGE));
    assert_eq!(log.take(), [slice, slice]);
    machine.set(Faults { kth: None, per_mille: 1000, seed: 0 });
    assert_eq!(guard.contiguous(CX), None);
    assert_eq!(guard.contiguous_mut(CX), None);
    machine.set(Faults::default());
    drop(guard);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: memory that others write meanwhile is never a slice, nor is a buffer without blocks.
#[test]
fn shared_memory_is_no_slice() {
    let (near, far) = (StiffRam { ram: near(16), joins: true }, far_of::<Stiff>(16));
    let world = World::new(Contents::Compared);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    for n in [8, 0] {
        let buffer = Buffer::with_slots(home, &mut slots[..n], Order::PAGE);
        let mut guard = buffer.write().unwrap();
        assert_eq!(guard.blocks().count(), n.min(1));
        assert_eq!(guard.contiguous(CX), None);
        assert_eq!(guard.contiguous_mut(CX), None);
    }
    world.assert_empty();
}

/// Gives the first block only.
struct Short;

impl<B: DerefMut<Target = [u8]>> LinearMap<B, ()> for Short {
    fn contiguous<'b>(
        &'b self,
        _: BufferId,
        (): (),
        mut blocks: impl Iterator<Item = &'b B>,
        _: Context,
    ) -> Option<&'b [u8]>
    where
        B: 'b,
    {
        blocks.next().map(|block| &**block)
    }
    fn contiguous_mut<'b>(
        &'b self,
        _: BufferId,
        (): (),
        mut blocks: impl Iterator<Item = &'b mut B>,
        _: Context,
    ) -> Option<&'b mut [u8]>
    where
        B: 'b,
    {
        blocks.next().map(|block| &mut **block)
    }
}

/// Rule: a slice of another length than the buffer's is ignored.
#[test]
fn a_slice_of_another_length_is_none() {
    let (near, far) = (near(16), far(16));
    let hogged = leave(&near, [4, 5, 6, 7, 8, 9, 10, 11]);
    let home = &Forebay::new(WithLinear(&near, Short), &far);
    for n in [8, 4] {
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(home, &mut slots[..n], Order::PAGE);
        let mut guard = buffer.write().unwrap();
        let expected = (n == 4).then_some(4 * PAGE);
        assert_eq!(guard.contiguous(CX).map(<[u8]>::len), expected);
        assert_eq!(guard.contiguous_mut(CX).map(|bytes| bytes.len()), expected);
    }
    give_back(&near, hogged);
}

/// Rule: one block of a heap may be given as a slice, and two may not.
#[test]
fn one_block_of_a_heap_is_a_slice() {
    type Heap = HeapSource<SpinRawMutex, PAGE>;
    let near = Heap::new();
    near.init(memory::leak(16 * PAGE, 0)).unwrap();
    let home = &Forebay::new(WithLinear(near, Short), Null);
    for n in [4, 6] {
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(home, &mut slots[..n], Order::PAGE);
        let mut guard = buffer.write().unwrap();
        let expected = (guard.blocks().count() == 1).then_some(n * PAGE);
        assert_eq!((guard.contiguous(CX).map(<[u8]>::len), expected.is_some()), (expected, n == 4));
        assert_eq!(guard.contiguous_mut(CX).map(|bytes| bytes.len()), expected);
    }
}

/// Rule: a buffer of one block of ordinary memory derefs to bytes, also one for a device, one with a payer, and one in an
/// index.
#[test]
fn one_slot_is_bytes_with_any_side_table() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let home = &forebay(with_slices(&near), &far, &world);
    let (mut slots, mut addresses, mut charges) = ([Slot::EMPTY], [None], [None]);
    let layered = Addressed::new([Slot::EMPTY], &mut addresses).unwrap();
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(1)]);
    let indexed = index.indexed(0, Charged::new(layered, &mut charges).unwrap()).unwrap();
    let ring = Buffer::with_slots(home, indexed, order(2));
    ring.write().unwrap().copy_from_slice(&pattern(1, 4 * PAGE));
    ring.evict(ALL, Evict::COPY, CX).unwrap();
    let guard = ring.read().unwrap();
    assert!(guard[..] == pattern(1, 4 * PAGE)[..] && guard.contiguous(CX) == Some(&guard[..]));
    assert_eq!(guard.segments().map(|segment| segment.bytes).collect::<Vec<_>>(), [4 * PAGE]);
    drop(guard);
    let borrowed = Buffer::with_slots(home, &mut slots, Order::PAGE);
    borrowed.write().unwrap()[PAGE - 1] = 7;
    assert_eq!(borrowed.read().unwrap()[..].iter().sum::<u8>(), 7);
    drop((ring, borrowed));
    all_returned(&world, &near, &far);
}
