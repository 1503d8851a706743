//! Buffers with bytes of their own, and what is known of them.

use super::acts::Mode;
use super::told::GARBAGE;
use crate::fuzzing::buffers::{AnyBuffer, Guard};
use crate::fuzzing::ops::Shape;
use forebay::{BufferId, Context, Pages, Zones};
use std::cell::{Cell, RefCell};

/// How many values the bytes of one buffer have. Those of buffer `n` are `SHARE * (n + 1)` and the next ones.
const SHARE: u8 = 32;

/// What ROM has: bytes of no buffer.
pub(super) static ROM: [u8; 128 << 10] = [0xc8; 128 << 10];

/// A buffer, and what must be true of it.
pub(super) struct Tile<'b> {
    pub(super) buffer: Box<dyn AnyBuffer + 'b>,
    pub(super) shape: Shape,
    pub(super) zones: Zones,
    pub(super) id: BufferId,
    model: RefCell<Vec<u8>>,
    /// After a write that panicked, what the bytes are if it did what it was to do. Each may be old or new.
    instead: RefCell<Option<Vec<u8>>>,
    /// The model holds. It does not after a lie: then nothing is known but that the bytes are of no other buffer.
    pub(super) is_known: Cell<bool>,
    /// Nothing went wrong since it was purged, or compared.
    pub(super) is_sound: Cell<bool>,
    purgeable: Cell<bool>,
}

/// What a comparison found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Right,
    /// The first byte that is another.
    Other {
        at: usize,
        is: u8,
        was: u8,
    },
}

impl<'b> Tile<'b> {
    pub(super) fn new(buffer: Box<dyn AnyBuffer + 'b>, shape: Shape, zones: Zones, page: usize) -> Self {
        let id = buffer.id();
        Tile {
            buffer,
            shape,
            zones,
            id,
            model: RefCell::new(vec![0; shape.pages() * page]),
            instead: RefCell::default(),
            is_known: Cell::new(true),
            is_sound: Cell::new(true),
            purgeable: Cell::new(false),
        }
    }

    /// Something went wrong in an operation on it.
    pub(super) fn is_hit(&self, mode: Mode) {
        self.is_sound.set(false);
        if mode == Mode::Lies {
            self.is_known.set(false);
        }
    }

    fn byte(&self, n: u8) -> u8 {
        SHARE * (self.id.0 as u8 + 1) + n % SHARE
    }

    /// Bytes of this buffer, this number of them; another one every 61.
    pub(super) fn pattern(&self, len: usize, byte: u8) -> Vec<u8> {
        (0..len).map(|n| self.byte(byte.wrapping_add((n / 61) as u8))).collect()
    }

    /// Whether only this buffer writes that byte, or no buffer, or the liar.
    fn may_show(&self, byte: u8) -> bool {
        let tiles = SHARE..SHARE * (super::acts::TILES as u8 + 1);
        !tiles.contains(&byte) || byte / SHARE == self.byte(0) / SHARE || byte == GARBAGE
    }

    /// The model has these bytes from now on, from `at` on.
    pub(super) fn has(&self, at: usize, bytes: &[u8]) {
        let mut model = self.model.borrow_mut();
        let end = model.len().min(at + bytes.len());
        if let Some(part) = model.get_mut(at..end) {
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }

    /// A write begins that may end in a panic.
    pub(super) fn may_have(&self, at: usize, bytes: &[u8]) {
        let before = self.model.borrow().clone();
        self.has(at, bytes);
        let after = self.model.replace(before);
        self.instead.replace(Some(after));
    }

    /// The write ended as it should.
    pub(super) fn has_now(&self) {
        if let Some(after) = self.instead.take() {
            self.model.replace(after);
        }
    }

    /// It reads as zeros from now on, whatever went wrong before.
    pub(super) fn is_empty_now(&self) {
        self.model.borrow_mut().fill(0);
        self.instead.take();
        self.is_known.set(true);
        self.is_sound.set(true);
    }

    /// Compares all bytes, of which none may be another buffer's.
    #[track_caller]
    pub(super) fn compare(&self, guard: &Guard<'_>) -> Found {
        let (mut model, look) = (self.model.borrow_mut(), guard.look());
        let mut bytes = vec![GARBAGE; model.len()];
        let read = look.read_at(0, &mut bytes);
        bytes[read.min(model.len())..].fill(GARBAGE);
        let foreign = bytes.iter().position(|byte| !self.may_show(*byte));
        if let Some(at) = foreign {
            panic!("{:?} shows {:#x} at {at}, which is another buffer's", self.id, bytes[at]);
        }
        let instead = self.instead.borrow();
        let other = (0..bytes.len())
            .find(|&n| bytes[n] != model[n] && instead.as_ref().is_none_or(|instead| bytes[n] != instead[n]));
        match other {
            None => {
                drop(instead);
                self.instead.take();
                *model = bytes;
                self.is_sound.set(self.is_known.get());
                Found::Right
            }
            Some(at) => Found::Other { at, is: bytes[at], was: model[at] },
        }
    }

    /// Says whether it is needed; the contents are zeros from now on if a reclaim dropped them.
    pub(super) fn set_purgeable(&self, purgeable: bool) {
        let Ok(is_there) = self.buffer.set_purgeable(purgeable) else { panic!("{:?} is busy", self.id) };
        self.purgeable.set(purgeable);
        if !is_there {
            self.model.borrow_mut().fill(0);
            self.instead.take();
        }
    }

    /// Learns whether a reclaim dropped the contents, as it may.
    pub(super) fn catch_up(&self) {
        if self.purgeable.get() {
            self.set_purgeable(true);
        }
    }

    /// After it was lost, or at the end. Nothing goes wrong here.
    pub(super) fn purge(&self) {
        assert_eq!(self.buffer.purge(Context::THREAD), Ok(()), "{:?} can't be purged", self.id);
        self.is_empty_now();
        let is = self.buffer.residency().expect("no guard is alive");
        let left = is.resident + is.stored + is.clean;
        assert_eq!(left, Pages::ZERO, "{:?} is not empty after a purge", self.id);
    }
}
