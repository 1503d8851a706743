//! What the region knows of transferred blocks, behind its lock: one step for each call, none with a loop.
//!
//! A handle's value is `page · (N + 1) + entry`: the page of the region that is reserved for the contents, and the entry of the
//! transferred block, `N` for none. If the reserved page of an entry is another one, the entry is in use for another block,
//! and the contents have been written out to the page. So transferred blocks are bounded by the table, stored ones only by
//! the memory, and neither is searched for.
//!
//! A free entry may keep room of the order that it had last, so the next such block needs no search. When room is short, it is
//! taken from there.

use super::list::Lists;
use crate::ram::RamBlock;
use core::mem::replace;
use forebay::{Order, OwnedBlock, Pages, Pfn};

/// A transferred block that waits: where it will go, and how much of it is copied already.
pub(super) struct Waiting<B, const PAGE: usize> {
    pub(super) from: B,
    pub(super) to: RamBlock<PAGE>,
    /// Bytes copied so far.
    pub(super) at: usize,
}

enum Entry<B, const PAGE: usize> {
    /// In the list of free entries, or taken by a call.
    Free,
    /// As `Free`, with room, in the list of its order.
    Ready(RamBlock<PAGE>),
    /// In the list of waiting entries.
    Waiting(Waiting<B, PAGE>),
    /// As `Waiting`, but a recall failed while it was in flight: the next write-out skips it once.
    Wanted(Waiting<B, PAGE>),
    /// In flight: with the engine, or being copied by the CPU.
    Out {
        /// The first frame of its room.
        room: Pfn,
        order: Order,
        asked: Asked,
    },
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

/// What became of a block that was in flight and is not copied to its end.
pub(super) enum Back<B, const PAGE: usize> {
    /// It was discarded meanwhile.
    Dropped(Waiting<B, PAGE>),
    Waits,
    /// It waits, and was recalled.
    Wanted,
}

/// The entry and the room that a handle names, as frames.
#[derive(Clone, Copy)]
pub(super) struct StoredAt {
    pub(super) entry: usize,
    pub(super) room: Pfn,
    pub(super) order: Order,
}

/// What is under a handle.
pub(super) enum Found {
    Transferred,
    Out,
    /// No such entry: it may be stored. The number of reads of stored blocks that have ended.
    Elsewhere(usize),
    /// The room is of another order, or its contents were discarded.
    Foreign,
}

/// What is under a handle, for a call that takes the block.
pub(super) enum Transferred<B, const PAGE: usize> {
    /// This block; its entry is the caller's.
    Back(Waiting<B, PAGE>),
    /// It is in flight, and was told.
    Out,
    Not,
}

pub(super) struct Table<B, const PAGE: usize, const N: usize> {
    entries: [Entry<B, PAGE>; N],
    lists: Lists<N>,
    pending: Pages,
    /// Pages of room of the entries that are ready.
    ready: Pages,
    transfers: usize,
    /// Reads of stored blocks outside of the lock: how many have begun, and how many have ended. Both wrap.
    lent: usize,
    returned: usize,
}

impl<B: OwnedBlock, const PAGE: usize, const N: usize> Table<B, PAGE, N> {
    pub(super) const fn new() -> Self {
        Table {
            entries: [const { Entry::Free }; N],
            lists: Lists::new(),
            pending: Pages::ZERO,
            ready: Pages::ZERO,
            transfers: N,
            lent: 0,
            returned: 0,
        }
    }

    /// Transferred, and not written out yet.
    pub(super) fn pending(&self) -> Pages {
        self.pending
    }

    /// Pages of room that free entries have, and the number of free entries.
    pub(super) fn spare(&self) -> (Pages, usize) {
        (self.ready, self.transfers)
    }

    /// A free entry with room of that order.
    pub(super) fn take_ready(&mut self, order: Order) -> Option<(usize, RamBlock<PAGE>)> {
        let entry = self.lists.take_ready(order)?;
        let place = self.entries.get_mut(entry)?;
        match replace(place, Entry::Free) {
            Entry::Ready(room) => {
                self.ready -= order.pages();
                self.transfers -= 1;
                Some((entry, room))
            }
            other => {
                *place = other; // not reached: what is in that list is ready
                None
            }
        }
    }

    /// The room of that order that a free entry has. The entry stays free.
    pub(super) fn take_room(&mut self, order: Order) -> Option<RamBlock<PAGE>> {
        let (entry, room) = self.take_ready(order)?;
        self.put_free(entry);
        Some(room)
    }

    /// A free entry without room.
    pub(super) fn take_free(&mut self) -> Option<usize> {
        let entry = self.lists.take_free()?;
        self.transfers -= 1;
        Some(entry)
    }

    /// Frees an entry that was taken, or whose block has left.
    pub(super) fn put_free(&mut self, entry: usize) {
        self.lists.put_free(entry);
        self.transfers += 1;
    }

    /// The same with room, if no more than `most` pages of room are kept then; else the room is handed back.
    pub(super) fn put_ready(
        &mut self,
        entry: usize,
        room: RamBlock<PAGE>,
        most: Pages,
    ) -> Result<(), RamBlock<PAGE>> {
        let (order, ready) = (room.order(), self.ready + room.order().pages());
        if ready > most {
            self.put_free(entry);
            return Err(room);
        }
        self.set(entry, Entry::Ready(room));
        self.lists.put_ready(order, entry);
        self.ready = ready;
        self.transfers += 1;
        Ok(())
    }

    /// Gives a free entry room. Hands it back if there is no such entry, or more than `most` pages would be kept then.
    pub(super) fn stock(&mut self, room: RamBlock<PAGE>, most: Pages) -> Result<(), RamBlock<PAGE>> {
        match self.take_free() {
            Some(entry) => self.put_ready(entry, room, most),
            None => Err(room),
        }
    }

    /// Puts a block into an entry that was taken: it waits.
    pub(super) fn adopt(&mut self, entry: usize, waiting: Waiting<B, PAGE>) {
        self.pending += waiting.to.order().pages();
        self.set(entry, Entry::Waiting(waiting));
        self.lists.wait_last(entry);
    }

    pub(super) fn find(&self, at: StoredAt) -> Found {
        let (room, order, found) = match self.entries.get(at.entry) {
            Some(Entry::Waiting(w) | Entry::Wanted(w)) => (w.to.pfn(), w.to.order(), Found::Transferred),
            Some(Entry::Out { room, order, asked: Asked::Drop }) => (*room, *order, Found::Foreign),
            Some(Entry::Out { room, order, .. }) => (*room, *order, Found::Out),
            _ => return Found::Elsewhere(self.returned),
        };
        if room != at.room {
            Found::Elsewhere(self.returned)
        } else if order != at.order {
            Found::Foreign
        } else {
            found
        }
    }

    /// Takes the transferred block that is there; or notes what is asked of one that is in flight.
    pub(super) fn take_adopted(&mut self, at: StoredAt, what: Asked) -> Transferred<B, PAGE> {
        let Some(place) = self.entries.get_mut(at.entry) else { return Transferred::Not };
        if let Entry::Out { room, order, asked } = place {
            if *room != at.room || *order != at.order || *asked == Asked::Drop {
                return Transferred::Not;
            }
            *asked = what;
            return Transferred::Out;
        }
        match replace(place, Entry::Free) {
            Entry::Waiting(w) | Entry::Wanted(w) if w.to.pfn() == at.room && w.to.order() == at.order => {
                self.lists.leave_waiting(at.entry);
                self.pending -= at.order.pages();
                Transferred::Back(w)
            }
            other => {
                *place = other;
                Transferred::Not
            }
        }
    }

    /// A stored block is about to be read outside of the lock.
    pub(super) fn lend(&mut self) {
        self.lent = self.lent.wrapping_add(1);
    }

    /// The read has ended.
    pub(super) fn give_back(&mut self) {
        self.returned = self.returned.wrapping_add(1);
    }

    /// Whether any stored block was being read since this many reads had ended.
    pub(super) fn lent_since(&self, returned: usize) -> bool {
        self.lent != returned
    }

    /// Sends out the block that waits longest. One that was recalled without success goes to the end instead, once.
    pub(super) fn send_out(&mut self) -> Next<B, PAGE> {
        let Some(entry) = self.lists.take_waiting() else { return Next::Nothing };
        let Some(place) = self.entries.get_mut(entry) else { return Next::Nothing };
        match replace(place, Entry::Free) {
            Entry::Waiting(waiting) => {
                let (room, order) = (waiting.to.pfn(), waiting.to.order());
                *place = Entry::Out { room, order, asked: Asked::Nothing };
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

    /// A block in flight is stored, and its entry is free: what was asked of it meanwhile.
    pub(super) fn leave(&mut self, entry: usize) -> Asked {
        match self.entries.get_mut(entry) {
            Some(place @ Entry::Out { .. }) => match replace(place, Entry::Free) {
                Entry::Out { order, asked, .. } => {
                    self.pending -= order.pages();
                    self.put_free(entry);
                    asked
                }
                _ => Asked::Nothing,
            },
            _ => Asked::Nothing,
        }
    }

    /// A block in flight was copied only in part, from byte `began` on. If it was discarded, its entry is the caller's.
    pub(super) fn come_back(
        &mut self,
        entry: usize,
        waiting: Waiting<B, PAGE>,
        began: usize,
    ) -> Back<B, PAGE> {
        let asked = match self.entries.get(entry) {
            Some(Entry::Out { asked, .. }) => *asked,
            _ => Asked::Nothing,
        };
        let moved = waiting.at > began;
        match asked {
            Asked::Drop => {
                self.pending -= waiting.to.order().pages();
                self.set(entry, Entry::Free);
                Back::Dropped(waiting)
            }
            Asked::Back => {
                self.set(entry, Entry::Wanted(waiting));
                self.lists.wait_last(entry);
                Back::Wanted
            }
            Asked::Nothing => {
                self.set(entry, Entry::Waiting(waiting));
                if moved {
                    self.lists.wait_first(entry)
                } else {
                    self.lists.wait_last(entry)
                }
                Back::Waits
            }
        }
    }

    /// Whether room and entry belong together, and are in flight.
    pub(super) fn is_out(&self, entry: usize, to: Pfn) -> bool {
        matches!(self.entries.get(entry), Some(Entry::Out { room, .. }) if *room == to)
    }

    fn set(&mut self, entry: usize, to: Entry<B, PAGE>) {
        if let Some(place) = self.entries.get_mut(entry) {
            *place = to;
        }
    }
}
