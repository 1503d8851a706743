//! What a buffer knows of itself: its slots, marks for all of them, and where the next walk over them begins.

use crate::cell::Sorted;
use crate::slot::{covering, span_at};
use crate::{Class, Order, Platform, Slots};
use bitflags::bitflags;
use core::marker::PhantomData;

bitflags! {
    /// What is known of a buffer as a whole.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Marks: u16 {
        /// Every slot is resident and in the buffer's mode, and the platform's hook ran.
        const READY = 1;
        /// `before_evict` ran, `after_restore` did not yet.
        const UNMAPPED = 2;
        /// The store lost something.
        const LOST = 4;
        /// There may be blocks. Without it there are none.
        const BLOCKS = 8;
        /// Something may be in the store only. Without it nothing is.
        const STORED = 16;
        /// Blocks may be clean. Without it none is.
        const CLEAN = 32;
        /// What is stored may be blocks that were handed over. Without it there are copies only.
        const HANDED = 64;
        /// Modes or addresses of blocks that are here were changed, and no flush came yet.
        const UNFLUSHED = 128;
        /// Its owner does not need the contents: a reclaim may drop them.
        const PURGEABLE = 256;
        /// A reclaim dropped them, and nobody wrote since.
        const PURGED = 512;
    }
}

impl Marks {
    /// Whether there is something, and it is not needed.
    pub(crate) fn may_be_purged(self) -> bool {
        let contents = Marks::BLOCKS | Marks::STORED | Marks::LOST;
        self.contains(Marks::PURGEABLE) && self.intersects(contents)
    }

    /// What a reclaim may want of such a buffer.
    fn class(self) -> Class {
        let mut class = Class::empty();
        class.set(Class::RESIDENT, self.contains(Marks::BLOCKS));
        class.set(Class::CLEAN, self.contains(Marks::BLOCKS.union(Marks::CLEAN)));
        if self.may_be_purged() {
            class.insert(Class::PURGEABLE);
            class.set(Class::PURGED, self.contains(Marks::PURGED));
        }
        class
    }
}

pub(crate) struct Inner<P, T> {
    pub(crate) slots: T,
    pub(crate) marks: Marks,
    /// What a roster was told last.
    told: Class,
    /// Where the next walk over the slots begins, so that many small steps don't begin at the first one each time.
    pub(crate) next: usize,
    platform: PhantomData<fn() -> P>,
}

impl<P, T> Inner<P, T> {
    pub(crate) const fn new(slots: T) -> Self {
        Inner { slots, marks: Marks::empty(), told: Class::empty(), next: 0, platform: PhantomData }
    }
}

impl<P: Platform, T: Slots<P>> Sorted for Inner<P, T> {
    fn sort(&mut self) -> Class {
        let class = self.marks.class();
        if class != self.told {
            self.slots.sorted(class);
            self.told = class;
        }
        class
    }
}

/// Once round the slots, each block and handle once, beginning where the last walk ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Round {
    at: Option<usize>,
    seen: usize,
}

impl Round {
    /// The next slot with something of its own. What lies there may be changed before the next call.
    pub(crate) fn next<P: Platform, T: Slots<P>>(
        &mut self,
        inner: &mut Inner<P, T>,
        unit: Order,
    ) -> Option<usize> {
        let slots = inner.slots.slots();
        let mut at = match self.at {
            None => covering(slots, unit, inner.next).unwrap_or(inner.next),
            Some(last) => {
                let span = span_at(slots, last, unit);
                self.seen += span;
                last + span
            }
        };
        if at >= slots.len() {
            at = 0;
        }
        inner.next = at;
        self.at = Some(at);
        (self.seen < slots.len()).then_some(at)
    }

    /// What lay in slot `last` was cut, and its piece in slot `piece` is dealt with too. Does nothing if the round went on
    /// from `last` already.
    pub(crate) fn go_on(&mut self, last: usize, piece: usize) {
        if self.at == Some(last) {
            (self.at, self.seen) = (Some(piece), self.seen + (piece - last));
        }
    }
}

/// What to do with slots that have neither block nor copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    Leave,
    /// Give them zeroed blocks.
    Zero,
}
