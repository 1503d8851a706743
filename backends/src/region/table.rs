//! What the region knows, behind its lock: the memory, and the blocks that were adopted.
//!
//! A handle's value is `page · (N + 1) + entry`: the page of the region that is reserved for the contents, and the
//! entry of the adopted block, `N` for none. An entry whose reserved page is not that one belongs to somebody else
//! by now: then the contents have been written out to the page. So adopted blocks are bounded by the table, stored
//! ones only by the memory, and neither is ever searched for.

use super::list::Lists;
use crate::RamBlock;
use crate::ram::{Memory, Whose};
use core::mem::replace;
use forebay::{Handle, Order, OwnedBlock, Pages, Refused, Space, StoreError, StoreId};

/// A block that was adopted and waits: where it will go, and how much of it is there already.
pub(super) struct Waiting<B, const PAGE: usize> {
    pub(super) from: B,
    pub(super) to: RamBlock<PAGE>,
    /// Bytes copied so far.
    pub(super) at: usize,
}

enum Entry<B, const PAGE: usize> {
    Free,
    /// In the list of those that wait.
    Waiting(Waiting<B, PAGE>),
    /// As `Waiting`, but somebody asked for it while it was out: the next write-out passes over it once.
    Wanted(Waiting<B, PAGE>),
    /// With the engine, or being copied by the CPU.
    Out {
        /// The reserved page.
        page: usize,
        order: Order,
        asked: Asked,
    },
}

/// What happened to a block while it was out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// Somebody wanted to take it back.
    Back,
    /// It was discarded.
    Drop,
}

/// What may be written out next.
pub(super) enum Next<B, const PAGE: usize> {
    Out(usize, Waiting<B, PAGE>),
    /// The oldest is wanted by somebody, who has his chance now.
    PassedOver,
    Nothing,
}

/// What became of a block that was out.
pub(super) enum Back<B> {
    /// Written out, or discarded meanwhile.
    Home(B),
    Waits,
    /// Waits, and somebody asked for it.
    Wanted,
}

/// What is under a handle.
pub(super) enum Found {
    Adopted,
    Out,
    Stored,
}

pub(super) struct Table<B, const PAGE: usize, const N: usize> {
    pub(super) memory: Option<Memory<PAGE>>,
    entries: [Entry<B, PAGE>; N],
    lists: Lists<N>,
    pending: Pages,
    adoptions: usize,
    /// How many stored blocks are being read just now, outside the lock.
    lent: usize,
}

impl<B, const PAGE: usize, const N: usize> Table<B, PAGE, N> {
    pub(super) const fn new() -> Self {
        Table {
            memory: None,
            entries: [const { Entry::Free }; N],
            lists: Lists::new(),
            pending: Pages::ZERO,
            adoptions: N,
            lent: 0,
        }
    }

    pub(super) fn space(&self) -> Space {
        Space::new(self.memory.as_ref().map_or(Pages::ZERO, Memory::free), self.adoptions)
    }

    /// Adopted, not written out yet.
    pub(super) fn pending(&self) -> Pages {
        self.pending
    }

    /// Room for `2^order` pages.
    pub(super) fn reserve(&mut self, order: Order) -> Result<RamBlock<PAGE>, StoreError> {
        let memory = self.memory.as_mut().ok_or(StoreError::Full)?;
        match memory.cut(order) {
            Some(to) => Ok(to),
            None if memory.free() == Pages::ZERO || order == Order::PAGE => Err(StoreError::Full),
            None => Err(StoreError::TooLarge),
        }
    }

    pub(super) fn unreserve(&mut self, to: RamBlock<PAGE>) {
        if let Some(memory) = &mut self.memory {
            let _ = memory.put(to); // it was cut from there
        }
    }

    pub(super) fn handle(
        &self,
        id: StoreId,
        to: &RamBlock<PAGE>,
        order: Order,
        entry: usize,
    ) -> Option<Handle> {
        let page = self.memory.as_ref()?.index(to)?;
        Handle::new(id, order, page * (N + 1) + entry)
    }

    /// Adopts a block of that order. Room is reserved now, so that writing out can't fail for want of it.
    pub(super) fn adopt(
        &mut self,
        id: StoreId,
        from: B,
        order: Order,
    ) -> Result<Handle, Refused<B, StoreError>> {
        if N == 0 {
            return Err(Refused::new(from, StoreError::Unsupported));
        }
        let to = match self.reserve(order) {
            Ok(to) => to,
            Err(StoreError::TooLarge) => return Err(Refused::new(from, StoreError::Full)), // transfers don't split
            Err(why) => return Err(Refused::new(from, why)),
        };
        let taken = self.lists.take_free().and_then(|e| Some((e, self.handle(id, &to, order, e)?)));
        let Some((entry, handle)) = taken else {
            self.unreserve(to);
            return Err(Refused::new(from, StoreError::Backlog));
        };
        self.pending += order.pages();
        self.adoptions -= 1;
        self.set(entry, Entry::Waiting(Waiting { from, to, at: 0 }));
        self.lists.wait_last(entry);
        Ok(handle)
    }

    /// Splits a handle's value.
    fn place(handle: &Handle) -> (usize, usize) {
        (handle.value() / (N + 1), handle.value() % (N + 1))
    }

    pub(super) fn find(&self, handle: &Handle) -> Result<Found, StoreError> {
        let memory = self.memory.as_ref().ok_or(StoreError::NotStored)?;
        let (page, entry) = Self::place(handle);
        match self.entries.get(entry) {
            Some(Entry::Waiting(w) | Entry::Wanted(w)) if memory.index(&w.to) == Some(page) => {
                return if w.to.order() == handle.order() {
                    Ok(Found::Adopted)
                } else {
                    Err(StoreError::NotStored)
                };
            }
            Some(Entry::Out { page: out, order, asked }) if *out == page => {
                let known = *order == handle.order() && *asked != Asked::Drop;
                return if known { Ok(Found::Out) } else { Err(StoreError::NotStored) };
            }
            _ => {}
        }
        match memory.whose(page, handle.order()) {
            Whose::Away => Ok(Found::Stored),
            Whose::Cut if self.lent > 0 => Err(StoreError::Busy), // it may be that, being read by somebody else
            Whose::Cut | Whose::Free => Err(StoreError::NotStored),
        }
    }

    /// The adopted block under a handle; the room for it is free again.
    pub(super) fn give_up(&mut self, handle: &Handle) -> Option<B> {
        let (_, entry) = Self::place(handle);
        let Waiting { from, to, .. } = self.take_waiting_at(entry)?;
        self.lists.leave_waiting(entry);
        self.release_entry(entry, handle.order());
        self.unreserve(to);
        Some(from)
    }

    /// What is stored under a handle, to read it outside the lock; until [`Table::give_back`] nobody else reaches it.
    pub(super) fn lend(&mut self, handle: &Handle) -> Option<RamBlock<PAGE>> {
        let block = self.borrow(handle)?;
        self.lent += 1;
        Some(block)
    }

    pub(super) fn give_back(&mut self, block: RamBlock<PAGE>) {
        self.lent -= 1;
        self.keep(block);
    }

    /// What is stored under a handle, out of reach of others until [`Table::keep`].
    pub(super) fn borrow(&mut self, handle: &Handle) -> Option<RamBlock<PAGE>> {
        self.memory.as_mut()?.fetch(Self::place(handle).0, handle.order())
    }

    /// The block of the region is stored contents.
    pub(super) fn keep(&mut self, to: RamBlock<PAGE>) {
        if let Some(memory) = &mut self.memory {
            let _ = memory.put_away(to); // it was cut from there
        }
    }

    /// What is out shall come back to whoever asks next.
    pub(super) fn ask_back(&mut self, handle: &Handle) {
        self.ask(handle, Asked::Back);
    }

    /// What is out is discarded: the block goes home when it comes back.
    pub(super) fn drop_out(&mut self, handle: &Handle) {
        self.ask(handle, Asked::Drop);
    }

    fn ask(&mut self, handle: &Handle, what: Asked) {
        if let Some(Entry::Out { asked, .. }) = self.entries.get_mut(Self::place(handle).1) {
            *asked = what;
        }
    }

    /// The block that waits longest goes out, unless somebody asked for it: then it goes to the end instead.
    pub(super) fn send_out(&mut self) -> Next<B, PAGE> {
        let Some(entry) = self.lists.take_waiting() else { return Next::Nothing };
        let page = self.waiting_page(entry);
        let (Some(place), Some(page)) = (self.entries.get_mut(entry), page) else { return Next::Nothing };
        match replace(place, Entry::Free) {
            Entry::Waiting(waiting) => {
                *place = Entry::Out { page, order: waiting.to.order(), asked: Asked::Nothing };
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

    fn waiting_page(&self, entry: usize) -> Option<usize> {
        match self.entries.get(entry)? {
            Entry::Waiting(w) | Entry::Wanted(w) => self.memory.as_ref()?.index(&w.to),
            _ => None,
        }
    }

    /// A block that was out, whole or in part copied, from byte `began` on.
    pub(super) fn come_back(&mut self, entry: usize, waiting: Waiting<B, PAGE>, began: usize) -> Back<B> {
        let order = waiting.to.order();
        let asked = match self.entries.get(entry) {
            Some(Entry::Out { asked, .. }) => *asked,
            _ => Asked::Nothing,
        };
        if asked == Asked::Drop || waiting.at >= waiting.to.len() {
            self.release_entry(entry, order);
            if asked == Asked::Drop {
                self.unreserve(waiting.to)
            } else {
                self.keep(waiting.to)
            }
            return Back::Home(waiting.from);
        }
        let stuck = waiting.at == began;
        if asked == Asked::Back {
            self.set(entry, Entry::Wanted(waiting));
            self.lists.wait_last(entry);
            return Back::Wanted;
        }
        self.set(entry, Entry::Waiting(waiting));
        if stuck {
            self.lists.wait_last(entry)
        } else {
            self.lists.wait_first(entry)
        }
        Back::Waits
    }

    /// Whether a block of the region and an entry belong together as something that is out.
    pub(super) fn is_out(&self, entry: usize, to: &RamBlock<PAGE>) -> bool {
        let page = self.memory.as_ref().and_then(|m| m.index(to));
        matches!(self.entries.get(entry), Some(Entry::Out { page: out, .. }) if page == Some(*out))
    }

    fn take_waiting_at(&mut self, entry: usize) -> Option<Waiting<B, PAGE>> {
        let place = self.entries.get_mut(entry)?;
        match replace(place, Entry::Free) {
            Entry::Waiting(waiting) | Entry::Wanted(waiting) => Some(waiting),
            other => {
                *place = other;
                None
            }
        }
    }

    fn release_entry(&mut self, entry: usize, order: Order) {
        self.set(entry, Entry::Free);
        self.lists.put_free(entry);
        self.pending -= order.pages();
        self.adoptions += 1;
    }

    fn set(&mut self, entry: usize, to: Entry<B, PAGE>) {
        if let Some(place) = self.entries.get_mut(entry) {
            *place = to;
        }
    }
}
