//! Room in a store that stays with a resident block, so that the block can always leave.

use crate::frame::{Context, Order, Refused};
use crate::port::{Handle, OwnedBlock, StoreError};

/// A store that keeps room for a block that is resident: what lies in the source's lobby
/// ([`FrameSource::LOBBY`](crate::FrameSource::LOBBY)) has room of its own, so its eviction can't fail for lack of room.
///
/// Room is a handle under which nothing is stored, or what was stored is out of date. [`discard`](crate::BackingStore::discard)
/// frees it. Its order never changes, and its store never gives it to other contents.
pub trait Rooms<B: OwnedBlock> {
    /// Room for `2^order` pages, without contents. The caller discards it, or gives it to a call below.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::TooLarge`]: there is not so much room.
    ///
    /// # Context
    /// O(1), also in an interrupt; never blocks, allocates nothing.
    fn reserve(&self, order: Order) -> Result<Handle, StoreError>;

    /// As [`transfer`](crate::BackingStore::transfer), into this room, which has the order of the block. What the room has is out of
    /// date, and is overwritten. Returns the handle of the contents.
    ///
    /// # Errors
    /// Room and block come back unharmed. [`StoreError::Backlog`]: settle, then try again. [`StoreError::NotStored`]: it is no room
    /// of this order. Never [`StoreError::Full`]: there is room.
    ///
    /// # Context
    /// As `transfer`.
    fn transfer_into(&self, room: Handle, block: B) -> Result<Handle, Refused<(Handle, B), StoreError>>;

    /// As [`save`](crate::BackingStore::save) of all of a block, into this room, which has the order of the block. The handle is
    /// that of the contents afterwards.
    ///
    /// # Errors
    /// The room is still the caller's; what it had is gone, also after a panic of the block. [`StoreError::NotStored`]: it is no room
    /// of this order. Never [`StoreError::Full`].
    ///
    /// # Context
    /// As `save`.
    fn save_into(&self, room: &Handle, block: &B, cx: Context) -> Result<(), StoreError>;

    /// As [`take_back`](crate::BackingStore::take_back), and the room stays: it is returned with the block, has its order, and no
    /// contents.
    ///
    /// # Errors
    /// As `take_back`.
    ///
    /// # Context
    /// As `take_back`.
    fn take_back_from(&self, handle: Handle, cx: Context)
    -> Result<(Handle, B), Refused<Handle, StoreError>>;
}
