//! What the region knows of transferred blocks, behind its lock: one step for each call, none with a loop.
//!
//! A handle's value is `head · (N + 1) + entry`: the first page of the room that is reserved for the contents, and the entry of
//! the transferred block, `N` for none. If the room of an entry is another one, the entry is in use for another block, and the
//! contents have been written out to the room. So transferred blocks are bounded by the table, stored ones only by the memory,
//! and neither is searched for.

use super::list::Lists;
use super::room::Room;
use core::mem::replace;
use forebay::{Order, OwnedBlock, Pages};

/// A transferred block that waits: where it will go, and how much of it is copied already.
pub(super) struct Waiting<B, const PAGE: usize> {
    pub(super) from: B,
    pub(super) to: Room<PAGE>,
    /// Bytes copied so far.
    pub(super) at: usize,
}

enum Entry<B, const PAGE: usize> {
    /// In the list of free entries, or taken by a call.
    Free,
    /// In the list of waiting entries.
    Waiting(Waiting<B, PAGE>),
    /// As `Waiting`, but a recall failed while it was in flight: the next write-out skips it once.
    Wanted(Waiting<B, PAGE>),
    /// In flight: with the engine, or being copied by the CPU.
    Out { head: usize, order: Order, asked: Asked, by: By },
}

impl<B, const PAGE: usize> Entry<B, PAGE> {
    /// Whether it has the transferred block of that room, and the block is not discarded.
    fn is_at(&self, at: StoredAt) -> bool {
        match self {
            Entry::Waiting(w) | Entry::Wanted(w) => w.to.head() == at.head && w.to.order() == at.order,
            Entry::Out { head, order, asked, .. } => {
                *head == at.head && *order == at.order && *asked != Asked::Drop
            }
            Entry::Free => false,
        }
    }
}

/// Who copies a block in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Engine,
    Cpu,
}

/// What was asked of a block while it was in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// It was recalled.
    Back,
    /// It was discarded.
    Drop,
}

/// What may be written out next.
pub(super) enum Next<B, const PAGE: usize> {
    Out(usize, Waiting<B, PAGE>),
    /// The oldest block was recalled, and is still here: it stays this time, so that it can be taken back.
    PassedOver,
    Nothing,
}

/// The entry and the room that a handle names.
#[derive(Clone, Copy)]
pub(super) struct StoredAt {
    pub(super) entry: usize,
    pub(super) head: usize,
    pub(super) order: Order,
}

/// What is under a handle, for a call that takes the block.
pub(super) enum Transferred<B, const PAGE: usize> {
    /// This block; its entry is free.
    Back(Waiting<B, PAGE>),
    /// It is in flight, and was told.
    Out,
    Not,
}

pub(super) struct Table<B, const PAGE: usize, const N: usize> {
    entries: [Entry<B, PAGE>; N],
    lists: Lists<N>,
    pending: Pages,
    /// Entries that are free.
    free: usize,
}

impl<B: OwnedBlock, const PAGE: usize, const N: usize> Table<B, PAGE, N> {
    pub(super) const fn new() -> Self {
        let entries = [const { Entry::Free }; N];
        Table { entries, lists: Lists::new(), pending: Pages::ZERO, free: N }
    }

    /// Transferred, and not written out yet.
    pub(super) fn pending(&self) -> Pages {
        self.pending
    }

    /// Entries that are free.
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// A free entry; it is the caller's then.
    pub(super) fn take_free(&mut self) -> Option<usize> {
        let entry = self.lists.take_free()?;
        self.free -= 1;
        Some(entry)
    }

    /// Frees an entry that was taken.
    pub(super) fn put_free(&mut self, entry: usize) {
        self.lists.put_free(entry);
        self.free += 1;
    }

    /// Puts a block into an entry that was taken: it waits.
    pub(super) fn adopt(&mut self, entry: usize, waiting: Waiting<B, PAGE>) {
        self.pending += waiting.to.order().pages();
        self.set(entry, Entry::Waiting(waiting));
        self.lists.wait_last(entry);
    }

    /// Whether a transferred block is there: one that is not discarded.
    pub(super) fn is_transferred(&self, at: StoredAt) -> bool {
        self.entries.get(at.entry).is_some_and(|entry| entry.is_at(at))
    }

    /// Whether a block is in flight whose room begins there.
    pub(super) fn is_out(&self, entry: usize, room: usize) -> bool {
        matches!(self.entries.get(entry), Some(Entry::Out { head, .. }) if *head == room)
    }

    /// The engine lost what it had: frees the entry, if its block was with the engine. Returns the pages of the block.
    pub(super) fn lose(&mut self, entry: usize) -> Pages {
        match self.entries.get(entry) {
            Some(Entry::Out { order, by: By::Engine, .. }) => {
                let pages = order.pages();
                self.leave(entry);
                pages
            }
            _ => Pages::ZERO,
        }
    }

    /// Takes the transferred block that is there; or notes what is asked of one that is in flight.
    pub(super) fn take_adopted(&mut self, at: StoredAt, what: Asked) -> Transferred<B, PAGE> {
        let Some(place) = self.entries.get_mut(at.entry).filter(|entry| entry.is_at(at)) else {
            return Transferred::Not;
        };
        if let Entry::Out { asked, .. } = place {
            *asked = what;
            return Transferred::Out;
        }
        match replace(place, Entry::Free) {
            Entry::Waiting(waiting) | Entry::Wanted(waiting) => {
                self.lists.leave_waiting(at.entry);
                self.pending -= at.order.pages();
                self.put_free(at.entry);
                Transferred::Back(waiting)
            }
            Entry::Free | Entry::Out { .. } => Transferred::Not, // not reached
        }
    }

    /// Sends out the block that waits longest. One that was recalled without success goes to the end instead, once.
    pub(super) fn send_out(&mut self, by: By) -> Next<B, PAGE> {
        let Some(entry) = self.lists.take_waiting() else { return Next::Nothing };
        let Some(place) = self.entries.get_mut(entry) else { return Next::Nothing };
        match replace(place, Entry::Free) {
            Entry::Waiting(waiting) => {
                let (head, order) = (waiting.to.head(), waiting.to.order());
                *place = Entry::Out { head, order, asked: Asked::Nothing, by };
                Next::Out(entry, waiting)
            }
            Entry::Wanted(waiting) => {
                *place = Entry::Waiting(waiting);
                self.lists.wait_last(entry);
                Next::PassedOver
            }
            other => {
                *place = other; // not reached: what is in the list waits
                Next::Nothing
            }
        }
    }

    /// The block in flight that an entry has is copied to its end, or was discarded: the entry is free. Returns what was asked.
    pub(super) fn leave(&mut self, entry: usize) -> Asked {
        let Some(Entry::Out { order, asked, .. }) = self.entries.get(entry) else { return Asked::Nothing };
        let (order, asked) = (*order, *asked);
        self.set(entry, Entry::Free);
        self.pending -= order.pages();
        self.put_free(entry);
        asked
    }

    /// What was asked of the block in flight that an entry has.
    pub(super) fn asked(&self, entry: usize) -> Asked {
        match self.entries.get(entry) {
            Some(Entry::Out { asked, .. }) => *asked,
            _ => Asked::Nothing,
        }
    }

    /// A block in flight was copied only in part, from byte `began` on: it waits again.
    pub(super) fn wait_again(&mut self, entry: usize, waiting: Waiting<B, PAGE>, began: usize) {
        let (asked, moved) = (self.asked(entry), waiting.at > began);
        let wanted = asked == Asked::Back;
        self.set(entry, if wanted { Entry::Wanted(waiting) } else { Entry::Waiting(waiting) });
        if moved && !wanted {
            self.lists.wait_first(entry);
        } else {
            self.lists.wait_last(entry);
        }
    }

    fn set(&mut self, entry: usize, to: Entry<B, PAGE>) {
        if let Some(place) = self.entries.get_mut(entry) {
            *place = to;
        }
    }
}
