//! Contents that exist already: flash, a mapped file, a snapshot.

use core::fmt;
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId,
    port::{Capabilities, Space, StoreIds},
};

/// Bytes that never change, as a store: buffers begin with them ([`Buffer::attach_stored`](forebay::Buffer::attach_stored)), and are
/// evicted without copying as long as they are only read.
///
/// It takes nothing: put it behind a store that does ([`Tiered`](crate::Tiered)), which takes what was written. Any number of buffers
/// may begin with the same bytes.
#[derive(Clone, Copy)]
pub struct Rom<'m, const PAGE: usize> {
    bytes: &'m [u8],
    id: StoreId,
}

impl<'m, const PAGE: usize> Rom<'m, PAGE> {
    /// These bytes, in pages of `PAGE` bytes; the last one may be short, and reads as zeros where they end.
    pub const fn new(id: StoreId, bytes: &'m [u8]) -> Self {
        Rom { bytes, id }
    }

    /// The number of pages.
    pub const fn pages(&self) -> Pages {
        Pages::new(self.bytes.len().div_ceil(PAGE))
    }

    /// The handle of `2^order` pages from page `at` on. Pages past the last one read as zeros. `None` if all of them are past it.
    pub const fn handle(&self, at: Pages, order: Order) -> Option<Handle> {
        if at.get() < self.pages().get() { Handle::new(self.id, order, at.get()) } else { None }
    }

    /// The page at which the contents of a handle begin.
    fn find(&self, handle: &Handle) -> Result<usize, StoreError> {
        if handle.store() != self.id {
            return Err(StoreError::WrongStore);
        }
        match self.pages().get() {
            // The upper half of what begins at the last page may begin past the end.
            1.. if handle.value() < self.pages().get() + Order::MAX.pages().get() => Ok(handle.value()),
            _ => Err(StoreError::NotStored),
        }
    }
}

impl<B: OwnedBlock, const PAGE: usize> BackingStore<B> for Rom<'_, PAGE> {
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::LOAD | Capabilities::LOADS_ALL | Capabilities::SPLIT
    }

    /// It takes nothing.
    fn space(&self) -> Space {
        Space::default()
    }

    fn room_of(&self, _: &Handle) -> Pages {
        Pages::ZERO
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        const { assert!(B::PAGE == PAGE, "pages are as large as the blocks'") }
        let first = self.find(handle)?;
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        if at + handle.order().pages() > block.order().pages() {
            return Err(StoreError::TooLarge);
        }
        let bytes = self.bytes.get(first.saturating_mul(PAGE)..).unwrap_or_default();
        let all = handle.order().pages().get() * PAGE;
        let there = bytes.get(..all).unwrap_or(bytes);
        let mut done = there.len();
        if block.write_at(at.get() * PAGE, there) != done {
            return Err(StoreError::Io); // not reached, and below: the block is as large as it says
        }
        while done < all {
            match block.write_at(at.get() * PAGE + done, [0; 64].get(..all - done).unwrap_or(&[0; 64])) {
                0 => return Err(StoreError::Io),
                n => done += n.min(64),
            }
        }
        Ok(())
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        if let Err(why) = self.find(&handle) {
            return Err(Refused { item: handle, why });
        }
        let Some(half) = handle.order().lower() else {
            return Err(Refused { item: handle, why: StoreError::TooLarge });
        };
        let upper = Handle::new(self.id, half, handle.value() + half.pages().get());
        match (Handle::new(self.id, half, handle.value()), upper) {
            (Some(lower), Some(upper)) => Ok((lower, upper)),
            _ => Err(Refused { item: handle, why: StoreError::NotStored }),
        }
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        match self.find(&handle) {
            Ok(_) => Ok(None),
            Err(why) => Err(Refused { item: handle, why }),
        }
    }
}

impl<const PAGE: usize> fmt::Debug for Rom<'_, PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rom").field("id", &self.id).field("pages", &self.pages()).finish()
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize> defmt::Format for Rom<'_, PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Rom({}, {=usize} pages)", self.id, self.pages().get());
    }
}
