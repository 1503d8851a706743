//! The ports around a source: each adapter alone, all together in several orders, by value and behind pointers; a machine of
//! one value; adapters of nothing.

use super::defaults::{ID, LEN};
use forebay_backends::*;
use hosted_tests::kit::*;
use std::sync::{Arc, Mutex as StdMutex};

type Block = RamBlock<PAGE>;

/// How often the optional ports were called, and for how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Calls {
    mode_changes: usize,
    flushes: usize,
    maps: usize,
    unmaps: usize,
    before: usize,
    after: usize,
    charged: usize,
    uncharged: usize,
    slices: usize,
}

#[derive(Default)]
struct Tally(StdMutex<Calls>);

impl Tally {
    /// All since the last time.
    fn take(&self) -> Calls {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A value for every port, which counts its calls. Which of the ports are used is the platform's matter.
#[derive(Clone, Copy)]
struct Every<'t> {
    near: &'t Near,
    calls: &'t Tally,
}

const WINDOW: u64 = 1 << 60;

impl Every<'_> {
    fn count(&self, f: impl FnOnce(&mut Calls)) {
        f(&mut self.calls.0.lock().unwrap());
    }
}

impl FrameSource for Every<'_> {
    type Block = Block;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.near.allocate(request, cx)
    }
    fn free(&self, block: Block) {
        self.near.free(block);
    }
}

impl CachingControl<Block> for Every<'_> {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Block, from: Caching, to: Caching, _: Context) -> Result<(), ModeRefused> {
        assert_ne!(from, to);
        self.count(|calls| calls.mode_changes += 1);
        Ok(())
    }
    fn flush(&self, _: Context) {
        self.count(|calls| calls.flushes += 1);
    }
}

impl DmaMap<Block> for Every<'_> {
    fn map(&self, block: &Block, _: Context) -> Option<DmaAddr> {
        self.count(|calls| calls.maps += 1);
        DmaAddr::new(WINDOW + (block.pfn().0 * PAGE) as u64)
    }
    fn unmap(&self, block: &Block, at: DmaAddr) {
        self.count(|calls| calls.unmaps += 1);
        assert_eq!(at.get(), WINDOW + (block.pfn().0 * PAGE) as u64);
    }
}

impl EvictHooks<Block> for Every<'_> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut Block>,
        _: Context,
    ) -> Result<(), Busy> {
        assert_eq!((id, blocks.count()), (ID, 1));
        self.count(|calls| calls.before += 1);
        Ok(())
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        assert_eq!(id, ID);
        self.count(|calls| calls.after += 1);
        Ok(())
    }
}

impl Accounting for Every<'_> {
    fn charge(&self, id: BufferId, pages: Pages, _: Context) -> Option<Charge> {
        assert_eq!(id, ID);
        self.count(|calls| calls.charged += pages.get());
        core::num::NonZeroUsize::new(40 + id.0).map(Charge)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        assert_eq!(charge.0.get(), 47);
        self.count(|calls| calls.uncharged += pages.get());
    }
}

impl<M> LinearMap<Block, M> for Every<'_> {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        _: M,
        blocks: impl Iterator<Item = &'b Block>,
        cx: Context,
    ) -> Option<&'b [u8]> {
        assert_eq!(id, ID);
        self.count(|calls| calls.slices += 1);
        self.near.contiguous(id, (), blocks, cx)
    }
}

/// What a program sees of the ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    /// Bytes of the buffer as one slice.
    slice: Option<usize>,
    /// What the device adds to a physical address.
    window: u64,
}

const NOTHING: Seen = Seen { slice: None, window: 0 };

/// A buffer of one block with both side tables is filled, transferred, taken back, copied, loaded, and dropped.
fn run<P: Platform<Block = Block>>(home: &Forebay<P, &Far>, mode: P::Mode) -> Seen {
    let (mut slots, mut addresses, mut charges) = ([const { Slot::EMPTY }; 2], [None; 2], [None; 2]);
    let slots = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let slots = Charged::new(slots, &mut charges).unwrap();
    let buffer = Buffer::with_slots(home, slots, Order::PAGE).with_id(ID).with_mode(mode);
    fill(&buffer, 1);
    let guard = buffer.read().unwrap();
    let slice = guard.contiguous(CX);
    assert!(slice.is_none_or(|slice| slice == pattern(1, LEN)));
    let physical = guard.blocks().map(|(_, block)| (block.pfn().0 * PAGE) as u64).next().unwrap();
    let seen = Seen {
        slice: slice.map(<[u8]>::len),
        window: dma_address(&guard, PAGE).unwrap().get() - physical - PAGE as u64,
    };
    drop(guard);
    for how in [Evict::TRANSFER, Evict::COPY] {
        let evicted = buffer.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.transferred + evicted.copied, evicted.why), (pages(2), None));
        check(&buffer, 1);
    }
    seen
}

/// [`run`] with that platform and a store of its own, to which everything returns.
fn run_once<P: Platform<Block = Block>>(near: &Near, platform: P, mode: P::Mode) -> Seen {
    let far = far(8);
    let seen = run(&Forebay::new(platform, &far), mode);
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
    seen
}

/// What the hooks, the addresses, and so on, of all of [`run`] count. Without free lists.
const ALL_CALLS: Calls = Calls {
    mode_changes: 6, // into the mode: populated, taken back, loaded; and back: transferred, copied, dropped
    flushes: 7,      // an address that goes shares the flush of its mode, but not when the buffer is dropped
    maps: 3,
    unmaps: 3,
    before: 3,
    after: 2,
    charged: 2,
    uncharged: 2,
    slices: 1,
};

/// Rule: an adapter adds its port and nothing else; without it the port is a no-op.
#[test]
fn each_adapter_alone() {
    let (near, calls) = (near(8), Tally::default());
    let every = Every { near: &near, calls: &calls };
    let none = Calls::default();
    assert_eq!((run_once(&near, &near, ()), calls.take()), (NOTHING, none));
    assert_eq!((run_once(&near, every, ()), calls.take()), (NOTHING, none), "as a source only");

    let seen = run_once(&near, WithHooks(&near, every), ());
    assert_eq!((seen, calls.take()), (NOTHING, Calls { before: 3, after: 2, ..none }));
    let seen = run_once(&near, WithDma(&near, every), ());
    assert_eq!(
        (seen, calls.take()),
        (Seen { window: WINDOW, ..NOTHING }, Calls { maps: 3, unmaps: 3, ..none })
    );
    let seen = run_once(&near, WithAccounting(&near, every), ());
    assert_eq!((seen, calls.take()), (NOTHING, Calls { charged: 2, uncharged: 2, ..none }));
    let seen = run_once(&near, WithLinear(&near, every), ());
    assert_eq!((seen, calls.take()), (Seen { slice: Some(LEN), ..NOTHING }, Calls { slices: 1, ..none }));
    let seen = run_once(&near, WithCaching(&near, every), Caching::Uncached);
    // One for each change, and one for the address that goes when the buffer is dropped.
    assert_eq!((seen, calls.take()), (NOTHING, Calls { mode_changes: 6, flushes: 7, ..none }));
    let seen = run_once(&near, WithCaching(&near, every), Caching::CACHED);
    assert_eq!(
        (seen, calls.take()),
        (NOTHING, Calls { flushes: 3, ..none }),
        "its blocks are in that mode already"
    );

    // Free lists, which count by themselves.
    let far = far(8);
    let home = Forebay::new(with_lists::<_, 4, 2>(&near), &far);
    for n in 0..3 {
        assert_eq!((run(&home, ()), calls.take()), (NOTHING, none));
        let FreeListCounts { ready, hits, misses, .. } =
            home.pool().lists().find(|list| list.order == order(1)).unwrap().counts;
        assert_eq!((ready, hits, misses), (1, n, n + 2), "what was dropped is there for the next");
    }
    drop(home);
    assert_eq!(near.unused(), near.total());
}

/// The platform by value, behind a reference, and in an `Arc`.
fn by_any_pointer<P: Platform<Block = Block>>(
    near: &Near,
    calls: &Tally,
    platform: impl Fn() -> P,
    mode: impl Fn() -> P::Mode,
    expected: (Seen, Calls),
) where
    for<'p> &'p P: Platform<Block = Block, Mode = P::Mode>,
    Arc<P>: Platform<Block = Block, Mode = P::Mode>,
{
    calls.take();
    assert_eq!((run_once(near, platform(), mode()), calls.take()), expected, "by value");
    let behind = platform();
    assert_eq!((run_once(near, &behind, mode()), calls.take()), expected, "by reference");
    drop(behind);
    assert_eq!((run_once(near, Arc::new(platform()), mode()), calls.take()), expected, "in an Arc");
}

/// Rule: the order of adapters does not matter (modes go inside of slices and free lists, which are made for them), nor whether
/// a port or a platform is a value, a reference, or in an `Arc`.
#[test]
fn all_adapters_in_every_order() {
    let (near, calls) = (near(8), Tally::default());
    let every = Every { near: &near, calls: &calls };
    let all = (Seen { slice: Some(LEN), window: WINDOW }, ALL_CALLS);
    let modes = || WithCaching(&near, every);
    macro_rules! same {
        ($($platform:expr),+ $(,)?) => {$(
            by_any_pointer(&near, &calls, || $platform, || Caching::WriteCombined, all);
        )+};
    }
    same![
        WithLinear(WithAccounting(WithHooks(WithDma(modes(), every), every), every), every),
        WithAccounting(WithHooks(WithDma(WithLinear(modes(), every), every), every), every),
        WithHooks(WithDma(WithLinear(WithAccounting(modes(), every), every), every), every),
        WithDma(WithLinear(WithAccounting(WithHooks(modes(), every), every), every), every),
        WithLinear(WithCaching(WithAccounting(WithHooks(WithDma(&near, every), every), every), every), every),
        WithHooks(WithLinear(WithCaching(WithDma(WithAccounting(&near, every), every), every), every), every),
        // The ports behind references.
        WithLinear(
            WithAccounting(WithHooks(WithDma(WithCaching(&near, &every), &every), &every), &every),
            &every
        ),
        // A source that is a port of itself, and one in an `Arc`.
        WithLinear(WithAccounting(WithHooks(WithDma(WithCaching(every, every), every), every), every), every),
        WithLinear(
            WithAccounting(WithHooks(WithDma(WithCaching(Arc::new(every), every), every), every), every),
            every
        ),
        // A machine of one value.
        AllPorts(every),
    ];
    // Behind a reference in the middle.
    let inside = WithHooks(WithDma(modes(), every), every);
    same![WithLinear(WithAccounting(&inside, every), every)];
    let inside = Arc::new(WithHooks(WithDma(modes(), every), every));
    same![WithLinear(WithAccounting(inside.clone(), every), every)];
    let machine = AllPorts(every);
    run_once(&near, &machine, Caching::Uncached);
    assert_eq!(machine.calls.take(), ALL_CALLS, "it derefs to the machine");
}

/// Rule: free lists go wherever they like: a block that a buffer leaves in its mode is the next one's, without a change.
#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "a reference is another platform")]
fn free_lists_around_every_port() {
    let (near, calls) = (near(8), Tally::default());
    let every = Every { near: &near, calls: &calls };
    type Lists<'t> = FreeListArray<AllPorts<Every<'t>>, 12, 2>;
    let all = Seen { slice: Some(LEN), window: WINDOW };
    fn twice<P: Platform<Block = Block, Mode = Caching>>(
        near: &Near,
        calls: &Tally,
        platform: P,
        expected: Seen,
    ) {
        calls.take();
        let far = far(8);
        let home = Forebay::new(platform, &far);
        let first = (run(&home, Caching::WriteCombined), calls.take());
        assert_eq!(home.pool().ready(Zones::ALL), pages(2));
        let second = (run(&home, Caching::WriteCombined), calls.take());
        assert_eq!((first.0, second.0), (expected, expected));
        // Dropped, it keeps its mode, and the next one has no change for it.
        let one_less = Calls { mode_changes: 5, flushes: 6, ..ALL_CALLS };
        assert_eq!(first.1, one_less);
        let two_less =
            Calls { mode_changes: one_less.mode_changes - 1, flushes: one_less.flushes - 1, ..one_less };
        assert_eq!(second.1, two_less);
        drop(home);
        assert_eq!((calls.take().mode_changes, near.unused()), (1, near.total()));
    }
    let modes = || WithCaching(&near, every);
    let lists = Lists::new;
    let with = |platform| twice(&near, &calls, platform, all);
    with(WithLists(AllPorts(every), lists()));
    twice(&near, &calls, &WithLists(AllPorts(every), lists()), all);
    twice(&near, &calls, WithLists(&AllPorts(every), &lists()), all);
    twice(&near, &calls, Arc::new(WithLists(Arc::new(AllPorts(every)), lists())), all);
    let inside = WithDma(WithHooks(WithAccounting(modes(), every), every), every);
    twice(&near, &calls, WithLists(WithLinear(&inside, every), lists()), all);
    twice(&near, &calls, WithLinear(WithLists(&inside, lists()), every), all);
    let first = WithLists(modes(), lists());
    let around = WithDma(WithLinear(WithHooks(WithAccounting(&first, every), every), every), every);
    twice(&near, &calls, around, all);
}

/// What a source and a store were called for, in order.
fn calls_of<P: Platform<Block = Block, Mode = ()>>(log: &Log, platform: P) -> Vec<Event> {
    let far = far(8);
    let home = Forebay::new(platform, Traced::new(&far, log));
    let (mut slots, mut addresses) = ([const { Slot::EMPTY }; 3], [None; 3]);
    let slots = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let (tile, many) = (Buffer::new(&home, order(1)), Buffer::with_slots(&home, slots, Order::PAGE));
    for seed in 0..2 {
        fill(&tile, seed);
        fill(&many, seed);
        home.reclaim((&[&tile], &[&many]), pages(4), Evict::ANY, CX);
        many.evict(ALL, Evict::COPY, CX).unwrap();
        home.settle(ALL, CX);
        check(&tile, seed);
        check(&many, seed);
    }
    many.purge(CX).unwrap();
    drop((tile, many));
    drop(home);
    log.take()
}

/// Rule: adapters of `()` change neither size nor behaviour.
#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "a reference is another platform")]
fn adapters_of_nothing_are_nothing() {
    let (near, log) = (near(8), Log::default());
    let source = Traced::new(&near, &log);
    let around = WithLists(
        WithLinear(WithAccounting(WithHooks(WithDma(WithCaching(source, ()), ()), ()), ()), ()),
        (),
    );
    let twice = WithHooks(WithHooks(source, ()), ()); // no port twice: it is none
    let sizes = [size_of_val(&source), size_of_val(&around), size_of_val(&twice)];
    assert_eq!(sizes, [size_of::<[usize; 2]>(); 3]);
    let store = far(8);
    let (bare, wrapped) = (Forebay::new(source, &store), Forebay::new(around, &store));
    assert_eq!(size_of_val(&bare), size_of_val(&wrapped));
    let buffers = (Buffer::new(&bare, order(1)), Buffer::new(&wrapped, order(1)));
    assert_eq!(size_of_val(&buffers.0), size_of_val(&buffers.1));
    let expected = calls_of(&log, source);
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(calls_of(&log, around), expected);
    assert_eq!(calls_of(&log, &around), expected);
    assert_eq!(calls_of(&log, Arc::new(around)), expected);
    assert_eq!(calls_of(&log, twice), expected);
    assert_eq!(near.unused(), near.total());
}

fn is_platform<P: Platform>(_: &P) -> usize {
    size_of::<P>()
}

/// Rule: every source is a platform, and so are references and `Arc`s to a source or to an adapter.
#[test]
fn pointers_to_platforms() {
    const WORD: usize = size_of::<usize>();
    let near = near(8);
    assert_eq!(is_platform(&near), size_of::<Near>());
    assert_eq!([is_platform(&&near), is_platform(&&&near)], [WORD; 2]);
    let shared = Arc::new(self::near(8));
    assert_eq!([is_platform(&shared), is_platform(&&shared)], [WORD; 2]);
    assert_eq!(is_platform(&Arc::new(Arc::new(self::near(8)))), WORD);
    let around = WithHooks(&near, ());
    assert_eq!([is_platform(&around), is_platform(&&around), is_platform(&Arc::new(around))], [WORD; 3]);
    let shared = WithLinear(WithCaching(shared, ()), ());
    assert_eq!([is_platform(&shared), is_platform(&&shared), is_platform(&Arc::new(shared))], [WORD; 3]);
}
