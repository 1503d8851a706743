//! Stores for tests only, with the capabilities that the ones of the backends don't have.

use forebay::frame::Charge;
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId,
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much of a block a [`CopyStore`] takes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// All that it is given.
    Whole,
    /// The first half; a page if that is all.
    Half,
    /// One page; [`StoreError::TooLarge`] for more.
    Page,
}

/// A store that only copies. It splits handles only if it takes blocks whole.
#[derive(Debug)]
pub struct CopyStore {
    id: StoreId,
    takes: Takes,
    io: bool,
    state: Mutex<Copies>,
}

#[derive(Debug)]
struct Copies {
    free: Pages,
    next: usize,
    stored: HashMap<(usize, Order), Vec<u8>>,
}

impl CopyStore {
    /// A store with room for `pages` pages.
    pub fn new(id: StoreId, pages: usize, takes: Takes) -> Self {
        let state = Copies { free: Pages::new(pages), next: 0, stored: HashMap::new() };
        CopyStore { id, takes, io: false, state: Mutex::new(state) }
    }

    /// As if it were a disk: copying needs [`Context::MAY_IO`].
    pub fn with_io(mut self) -> Self {
        self.io = true;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Copies> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, cx: Context) -> Result<(), StoreError> {
        let needed = if self.io { Context::THREAD } else { Context::NO_IO };
        if cx.contains(needed) { Ok(()) } else { Err(StoreError::Context) }
    }

    fn key(&self, handle: &Handle) -> Result<(usize, Order), StoreError> {
        if handle.store() != self.id {
            return Err(StoreError::WrongStore);
        }
        Ok((handle.value(), handle.order()))
    }
}

impl Copies {
    fn put(&mut self, id: StoreId, order: Order, bytes: Vec<u8>) -> Handle {
        self.next += 1;
        self.stored.insert((self.next, order), bytes);
        Handle::new(id, order, self.next).expect("a test stores less than that")
    }
}

impl<B: OwnedBlock> BackingStore<B> for CopyStore {
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::COPY;
        can.set(Capabilities::SPLIT, self.takes == Takes::Whole);
        can.set(Capabilities::NEEDS_IO, self.io);
        can
    }

    fn space(&self) -> Space {
        Space { pages: self.lock().free, transfers: 0 }
    }

    fn save(&self, block: &B, order: Order, _: Option<Charge>, cx: Context) -> Result<Handle, StoreError> {
        self.check(cx)?;
        let order = match self.takes {
            Takes::Whole => order,
            Takes::Half => order.lower().unwrap_or(order),
            Takes::Page if order > Order::PAGE => return Err(StoreError::TooLarge),
            Takes::Page => order,
        };
        let mut s = self.lock();
        if s.free < order.pages() {
            return Err(if s.free == Pages::ZERO { StoreError::Full } else { StoreError::TooLarge });
        }
        s.free -= order.pages();
        let mut bytes = vec![0; B::PAGE << order.get()];
        block.read_at(0, &mut bytes);
        Ok(s.put(self.id, order, bytes))
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.check(cx)?;
        let key = self.key(handle)?;
        let s = self.lock();
        let bytes = s.stored.get(&key).ok_or(StoreError::NotStored)?;
        let copied = block.write_at(at.get().saturating_mul(B::PAGE), bytes);
        if copied == bytes.len() { Ok(()) } else { Err(StoreError::TooLarge) }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        if self.takes != Takes::Whole {
            return Err(Refused { item: handle, why: StoreError::Unsupported });
        }
        let key = match self.key(&handle) {
            Ok(key) => key,
            Err(why) => return Err(Refused { item: handle, why }),
        };
        let mut s = self.lock();
        match (s.stored.remove(&key), handle.order().lower()) {
            (Some(mut lower), Some(order)) => {
                let upper = lower.split_off(lower.len() / 2);
                Ok((s.put(self.id, order, lower), s.put(self.id, order, upper)))
            }
            (Some(page), None) => {
                s.stored.insert(key, page);
                Err(Refused { item: handle, why: StoreError::TooLarge })
            }
            (None, _) => Err(Refused { item: handle, why: StoreError::NotStored }),
        }
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        let key = match self.key(&handle) {
            Ok(key) => key,
            Err(why) => return Err(Refused { item: handle, why }),
        };
        let mut s = self.lock();
        if s.stored.remove(&key).is_none() {
            return Err(Refused { item: handle, why: StoreError::NotStored });
        }
        s.free += handle.order().pages();
        Ok(None)
    }
}

/// A store that only takes blocks, up to a number of pages and of blocks, and never settles. It splits those blocks that can be
/// split.
pub struct Attic<B> {
    id: StoreId,
    state: Mutex<Kept<B>>,
}

struct Kept<B> {
    space: Space,
    next: usize,
    blocks: HashMap<(usize, Order), B>,
}

impl<B: OwnedBlock> Attic<B> {
    /// A store with that space.
    pub fn new(id: StoreId, space: Space) -> Self {
        Attic { id, state: Mutex::new(Kept { space, next: 0, blocks: HashMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, handle: &Handle) -> Result<B, StoreError> {
        if handle.store() != self.id {
            return Err(StoreError::WrongStore);
        }
        let mut s = self.lock();
        let block = s.blocks.remove(&(handle.value(), handle.order())).ok_or(StoreError::NotStored)?;
        s.space.pages += block.order().pages();
        s.space.transfers += 1;
        Ok(block)
    }
}

impl<B: OwnedBlock> Kept<B> {
    fn put(&mut self, id: StoreId, block: B) -> Handle {
        let order = block.order();
        self.next += 1;
        self.space.pages -= block.order().pages();
        self.space.transfers = self.space.transfers.saturating_sub(1);
        self.blocks.insert((self.next, order), block);
        Handle::new(id, order, self.next).expect("a test stores less than that")
    }
}

impl<B: OwnedBlock> BackingStore<B> for Attic<B> {
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::TRANSFER | Capabilities::TAKE_BACK | Capabilities::SPLIT
    }

    fn space(&self) -> Space {
        self.lock().space
    }

    fn transfer(&self, block: B, _: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        let mut s = self.lock();
        let Space { pages, transfers } = s.space;
        if pages < block.order().pages() {
            return Err(Refused { item: block, why: StoreError::Full });
        }
        if transfers == 0 {
            return Err(Refused { item: block, why: StoreError::Backlog });
        }
        Ok(s.put(self.id, block))
    }

    fn take_back(&self, handle: Handle, _: Context) -> Result<B, Refused<Handle, StoreError>> {
        self.remove(&handle).map_err(|why| Refused { item: handle, why })
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        if self.space().transfers == 0 {
            return Err(Refused { item: handle, why: StoreError::Backlog });
        }
        let block = match self.remove(&handle) {
            Ok(block) => block,
            Err(why) => return Err(Refused { item: handle, why }),
        };
        let mut s = self.lock();
        match block.split() {
            Ok((lower, upper)) => Ok((s.put(self.id, lower), s.put(self.id, upper))),
            Err(block) => {
                // Under its old number, as before.
                s.space.pages -= block.order().pages();
                s.space.transfers -= 1;
                s.blocks.insert((handle.value(), handle.order()), block);
                Err(Refused { item: handle, why: StoreError::TooLarge })
            }
        }
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.remove(&handle).map(Some).map_err(|why| Refused { item: handle, why })
    }

    fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(B)) -> Settled {
        let pending = self.lock().blocks.values().map(|block| block.order().pages()).sum();
        let mut settled = Settled::default();
        settled.pending = pending;
        settled
    }
}

impl<B> fmt::Debug for Attic<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attic").field("id", &self.id).finish_non_exhaustive()
    }
}
