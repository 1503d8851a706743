//! The ports around a source: each adapter alone, all together in several orders, by value and behind pointers; a machine of
//! one value; adapters of nothing; what each default does, and that it switches nothing off.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;
use std::ops::Range;
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
const ID: BufferId = BufferId(7);

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
const LEN: usize = 2 * PAGE;

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

/// A block that says only what it must; it counts what is written to it, and takes no byte behind `writable`.
struct Plain {
    bytes: Vec<u8>,
    writes: Cell<usize>,
    writable: usize,
}

impl OwnedBlock for Plain {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        Pfn(8)
    }
    fn order(&self) -> Order {
        Order::for_pages(pages(self.bytes.len() / PAGE)).unwrap()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.bytes.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.writes.set(self.writes.get() + 1);
        self.bytes[..self.writable].iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
    }
}

fn plain(pages: usize) -> Plain {
    Plain { bytes: vec![0xA5; pages * PAGE], writes: Cell::default(), writable: pages * PAGE }
}

/// A source, and every port of a platform, with what must be written and no more.
struct Bare;

impl FrameSource for Bare {
    type Block = Plain;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, _: Context) -> Result<Plain, AllocError> {
        Ok(plain(request.order.pages().get()))
    }
    fn free(&self, _: Plain) {}
}
impl CachingControl<Plain> for Bare {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Plain, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}
impl DmaMap<Plain> for Bare {}
impl EvictHooks<Plain> for Bare {}
impl Accounting for Bare {}
impl<M> LinearMap<Plain, M> for Bare {}

/// Rule: the size of a block follows from its order; it is zeroed 64 bytes at a time, and that ends if it takes no bytes.
#[test]
fn defaults_of_a_block() {
    for n in [1, 2, 8] {
        let mut block = plain(n);
        assert_eq!(block.bytes(), n * PAGE);
        block.zero();
        assert!(block.bytes.iter().all(|byte| *byte == 0));
        assert_eq!(block.writes.get(), n * PAGE / 64);
    }
    let mut short = plain(2);
    short.writable = 100;
    short.zero();
    assert!(
        short.bytes[..100].iter().all(|byte| *byte == 0)
            && short.bytes[100..].iter().all(|byte| *byte == 0xA5)
    );
    assert_eq!(short.writes.get(), 3, "64 bytes, 36, and none");
}

/// Rule: a source has orders up to 10, one zone, and joins nothing; how much is free and what is in a block is not known; and
/// every block may be pooled.
#[test]
fn defaults_of_a_source() {
    assert_eq!((Bare::MAX_ORDER, Bare::ZONES), (order(10), 1));
    let (left, right) = (plain(1), plain(2));
    let Err((left, right)) = Bare.join(left, right) else { panic!("they are joined") };
    assert_eq!((left.bytes.len(), right.bytes.len()), (PAGE, 2 * PAGE));
    for zones in [Zones::ALL, Zones::of(0), Zones::of(3)] {
        assert_eq!(Bare.free_pages(zones), None);
    }
    assert_eq!((Bare.zone(&left), Bare.is_zeroed(&left), Bare.is_poolable(&left)), (0, false, true));
}

/// Rule: every mode is pooled and possible in all zones, and there is nothing to flush. `()` has one mode.
#[test]
fn defaults_of_caching_control() {
    for mode in [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached] {
        assert_eq!((Bare.zones_for(mode), Bare.pools(mode)), (Zones::ALL, true));
    }
    CachingControl::<Plain>::flush(&Bare, CX);
    let none: &dyn CachingControl<Plain, Mode = ()> = &();
    assert_eq!(none.set_mode(&mut plain(1), (), (), Context::INTERRUPT), Ok(()));
    assert_eq!((none.zones_for(()), none.pools(())), (Zones::ALL, true));
    none.flush(Context::INTERRUPT);
    assert_eq!((<()>::COUNT, ().index()), (1, 0));
}

/// A block at that frame.
struct At(Pfn);
impl OwnedBlock for At {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0
    }
    fn order(&self) -> Order {
        Order::PAGE
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, _: usize, _: &mut [u8]) -> usize {
        0
    }
    fn write_at(&mut self, _: usize, _: &[u8]) -> usize {
        0
    }
}

/// Rule: an address for a device is the physical one, and there is none past the end of all addresses; nothing is done for
/// caches, and no byte changes.
#[test]
fn defaults_of_a_dma_map() {
    let ports: [&dyn DmaMap<Plain>; 2] = [&Bare, &()];
    for port in ports {
        let block = plain(2);
        let at = port.map(&block, Context::INTERRUPT).unwrap();
        assert_eq!(at.get(), 8 * PAGE as u64);
        port.sync_for_device(&block, 0..LEN);
        port.sync_for_cpu(&block, 0..LEN);
        port.unmap(&block, at);
        assert!(block.bytes.iter().all(|byte| *byte == 0xA5) && block.writes.get() == 0);
    }
    let last = usize::MAX / PAGE;
    assert_eq!(().map(&At(Pfn(last)), CX).map(DmaAddr::get), Some((last * PAGE) as u64));
    if size_of::<usize>() == 8 {
        assert_eq!(().map(&At(Pfn(last + 1)), CX), None);
    }
}

/// Rule: hooks permit everything, and look at no block; the number of the buffer pays, without a limit; there are no slices.
#[test]
fn defaults_of_hooks_accounting_and_slices() {
    let hooks: [&dyn EvictHooks<Plain>; 2] = [&Bare, &()];
    let mut one = [plain(1)];
    for port in hooks {
        let mut blocks = one.iter_mut();
        assert_eq!(port.before_evict(ID, &mut blocks, Context::INTERRUPT), Ok(()));
        assert_eq!(blocks.len(), 1);
        assert_eq!(port.after_restore(ID, Context::INTERRUPT), Ok(()));
    }
    let accounting: [&dyn Accounting; 2] = [&Bare, &()];
    for port in accounting {
        for id in [0, 7, usize::MAX - 1] {
            let payer = port.charge(BufferId(id), Pages::MAX, Context::INTERRUPT).unwrap();
            assert_eq!(payer.0.get(), id + 1);
            port.uncharge(payer, Pages::MAX);
        }
    }
    assert!(LinearMap::<_, ()>::contiguous(&Bare, ID, (), one.iter(), CX).is_none());
    assert!(LinearMap::<_, ()>::contiguous_mut(&Bare, ID, (), one.iter_mut(), CX).is_none());
    assert!(LinearMap::<Plain, Caching>::contiguous(&(), ID, Caching::CACHED, one.iter(), CX).is_none());
    assert!(
        LinearMap::<Plain, Caching>::contiguous_mut(&(), ID, Caching::CACHED, one.iter_mut(), CX).is_none()
    );
}

/// Rule: free lists of nothing keep nothing.
#[test]
fn free_lists_of_nothing() {
    let near = near(4);
    let pool = Pool::new(WithLists(&near, ()));
    let block = pool.take(AllocRequest::new(order(1)), (), CX).unwrap();
    let id = FreeListId { number: 0, order: order(1) };
    assert_eq!(FreeLists::<Block, ()>::counts(&(), id), None);
    let Err(block) = FreeLists::put(&(), id, block) else { panic!("it is kept") };
    assert!(FreeLists::<Block, ()>::take(&(), id).is_none());
    assert!(FreeLists::<Block, ()>::take_reserved(&(), id).is_none());
    FreeLists::<Block, ()>::unreserve(&(), id, None);
    assert_eq!(
        (pool.lists().count(), pool.ready(Zones::ALL), pool.to_string().lines().count()),
        (0, NONE, 2)
    );
    pool.put(block, CX).unwrap();
    assert_eq!((near.unused(), pool.trim(Zones::ALL, ALL, CX)), (near.total(), NONE));
}

/// A store with what must be written and no more.
struct BareStore;
impl BackingStore<Block> for BareStore {
    fn ids(&self) -> StoreIds {
        StoreIds::empty()
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::WrongStore })
    }
}

/// Rule: a store can do nothing by default, says so, and gives everything back; how much room it has is not known, and a
/// handle takes as much as it is large.
#[test]
fn defaults_of_a_store() {
    let near = near(8);
    let store: &dyn BackingStore<Block> = &BareStore;
    let mut block = near.allocate(AllocRequest::new(order(1)), CX).unwrap();
    block.fill(0x5A);
    let pfn = block.pfn();
    let handle = |n| Handle::new(StoreId::DEFAULT, order(n), 9).unwrap();
    assert_eq!((store.capabilities(), store.space()), (Capabilities::empty(), Space::UNKNOWN));
    assert_eq!(Space::UNKNOWN, Space { pages: Pages::MAX, transfers: usize::MAX });
    assert_eq!([0, 3].map(|n| store.room_of(&handle(n))), [pages(1), pages(8)]);
    let unsupported = StoreError::Unsupported;
    assert_eq!(
        store.save(&block, order(1), core::num::NonZeroUsize::new(1).map(Charge), CX),
        Err(unsupported)
    );
    assert_eq!(store.load(&handle(1), &mut block, NONE, CX), Err(unsupported));
    assert!(block.iter().all(|byte| *byte == 0x5A));
    let refused = store.transfer(block, core::num::NonZeroUsize::new(1).map(Charge)).unwrap_err();
    assert_eq!((refused.item.pfn(), refused.why), (pfn, unsupported));
    near.free(refused.item);
    let refused = store.take_back(handle(2), CX).unwrap_err();
    assert_eq!((refused.item, refused.why), (handle(2), unsupported));
    let refused = store.split(handle(2)).unwrap_err();
    assert_eq!((refused.item, refused.why), (handle(2), unsupported));
    assert_eq!(store.settle(ALL, CX, &mut |_| panic!("it has no block")), Settled::default());
    // A buffer over it works, and says why nothing leaves.
    let home = Forebay::new(&near, store);
    let tile = Buffer::new(&home, order(1));
    fill(&tile, 1);
    for how in METHODS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.why), (NONE, Some(RefusalReason::Store(unsupported))));
    }
    check(&tile, 1);
}

/// A store that copies, takes blocks and gives them back, and leaves every hint to the defaults.
struct Quiet<'f>(&'f Far);
impl BackingStore<Block> for Quiet<'_> {
    fn ids(&self) -> StoreIds {
        self.0.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.0.discard(handle)
    }
    fn save(
        &self,
        block: &Block,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.0.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.0.load(handle, block, at, cx)
    }
    fn transfer(&self, block: Block, payer: Option<Charge>) -> Result<Handle, Refused<Block, StoreError>> {
        self.0.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Block, Refused<Handle, StoreError>> {
        self.0.take_back(handle, cx)
    }
}

/// Rule: a default switches no feature off. A store without `space()` keeps clean copies: the second eviction copies nothing.
/// It is offered transfers, from a reclaim too; its copies can be discarded; and one that does not settle itself is asked
/// for blocks that it gives back.
#[test]
fn a_quiet_store_has_every_feature() {
    let (near, far) = (near(16), far(16));
    let home = Forebay::new(&near, Quiet(&far));
    let tile = Buffer::new(&home, order(2));
    fill(&tile, 1);
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(4));
    check(&tile, 1);
    assert_eq!(tile.residency(), residency(4, 4, 0), "the copy is kept");
    let before = home.stats().evicted.copied;
    let again = tile.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!((again.clean, again.copied), (pages(4), NONE));
    assert_eq!(home.stats().evicted.copied, before);
    check(&tile, 1);
    assert_eq!((tile.discard_copies(), tile.residency()), (Ok(pages(4)), residency(4, 0, 0)));
    drop(tile.read().unwrap());
    let report = home.reclaim(&[&tile], pages(4), Evict::TRANSFER, Context::INTERRUPT);
    assert_eq!((report.evicted.transferred, report.outcome), (pages(4), Outcome::Reached));
    drop(tile.read_in(Context::INTERRUPT).expect("the block is taken back"));
    assert_eq!(home.stats().restored.taken_back, pages(4));
    check(&tile, 1);
    drop(tile);
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
}

/// A source that leaves every hint to the defaults.
struct QuietRam<'n>(&'n Near);
impl FrameSource for QuietRam<'_> {
    type Block = Block;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.0.allocate(request, cx)
    }
    fn free(&self, block: Block) {
        self.0.free(block);
    }
}

/// Rule: a source that does not know how much is free, nor what is in its blocks, has pooled blocks, zeros, reclaims for pages
/// and for a block, and a retry; only `keep_free`, which needs that number, does nothing.
#[test]
fn a_quiet_source_has_every_feature() {
    let (near, far) = (near(8), far(16));
    let mut dirty = near.allocate(AllocRequest::new(order(3)), CX).unwrap();
    dirty.fill(0x5E);
    near.free(dirty);
    let home = Forebay::new(with_lists::<_, 4, 2>(QuietRam(&near)), &far);
    let tiles = [(); 2].map(|()| Buffer::new(&home, order(2)));
    for tile in &tiles {
        assert!(contents(tile).iter().all(|byte| *byte == 0));
        fill(tile, 1);
    }
    let third = Buffer::new(&home, order(2));
    assert_eq!(third.write().err(), Some(AccessError::Alloc(AllocError::Exhausted)));
    assert_eq!(home.keep_free(&tiles, pages(4), Evict::ANY, CX), None);
    let write = || third.write().map(drop);
    home.or_reclaim(&tiles, ReclaimTarget::block(order(2)), Evict::ANY, CX, write).unwrap();
    drop(third);
    assert_eq!(home.pool().ready(Zones::ALL), pages(4));
    let report = home.reclaim(&tiles, ReclaimTarget::block(order(3)), Evict::ANY, CX);
    assert_eq!(report.outcome, Outcome::Reached, "{report:?}");
    assert_eq!(near.unused(), pages(8));
    tiles.iter().for_each(|tile| check(tile, 1));
}

/// A value whose every answer is another than the default.
struct Odd {
    said: StdMutex<Vec<&'static str>>,
}

impl Odd {
    fn say(&self, what: &'static str) {
        self.said.lock().unwrap().push(what);
    }
}

impl FrameSource for Odd {
    type Block = Plain;
    type RawMutex = SpinRawMutex;
    const MAX_ORDER: Order = Order::new(3).unwrap();
    const ZONES: u8 = 4;
    fn allocate(&self, _: AllocRequest, _: Context) -> Result<Plain, AllocError> {
        self.say("allocate");
        Err(AllocError::Failed)
    }
    fn free(&self, _: Plain) {
        self.say("free");
    }
    fn join(&self, left: Plain, _: Plain) -> Result<Plain, (Plain, Plain)> {
        self.say("join");
        Ok(left)
    }
    fn free_pages(&self, _: Zones) -> Option<Pages> {
        self.say("free_pages");
        Some(pages(5))
    }
    fn zone(&self, _: &Plain) -> u8 {
        self.say("zone");
        3
    }
    fn is_zeroed(&self, _: &Plain) -> bool {
        self.say("is_zeroed");
        true
    }
    fn is_poolable(&self, _: &Plain) -> bool {
        self.say("is_poolable");
        false
    }
}

impl CachingControl<Plain> for Odd {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Plain, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        self.say("set_mode");
        Err(ModeRefused)
    }
    fn flush(&self, _: Context) {
        self.say("flush");
    }
    fn zones_for(&self, _: Caching) -> Zones {
        self.say("zones_for");
        Zones::of(2)
    }
    fn pools(&self, _: Caching) -> bool {
        self.say("pools");
        false
    }
}

impl DmaMap<Plain> for Odd {
    fn map(&self, _: &Plain, _: Context) -> Option<DmaAddr> {
        self.say("map");
        DmaAddr::new(17)
    }
    fn unmap(&self, _: &Plain, _: DmaAddr) {
        self.say("unmap");
    }
    fn sync_for_device(&self, _: &Plain, _: Range<usize>) {
        self.say("sync_for_device");
    }
    fn sync_for_cpu(&self, _: &Plain, _: Range<usize>) {
        self.say("sync_for_cpu");
    }
}

impl EvictHooks<Plain> for Odd {
    fn before_evict(
        &self,
        _: BufferId,
        _: &mut dyn Iterator<Item = &mut Plain>,
        _: Context,
    ) -> Result<(), Busy> {
        self.say("before_evict");
        Err(Busy)
    }
    fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        self.say("after_restore");
        Err(Busy)
    }
}

impl Accounting for Odd {
    fn charge(&self, _: BufferId, _: Pages, _: Context) -> Option<Charge> {
        self.say("charge");
        None
    }
    fn uncharge(&self, _: Charge, _: Pages) {
        self.say("uncharge");
    }
}

impl LinearMap<Plain, Caching> for Odd {
    fn contiguous<'b>(
        &'b self,
        _: BufferId,
        _: Caching,
        _: impl Iterator<Item = &'b Plain>,
        _: Context,
    ) -> Option<&'b [u8]> {
        self.say("contiguous");
        Some(&[1, 2])
    }
    fn contiguous_mut<'b>(
        &'b self,
        _: BufferId,
        _: Caching,
        _: impl Iterator<Item = &'b mut Plain>,
        _: Context,
    ) -> Option<&'b mut [u8]> {
        self.say("contiguous_mut");
        Some(&mut [])
    }
}

impl FreeLists<Plain, Caching> for Odd {
    fn take(&self, _: FreeListId) -> Option<PooledBlock<Plain, Caching>> {
        self.say("take");
        None
    }
    fn put(&self, _: FreeListId, _: PooledBlock<Plain, Caching>) -> Result<(), PooledBlock<Plain, Caching>> {
        self.say("put");
        Ok(())
    }
    fn take_reserved(&self, _: FreeListId) -> Option<PooledBlock<Plain, Caching>> {
        self.say("take_reserved");
        None
    }
    fn unreserve(&self, _: FreeListId, _: Option<PooledBlock<Plain, Caching>>) {
        self.say("unreserve");
    }
    fn counts(&self, _: FreeListId) -> Option<FreeListCounts> {
        self.say("counts");
        Some(FreeListCounts::default())
    }
}

impl BackingStore<Plain> for Odd {
    fn ids(&self) -> StoreIds {
        self.say("ids");
        StoreId::DEFAULT.into()
    }
    fn discard(&self, _: Handle) -> Result<Option<Plain>, Refused<Handle, StoreError>> {
        self.say("discard");
        Ok(None)
    }
    fn capabilities(&self) -> Capabilities {
        self.say("capabilities");
        Capabilities::all()
    }
    fn space(&self) -> Space {
        self.say("space");
        Space::default()
    }
    fn room_of(&self, _: &Handle) -> Pages {
        self.say("room_of");
        pages(77)
    }
    fn save(&self, _: &Plain, _: Order, _: Option<Charge>, _: Context) -> Result<Handle, StoreError> {
        self.say("save");
        Err(StoreError::Io)
    }
    fn load(&self, _: &Handle, _: &mut Plain, _: Pages, _: Context) -> Result<(), StoreError> {
        self.say("load");
        Err(StoreError::Io)
    }
    fn transfer(&self, block: Plain, _: Option<Charge>) -> Result<Handle, Refused<Plain, StoreError>> {
        self.say("transfer");
        Err(Refused { item: block, why: StoreError::Io })
    }
    fn take_back(&self, handle: Handle, _: Context) -> Result<Plain, Refused<Handle, StoreError>> {
        self.say("take_back");
        Err(Refused { item: handle, why: StoreError::Io })
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.say("split");
        Err(Refused { item: handle, why: StoreError::Io })
    }
    fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(Plain)) -> Settled {
        self.say("settle");
        let mut settled = Settled::default();
        settled.written = pages(9);
        settled
    }
}

fn of_a_source<S: FrameSource<Block = Plain>>(source: &S) -> usize {
    assert_eq!((S::MAX_ORDER, S::ZONES), (order(3), 4));
    assert_eq!(source.allocate(AllocRequest::new(order(0)), CX).err(), Some(AllocError::Failed));
    source.free(plain(1));
    assert!(source.join(plain(1), plain(1)).is_ok());
    assert_eq!(source.free_pages(Zones::ALL), Some(pages(5)));
    let block = &plain(1);
    assert_eq!((source.zone(block), source.is_zeroed(block), source.is_poolable(block)), (3, true, false));
    7
}

fn of_caching<C: CachingControl<Plain, Mode = Caching>>(port: &C) -> usize {
    let (from, to) = (Caching::WriteBack, Caching::Uncached);
    assert_eq!(port.set_mode(&mut plain(1), from, to, CX), Err(ModeRefused));
    port.flush(CX);
    assert_eq!((port.zones_for(to), port.pools(to)), (Zones::of(2), false));
    4
}

fn of_dma<D: DmaMap<Plain>>(port: &D) -> usize {
    let (block, at) = (plain(1), DmaAddr::new(17));
    assert_eq!(port.map(&block, CX), at);
    port.unmap(&block, at.unwrap());
    port.sync_for_device(&block, 0..1);
    port.sync_for_cpu(&block, 0..1);
    4
}

fn of_hooks_and_accounting<X: EvictHooks<Plain> + Accounting>(port: &X) -> usize {
    assert_eq!(port.before_evict(ID, &mut std::iter::empty(), CX), Err(Busy));
    assert_eq!(port.after_restore(ID, CX), Err(Busy));
    assert_eq!(port.charge(ID, pages(1), CX), None);
    port.uncharge(core::num::NonZeroUsize::new(1).map(Charge).unwrap(), pages(1));
    4
}

fn of_slices<L: LinearMap<Plain, Caching>>(port: &L) -> usize {
    let mode = Caching::WriteBack;
    assert_eq!(port.contiguous(ID, mode, std::iter::empty(), CX), Some(&[1, 2][..]));
    assert_eq!(port.contiguous_mut(ID, mode, std::iter::empty(), CX), Some(&mut [][..]));
    2
}

fn of_lists<L: FreeLists<Plain, Caching>>(port: &L) -> usize {
    let pool = Pool::new(WithCaching(Bare, Bare));
    let block = pool.take(AllocRequest::new(order(0)), Caching::WriteBack, CX).unwrap();
    let id = FreeListId { number: 1, order: order(0) };
    const { assert!(L::ENABLED) }
    assert!(port.take(id).is_none() && port.take_reserved(id).is_none());
    assert!(port.put(id, block).is_ok());
    port.unreserve(id, None);
    assert_eq!(port.counts(id), Some(FreeListCounts::default()));
    5
}

fn of_a_store<S: BackingStore<Plain>>(store: &S) -> usize {
    let handle = || Handle::new(StoreId::DEFAULT, order(0), 1).unwrap();
    assert_eq!(store.ids(), StoreId::DEFAULT.into());
    assert!(store.discard(handle()).is_ok_and(|block| block.is_none()));
    assert_eq!((store.capabilities(), store.space()), (Capabilities::all(), Space::default()));
    assert_eq!(store.room_of(&handle()), pages(77));
    let (io, mut block) = (StoreError::Io, plain(1));
    assert_eq!(store.save(&block, order(0), None, CX), Err(io));
    assert_eq!(store.load(&handle(), &mut block, NONE, CX), Err(io));
    assert!(store.transfer(block, None).is_err_and(|refused| refused.why == io));
    assert!(store.take_back(handle(), CX).is_err_and(|refused| refused.why == io));
    assert!(store.split(handle()).is_err_and(|refused| refused.why == io));
    assert_eq!(store.settle(ALL, CX, &mut drop).written, pages(9));
    11
}

/// Rule: a pointer to a port passes every method on, and every constant.
#[test]
fn pointers_forget_no_method() {
    let odd = Arc::new(Odd { said: StdMutex::default() });
    let counted = |n: usize| {
        let said = std::mem::take(&mut *odd.said.lock().unwrap());
        let mut once = said.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!((said.len(), once.len()), (n, n), "{said:?}");
    };
    let bare: &Odd = &odd;
    counted(of_a_source(&bare));
    counted(of_a_source(&&bare));
    counted(of_a_source(&odd));
    counted(of_a_store(&bare));
    counted(of_a_store(&&bare));
    counted(of_a_store(&odd));
    let dynamic: &dyn BackingStore<Plain> = bare;
    counted(of_a_store(&dynamic));
    counted(of_caching(&bare));
    let dynamic: &dyn CachingControl<Plain, Mode = Caching> = bare;
    counted(of_caching(&dynamic));
    counted(of_dma(&bare));
    let dynamic: &dyn DmaMap<Plain> = bare;
    counted(of_dma(&dynamic));
    counted(of_hooks_and_accounting(&bare));
    counted(of_slices(&bare));
    counted(of_lists(&bare));
}
