//! A store of the harness's own, which only copies, often less than it is asked to.

use super::ops::{self, CopyingKind};
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, Space, StoreIds},
};
use std::cell::RefCell;

/// Copies into vectors.
pub(super) struct Copying {
    kind: CopyingKind,
    id: StoreId,
    /// Bytes of a page of the blocks.
    page: usize,
    /// What a handle's value counts. Values are used again, the last freed one first.
    stored: RefCell<Vec<Option<Vec<u8>>>>,
}

impl Copying {
    pub(super) fn new(kind: CopyingKind, id: StoreId, page: usize) -> Self {
        Copying { kind, id, page, stored: RefCell::default() }
    }

    fn room(&self) -> usize {
        4 + usize::from(self.kind.pages) % 60
    }

    /// Pages that are stored.
    pub(super) fn used(&self) -> usize {
        self.stored.borrow().iter().flatten().map(|b| b.len() / self.page).sum()
    }

    fn permits(&self, cx: Context) -> Result<(), StoreError> {
        let needs = if self.kind.needs_io { Context::THREAD } else { Context::MAY_BLOCK };
        if cx.contains(needs) { Ok(()) } else { Err(StoreError::Context) }
    }

    fn is_here(&self, handle: &Handle) -> Result<(), StoreError> {
        if handle.store() != self.id {
            return Err(StoreError::WrongStore);
        }
        match self.stored.borrow().get(handle.value()) {
            Some(Some(bytes)) if bytes.len() == self.page << handle.order().get() => Ok(()),
            _ => Err(StoreError::NotStored),
        }
    }

    fn put(&self, order: Order, bytes: Vec<u8>) -> Handle {
        let mut all = self.stored.borrow_mut();
        let value = all.iter().rposition(Option::is_none).unwrap_or_else(|| {
            all.push(None);
            all.len() - 1
        });
        all[value] = Some(bytes);
        Handle::new(self.id, order, value).expect("few enough")
    }
}

impl<B: OwnedBlock> BackingStore<B> for Copying {
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::COPY;
        can.set(Capabilities::SPLIT, self.kind.splits);
        can.set(Capabilities::NEEDS_IO, self.kind.needs_io);
        can
    }

    fn space(&self) -> Space {
        Space { pages: Pages::new(self.room() - self.used()), transfers: 0 }
    }

    fn save(&self, block: &B, order: Order, _: Option<Charge>, cx: Context) -> Result<Handle, StoreError> {
        self.permits(cx)?;
        let most = ops::order(self.kind.most % 4);
        let order = match order.lower() {
            Some(half) if order > most && self.kind.short => half,
            Some(_) if order > most => return Err(StoreError::TooLarge),
            _ => order,
        };
        if self.used() + order.pages().get() > self.room() {
            return Err(if self.used() == self.room() { StoreError::Full } else { StoreError::TooLarge });
        }
        let mut bytes = vec![0; self.page << order.get()];
        block.read_at(0, &mut bytes);
        Ok(self.put(order, bytes))
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.permits(cx)?;
        self.is_here(handle)?;
        let all = self.stored.borrow();
        let Some(Some(bytes)) = all.get(handle.value()) else { return Err(StoreError::NotStored) };
        let copied = block.write_at(at.get().saturating_mul(self.page), bytes);
        if copied == bytes.len() { Ok(()) } else { Err(StoreError::TooLarge) }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let why = match (self.is_here(&handle), handle.order().lower()) {
            (Err(why), _) => why,
            (Ok(()), _) if !self.kind.splits => StoreError::Unsupported,
            (Ok(()), None) => StoreError::TooLarge,
            (Ok(()), Some(half)) => {
                let mut lower = self.stored.borrow_mut()[handle.value()].take().unwrap_or_default();
                let upper = lower.split_off(lower.len() / 2);
                return Ok((self.put(half, lower), self.put(half, upper)));
            }
        };
        Err(Refused { item: handle, why })
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        if let Err(why) = self.is_here(&handle) {
            return Err(Refused { item: handle, why });
        }
        self.stored.borrow_mut()[handle.value()] = None;
        Ok(None)
    }
}
