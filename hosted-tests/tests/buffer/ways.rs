//! A buffer of one slot goes by the short ways; one that keeps charges, too, by the walks over slots. Both do the same.

use forebay_backends::RamBlock;
use hosted_tests::kit::*;
use std::cell::Cell;
use std::fmt::Debug;

/// The number of the step, and the seed, from which each fault follows: however many calls a way makes, it meets the same.
#[derive(Default)]
struct Fate {
    seed: Cell<u64>,
    step: Cell<u64>,
}

impl Fate {
    /// A number below `below` for this call of this step.
    fn roll(&self, call: u64, below: u64) -> u64 {
        let mut x = self.seed.get() ^ self.step.get() << 20 ^ call << 50;
        for _ in 0..3 {
            x = (x ^ x >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        (x >> 33) % below
    }

    /// One of these errors, now and then.
    fn fails(&self, call: u64, errors: &[StoreError]) -> Option<StoreError> {
        errors.get(self.roll(call, errors.len() as u64 * 6) as usize).copied()
    }
}

/// A region that refuses by fate, or gives something else than it was asked for.
struct Fickle<'f>(Far, &'f Fate);

impl BackingStore<RamBlock<PAGE>> for Fickle<'_> {
    fn ids(&self) -> StoreIds {
        <Far as BackingStore<RamBlock<PAGE>>>::ids(&self.0)
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn space(&self) -> Space {
        self.0.space()
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        self.0.discard(handle)
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        payer: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        match self.1.fails(0, &[StoreError::Backlog, StoreError::Full, StoreError::Io]) {
            Some(why) => Err(Refused { item: block, why }),
            None => self.0.transfer(block, payer),
        }
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<RamBlock<PAGE>, Refused<Handle, StoreError>> {
        match self.1.fails(1, &[StoreError::Busy, StoreError::Unavailable, StoreError::Limit]) {
            Some(why) => Err(Refused { item: handle, why }),
            None => self.0.take_back(handle, cx),
        }
    }
    fn save(
        &self,
        block: &RamBlock<PAGE>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        match self.1.fails(2, &[StoreError::Full, StoreError::TooLarge, StoreError::Io]) {
            // A short copy, if there is anything shorter.
            Some(StoreError::Io) => self.0.save(block, order.lower().unwrap_or(order), payer, cx),
            Some(why) => Err(why),
            None => self.0.save(block, order, payer, cx),
        }
    }
    fn load(
        &self,
        handle: &Handle,
        block: &mut RamBlock<PAGE>,
        at: Pages,
        cx: Context,
    ) -> Result<(), StoreError> {
        self.1.fails(3, &[StoreError::Io, StoreError::NoHeadroom]).map_or(Ok(()), Err)?;
        self.0.load(handle, block, at, cx)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
        self.0.settle(budget, cx, owner)
    }
}

/// Hooks that refuse by fate.
struct Moody<'f>(&'f Fate);

impl EvictHooks<RamBlock<PAGE>> for Moody<'_> {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut RamBlock<PAGE>>,
        _: Context,
    ) -> Result<(), Busy> {
        if self.0.roll(4 + id.0 as u64, 9) == 0 { Err(Busy) } else { Ok(()) }
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        if self.0.roll(8 + id.0 as u64, 9) == 0 { Err(Busy) } else { Ok(()) }
    }
}

type Home<'f> = Forebay<WithHooks<Near, Moody<'f>>, Fickle<'f>>;

const BUFFERS: usize = 4;

/// Everything that can be seen of a machine after a step.
fn seen<'f, T: Slots<Platform = WithHooks<Near, Moody<'f>>>>(
    home: &Home<'f>,
    buffers: &[Buffer<&Home<'f>, T>],
    result: &dyn Debug,
) -> String {
    let where_they_are: Vec<_> = buffers.iter().map(Buffer::residency).collect();
    let classes: Vec<_> = buffers.iter().map(Evictable::class).collect();
    let (free, space) = (home.platform().0.unused(), home.store().space());
    format!("{result:?}\n{where_they_are:?}\n{classes:?}\n{:?}\n{free:?} {space:?}", home.stats())
}

/// One step, chosen by fate.
fn step<'f, T: Slots<Platform = WithHooks<Near, Moody<'f>>>>(
    fate: &Fate,
    home: &Home<'f>,
    buffers: &Vec<Buffer<&Home<'f>, T>>,
) -> String {
    let roll = |call: u64, below: u64| fate.roll(100 + call, below);
    let buffer = &buffers[roll(0, BUFFERS as u64) as usize];
    let cx = [CX, CX, Context::NO_IO, Context::INTERRUPT][roll(1, 4) as usize];
    let how = METHODS[roll(2, 6) as usize] | if roll(3, 3) == 0 { Evict::PURGE } else { Evict::empty() };
    let budget = [ALL, pages(1), NONE][roll(4, 3) as usize];
    // A walk that its budget ends early does not know that it has seen everything.
    let all_or_none = if budget == NONE { NONE } else { ALL };
    let target = pages(1 + roll(5, 8) as usize);
    match roll(6, 16) {
        0 | 1 => {
            let written = buffer.write_in(cx).map(|mut guard| {
                let bytes: Vec<u8> = (0..64).map(|n| (roll(7, 251) + n) as u8).collect();
                guard.write_at(0, &bytes)
            });
            seen(home, buffers, &written)
        }
        2 | 3 => {
            let mut bytes = [0; 128];
            let read = buffer.read_in(cx).map(|guard| guard.read_at(0, &mut bytes));
            seen(home, buffers, &(read, bytes))
        }
        4 | 5 => seen(home, buffers, &buffer.evict(budget, how, cx)),
        6 => seen(home, buffers, &buffer.restore(all_or_none, cx)),
        7 => seen(home, buffers, &buffer.populate(all_or_none, cx)),
        8 => seen(home, buffers, &home.reclaim(buffers, target, how, cx)),
        9 => seen(home, buffers, &home.reclaim(buffers, ReclaimTarget::freed(target), how, cx)),
        10 => seen(home, buffers, &home.transfer(buffers, target)),
        11 => seen(home, buffers, &home.settle(target, cx)),
        12 => seen(home, buffers, &buffer.set_purgeable(roll(7, 2) == 0)),
        13 => seen(home, buffers, &buffer.purge(cx)),
        14 => seen(home, buffers, &buffer.discard_copies()),
        _ => seen(home, buffers, &buffer.touch()),
    }
}

/// Rule: whatever the store, the hooks and the context refuse, the short ways and the walks give the same results, bytes, marks and
/// counts.
#[test]
fn the_short_ways_do_what_the_walks_do() {
    let mut moved = [NONE; 4];
    for seed in 1..=if cfg!(miri) { 2 } else { 60 } {
        let fate = Fate { seed: Cell::new(seed * 0x9e37_79b9), step: Cell::default() };
        let homes: [Home; 2] =
            [(); 2].map(|()| Forebay::new(WithHooks(near(16), Moody(&fate)), Fickle(far(24), &fate)));
        let unit = order(2);
        let id = |n| BufferId(n);
        let short: Vec<_> = (0..BUFFERS).map(|n| Buffer::new(&homes[0], unit).with_id(id(n))).collect();
        let walked: Vec<_> = (0..BUFFERS)
            .map(|n| {
                let slots = Charged::new([Slot::EMPTY], vec![None].leak()).unwrap();
                Buffer::with_slots(&homes[1], slots, unit).with_id(id(n))
            })
            .collect();
        for number in 0..600 {
            fate.step.set(number);
            let (by_short, by_walk) = (step(&fate, &homes[0], &short), step(&fate, &homes[1], &walked));
            assert_eq!(by_short, by_walk, "seed {seed}, step {number}: the short way, and the walk");
        }
        let Stats { evicted, restored, .. } = homes[0].stats();
        for (sum, pages) in
            moved.iter_mut().zip([evicted.transferred, evicted.copied, restored.taken_back, restored.loaded])
        {
            *sum += pages;
        }
    }
    assert!(moved.iter().all(|pages| *pages > pages_of(100)), "each way is gone: {moved:?}");
}

fn pages_of(blocks: usize) -> Pages {
    pages(blocks * 4)
}
