//! A region behind a store that does one thing wrong.

use super::*;
use forebay::frame::Charge;
use forebay::port::{Rooms, Settled};
use forebay_backends::RamBlock;
use std::cell::Cell;
use std::panic::resume_unwind;

type Block = RamBlock<PAGE>;

/// What a [`Wrong`] store does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    /// Nothing wrong.
    Right,
    /// It refuses a take-back, loses the block, and hands back a handle of the next order.
    LargerTakeBack,
    /// It halves the lower half of a split again.
    UnevenSplit,
    /// It keeps a block that it is given with room, and makes up a handle of the next order.
    LargerTransfer,
    /// It reserves room of the next order.
    LargerRoom,
    /// It panics where room is reserved.
    PanicsInReserve,
    /// It panics where a block is copied into room.
    PanicsInSave,
}

/// A region, with room for a lobby, that does as it is told.
#[derive(Debug)]
pub struct Wrong {
    /// The region.
    pub far: Far,
    /// What it does.
    pub does: Cell<Does>,
}

impl Wrong {
    /// In front of this region; nothing is wrong yet.
    pub fn new(far: Far) -> Self {
        Wrong { far, does: Cell::new(Does::Right) }
    }

    fn panics(&self, does: Does) {
        if self.does.get() == does {
            resume_unwind(Box::new("the store")); // no message
        }
    }

    fn of_the_next_order(handle: &Handle) -> Handle {
        let next = order(handle.order().get() + 1);
        Handle::new(handle.store(), next, handle.value()).expect("a value that there is")
    }
}

impl BackingStore<Block> for Wrong {
    fn ids(&self) -> StoreIds {
        <Far as BackingStore<Block>>::ids(&self.far)
    }
    fn capabilities(&self) -> Capabilities {
        self.far.capabilities()
    }
    fn space(&self) -> Space {
        self.far.space()
    }
    fn save(
        &self,
        block: &Block,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.far.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.far.load(handle, block, at, cx)
    }
    fn transfer(&self, block: Block, payer: Option<Charge>) -> Result<Handle, Refused<Block, StoreError>> {
        self.far.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Block, Refused<Handle, StoreError>> {
        if self.does.get() != Does::LargerTakeBack {
            return self.far.take_back(handle, cx);
        }
        let item = Wrong::of_the_next_order(&handle);
        self.far.discard(handle).expect("it was transferred");
        Err(Refused { item, why: StoreError::Busy })
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let (lower, upper) = self.far.split(handle)?;
        if self.does.get() != Does::UnevenSplit {
            return Ok((lower, upper));
        }
        let (quarter, other) = self.far.split(lower)?;
        self.far.discard(other).expect("it is stored");
        Ok((quarter, upper))
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.far.discard(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(Block)) -> Settled {
        self.far.settle(budget, cx, owner)
    }
    fn rooms(&self) -> Option<&dyn Rooms<Block>> {
        Some(self)
    }
}

impl Rooms<Block> for Wrong {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        self.panics(Does::PanicsInReserve);
        let larger = u8::from(self.does.get() == Does::LargerRoom);
        self.far.reserve(super::order(order.get() + larger))
    }
    fn transfer_into(
        &self,
        room: Handle,
        block: Block,
    ) -> Result<Handle, Refused<(Handle, Block), StoreError>> {
        let handle = self.far.transfer_into(room, block)?;
        if self.does.get() == Does::LargerTransfer {
            Ok(Wrong::of_the_next_order(&handle))
        } else {
            Ok(handle)
        }
    }
    fn save_into(&self, room: &Handle, block: &Block, cx: Context) -> Result<(), StoreError> {
        self.panics(Does::PanicsInSave);
        self.far.save_into(room, block, cx)
    }
    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, Block), Refused<Handle, StoreError>> {
        self.far.take_back_from(handle, cx)
    }
}
