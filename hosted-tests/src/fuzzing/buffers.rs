//! Buffers of all shapes under one type, each with a model of its bytes.

use super::ops::{Listing, Shape};
use super::seats::{Book, Seat};
use forebay::{
    AccessError, BackingStore, Buffer, BufferId, Busy, Caching, Class, Context, Evict, Evictable, Forebay,
    OwnedBlock, Pages, Platform, Read, Slot, Write,
    buffer::{Addressed, Charged, EvictRequest, Residency, Slots},
    frame::{Charge, DmaAddr, Segment},
    stats::{Evicted, Restored},
};
use std::cell::{Cell, RefCell};

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

type Tile<'m, P> = Seat<'m, [Slot<P>; 1]>;
type Run<'m, P> = Seat<'m, &'m mut [Slot<P>]>;
/// Slots with all that may be beside them; on the roster, if at all, either inside of that or around it.
type Full<'m, P> = Seat<'m, Charged<'m, Addressed<'m, Run<'m, P>>>>;

/// Any shape.
pub(super) enum Shaped<'h, 'm, P: Platform, S: BackingStore<P::Block>> {
    Tile(Buffer<'h, P, S, Tile<'m, P>>),
    Run(Buffer<'h, P, S, Run<'m, P>>),
    Full(Buffer<'h, P, S, Full<'m, P>>),
}

macro_rules! either {
    ($of:expr, $one:ident => $do:expr) => {
        match $of {
            Shaped::Tile($one) => $do,
            Shaped::Run($one) => $do,
            Shaped::Full($one) => $do,
        }
    };
}

/// A guard of any shape.
pub(super) enum Guard<'g, 'm, P: Platform> {
    TileRead(ReadGuard<'g, P, Tile<'m, P>>),
    RunRead(ReadGuard<'g, P, Run<'m, P>>),
    FullRead(ReadGuard<'g, P, Full<'m, P>>),
    TileWrite(WriteGuard<'g, P, Tile<'m, P>>),
    RunWrite(WriteGuard<'g, P, Run<'m, P>>),
    FullWrite(WriteGuard<'g, P, Full<'m, P>>),
}

impl<P: Platform> Guard<'_, '_, P> {
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        match self {
            Guard::TileRead(g) => g.read_at(at, to),
            Guard::RunRead(g) => g.read_at(at, to),
            Guard::FullRead(g) => g.read_at(at, to),
            Guard::TileWrite(g) => g.read_at(at, to),
            Guard::RunWrite(g) => g.read_at(at, to),
            Guard::FullWrite(g) => g.read_at(at, to),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Guard::TileRead(g) => g.bytes(),
            Guard::RunRead(g) => g.bytes(),
            Guard::FullRead(g) => g.bytes(),
            Guard::TileWrite(g) => g.bytes(),
            Guard::RunWrite(g) => g.bytes(),
            Guard::FullWrite(g) => g.bytes(),
        }
    }

    /// All of it as one slice, if there is one.
    fn contiguous(&self) -> Option<&[u8]> {
        match self {
            Guard::TileRead(g) => g.contiguous(Context::THREAD),
            Guard::RunRead(g) => g.contiguous(Context::THREAD),
            Guard::FullRead(g) => g.contiguous(Context::THREAD),
            Guard::TileWrite(g) => g.contiguous(Context::THREAD),
            Guard::RunWrite(g) => g.contiguous(Context::THREAD),
            Guard::FullWrite(g) => g.contiguous(Context::THREAD),
        }
    }

    /// The same, to write, if that is what it is for.
    fn contiguous_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Guard::TileWrite(g) => g.contiguous_mut(Context::THREAD),
            Guard::RunWrite(g) => g.contiguous_mut(Context::THREAD),
            Guard::FullWrite(g) => g.contiguous_mut(Context::THREAD),
            Guard::TileRead(_) | Guard::RunRead(_) | Guard::FullRead(_) => None,
        }
    }

    /// The scatter list of a buffer that keeps addresses.
    fn segments(&self) -> Option<Vec<Segment>> {
        match self {
            Guard::FullRead(g) => Some(g.segments().collect()),
            Guard::FullWrite(g) => Some(g.segments().collect()),
            _ => None,
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self, Guard::TileWrite(_) | Guard::RunWrite(_) | Guard::FullWrite(_))
    }
}

/// A buffer, and what must be true of it.
pub(super) struct Kept<'h, 'm, P: Platform, S: BackingStore<P::Block>> {
    pub(super) buffer: Shaped<'h, 'm, P, S>,
    pub(super) shape: Shape,
    pub(super) id: BufferId,
    model: RefCell<Vec<u8>>,
    pub(super) readers: Cell<usize>,
    pub(super) writer: Cell<bool>,
    /// What was last said of it.
    advice: Cell<Advice>,
}

impl<'h, 'm, P: Platform<Mode = Caching>, S: BackingStore<P::Block>> Kept<'h, 'm, P, S> {
    /// An empty buffer; one of several slots takes them from `rooms`.
    pub(super) fn new(
        home: &'h Forebay<P, S>,
        shape: Shape,
        id: usize,
        book: &'m Book,
        rooms: &mut impl Iterator<Item = &'m mut Room<P>>,
    ) -> Option<Self> {
        let on = |listing| (shape.listing() == listing).then_some(book);
        let buffer = match shape.slots() {
            None => {
                let slots = Seat::of(on(Listing::Inside).or(on(Listing::Around)), id, [Slot::EMPTY]);
                Shaped::Tile(made(home, shape, id, slots))
            }
            Some(count) => {
                let Room { slots, addresses, charges } = rooms.next()?;
                let slots = slots.get_mut(..count)?;
                if shape.is_full() {
                    let run = Seat::of(on(Listing::Inside), id, slots);
                    let full = Charged::new(Addressed::new(run, addresses).ok()?, charges).ok()?;
                    Shaped::Full(made(home, shape, id, Seat::of(on(Listing::Around), id, full)))
                } else {
                    let slots = Seat::of(on(Listing::Inside).or(on(Listing::Around)), id, slots);
                    Shaped::Run(made(home, shape, id, slots))
                }
            }
        };
        let id = BufferId(id);
        Some(Kept {
            buffer,
            shape,
            id,
            model: RefCell::new(vec![0; shape.pages() * P::Block::PAGE]),
            readers: Cell::new(0),
            writer: Cell::new(false),
            advice: Cell::new(Advice::WillNeed),
        })
    }
}

/// A buffer of that shape.
fn made<'h, P: Platform<Mode = Caching>, S: BackingStore<P::Block>, T: Slots<P>>(
    home: &'h Forebay<P, S>,
    shape: Shape,
    id: usize,
    slots: T,
) -> Buffer<'h, P, S, T> {
    Buffer::with_slots(home, slots, shape.unit()).with_id(BufferId(id)).with_mode(shape.mode())
}

impl<'m, P: Platform, S: BackingStore<P::Block>> Kept<'_, 'm, P, S> {
    pub(super) fn is_guarded(&self) -> bool {
        self.readers.get() > 0 || self.writer.get()
    }

    pub(super) fn read(&self, cx: Context) -> Result<Guard<'_, 'm, P>, AccessError> {
        Ok(match &self.buffer {
            Shaped::Tile(b) => Guard::TileRead(b.read_in(cx)?),
            Shaped::Run(b) => Guard::RunRead(b.read_in(cx)?),
            Shaped::Full(b) => Guard::FullRead(b.read_in(cx)?),
        })
    }

    pub(super) fn write(&self, cx: Context) -> Result<Guard<'_, 'm, P>, AccessError> {
        Ok(match &self.buffer {
            Shaped::Tile(b) => Guard::TileWrite(b.write_in(cx)?),
            Shaped::Run(b) => Guard::RunWrite(b.write_in(cx)?),
            Shaped::Full(b) => Guard::FullWrite(b.write_in(cx)?),
        })
    }

    pub(super) fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy> {
        either!(&self.buffer, b => b.evict(budget, how, cx))
    }

    pub(super) fn evict_mut(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        either!(&mut self.buffer, b => b.evict_mut(budget, how, cx))
    }

    pub(super) fn restore(&self, budget: Pages, cx: Context) -> Restored {
        either!(&self.buffer, b => b.restore(budget, cx))
    }

    pub(super) fn residency(&self) -> Result<Residency, Busy> {
        either!(&self.buffer, b => b.residency())
    }

    /// Says whether it is needed. The contents are zeros from now on if a reclaim dropped them.
    pub(super) fn advise(&self, advice: Advice) -> Result<Retained, Busy> {
        let retained = either!(&self.buffer, b => b.advise(advice))?;
        let told = self.advice.replace(advice);
        if retained == false {
            assert!(told == Advice::DontNeed || self.model.borrow().iter().all(|byte| *byte == 0));
            self.model.borrow_mut().fill(0);
        }
        Ok(retained)
    }

    /// Learns whether a reclaim dropped the contents, as it may.
    pub(super) fn catch_up(&self) {
        if self.advice.get() == Advice::DontNeed && !self.is_guarded() {
            assert!(self.set_purgeable(true).is_ok(), "{:?} is busy, and nobody has it", self.id);
        }
    }

    pub(super) fn may_be_purged(&self, how: Evict) -> bool {
        self.advice.get() == Advice::DontNeed && how.contains(Evict::PURGE)
    }

    pub(super) fn purge(&self) -> Result<(), Busy> {
        either!(&self.buffer, b => b.purge(Context::THREAD))?;
        self.model.borrow_mut().fill(0);
        Ok(())
    }

    /// What a roster has to say of it at least.
    pub(super) fn class(&self, is: Residency) -> Class {
        let (resident, contents) = (is.resident > Pages::ZERO, is.resident + is.stored > Pages::ZERO);
        let mut class = Class::empty();
        class.set(Class::RESIDENT, resident);
        class.set(Class::CLEAN, is.clean > Pages::ZERO);
        class.set(Class::PURGEABLE, contents && self.advice.get() == Advice::DontNeed);
        class
    }

    /// Drops the contents, and tells nobody.
    pub(super) fn lose(&self) {
        let _ = either!(&self.buffer, b => b.purge(Context::THREAD));
    }

    /// Every byte is what the model says.
    #[track_caller]
    pub(super) fn compare(&self, guard: &Guard<'_, '_, P>) {
        let model = self.model.borrow();
        assert_eq!(guard.bytes(), model.len(), "{:?} has another length", self.id);
        if let Some(segments) = guard.segments() {
            let end =
                segments.iter().fold(0, |at, segment| if segment.at == at { at + segment.bytes } else { at });
            assert_eq!(end, model.len(), "{:?} is not all of it in its scatter list: {segments:?}", self.id);
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
            panic!(
                "{:?}: byte {at} (page {}) is {is:#x} and should be {was:#x}",
                self.id,
                at / P::Block::PAGE
            );
        }
    }

    /// Writes a pattern of `len` bytes through a guard that may; every other one through the slice, where there is one.
    pub(super) fn put(&self, guard: &mut Guard<'_, '_, P>, at: usize, len: usize, byte: u8) {
        let mut model = self.model.borrow_mut();
        let bytes = pattern(len, byte);
        let fits = len.min(model.len().saturating_sub(at));
        let slice = if byte % 2 == 1 { guard.contiguous_mut() } else { None };
        if let Some(part) = slice.and_then(|slice| slice.get_mut(at..at + fits)) {
            part.copy_from_slice(&bytes[..fits]);
            model[at..at + fits].copy_from_slice(&bytes[..fits]);
            return;
        }
        let done = match guard {
            Guard::TileWrite(g) => g.write_at(at, &bytes),
            Guard::RunWrite(g) => g.write_at(at, &bytes),
            Guard::FullWrite(g) => g.write_at(at, &bytes),
            Guard::TileRead(_) | Guard::RunRead(_) | Guard::FullRead(_) => return,
        };
        assert_eq!(done, fits, "{:?}: {len} bytes at {at}", self.id);
        if let Some(part) = model.get_mut(at..at + fits) {
            part.copy_from_slice(&bytes[..fits]);
        }
    }
}

/// So many bytes, another one every 61, so that no two pages are alike.
pub(super) fn pattern(len: usize, byte: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (part, n) in bytes.chunks_mut(61).zip((0..=u8::MAX).cycle()) {
        part.fill(byte.wrapping_add(n));
    }
    bytes
}

impl<P: Platform, S: BackingStore<P::Block>> Evictable for Kept<'_, '_, P, S> {
    fn evict_if_idle(&self, step: EvictRequest) -> Evicted {
        either!(&self.buffer, b => b.evict_if_idle(step))
    }
}
