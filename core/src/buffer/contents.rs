//! What a buffer knows of itself: its slots, marks for all of them, and where the next walk over them begins.

use crate::buffer::Class;
use crate::buffer::cell::Classify;
use crate::buffer::side_tables::Slots;
use crate::buffer::slot::{covering, span_at};
use crate::frame::Order;
use crate::port::PendingFlush;
use bitflags::bitflags;

bitflags! {
    /// What is known of a buffer as a whole.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Marks: u16 {
        /// There may be blocks. Without it there are none.
        const BLOCKS = Class::RESIDENT.bits() as u16;
        /// Blocks may be clean. Without it none is.
        const CLEAN = Class::CLEAN.bits() as u16;
        /// The owner does not need the contents: a reclaim may drop them.
        const PURGEABLE = Class::PURGEABLE.bits() as u16;
        /// A reclaim dropped the contents, and nothing was written since.
        const PURGED = Class::PURGED.bits() as u16;
        /// Every slot is resident, in the buffer's mode, with an address if it keeps them; the hook after a restore ran.
        const READY = Class::READY.bits() as u16;
        /// `before_evict` ran, `after_restore` did not yet.
        const UNMAPPED = 32;
        /// Contents are lost: by the store, or by a panic of a port.
        const LOST = 64;
        /// Something may be in the store only. Without it nothing is.
        const STORED = 128;
        /// What is stored may be transferred blocks. Without it there are copies only.
        const TRANSFERRED = 256;
        /// Copies beside blocks may be out of date, and no block counts as clean. In the lobby they are the room of the blocks.
        const STALE = 512;
    }
}

impl Marks {
    /// The marks after a panic of a port, besides those that were there.
    const AFTER_PANIC: Marks =
        Marks::LOST.union(Marks::BLOCKS).union(Marks::STORED).union(Marks::CLEAN).union(Marks::TRANSFERRED);

    /// Whether there are contents, and they are not needed.
    pub(crate) fn may_be_purged(self) -> bool {
        let contents = Marks::BLOCKS | Marks::STORED | Marks::LOST;
        self.contains(Marks::PURGEABLE) && self.intersects(contents)
    }

    /// What a reclaim may want of such a buffer: the marks of that name. Contents that are lost are never ready.
    fn class(self) -> Class {
        let mut class = Class::from_bits_truncate(self.bits() as u8);
        let purge = Class::PURGEABLE | Class::PURGED;
        if class.intersects(purge) && !self.may_be_purged() {
            class.remove(purge);
        }
        debug_assert!(!(self.contains(Marks::LOST) && class.contains(Class::READY)));
        class
    }
}

/// The slots of a buffer and what is known of them.
#[derive(Debug)]
pub struct Contents<T> {
    pub(crate) slots: T,
    pub(crate) marks: Marks,
    /// Changes of modes and addresses that wait for a flush.
    pub(crate) pending: PendingFlush,
    /// The class that the slots were told last.
    told: Class,
    /// Where the next walk over the slots begins, so that many small steps do not all begin at the first slot.
    pub(crate) next: usize,
}

impl<T> Contents<T> {
    pub(crate) const fn new(slots: T) -> Self {
        Contents { slots, marks: Marks::empty(), pending: PendingFlush::NONE, told: Class::empty(), next: 0 }
    }
}

impl<T: Slots> Classify for Contents<T> {
    fn classify(&mut self) -> Class {
        let class = self.marks.class();
        let listed = class.difference(Class::READY);
        if T::IS_FOLLOWED && listed != self.told {
            self.slots.class_changed(listed);
            self.told = listed;
        }
        class
    }
}

/// Contents while a block or a handle is out of its slot. If a port panics meanwhile, they are marked as lost; else
/// [`done`](Changing::done) ends it.
pub(crate) struct Changing<'c, T>(pub(crate) &'c mut Contents<T>);

impl<'c, T> Changing<'c, T> {
    pub(crate) fn new(contents: &'c mut Contents<T>) -> Self {
        Changing(contents)
    }

    /// Everything is in its slot again.
    pub(crate) fn done(self) {
        core::mem::forget(self);
    }
}

impl<T> Drop for Changing<'_, T> {
    fn drop(&mut self) {
        self.0.marks.remove(Marks::READY);
        self.0.marks.insert(Marks::AFTER_PANIC);
    }
}

/// Once round the slots, each block and handle once, beginning where the last walk ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    at: Option<usize>,
    seen: usize,
}

impl Cursor {
    /// The next slot with a block or handle of its own, or an empty one. It may be changed before the next call.
    pub(crate) fn next<T: Slots>(&mut self, contents: &mut Contents<T>, unit: Order) -> Option<usize> {
        if T::ONE {
            self.seen += 1;
            return (self.seen == 1).then_some(0);
        }
        let slots = contents.slots.slots();
        let mut at = match self.at {
            None => covering(slots, unit, contents.next).unwrap_or(contents.next),
            Some(last) => {
                let span = span_at(slots, last, unit);
                self.seen += span;
                last + span
            }
        };
        if at >= slots.len() {
            at = 0;
        }
        contents.next = at;
        self.at = Some(at);
        (self.seen < slots.len()).then_some(at)
    }

    /// The block in slot `last` was cut, and its part in slot `part` is done too. Does nothing if the walk went on from `last`
    /// already.
    pub(crate) fn skip(&mut self, last: usize, part: usize) {
        if self.at == Some(last) {
            (self.at, self.seen) = (Some(part), self.seen + (part - last));
        }
    }
}

/// What to do with slots that have neither block nor copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptySlots {
    Leave,
    /// Give them zeroed blocks.
    Populate,
}
