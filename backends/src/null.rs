//! A store that takes nothing.

use forebay::{BackingStore, Handle, OwnedBlock, StoreIds};

/// Refuses everything: for a pool whose buffers are never evicted, only purged. Also the simplest store there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl<B: OwnedBlock> BackingStore<B> for Null {
    fn ids(&self) -> StoreIds {
        StoreIds::NONE
    }
    fn discard(&self, _: Handle) -> Option<B> {
        None
    }
}
