//! Stores that do wrong on purpose, so that a test can see the lab notice. The command line can't choose one.

use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::cell::{Cell, RefCell};

/// What a [`Bad`] store does wrong. The victim is one block or copy that it accepts, after a number of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The first byte of the victim comes back with all bits flipped.
    FlipByte {
        /// How many are accepted before it.
        after: usize,
    },
    /// The victim never comes back, and neither does the room it takes.
    LoseBlock {
        /// How many are accepted before it.
        after: usize,
    },
}

/// What a handle says of what is stored.
type Key = (u8, u8, usize);

fn key(handle: &Handle) -> Key {
    (handle.store().into(), handle.order().get(), handle.value())
}

/// A store with one fault, or none.
#[derive(Debug)]
pub struct Bad<S> {
    inner: S,
    sabotage: Sabotage,
    /// How many are still accepted before the victim.
    left: Cell<usize>,
    /// The victim, or the pieces that it was split into.
    victims: RefCell<Vec<Key>>,
}

impl<S> Bad<S> {
    /// Around `inner`.
    pub const fn new(inner: S, sabotage: Sabotage) -> Self {
        let left = match sabotage {
            Sabotage::None => 0,
            Sabotage::FlipByte { after } | Sabotage::LoseBlock { after } => after,
        };
        Bad { inner, sabotage, left: Cell::new(left), victims: RefCell::new(Vec::new()) }
    }

    /// Something was accepted; it may be the victim.
    fn accept(&self, handle: Handle) -> Handle {
        let mut victims = self.victims.borrow_mut();
        match (self.sabotage, victims.is_empty(), self.left.get()) {
            (Sabotage::None, ..) | (_, false, _) => {}
            (_, true, 0) => victims.push(key(&handle)),
            (_, true, left) => self.left.set(left - 1),
        }
        handle
    }

    fn is_victim(&self, handle: &Handle) -> bool {
        self.victims.borrow().contains(&key(handle))
    }

    fn is_lost(&self, handle: &Handle) -> bool {
        matches!(self.sabotage, Sabotage::LoseBlock { .. }) && self.is_victim(handle)
    }

    fn is_flipped(&self, handle: &Handle) -> bool {
        matches!(self.sabotage, Sabotage::FlipByte { .. }) && self.is_victim(handle)
    }
}

fn flip(block: &mut impl OwnedBlock, at: usize) {
    let mut byte = [0];
    block.read_at(at, &mut byte);
    block.write_at(at, &[!byte[0]]);
}

impl<B: OwnedBlock, S: BackingStore<B>> BackingStore<B> for Bad<S> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }

    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.inner.save(block, order, payer, cx).map(|handle| self.accept(handle))
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        if self.is_lost(handle) {
            return Err(StoreError::NotStored);
        }
        self.inner.load(handle, block, at, cx)?;
        if self.is_flipped(handle) {
            flip(block, at.get() * B::PAGE);
        }
        Ok(())
    }

    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        self.inner.transfer(block, payer).map(|handle| self.accept(handle))
    }

    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        if self.is_lost(&handle) {
            return Err(Refused { item: handle, why: StoreError::NotStored });
        }
        let flipped = self.is_flipped(&handle);
        let mut block = self.inner.take_back(handle, cx)?;
        if flipped {
            flip(&mut block, 0);
            self.victims.take(); // it is out of the store, and stays flipped
            self.left.set(usize::MAX);
        }
        Ok(block)
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let whole = key(&handle);
        let (lower, upper) = self.inner.split(handle)?;
        let mut victims = self.victims.borrow_mut();
        if let Some(place) = victims.iter_mut().find(|victim| **victim == whole) {
            *place = key(&lower);
            if matches!(self.sabotage, Sabotage::LoseBlock { .. }) {
                victims.push(key(&upper));
            }
        }
        Ok((lower, upper))
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        if self.is_lost(&handle) {
            return Ok(None); // the inner store is not told
        }
        if self.is_victim(&handle) {
            self.victims.take(); // it was not seen: the next one that is accepted
        }
        self.inner.discard(handle)
    }

    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        self.inner.settle(budget, cx, owner)
    }
}
