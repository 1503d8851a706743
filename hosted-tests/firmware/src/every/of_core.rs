//! The functions of `forebay`.

use crate::machine::{Block, Card, Full, Listed, PAGE, Plain, Slow, Tiers};
use crate::{At, keep};
use core::fmt::Display;
use core::hint::black_box;
use core::iter::Sum;
use core::ops::{Add, AddAssign, Deref, DerefMut, Sub, SubAssign};
use core::ptr::drop_in_place;
use core::slice::{Iter, IterMut};
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::{HeapSource, Null};

/// On plain RAM, as the firmware has it.
pub fn everything() {
    values();
    flag_sets();
    errors();
    locks();
    blocks();
    provided();
    platform::<Listed>();
    pool::<Listed>();
    free_lists::<Plain, 4>();
    store::<Slow>();
    forebay::<Listed, Slow>();
    buffer::<Listed, Slow, [Slot<Listed>; 1]>();
    shapes::<Listed, Slow>();
    slots::<Listed>();
    candidates();
    index::<Listed>();
    policy::<Listed>();
}

/// The same for more shapes, on the machine with everything, and of stores whose type is not known: the compiler makes other code
/// of them.
pub fn again() {
    buffer::<Plain, Slow, &mut [Slot<Plain>]>();
    platform::<Full>();
    pool::<Full>();
    pool::<Plain>();
    free_lists::<AllPorts<Card>, 36>();
    store::<Tiers>();
    store::<dyn BackingStore<Block>>();
    forebay::<Full, Tiers>();
    forebay::<Plain, Slow>();
    buffer::<Full, Tiers, Charged<Addressed<&mut [Slot<Full>]>>>();
    buffer::<Full, Tiers, [Slot<Full>; 1]>();
    shapes::<Full, Tiers>();
    slots::<Full>();
    more_candidates();
    index::<Full>();
    policy::<Full>();
    buffer::<Full, Tiers, Indexed<Addressed<&mut [Slot<Full>]>, <Full as Platform>::RawMutex, [usize; 16]>>();
}

/// As text.
pub fn shown() {
    keep([<AttachError as Display>::fmt as At, <Busy as Display>::fmt as At]);
    keep([<Evicted as Display>::fmt as At, <ModeRefused as Display>::fmt as At]);
    keep([<AllocError as Display>::fmt as At, <Pages as Display>::fmt as At]);
    keep([<AccessError as Display>::fmt as At, <Pool<Listed> as Display>::fmt as At]);
    keep([<Refusals as Display>::fmt as At, <Refused<Handle, StoreError> as Display>::fmt as At]);
    keep([<Report as Display>::fmt as At, <Restored as Display>::fmt as At]);
    keep([<Settled as Display>::fmt as At, <Forebay<Listed, Slow> as Display>::fmt as At]);
    keep([<Stats as Display>::fmt as At, <RefusalReason as Display>::fmt as At]);
    keep([<StoreError as Display>::fmt as At, <TooShort as Display>::fmt as At]);
    keep([<Outcome as Display>::fmt as At, <IndexFull as Display>::fmt as At]);
}

fn values() {
    keep([Order::new as At, Order::for_pages as At, Order::get as At, Order::pages as At]);
    keep([Order::lower as At, Pages::new as At, Pages::get as At]);
    keep([<Pages as Add>::add as At, <Pages as AddAssign>::add_assign as At]);
    keep([<Pages as Sub>::sub as At, <Pages as SubAssign>::sub_assign as At]);
    keep([<Pages as Sum>::sum::<core::array::IntoIter<Pages, 8>> as At]);
    keep([Zones::of as At]);
    keep([AllocRequest::new as At, AllocRequest::within as At]);
    keep([DmaAddr::new as At, DmaAddr::get as At]);
    keep([StoreId::new as At, <StoreIds as From<StoreId>>::from as At, <u8 as From<StoreId>>::from as At]);
    keep([Handle::new as At, Handle::store as At, Handle::order as At, Handle::value as At]);
    keep([<() as Mode>::index as At, <Caching as Mode>::index as At]);
    keep([Evicted::moved as At, <Evicted as AddAssign>::add_assign as At]);
    keep([Restored::total as At, <Restored as AddAssign>::add_assign as At]);
    keep([ReclaimTarget::moved as At, ReclaimTarget::freed as At, ReclaimTarget::block as At]);
    keep([ReclaimTarget::within as At, <ReclaimTarget as From<Pages>>::from as At, EvictRequest::new as At]);
    let iter: fn(&Refusals) = |refusals| each(Refusals::iter(refusals));
    keep([iter as At, <Refusals as AddAssign>::add_assign as At]);
}

/// An iterator to its end.
fn each(items: impl Iterator) {
    for item in items {
        black_box(&item);
    }
}

/// What `bitflags!` makes.
macro_rules! flags {
    ($set:ident) => {
        keep([$set::empty as At, $set::all as At, $set::bits as At, $set::from_bits as At]);
        keep([$set::from_bits_truncate as At, $set::from_bits_retain as At, $set::from_name as At]);
        keep([$set::is_empty as At, $set::is_all as At, $set::intersects as At, $set::contains as At]);
        keep([$set::insert as At, $set::remove as At, $set::toggle as At, $set::set as At]);
        keep([$set::intersection as At, $set::union as At, $set::difference as At]);
        keep([$set::symmetric_difference as At, $set::complement as At]);
        let (iter, names): (fn(&$set), fn(&$set)) = (|set| each(set.iter()), |set| each(set.iter_names()));
        keep([iter as At, names as At]);
    };
}

fn flag_sets() {
    flags!(Capabilities);
    flags!(Class);
    flags!(Context);
    flags!(Evict);
    flags!(StoreIds);
    flags!(Zones);
}

fn errors() {
    keep([<AccessError as From<Busy>>::from as At, <AccessError as From<StoreError>>::from as At]);
    keep([<AccessError as From<AllocError>>::from as At, <AttachError as From<Busy>>::from as At]);
    keep([<AllocError as From<ModeRefused>>::from as At]);
}

fn locks() {
    let section: fn(fn() -> usize) -> usize = <() as IrqGuard>::with;
    keep([section as At]);
    lock::<NoopRawMutex>(<NoopRawMutex as RawMutex>::lock);
    lock::<SpinRawMutex>(<SpinRawMutex as RawMutex>::lock);
    lock::<CriticalSectionRawMutex>(<CriticalSectionRawMutex as RawMutex>::lock);
}

fn lock<R: RawMutex>(with: fn(&R, fn() -> usize) -> usize) {
    let locked: fn(&Mutex<R, usize>) -> usize = |locked| Mutex::lock(locked, |n| black_box(*n));
    keep([with as At, locked as At, Mutex::<R, usize>::new as At]);
}

fn blocks() {
    keep([<Block as OwnedBlock>::bytes as At, <Little as OwnedBlock>::zero as At]);
}

/// A block that has no quick way to be zeroed.
struct Little(Block);

impl OwnedBlock for Little {
    const PAGE: usize = Block::PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

fn pool<P: Platform>() {
    let lists: fn(&Pool<P>) = |pool| each(Pool::lists(pool));
    keep([Pool::<P>::new as At, Pool::<P>::take as At, Pool::<P>::put as At, Pool::<P>::trim as At]);
    keep([Pool::<P>::ready as At, lists as At, drop_in_place::<Pool<P>> as At]);
    keep([Pool::<P>::take_unzeroed as At, PooledBlock::<P::Block, P::Mode>::write_at as At]);
    keep([<PooledBlock<P::Block, P::Mode> as Deref>::deref as At]);
}

fn free_lists<P: Platform, const N: usize>() {
    type Array<P, const N: usize> = FreeListArray<P, N, 2>;
    keep([Array::<P, N>::new as At, Array::<P, N>::with_limit as At]);
    lists::<P::Block, P::Mode, Array<P, N>>();
    type Cores<P, const N: usize> = PerCore<Array<P, N>, Hart, 2>;
    keep([Cores::<P, N>::new as At, Hart::current as At]);
    lists::<P::Block, P::Mode, Cores<P, N>>();
}

/// Those of free lists of any kind.
fn lists<B: OwnedBlock, M: Mode, L: FreeLists<B, M>>() {
    keep([<L as FreeLists<B, M>>::take as At, <L as FreeLists<B, M>>::put as At]);
    keep([<L as FreeLists<B, M>>::take_reserved as At, <L as FreeLists<B, M>>::unreserve as At]);
    keep([<L as FreeLists<B, M>>::counts as At, <L as FreeLists<B, M>>::batch as At]);
}

/// The only core.
struct Hart;

impl CurrentCore for Hart {
    fn current() -> usize {
        0
    }
}

/// One slice of several blocks: functions with a parameter whose type can't be named there.
type View<L, B, M> = fn(&'static L, BufferId, M, Iter<'static, B>, Context) -> Option<&'static [u8]>;
type ViewMut<L, B, M> =
    fn(&'static L, BufferId, M, IterMut<'static, B>, Context) -> Option<&'static mut [u8]>;

/// The ports of a platform, and each through a reference to it.
fn platform<P: Platform + 'static>()
where
    P::Block: 'static,
    P::Mode: 'static,
{
    keep([<P as Platform>::source as At, <P as Platform>::caching as At, <P as Platform>::dma as At]);
    keep([<P as Platform>::hooks as At, <P as Platform>::accounting as At, <P as Platform>::linear as At]);
    keep([<P as Platform>::lists as At]);

    keep([<&P::Source as FrameSource>::allocate as At, <&P::Source as FrameSource>::free as At]);
    keep([<&P::Source as FrameSource>::join as At, <&P::Source as FrameSource>::supply as At]);
    keep([<&P::Source as FrameSource>::zone as At, <&P::Source as FrameSource>::is_zeroed as At]);
    keep([<&P::Source as FrameSource>::is_poolable as At, <&P::Source as FrameSource>::allocate_more as At]);

    keep([<&P::Caching as CachingControl<P::Block>>::set_mode as At]);
    keep([<&P::Caching as CachingControl<P::Block>>::flush as At]);
    keep([<&P::Caching as CachingControl<P::Block>>::zones_for as At]);
    keep([<&P::Caching as CachingControl<P::Block>>::pools as At]);

    keep([<&P::Dma as DmaMap<P::Block>>::map as At, <&P::Dma as DmaMap<P::Block>>::unmap as At]);
    keep([<&P::Dma as DmaMap<P::Block>>::sync_for_device as At]);
    keep([<&P::Dma as DmaMap<P::Block>>::sync_for_cpu as At]);

    keep([<&P::Hooks as EvictHooks<P::Block>>::before_evict as At]);
    keep([<&P::Hooks as EvictHooks<P::Block>>::after_restore as At]);
    keep([<&P::Hooks as EvictHooks<P::Block>>::released as At, <() as EvictHooks<Block>>::released as At]);
    keep([<&P::Hooks as EvictHooks<P::Block>>::allocation_failed as At]);
    keep([<&P::Hooks as EvictHooks<P::Block>>::second_chance as At]);
    keep([<() as EvictHooks<Block>>::second_chance as At]);
    keep([<() as EvictHooks<Block>>::allocation_failed as At]);
    keep([<&P::Accounting as Accounting>::charge as At, <&P::Accounting as Accounting>::uncharge as At]);

    let view: View<&P::Linear, P::Block, P::Mode> = <&P::Linear as LinearMap<P::Block, P::Mode>>::contiguous;
    let view_mut: ViewMut<&P::Linear, P::Block, P::Mode> =
        <&P::Linear as LinearMap<P::Block, P::Mode>>::contiguous_mut;
    keep([view as At, view_mut as At]);

    lists::<P::Block, P::Mode, &P::Lists>();
}

/// What the traits provide, and what `()` does as a port.
fn provided() {
    type Heap = HeapSource<NoopRawMutex, PAGE>;
    keep([<Heap as FrameSource>::join as At, <Card as FrameSource>::supply as At]);
    keep([<Plain as FrameSource>::zone as At, <Plain as FrameSource>::is_zeroed as At]);
    keep([<Card as FrameSource>::allocate_more as At]);
    keep([<Plain as FrameSource>::is_poolable as At, <AllPorts<Card> as Deref>::deref as At]);
    keep([<() as CachingControl<Block>>::set_mode as At, <() as CachingControl<Block>>::flush as At]);
    keep([<() as CachingControl<Block>>::zones_for as At, <() as CachingControl<Block>>::pools as At]);
    keep([<() as DmaMap<Block>>::map as At, <() as DmaMap<Block>>::unmap as At]);
    keep([<() as DmaMap<Block>>::sync_for_device as At, <() as DmaMap<Block>>::sync_for_cpu as At]);
    keep([<() as EvictHooks<Block>>::before_evict as At, <() as EvictHooks<Block>>::after_restore as At]);
    keep([<() as Accounting>::charge as At, <() as Accounting>::uncharge as At]);
    let view: View<(), Block, ()> = <() as LinearMap<Block, ()>>::contiguous;
    let view_mut: ViewMut<(), Block, ()> = <() as LinearMap<Block, ()>>::contiguous_mut;
    keep([view as At, view_mut as At]);
    lists::<Block, (), ()>();
    keep([<Null as BackingStore<Block>>::capabilities as At, <Null as BackingStore<Block>>::room_of as At]);
    keep([<Null as BackingStore<Block>>::rooms as At]);
    keep([<NoSpace as BackingStore<Block>>::space as At]);
    keep([<Null as BackingStore<Block>>::save as At, <Null as BackingStore<Block>>::transfer as At]);
    keep([<Null as BackingStore<Block>>::load as At, <Null as BackingStore<Block>>::take_back as At]);
    keep([<Null as BackingStore<Block>>::split as At, <Null as BackingStore<Block>>::settle as At]);
}

/// A store that leaves every provided method as it is.
struct NoSpace;

impl BackingStore<Block> for NoSpace {
    fn ids(&self) -> StoreIds {
        StoreIds::empty()
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::WrongStore })
    }
}

/// Those of a store, through a reference to it.
fn store<S: BackingStore<Block> + ?Sized>() {
    keep([<&S as BackingStore<Block>>::ids as At, <&S as BackingStore<Block>>::discard as At]);
    keep([<&S as BackingStore<Block>>::capabilities as At, <&S as BackingStore<Block>>::space as At]);
    keep([<&S as BackingStore<Block>>::room_of as At, <&S as BackingStore<Block>>::save as At]);
    keep([<&S as BackingStore<Block>>::rooms as At]);
    keep([<&S as BackingStore<Block>>::transfer as At, <&S as BackingStore<Block>>::load as At]);
    keep([<&S as BackingStore<Block>>::take_back as At, <&S as BackingStore<Block>>::split as At]);
    keep([<&S as BackingStore<Block>>::settle as At]);
}

fn forebay<P: Platform, S: BackingStore<P::Block>>() {
    keep([Forebay::<P, S>::new as At, Forebay::<P, S>::pool as At, Forebay::<P, S>::platform as At]);
    keep([Forebay::<P, S>::store as At, Forebay::<P, S>::stats as At, Forebay::<P, S>::settle as At]);
    keep([Forebay::<P, S>::free_settled as At, <Forebay<P, S> as AsRef<Forebay<P, S>>>::as_ref as At]);
    keep([reclaim::<P, S> as At, keep_free::<P, S> as At, or_reclaim::<P, S> as At]);
    keep([Forebay::<P, S>::transfer::<Many> as At]);
    keep([<&Forebay<P, S> as Home>::forebay as At]);
}

type Any = &'static dyn Evictable;
type Many = &'static [Any];
type Several = (Many, (Many, [Any; 4]), Many);

/// A list of candidates.
fn candidates() {
    keep([<[Any] as Candidates>::candidate_count as At, <[Any] as Candidates>::find_candidate as At]);
    keep([<[Any] as Candidates>::evict_at as At, <[Any] as Candidates>::candidate_hands as At]);
    keep([Clock::<Many>::new as At, <[Any] as Candidates>::clean_first as At]);
    keep([<[Any] as Candidates>::transfer_at as At]);
}

/// Lists of lists, and with a hand of their own.
fn more_candidates() {
    keep([<[Any; 4] as Candidates>::evict_at as At, <[Any; 4] as Candidates>::transfer_at as At]);
    keep([<&[Any] as Candidates>::transfer_at as At, <Several as Candidates>::transfer_at as At]);
    keep([<Clock<Several> as Candidates>::transfer_at as At]);
    keep([<&[Any] as Candidates>::candidate_count as At, <&[Any] as Candidates>::find_candidate as At]);
    keep([<&[Any] as Candidates>::evict_at as At, <&[Any] as Candidates>::candidate_hands as At]);
    keep([<Several as Candidates>::candidate_count as At, <Several as Candidates>::find_candidate as At]);
    keep([<Several as Candidates>::evict_at as At, <Several as Candidates>::candidate_hands as At]);
    keep([<&[Any] as Candidates>::clean_first as At, <Several as Candidates>::clean_first as At]);
    keep([<Clock<Several> as Candidates>::clean_first as At]);
    keep([<Clock<Several> as Candidates>::candidate_count as At]);
    keep([<Clock<Several> as Candidates>::find_candidate as At]);
    keep([<Clock<Several> as Candidates>::evict_at as At]);
    keep([<Clock<Several> as Candidates>::candidate_hands as At]);
}

/// They take all kinds of targets, so they have no address without one.
fn reclaim<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    (from, target, how, cx): (Many, ReclaimTarget, Evict, Context),
) -> Report {
    Forebay::reclaim(home, from, target, how, cx)
}

fn keep_free<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    (from, ahead, how, cx): (Many, Pages, Evict, Context),
) -> Option<Report> {
    Forebay::keep_free(home, from, ahead, how, cx)
}

fn or_reclaim<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    (from, target, how, cx): (Many, ReclaimTarget, Evict, Context),
    attempt: fn() -> Result<usize, AccessError>,
) -> Result<usize, AccessError> {
    Forebay::or_reclaim(home, from, target, how, cx, attempt)
}

/// An index in a lent slice, and one in an array.
fn index<P: Platform + 'static>() {
    index_in::<P, &mut [usize]>();
    index_in::<P, [usize; 16]>();
    keep([EvictionIndex::<P::RawMutex>::words as At]);
}

fn index_in<P: Platform + 'static, W: AsRef<[usize]> + AsMut<[usize]> + 'static>() {
    keep([EvictionIndex::<P::RawMutex, W>::new as At]);
    keep([EvictionIndex::<P::RawMutex, W>::indexed::<[Slot<P>; 4]> as At]);
    keep([EvictionIndex::<P::RawMutex, W>::candidates::<Any> as At]);
    keep([<IndexedCandidates<Any, P::RawMutex, W> as Candidates>::candidate_count as At]);
    keep([<IndexedCandidates<Any, P::RawMutex, W> as Candidates>::find_candidate as At]);
    keep([<IndexedCandidates<Any, P::RawMutex, W> as Candidates>::evict_at as At]);
    keep([<IndexedCandidates<Any, P::RawMutex, W> as Candidates>::transfer_at as At]);
    keep([<IndexedCandidates<Any, P::RawMutex, W> as Candidates>::candidate_hands as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots>::slots as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots>::side_tables as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots>::addresses as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots>::class_changed as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots>::accessed as At]);
}

/// A policy, what it follows, and a list in its order.
fn policy<P: Platform + 'static>() {
    type Queues<P> = S3Fifo<<P as Platform>::RawMutex, &'static mut [Link]>;
    type Tracked<P> = Follow<'static, [Slot<P>; 4], dyn EvictionPolicy>;
    type Ordered = ByPolicy<'static, Any, dyn EvictionPolicy>;
    keep([Queues::<P>::new as At, Follow::<[Slot<P>; 4], dyn EvictionPolicy>::new as At]);
    keep([<Queues<P> as EvictionPolicy>::add as At, <Queues<P> as EvictionPolicy>::remove as At]);
    keep([<Queues<P> as EvictionPolicy>::accessed as At, <Queues<P> as EvictionPolicy>::select as At]);
    keep([<Tracked<P> as Slots>::class_changed as At, <Tracked<P> as Slots>::accessed as At]);
    keep([<Tracked<P> as Slots>::slots as At, <Tracked<P> as Slots>::side_tables as At]);
    keep([<Tracked<P> as Slots>::addresses as At, <Ordered as Candidates>::clean_first as At]);
    keep([<&Queues<P> as EvictionPolicy>::add as At, <&Queues<P> as EvictionPolicy>::remove as At]);
    keep([<&Queues<P> as EvictionPolicy>::accessed as At, <&Queues<P> as EvictionPolicy>::select as At]);
    keep([ByPolicy::<Any, dyn EvictionPolicy>::new as At, <Ordered as Candidates>::find_candidate as At]);
    keep([<Ordered as Candidates>::evict_at as At, <Ordered as Candidates>::candidate_count as At]);
    keep([<Ordered as Candidates>::transfer_at as At]);
}

type Of<P, S> = &'static Forebay<P, S>;

fn buffer<P: Platform + 'static, S: BackingStore<P::Block> + 'static, T: Slots<Platform = P> + 'static>() {
    keep([Buffer::<Of<P, S>, T>::with_slots as At, Buffer::<Of<P, S>, T>::with_id as At]);
    keep([Buffer::<Of<P, S>, T>::with_mode as At, Buffer::<Of<P, S>, T>::with_zones as At]);
    keep([Buffer::<Of<P, S>, T>::id as At, Buffer::<Of<P, S>, T>::residency as At]);
    keep([Buffer::<Of<P, S>, T>::read as At, Buffer::<Of<P, S>, T>::read_in as At]);
    keep([Buffer::<Of<P, S>, T>::write as At, Buffer::<Of<P, S>, T>::write_in as At]);
    keep([Buffer::<Of<P, S>, T>::restore as At, Buffer::<Of<P, S>, T>::populate as At]);
    keep([Buffer::<Of<P, S>, T>::evict as At, Buffer::<Of<P, S>, T>::evict_mut as At]);
    keep([Buffer::<Of<P, S>, T>::touch as At, <Buffer<Of<P, S>, T> as Evictable>::evict_selected as At]);
    keep([Buffer::<Of<P, S>, T>::set_purgeable as At, Buffer::<Of<P, S>, T>::purge as At]);
    keep([Buffer::<Of<P, S>, T>::discard_copies as At, Buffer::<Of<P, S>, T>::attach_stored as At]);
    keep([<Buffer<Of<P, S>, T> as Evictable>::evict_or_skip as At]);
    keep([<Buffer<Of<P, S>, T> as Evictable>::class as At, drop_in_place::<Buffer<Of<P, S>, T>> as At]);
    keep([<&Buffer<Of<P, S>, T> as Evictable>::evict_or_skip as At]);
    keep([<&Buffer<Of<P, S>, T> as Evictable>::class as At]);
    keep([<Buffer<Of<P, S>, T> as Evictable>::transfer_or_skip as At]);
    keep([<&Buffer<Of<P, S>, T> as Evictable>::transfer_or_skip as At]);
    keep([<&Buffer<Of<P, S>, T> as Evictable>::evict_selected as At]);

    type Read<P, S, T> = Guard<'static, Of<P, S>, T, Shared>;
    let blocks: fn(&Read<P, S, T>) = |guard| each(Guard::blocks(guard));
    let segments: fn(&Read<P, S, T>) = |guard| each(Guard::segments(guard));
    keep([Read::<P, S, T>::read_at as At, Read::<P, S, T>::bytes as At, Read::<P, S, T>::contiguous as At]);
    keep([Read::<P, S, T>::sync_for_device as At, Read::<P, S, T>::sync_for_cpu as At]);
    keep([blocks as At, segments as At, drop_in_place::<Read<P, S, T>> as At]);

    type Write<P, S, T> = WriteGuard<'static, Of<P, S>, T>;
    let blocks: fn(&Write<P, S, T>) = |guard| each(Guard::blocks(guard));
    let segments: fn(&Write<P, S, T>) = |guard| each(Guard::segments(guard));
    keep([Guard::<Of<P, S>, T, Exclusive>::read_at as At, Guard::<Of<P, S>, T, Exclusive>::bytes as At]);
    keep([Write::<P, S, T>::write_at as At, Write::<P, S, T>::contiguous_mut as At]);
    keep([Guard::<Of<P, S>, T, Exclusive>::contiguous as At]);
    keep([Guard::<Of<P, S>, T, Exclusive>::sync_for_device as At]);
    keep([Guard::<Of<P, S>, T, Exclusive>::sync_for_cpu as At]);
    keep([blocks as At, segments as At, drop_in_place::<Write<P, S, T>> as At]);
}

/// What only buffers of some shapes have.
fn shapes<P, S>()
where
    P: Platform<Block: DerefMut<Target = [u8]>> + 'static,
    S: BackingStore<P::Block> + 'static,
{
    keep([Buffer::<Of<P, S>>::new as At, Buffer::<Of<P, S>, [Slot<P>; 8]>::inline as At]);
    type One<P> = Charged<'static, Addressed<'static, [Slot<P>; 1]>>;
    keep([<Guard<'_, Of<P, S>, [Slot<P>; 1], Shared> as Deref>::deref as At]);
    keep([<Guard<'_, Of<P, S>, One<P>, Shared> as Deref>::deref as At]);
    keep([<WriteGuard<'_, Of<P, S>, [Slot<P>; 1]> as DerefMut>::deref_mut as At]);
    keep([<WriteGuard<'_, Of<P, S>, One<P>> as DerefMut>::deref_mut as At]);
}

fn slots<P: Platform + 'static>() {
    type Lent<P> = &'static mut [Slot<P>; 4];
    type Near<P> = Addressed<'static, [Slot<P>; 4]>;
    type Paid<P> = Charged<'static, Addressed<'static, [Slot<P>; 4]>>;
    keep([Addressed::<&mut [Slot<P>]>::new as At, Charged::<Addressed<&mut [Slot<P>]>>::new as At]);
    keep([<Near<P> as Slots>::slots as At, <Near<P> as Slots>::side_tables as At]);
    keep([<Near<P> as Slots>::addresses as At, <Near<P> as Slots>::class_changed as At]);
    keep([<Paid<P> as Slots>::slots as At, <Paid<P> as Slots>::side_tables as At]);
    keep([<Paid<P> as Slots>::addresses as At, <Paid<P> as Slots>::class_changed as At]);
    keep([<[Slot<P>; 4] as Slots>::slots as At, <[Slot<P>; 4] as Slots>::side_tables as At]);
    keep([<[Slot<P>; 4] as Slots>::slots_mut as At, <[Slot<P>; 4] as Slots>::addresses as At]);
    keep([<[Slot<P>; 4] as Slots>::class_changed as At, <[Slot<P>; 4] as Slots>::accessed as At]);
    keep([<Near<P> as Slots>::accessed as At, <Paid<P> as Slots>::accessed as At]);
    keep([<&mut [Slot<P>; 4] as Slots>::slots as At, <Lent<P> as Slots>::side_tables as At]);
    keep([<&mut [Slot<P>] as Slots>::slots as At, <&mut [Slot<P>] as Slots>::side_tables as At]);
    keep([<&mut [Slot<P>] as Slots>::slots_mut as At, <&mut [Slot<P>] as Slots>::addresses as At]);
    keep([<&mut [Slot<P>] as Slots>::class_changed as At, <&mut [Slot<P>] as Slots>::accessed as At]);
}
