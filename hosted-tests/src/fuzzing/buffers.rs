//! Buffers of all shapes under one type, each with a model of its bytes.

use super::index::Index;
use super::ops::{Indexing, Shape};
use forebay::{
    AccessError, AttachError, BackingStore, Buffer, BufferId, Busy, Caching, Context, Evict, Evictable,
    Forebay, Handle, Home, OwnedBlock, Pages, Platform, Refused, Slot, WriteGuard, Zones,
    buffer::{self, Access, Addressed, Charged, Class, Residency, Slots},
    frame::{Charge, DmaAddr, Segment},
    stats::{Evicted, Restored},
};
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// Slots, and what may be beside them.
pub(super) struct Room<P: Platform> {
    slots: [Slot<P>; 16],
    addresses: [Option<DmaAddr>; 16],
    charges: [Option<Charge>; 16],
}

impl<P: Platform> Room<P> {
    pub(super) const EMPTY: Self =
        Room { slots: [const { Slot::EMPTY }; 16], addresses: [None; 16], charges: [None; 16] };
}

/// A buffer of any shape.
pub(super) trait AnyBuffer: Evictable {
    fn read(&self, cx: Context) -> Result<Guard<'_>, AccessError>;
    fn write(&self, cx: Context) -> Result<Guard<'_>, AccessError>;
    fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy>;
    fn evict_mut(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted;
    fn restore(&self, budget: Pages, cx: Context) -> Restored;
    fn populate(&self, budget: Pages, cx: Context) -> Restored;
    fn discard_copies(&self) -> Result<Pages, Busy>;
    fn attach_stored(
        &self,
        at: usize,
        handle: Handle,
        cx: Context,
    ) -> Result<(), Refused<Handle, AttachError>>;
    fn id(&self) -> BufferId;
    fn residency(&self) -> Result<Residency, Busy>;
    fn set_purgeable(&self, purgeable: bool) -> Result<bool, Busy>;
    fn purge(&self, cx: Context) -> Result<(), Busy>;
}

impl<H: Home, T: Slots<Platform = H::Platform>> AnyBuffer for Buffer<H, T> {
    fn read(&self, cx: Context) -> Result<Guard<'_>, AccessError> {
        Ok(Guard::Read(Box::new(self.read_in(cx)?)))
    }
    fn write(&self, cx: Context) -> Result<Guard<'_>, AccessError> {
        Ok(Guard::Write(Box::new(self.write_in(cx)?)))
    }
    fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy> {
        self.evict(budget, how, cx)
    }
    fn evict_mut(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        self.evict_mut(budget, how, cx)
    }
    fn restore(&self, budget: Pages, cx: Context) -> Restored {
        self.restore(budget, cx)
    }
    fn populate(&self, budget: Pages, cx: Context) -> Restored {
        self.populate(budget, cx)
    }
    fn discard_copies(&self) -> Result<Pages, Busy> {
        self.discard_copies()
    }
    fn attach_stored(
        &self,
        at: usize,
        handle: Handle,
        cx: Context,
    ) -> Result<(), Refused<Handle, AttachError>> {
        self.attach_stored(at, handle, cx)
    }
    fn id(&self) -> BufferId {
        self.id()
    }
    fn residency(&self) -> Result<Residency, Busy> {
        self.residency()
    }
    fn set_purgeable(&self, purgeable: bool) -> Result<bool, Busy> {
        self.set_purgeable(purgeable)
    }
    fn purge(&self, cx: Context) -> Result<(), Busy> {
        self.purge(cx)
    }
}

/// A guard of any shape.
pub(super) enum Guard<'g> {
    Read(Box<dyn Look + 'g>),
    Write(Box<dyn Change + 'g>),
}

/// What every guard can do.
pub(super) trait Look {
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize;
    fn bytes(&self) -> usize;
    /// All of it as one slice, if there is one.
    fn contiguous(&self) -> Option<&[u8]>;
    /// The scatter list: nothing if the buffer keeps no addresses.
    fn segments(&self) -> Vec<Segment>;
    /// Bytes of its blocks, which lie behind each other.
    fn block_bytes(&self) -> usize;
    /// How many bytes of that range a device and the CPU are told of.
    fn sync(&self, range: Range<usize>) -> [usize; 2];
}

/// What a guard for writing can do.
pub(super) trait Change: Look {
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize;
    fn contiguous_mut(&mut self) -> Option<&mut [u8]>;
}

impl<H: Home, T: Slots<Platform = H::Platform>, A: Access> Look for buffer::Guard<'_, H, T, A> {
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.read_at(at, to)
    }
    fn bytes(&self) -> usize {
        buffer::Guard::bytes(self)
    }
    fn contiguous(&self) -> Option<&[u8]> {
        self.contiguous(Context::THREAD)
    }
    fn segments(&self) -> Vec<Segment> {
        self.segments().collect()
    }
    fn block_bytes(&self) -> usize {
        self.blocks().fold(0, |end, (at, block)| if at == end { end + block.bytes() } else { end })
    }
    fn sync(&self, range: Range<usize>) -> [usize; 2] {
        [self.sync_for_device(range.clone()), self.sync_for_cpu(range)]
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> Change for WriteGuard<'_, H, T> {
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.write_at(at, from)
    }
    fn contiguous_mut(&mut self) -> Option<&mut [u8]> {
        self.contiguous_mut(Context::THREAD)
    }
}

impl Guard<'_> {
    pub(super) fn look(&self) -> &dyn Look {
        match self {
            Guard::Read(guard) => &**guard,
            Guard::Write(guard) => &**guard,
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self, Guard::Write(_))
    }
}

/// A buffer, and what must be true of it.
pub(super) struct Kept<'b> {
    buffer: Box<dyn AnyBuffer + 'b>,
    pub(super) shape: Shape,
    pub(super) id: BufferId,
    /// Bytes of a page.
    page: usize,
    model: RefCell<Vec<u8>>,
    pub(super) readers: Cell<usize>,
    pub(super) writer: Cell<bool>,
    /// What its owner said last.
    purgeable: Cell<bool>,
}

impl<'b> Kept<'b> {
    /// An empty buffer; one of several slots takes them from `rooms`.
    pub(super) fn new<P: Platform<Mode = Caching>, S: BackingStore<P::Block>>(
        home: &'b Forebay<P, S>,
        shape: Shape,
        id: usize,
        index: &'b Index,
        rooms: &mut impl Iterator<Item = &'b mut Room<P>>,
    ) -> Option<Self> {
        let buffer = make(home, shape, id, Zones::ALL, index, rooms)?;
        Some(Kept {
            buffer,
            shape,
            id: BufferId(id),
            page: P::Block::PAGE,
            model: RefCell::new(vec![0; shape.pages() * P::Block::PAGE]),
            readers: Cell::new(0),
            writer: Cell::new(false),
            purgeable: Cell::new(false),
        })
    }

    pub(super) fn as_dyn(&self) -> &(dyn AnyBuffer + 'b) {
        &*self.buffer
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.readers.get() > 0 || self.writer.get()
    }

    pub(super) fn read(&self, cx: Context) -> Result<Guard<'_>, AccessError> {
        self.buffer.read(cx)
    }

    pub(super) fn write(&self, cx: Context) -> Result<Guard<'_>, AccessError> {
        self.buffer.write(cx)
    }

    pub(super) fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy> {
        self.buffer.evict(budget, how, cx)
    }

    pub(super) fn evict_mut(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        self.buffer.evict_mut(budget, how, cx)
    }

    pub(super) fn restore(&self, budget: Pages, cx: Context) -> Restored {
        self.buffer.restore(budget, cx)
    }

    pub(super) fn residency(&self) -> Result<Residency, Busy> {
        self.buffer.residency()
    }

    /// Says whether it is needed. The contents are zeros from now on if a reclaim dropped them.
    pub(super) fn set_purgeable(&self, purgeable: bool) -> Result<bool, Busy> {
        let is_there = self.buffer.set_purgeable(purgeable)?;
        let was = self.purgeable.replace(purgeable);
        if !is_there {
            assert!(was || self.model.borrow().iter().all(|byte| *byte == 0));
            self.model.borrow_mut().fill(0);
        }
        Ok(is_there)
    }

    /// Learns whether a reclaim dropped the contents, as it may.
    pub(super) fn catch_up(&self) {
        if self.purgeable.get() && !self.is_guarded() {
            assert!(self.set_purgeable(true).is_ok(), "{:?} is busy without a guard", self.id);
        }
    }

    pub(super) fn may_be_purged(&self, how: Evict) -> bool {
        self.purgeable.get() && how.contains(Evict::PURGE)
    }

    pub(super) fn purge(&self) -> Result<(), Busy> {
        self.buffer.purge(Context::THREAD)?;
        self.model.borrow_mut().fill(0);
        Ok(())
    }

    /// What an index has to say of it at least.
    pub(super) fn class(&self, is: Residency) -> Class {
        let (resident, contents) = (is.resident > Pages::ZERO, is.resident + is.stored > Pages::ZERO);
        let mut class = Class::empty();
        class.set(Class::RESIDENT, resident);
        class.set(Class::CLEAN, is.clean > Pages::ZERO);
        class.set(Class::PURGEABLE, contents && self.purgeable.get());
        class
    }

    /// Drops the contents, and does not tell the model.
    pub(super) fn lose(&self) {
        let _ = self.buffer.purge(Context::THREAD);
    }

    /// Every byte is what the model says.
    #[track_caller]
    pub(super) fn compare(&self, guard: &Guard<'_>) {
        let (model, guard) = (self.model.borrow(), guard.look());
        assert_eq!(guard.bytes(), model.len(), "{:?} has another length", self.id);
        let segments = guard.segments();
        if self.shape.is_full() {
            let end =
                segments.iter().fold(0, |at, segment| if segment.at == at { at + segment.bytes } else { at });
            assert_eq!(end, model.len(), "{:?} is not all of it in its scatter list: {segments:?}", self.id);
        } else {
            assert!(segments.is_empty(), "{:?} keeps no addresses: {segments:?}", self.id);
        }
        let mut bytes = vec![0x77; model.len() + 1];
        assert_eq!(guard.read_at(0, &mut bytes), model.len(), "{:?} is not resident under a guard", self.id);
        bytes.truncate(model.len());
        let slice = guard.contiguous();
        assert!(slice.is_none_or(|slice| slice == bytes), "{:?} has other bytes as one slice", self.id);
        if bytes == *model {
            return;
        }
        if let Some(at) = (0..bytes.len()).find(|&i| bytes[i] != model[i]) {
            let (is, was) = (bytes[at], model[at]);
            panic!("{:?}: byte {at} (page {}) is {is:#x} and should be {was:#x}", self.id, at / self.page);
        }
    }

    /// Writes a pattern of `len` bytes through a guard that may; every other one through the slice, where there is one.
    pub(super) fn put(&self, guard: &mut Guard<'_>, at: usize, len: usize, byte: u8) {
        let Guard::Write(guard) = guard else { return };
        let mut model = self.model.borrow_mut();
        let bytes = pattern(len, byte);
        let fits = len.min(model.len().saturating_sub(at));
        let slice = if byte % 2 == 1 { guard.contiguous_mut() } else { None };
        if let Some(part) = slice.and_then(|slice| slice.get_mut(at..at + fits)) {
            part.copy_from_slice(&bytes[..fits]);
            model[at..at + fits].copy_from_slice(&bytes[..fits]);
            return;
        }
        assert_eq!(guard.write_at(at, &bytes), fits, "{:?}: {len} bytes at {at}", self.id);
        if let Some(part) = model.get_mut(at..at + fits) {
            part.copy_from_slice(&bytes[..fits]);
        }
    }
}

/// An empty buffer; one of several slots takes them from `rooms`.
pub(super) fn make<'b, P: Platform<Mode = Caching>, S: BackingStore<P::Block>>(
    home: &'b Forebay<P, S>,
    shape: Shape,
    id: usize,
    zones: Zones,
    index: &'b Index,
    rooms: &mut impl Iterator<Item = &'b mut Room<P>>,
) -> Option<Box<dyn AnyBuffer + 'b>> {
    let made = Maker { home, shape, id, zones };
    let indexing = shape.indexing();
    Some(match shape.slots() {
        None if indexing == Indexing::No => made.over([Slot::EMPTY]),
        None => made.over(index.slots(id, [Slot::EMPTY])),
        Some(count) => {
            let Room { slots, addresses, charges } = rooms.next()?;
            let slots = slots.get_mut(..count)?;
            match (shape.is_full(), indexing) {
                (false, Indexing::No) => made.over(slots),
                (false, _) => made.over(index.slots(id, slots)),
                (true, Indexing::No) => {
                    made.over(Charged::new(Addressed::new(slots, addresses).ok()?, charges).ok()?)
                }
                (true, Indexing::Inside) => {
                    let slots = Addressed::new(index.slots(id, slots), addresses).ok()?;
                    made.over(Charged::new(slots, charges).ok()?)
                }
                (true, Indexing::Around) => {
                    let slots = Charged::new(Addressed::new(slots, addresses).ok()?, charges).ok()?;
                    made.over(index.slots(id, slots))
                }
            }
        }
    })
}

/// Makes a buffer of that shape over any slots.
struct Maker<'b, P: Platform, S> {
    home: &'b Forebay<P, S>,
    shape: Shape,
    id: usize,
    zones: Zones,
}

impl<'b, P: Platform<Mode = Caching>, S: BackingStore<P::Block>> Maker<'b, P, S> {
    fn over<T: Slots<Platform = P> + 'b>(self, slots: T) -> Box<dyn AnyBuffer + 'b> {
        let buffer = Buffer::with_slots(self.home, slots, self.shape.unit());
        Box::new(buffer.with_id(BufferId(self.id)).with_mode(self.shape.mode()).with_zones(self.zones))
    }
}

/// `len` bytes. After each 61 the byte changes, so that no two pages are equal.
pub(super) fn pattern(len: usize, byte: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (part, n) in bytes.chunks_mut(61).zip((0..=u8::MAX).cycle()) {
        part.fill(byte.wrapping_add(n));
    }
    bytes
}
