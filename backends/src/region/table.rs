//! What the region knows of transferred blocks, behind its lock: one step for each call, none with a loop.
//!
//! A handle's value is `head · (N + 1) + entry`: the first page of the room that is reserved for the contents, and the entry of
//! the transferred block, `N` for none. If the room of an entry is another one, the entry is in use for another block, and the
//! contents have been written out to the room. So transferred blocks are bounded by the table, stored ones only by the memory,
//! and neither is searched for.

use super::list::Lists;
use super::room::Room;
use core::mem::replace;
use core::ops::Range;
use forebay::{Handle, Order, OwnedBlock, Pages};

/// A place for a transferred block. All zeros at first.
///
/// # Invariants
/// An entry that waits has a block and its room; one that is free or in flight has neither.
struct Entry<B, const PAGE: usize> {
    state: State,
    /// What was asked of the block while it was in flight.
    asked: Asked,
    order: Order,
    from: Option<B>,
    to: Option<Room<PAGE>>,
    /// Bytes copied so far. In flight, when the job knows them: the first page of its room.
    at: usize,
}

impl<B, const PAGE: usize> Entry<B, PAGE> {
    /// The first page of its room.
    fn head(&self) -> usize {
        self.to.as_ref().map_or(self.at, Room::head)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the list of free entries, or taken by a call.
    Free,
    /// In the list of waiting entries. If it was recalled in flight, the next write-out skips it once.
    Waiting,
    /// In flight: with the engine.
    ByEngine,
    /// In flight: being copied by the CPU.
    ByCpu,
}

impl State {
    fn is_out(self) -> bool {
        matches!(self, State::ByEngine | State::ByCpu)
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
    /// The entry, the block, its room, and how many bytes are copied already.
    Out(usize, B, Room<PAGE>, usize),
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

impl StoredAt {
    /// Splits the value of a handle of a region with `n` entries.
    pub(super) fn of(handle: &Handle, n: usize) -> Self {
        StoredAt { entry: handle.value() % (n + 1), head: handle.value() / (n + 1), order: handle.order() }
    }
}

/// What is under a handle, for a call that takes the block.
pub(super) enum Transferred<B> {
    /// This one; its entry is free.
    Back(B),
    /// It is in flight, and was told.
    Out,
    Not,
}

pub(super) struct Table<B, const PAGE: usize, const N: usize> {
    entries: [Entry<B, PAGE>; N],
    lists: Lists<N>,
    pending: Pages,
    /// Entries that are in use.
    used: usize,
}

impl<B: OwnedBlock, const PAGE: usize, const N: usize> Table<B, PAGE, N> {
    const UNUSED: Entry<B, PAGE> =
        Entry { state: State::Free, asked: Asked::Nothing, order: Order::PAGE, from: None, to: None, at: 0 };

    pub(super) const fn new() -> Self {
        Table { entries: [Self::UNUSED; N], lists: Lists::new(), pending: Pages::ZERO, used: 0 }
    }

    /// Transferred, and not written out yet.
    pub(super) fn pending(&self) -> Pages {
        self.pending
    }

    /// Entries that are free.
    pub(super) fn free(&self) -> usize {
        N - self.used
    }

    /// A free entry; it is the caller's then.
    pub(super) fn take_free(&mut self) -> Option<usize> {
        let entry = self.lists.take_free()?;
        self.used += 1;
        Some(entry)
    }

    /// Frees an entry that was taken.
    pub(super) fn put_free(&mut self, entry: usize) {
        self.lists.put_free(entry);
        self.used -= 1;
    }

    /// Puts a block into an entry that was taken: it waits to be written out to that room.
    pub(super) fn adopt(&mut self, entry: usize, from: B, to: Room<PAGE>) {
        let Some(place) = self.entries.get_mut(entry) else { return };
        let order = to.order();
        (place.state, place.asked) = (State::Waiting, Asked::Nothing);
        (place.order, place.at) = (order, 0);
        (place.from, place.to) = (Some(from), Some(to));
        self.pending += order.pages();
        self.lists.wait_last(entry);
    }

    /// The entry with the transferred block of that place, unless the block is discarded.
    #[inline(always)] // to take it is short
    fn find(&mut self, at: StoredAt) -> Option<&mut Entry<B, PAGE>> {
        let place = self.entries.get_mut(at.entry)?;
        let same = place.head() == at.head && place.order == at.order;
        (same && place.state != State::Free && place.asked != Asked::Drop).then_some(place)
    }

    /// Whether a transferred block is there: one that is not discarded.
    pub(super) fn is_transferred(&mut self, at: StoredAt) -> bool {
        self.find(at).is_some()
    }

    /// Whether a block is in flight whose room begins there.
    pub(super) fn is_out(&self, entry: usize, room: usize) -> bool {
        self.entries.get(entry).is_some_and(|place| place.state.is_out() && place.head() == room)
    }

    /// The engine lost what it had: frees the entry, if its block was with the engine. Returns the pages of the block.
    pub(super) fn lose(&mut self, entry: usize) -> Pages {
        match self.entries.get(entry) {
            Some(Entry { state: State::ByEngine, order, .. }) => {
                let pages = order.pages();
                self.leave(entry);
                pages
            }
            _ => Pages::ZERO,
        }
    }

    /// Takes the transferred block that is there, or notes what is asked of one that is in flight. Its room goes to `give_back`.
    #[inline(always)] // it has one caller
    pub(super) fn take_adopted(
        &mut self,
        at: StoredAt,
        what: Asked,
        give_back: impl FnOnce(Room<PAGE>),
    ) -> Transferred<B> {
        let Some(place) = self.find(at) else { return Transferred::Not };
        let Some(from) = place.from.take() else {
            place.asked = what;
            return Transferred::Out;
        };
        if let Some(room) = place.to.take() {
            give_back(room);
        }
        place.state = State::Free;
        self.pending -= at.order.pages();
        self.lists.leave_waiting(at.entry);
        self.put_free(at.entry);
        Transferred::Back(from)
    }

    /// Sends out the block that waits longest. One that was recalled without success goes to the end instead, once.
    pub(super) fn send_out(&mut self, by: By) -> Next<B, PAGE> {
        let Some(entry) = self.lists.take_waiting() else { return Next::Nothing };
        let Some(place) = self.entries.get_mut(entry) else { return Next::Nothing };
        if place.asked == Asked::Back {
            place.asked = Asked::Nothing;
            self.lists.wait_last(entry);
            return Next::PassedOver;
        }
        match (place.from.take(), place.to.take()) {
            (Some(from), Some(to)) => {
                place.state = match by {
                    By::Engine => State::ByEngine,
                    By::Cpu => State::ByCpu,
                };
                let at = replace(&mut place.at, to.head());
                Next::Out(entry, from, to, at)
            }
            _ => Next::Nothing, // not reached: what is in the list waits
        }
    }

    /// An entry whose block is gone is free.
    pub(super) fn leave(&mut self, entry: usize) {
        let Some(place) = self.entries.get_mut(entry) else { return };
        place.state = State::Free;
        self.pending -= place.order.pages();
        self.put_free(entry);
    }

    /// What was asked of the block in flight that an entry has.
    pub(super) fn asked(&self, entry: usize) -> Asked {
        self.entries.get(entry).map_or(Asked::Nothing, |place| place.asked)
    }

    /// A block in flight waits again: this part of it was copied, and more is left.
    pub(super) fn wait_again(&mut self, entry: usize, from: B, to: Room<PAGE>, at: Range<usize>) {
        let Some(place) = self.entries.get_mut(entry) else { return };
        (place.state, place.at) = (State::Waiting, at.end);
        (place.from, place.to) = (Some(from), Some(to));
        if place.asked == Asked::Back || at.is_empty() {
            self.lists.wait_last(entry);
        } else {
            self.lists.wait_first(entry);
        }
    }
}
