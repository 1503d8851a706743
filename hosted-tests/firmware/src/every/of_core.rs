//! The functions of `forebay`.

use crate::machine::{Block, Card, PAGE, Plain, Slow, Tiers};
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
    pool::<Plain, 4>();
    platform::<Plain>();
    store::<Slow>();
    forebay::<Plain, Slow, 4>();
    buffer::<Plain, Slow, [Slot<Plain>; 1]>();
    shapes::<Plain, Slow>();
    slots::<Plain>();
    rosters::<Plain>();
    berth::<Plain, Slow>();
}

/// The same for more shapes, on the machine with everything, and of stores that are not known: other code comes of it.
pub fn again() {
    buffer::<Plain, Slow, &mut [Slot<Plain>]>();
    pool::<Card, 72>(); // four orders, three modes, three zones, two of each
    platform::<Card>();
    store::<Tiers>();
    store::<dyn BackingStore<Block>>();
    forebay::<Card, Tiers, 72>();
    buffer::<Card, Tiers, Charged<Addressed<&mut [Slot<Card>]>>>();
    buffer::<Card, Tiers, [Slot<Card>; 1]>();
    shapes::<Card, Tiers>();
    slots::<Card>();
    rosters::<Card>();
    berth::<Card, Tiers>();
    buffer::<Card, Tiers, Indexed<Addressed<&mut [Slot<Card>]>, <Card as Platform>::Lock, [usize; 16]>>();
}

/// As text.
pub fn shown() {
    keep([<AttachError as Display>::fmt as At, <Busy as Display>::fmt as At]);
    keep([<Evicted as Display>::fmt as At, <MapRefused as Display>::fmt as At]);
    keep([<ModeRefused as Display>::fmt as At, <AllocError as Display>::fmt as At]);
    keep([<OverLimit as Display>::fmt as At, <Pages as Display>::fmt as At]);
    keep([<AccessError as Display>::fmt as At, <PoolTable<Plain> as Display>::fmt as At]);
    keep([<Refusals as Display>::fmt as At, <Refused<Handle, StoreError> as Display>::fmt as At]);
    keep([<Report as Display>::fmt as At, <Restored as Display>::fmt as At]);
    keep([<Settled as Display>::fmt as At, <Snapshot<Plain> as Display>::fmt as At]);
    keep([<Stats as Display>::fmt as At, <RefusalReason as Display>::fmt as At]);
    keep([<StoreError as Display>::fmt as At, <AllocError as Display>::fmt as At]);
    keep([<TooShort as Display>::fmt as At, <Outcome as Display>::fmt as At]);
    keep([<IndexFull as Display>::fmt as At]);
}

fn values() {
    keep([Pfn as At, Pfn::get as At, Pfn::is_aligned as At]);
    keep([Order::new as At, Order::for_pages as At, Order::get as At, Order::pages as At]);
    keep([Order::lower as At, Order::higher as At]);
    keep([Pages::new as At, Pages::get as At]);
    keep([<Pages as Add>::add as At, <Pages as AddAssign>::add_assign as At]);
    keep([<Pages as Sub>::sub as At, <Pages as SubAssign>::sub_assign as At]);
    keep([<Pages as Sum>::sum::<core::array::IntoIter<Pages, 8>> as At]);
    keep([Zone::new as At, Zone::get as At, Zone::only as At]);
    keep([Zones::union as At, Zones::intersection as At, Zones::contains as At, Zones::is_empty as At]);
    keep([<Zones as Default>::default as At]);
    keep([AllocRequest::of as At, AllocRequest::within as At, AllocRequest::worth_reclaiming_at as At]);
    keep([DmaAddr::new as At, DmaAddr::get as At, DmaAddr::checked_add as At]);
    keep([Charge::new as At, Charge::get as At]);
    keep([StoreId::new as At, StoreId::get as At, StoreId::only as At]);
    keep([StoreIds::union as At, StoreIds::overlaps as At, StoreIds::contains as At]);
    keep([Handle::new as At, Handle::store as At, Handle::order as At, Handle::pages as At]);
    keep([Handle::value as At]);
    keep([Space::new as At, Shelf::ready as At]);
    keep([<() as Mode>::index as At, <Caching as Mode>::index as At]);
    keep([Evicted::moved as At, Evicted::freed as At, <Evicted as AddAssign>::add_assign as At]);
    keep([Restored::total as At, Restored::into_result as At, <Restored as AddAssign>::add_assign as At]);
    keep([Report::freed as At, Stats::freed as At]);
    keep([ReclaimTarget::moved as At, ReclaimTarget::freed as At, ReclaimTarget::block as At, ReclaimTarget::within as At, EvictRequest::new as At]);
    keep([<ReclaimTarget as From<Pages>>::from as At]);
    let iter: fn(&Refusals) = |refusals| each(Refusals::iter(refusals));
    keep([Refusals::of as At, iter as At, <Refusals as AddAssign>::add_assign as At]);
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
    flags!(Effort);
    flags!(Evict);
}

fn errors() {
    let map: fn(Refused<Handle, StoreError>) -> Refused<usize, StoreError> =
        |refused| Refused::map(refused, black_box(|handle: Handle| handle.value()));
    keep([Refused::<Block, StoreError>::new as At, map as At]);
    keep([<AccessError as From<Busy>>::from as At, <AccessError as From<MapRefused>>::from as At]);
    keep([<AccessError as From<OverLimit>>::from as At, <AccessError as From<StoreError>>::from as At]);
    keep([<AccessError as From<AllocError>>::from as At]);
    keep([<AttachError as From<Busy>>::from as At, <AttachError as From<OverLimit>>::from as At]);
    keep([<AllocError as From<AllocError>>::from as At]);
    keep([<AllocError as Shortage>::is_shortage as At, <AllocError as Shortage>::is_shortage as At]);
    keep([<AccessError as Shortage>::is_shortage as At]);
}

fn locks() {
    let section: fn(fn() -> usize) -> usize = <() as IrqGuard>::with;
    keep([section as At]);
    lock::<NoopRawMutex>(<NoopRawMutex as RawMutex>::with);
    lock::<SpinRawMutex>(<SpinRawMutex as RawMutex>::with);
    lock::<CriticalSectionRawMutex>(<CriticalSectionRawMutex as RawMutex>::with);
}

fn lock<L: RawMutex>(with: fn(&L, fn() -> usize) -> usize) {
    let locked: fn(&Mutex<L, usize>) -> usize = |locked| Mutex::with(locked, |n| black_box(*n));
    keep([with as At, locked as At, Mutex::<L, usize>::new as At, Mutex::<L, usize>::get_mut as At]);
}

fn blocks() {
    keep([<Block as OwnedBlock>::bytes as At, <Block as OwnedBlock>::pages as At]);
    keep([<Little as OwnedBlock>::zero as At]);
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

fn pool<P: Platform<Block: DerefMut<Target = [u8]>>, const N: usize>() {
    keep([Pool::<P, [Place<P>; N]>::new as At, Pool::<P, [Place<P>; N]>::with_limit as At]);
    keep([Pool::<P, [Place<P>; N]>::with_wipe as At]);
    keep([Pool::<P, [Place<P>; N]>::with_beneficial_order as At]);
    let shelves: fn(&Pool<P>) = |pool| each(Pool::shelves(pool));
    keep([Pool::<P>::platform as At, Pool::<P>::release as At, Pool::<P>::table as At, shelves as At]);
    keep([Pool::<P>::take as At, Pool::<P>::take_for as At, Pool::<P>::take_up_to as At]);
    keep([Pool::<P>::give as At, Pool::<P>::trim as At, Pool::<P>::trim_within as At]);
    keep([Pool::<P>::ready as At, Pool::<P>::ready_within as At, Pool::<P>::shelf as At]);
    keep([drop_in_place::<Pool<P, [Place<P>; N]>> as At]);
    keep([PooledBlock::<P>::plain as At, PooledBlock::<P>::block as At, PooledBlock::<P>::write_at as At]);
    keep([PooledBlock::<P>::zero as At, PooledBlock::<P>::bytes_mut as At, PooledBlock::<P>::mode as At]);
    keep([PooledBlock::<P>::into_mode as At, PooledBlock::<P>::into_plain as At]);
}

/// One slice of several blocks, and what ends it: functions with a parameter whose type can't be named there.
type View<P> = fn(&'static P, BufferId, Modes<P>, Iter<'static, Blocks<P>>, Context) -> Option<&'static [u8]>;
type ViewMut<P> =
    fn(&'static P, BufferId, Modes<P>, IterMut<'static, Blocks<P>>, Context) -> Option<&'static mut [u8]>;
type Before<P> = fn(&'static P, BufferId, IterMut<'static, Blocks<P>>, Context) -> Result<(), Busy>;
type Blocks<P> = <P as Platform>::Block;
type Modes<P> = <P as Platform>::Mode;

/// Those of a machine, through a reference to it.
fn platform<P: Platform + 'static>() {
    let (view, view_mut): (View<&P>, ViewMut<&P>) =
        (<&P as Platform>::contiguous, <&P as Platform>::contiguous_mut);
    let before: Before<&P> = <&P as Platform>::before_evict_with;
    keep([view as At, view_mut as At, before as At]);
    keep([<&P as Platform>::allocate as At, <&P as Platform>::allocate_for as At]);
    keep([<&P as Platform>::release as At, <&P as Platform>::join as At, <&P as Platform>::zone as At]);
    keep([<&P as Platform>::zones_for as At, <&P as Platform>::keep as At, <&P as Platform>::wiped as At]);
    keep([<&P as Platform>::available as At]);
    keep([<&P as Platform>::set_mode as At, <&P as Platform>::flush as At]);
    keep([<&P as Platform>::map as At, <&P as Platform>::unmap as At]);
    keep([<&P as Platform>::sync_for_device as At, <&P as Platform>::sync_for_cpu as At]);
    keep([<&P as Platform>::charge as At, <&P as Platform>::uncharge as At]);
    keep([<&P as Platform>::before_evict as At, <&P as Platform>::after_restore as At]);
}

/// What the simplest machine is given.
fn provided() {
    let (view, view_mut): (View<Card>, ViewMut<Card>) =
        (<Card as Platform>::contiguous, <Card as Platform>::contiguous_mut);
    let before: Before<Card> = <Card as Platform>::before_evict_with;
    keep([view as At, view_mut as At, before as At]);
    keep([<Plain as Platform>::zone as At, <Plain as Platform>::zones_for as At]);
    keep([<Plain as Platform>::keep as At, <Plain as Platform>::wiped as At]);
    keep([<Plain as Platform>::allocate_for as At, <HeapSource<NoopRawMutex, PAGE> as Platform>::join as At]);
    keep([<HeapSource<NoopRawMutex, PAGE> as Platform>::available as At]);
    keep([<Plain as Platform>::set_mode as At, <Plain as Platform>::flush as At]);
    keep([<Plain as Platform>::map as At, <Plain as Platform>::unmap as At]);
    keep([<Plain as Platform>::sync_for_device as At, <Plain as Platform>::sync_for_cpu as At]);
    keep([<Plain as Platform>::charge as At, <Plain as Platform>::uncharge as At]);
    keep([<Plain as Platform>::before_evict as At, <Plain as Platform>::after_restore as At]);
    keep([<Null as BackingStore<Block>>::owns as At, <Null as BackingStore<Block>>::capabilities as At]);
    keep([<Null as BackingStore<Block>>::space as At, <Null as BackingStore<Block>>::room_of as At]);
    keep([<Null as BackingStore<Block>>::save as At, <Null as BackingStore<Block>>::save_for as At]);
    keep([<Null as BackingStore<Block>>::transfer as At, <Null as BackingStore<Block>>::transfer_for as At]);
    keep([<Null as BackingStore<Block>>::load as At, <Null as BackingStore<Block>>::take_back as At]);
    keep([<Null as BackingStore<Block>>::split as At, <Null as BackingStore<Block>>::settle as At]);
}

/// Those of a store, and through a reference to it.
fn store<S: BackingStore<Block> + ?Sized>() {
    keep([<&S as BackingStore<Block>>::ids as At, <&S as BackingStore<Block>>::discard as At]);
    keep([<&S as BackingStore<Block>>::owns as At, <&S as BackingStore<Block>>::capabilities as At]);
    keep([<&S as BackingStore<Block>>::space as At, <&S as BackingStore<Block>>::room_of as At]);
    keep([<&S as BackingStore<Block>>::save as At, <&S as BackingStore<Block>>::save_for as At]);
    keep([<&S as BackingStore<Block>>::transfer as At, <&S as BackingStore<Block>>::transfer_for as At]);
    keep([<&S as BackingStore<Block>>::load as At, <&S as BackingStore<Block>>::take_back as At]);
    keep([<&S as BackingStore<Block>>::split as At, <&S as BackingStore<Block>>::settle as At]);
}

fn forebay<P: Platform, S: BackingStore<P::Block>, const N: usize>() {
    keep([Forebay::<P, S, [Place<P>; N]>::new as At, Forebay::<P, S, [Place<P>; N]>::of as At]);
    keep([Forebay::<P, S>::pool as At, Forebay::<P, S>::platform as At, Forebay::<P, S>::store as At]);
    keep([Forebay::<P, S>::stats as At, Forebay::<P, S>::snapshot as At]);
    keep([reclaim::<P, S> as At, keep_free::<P, S> as At, or_reclaim::<P, S> as At]);
    keep([<Many as Clone>::clone as At]);
    keep([<Many as From<&[&dyn Evictable]>>::from as At, <Many as From<&[&dyn Evictable; 4]>>::from as At]);
    keep([Forebay::<P, S>::settle as At, Forebay::<P, S>::take_home as At]);
    let shelves: fn(&Snapshot<P>) = |snapshot| each(Snapshot::shelves(snapshot));
    keep([shelves as At, Snapshot::<P>::table as At]);
}

/// They take whatever becomes candidates, so they have no address without that.
fn reclaim<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    (over, want, how, cx): (Many<'static>, ReclaimTarget, Evict, Context),
) -> Report {
    Forebay::reclaim(home, over, want, how, cx)
}

fn keep_free<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    (over, ahead, how, cx): (Many<'static>, Pages, Evict, Context),
) -> Option<Report> {
    Forebay::keep_free(home, over, ahead, how, cx)
}

fn or_reclaim<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    (over, want, how, cx): (Many<'static>, ReclaimTarget, Evict, Context),
    attempt: fn() -> Result<usize, AccessError>,
) -> Result<usize, AccessError> {
    Forebay::or_reclaim(home, over, want, how, cx, attempt)
}

type Many<'h> = Candidates<'h, &'h dyn Evictable>;

/// A roster in a lent slice, and one in an array.
fn rosters<P: Platform + 'static>() {
    roster::<P, &mut [usize]>();
    roster::<P, [usize; 16]>();
    keep([EvictionIndex::<P::RawMutex>::words as At]);
}

fn roster<P: Platform + 'static, W: AsRef<[usize]> + AsMut<[usize]> + 'static>() {
    keep([EvictionIndex::<P::RawMutex, W>::new as At, EvictionIndex::<P::RawMutex, W>::seats as At]);
    keep([
        EvictionIndex::<P::RawMutex, W>::list::<[Slot<P>; 4]> as At,
        EvictionIndex::<P::RawMutex, W>::of::<&dyn Evictable> as At,
    ]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots<P>>::slots as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots<P>>::parts as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots<P>>::addresses as At]);
    keep([<Indexed<[Slot<P>; 4], P::RawMutex, W> as Slots<P>>::sorted as At]);
}

fn berth<P: Platform + 'static, S: BackingStore<P::Block> + 'static>() {
    keep([
        Berth::<P::RawMutex, Buffer<P, S>>::new as At,
        <Berth<P::RawMutex, Buffer<P, S>> as Default>::default as At,
    ]);
    keep([Berth::<P::RawMutex, Buffer<P, S>>::put as At, Berth::<P::RawMutex, Buffer<P, S>>::take as At]);
    keep([Berth::<P::RawMutex, Buffer<P, S>>::get as At]);
    keep([<Guest<P::RawMutex, Buffer<P, S>> as Deref>::deref as At]);
    keep([<Berth<P::RawMutex, Buffer<P, S>> as Evictable>::evict_if_idle as At]);
    keep([drop_in_place::<Berth<P::RawMutex, Buffer<P, S>>> as At]);
}

fn buffer<P: Platform + 'static, S: BackingStore<P::Block> + 'static, T: Slots<P> + 'static>() {
    keep([Buffer::<P, S, T>::of as At, Buffer::<P, S, T>::with_unit as At, Buffer::<P, S, T>::with_id as At]);
    keep([Buffer::<P, S, T>::with_mode as At, Buffer::<P, S, T>::within as At]);
    keep([Buffer::<P, S, T>::id as At, Buffer::<P, S, T>::unit as At, Buffer::<P, S, T>::mode as At]);
    keep([Buffer::<P, S, T>::read as At, Buffer::<P, S, T>::read_in as At]);
    keep([Buffer::<P, S, T>::write as At, Buffer::<P, S, T>::write_in as At]);
    keep([Buffer::<P, S, T>::restore as At, Buffer::<P, S, T>::populate as At]);
    keep([Buffer::<P, S, T>::evict as At, Buffer::<P, S, T>::evict_mut as At]);
    keep([Buffer::<P, S, T>::advise as At, Buffer::<P, S, T>::purge as At, Buffer::<P, S, T>::discard as At]);
    keep([Buffer::<P, S, T>::attach_stored as At, Buffer::<P, S, T>::residency as At]);
    keep([<Buffer<P, S, T> as Evictable>::evict_if_idle as At, drop_in_place::<Buffer<P, S, T>> as At]);
    keep([<&Buffer<P, S, T> as Evictable>::evict_if_idle as At]);

    let blocks: fn(&Read<P, T>) = |guard| each(Read::blocks(guard));
    let segments: fn(&Read<P, T>) = |guard| each(Read::segments(guard));
    keep([Read::<P, T>::read_at as At, Read::<P, T>::bytes as At, Read::<P, T>::address as At]);
    keep([Read::<P, T>::sync_for_device as At, Read::<P, T>::sync_for_cpu as At]);
    keep([Read::<P, T>::contiguous as At]);
    keep([blocks as At, segments as At, drop_in_place::<Read<P, T>> as At]);

    let blocks: fn(&Write<P, T>) = |guard| each(Write::blocks(guard));
    let segments: fn(&Write<P, T>) = |guard| each(Write::segments(guard));
    keep([Write::<P, T>::read_at as At, Write::<P, T>::write_at as At, Write::<P, T>::bytes as At]);
    keep([Write::<P, T>::sync_for_device as At, Write::<P, T>::sync_for_cpu as At]);
    keep([Write::<P, T>::contiguous as At, Write::<P, T>::contiguous_mut as At]);
    keep([blocks as At, segments as At, Write::<P, T>::address as At, drop_in_place::<Write<P, T>> as At]);
}

/// What only buffers of some shapes have.
fn shapes<P, S>()
where
    P: Platform<Block: DerefMut<Target = [u8]>> + 'static,
    S: BackingStore<P::Block> + 'static,
{
    keep([Buffer::<P, S>::new as At, Buffer::<P, S, [Slot<P>; 8]>::inline as At]);
    keep([Buffer::<P, S, &mut [Slot<P>]>::over as At]);
    keep([<Read<P> as Deref>::deref as At, <Write<P> as Deref>::deref as At]);
    keep([<Write<P> as DerefMut>::deref_mut as At]);
    type One<'m, P> = Charged<'m, Addressed<'m, [Slot<P>; 1]>>;
    keep([<Read<P, One<P>> as Deref>::deref as At, <Write<P, One<P>> as DerefMut>::deref_mut as At]);
}

fn slots<P: Platform + 'static>() {
    keep([Addressed::<&mut [Slot<P>]>::new::<P> as At, Charged::<Addressed<&mut [Slot<P>]>>::new::<P> as At]);
    keep([<Addressed<[Slot<P>; 4]> as Slots<P>>::slots as At]);
    keep([<Addressed<[Slot<P>; 4]> as Slots<P>>::parts as At]);
    keep([<Addressed<[Slot<P>; 4]> as Slots<P>>::addresses as At]);
    keep([<Charged<Addressed<[Slot<P>; 4]>> as Slots<P>>::slots as At]);
    keep([<Charged<Addressed<[Slot<P>; 4]>> as Slots<P>>::parts as At]);
    keep([<Charged<Addressed<[Slot<P>; 4]>> as Slots<P>>::addresses as At]);
    keep([<[Slot<P>; 4] as Slots<P>>::slots as At, <[Slot<P>; 4] as Slots<P>>::parts as At]);
    keep([<[Slot<P>; 4] as Slots<P>>::slots_mut as At, <[Slot<P>; 4] as Slots<P>>::addresses as At]);
    keep([<[Slot<P>; 4] as Slots<P>>::sorted as At, <Addressed<[Slot<P>; 4]> as Slots<P>>::sorted as At]);
    keep([<Charged<Addressed<[Slot<P>; 4]>> as Slots<P>>::sorted as At]);
}
