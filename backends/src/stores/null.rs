//! A store that takes nothing.

use forebay::{
    BackingStore, Handle, OwnedBlock, Refused, StoreError,
    port::{Space, StoreIds},
};

/// Refuses everything: for a pool whose buffers are never evicted, only purged. Also the simplest store.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Null;

impl<B: OwnedBlock> BackingStore<B> for Null {
    fn ids(&self) -> StoreIds {
        StoreIds::empty()
    }
    fn space(&self) -> Space {
        Space::default()
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::WrongStore })
    }
}
