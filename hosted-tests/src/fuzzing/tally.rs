//! The outermost wrapper around the store: which handles are alive, and how many transferred pages the store has.
//!
//! The oracle knows this too, but keeps it to itself; and it does not know of an engine at work.

use super::plants::flip;
use crate::Watched;
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
    sync::NoopRawMutex,
};
use forebay_backends::Faulty;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Store, order, value.
type Key = (u8, u8, usize);

fn key(h: &Handle) -> Key {
    (h.store().into(), h.order().get(), h.value())
}

pub(super) struct Tally<'w, B> {
    inner: Watched<'w, Faulty<&'w dyn BackingStore<B>, NoopRawMutex>>,
    live: RefCell<BTreeSet<Key>>,
    transferred: Cell<usize>,
    at_work: Cell<bool>,
    orphans: Cell<bool>,
    /// Settles so far.
    settles: Cell<usize>,
    /// Flip a bit of what is loaded, for [`Plant::FlipsPastTheOracle`](super::Plant).
    flips: bool,
}

impl<'w, B: OwnedBlock> Tally<'w, B> {
    pub(super) fn new(
        inner: Watched<'w, Faulty<&'w dyn BackingStore<B>, NoopRawMutex>>,
        flips: bool,
    ) -> Self {
        Tally {
            inner,
            live: RefCell::default(),
            transferred: Cell::new(0),
            at_work: Cell::new(false),
            orphans: Cell::new(false),
            settles: Cell::new(0),
            flips,
        }
    }

    /// Where faults are set.
    pub(super) fn faulty(&self) -> &Faulty<&'w dyn BackingStore<B>, NoopRawMutex> {
        self.inner.inner()
    }

    /// The store itself, past the oracle.
    pub(super) fn bare(&self) -> &'w dyn BackingStore<B> {
        *self.inner.inner().inner()
    }

    /// How many settles there were.
    pub(super) fn settles(&self) -> usize {
        self.settles.get()
    }

    /// Pages of blocks that the store has.
    pub(super) fn transferred(&self) -> usize {
        self.transferred.get()
    }

    /// Orders of what is alive under the handles of a store whose value `is_it` likes.
    pub(super) fn orders(&self, store: u8, mut is_it: impl FnMut(usize) -> bool) -> Vec<u8> {
        self.live.borrow().iter().filter(|k| k.0 == store && is_it(k.2)).map(|k| k.1).collect()
    }

    /// Order and value of what is alive under the handles of a store.
    pub(super) fn live(&self, store: StoreId) -> Vec<(Order, usize)> {
        let live = self.live.borrow();
        let mine = live.iter().filter(|k| k.0 == u8::from(store));
        mine.filter_map(|k| Some((Order::new(k.1)?, k.2))).collect()
    }

    /// Pages under the live handles of a store.
    pub(super) fn live_pages(&self, store: u8) -> usize {
        self.orders(store, |_| true).iter().map(|o| 1 << o).sum()
    }

    /// Whether an engine has a job.
    pub(super) fn set_at_work(&self, at_work: bool) {
        self.at_work.set(at_work);
        if !at_work {
            self.orphans.set(false);
        }
    }

    /// Whether a block may be with an engine whose handle is gone: the oracle can't account for that one.
    pub(super) fn may_have_orphans(&self) -> bool {
        self.orphans.get()
    }

    /// A write-out with an engine gave this block up; it is returned to the source next.
    pub(super) fn wrote_out(&self, block: &B) {
        self.inner.note_settled(block);
        self.gave_up(block);
    }

    fn gave_up(&self, block: &B) {
        let left = self.transferred.get().checked_sub(block.order().pages().get());
        self.transferred.set(left.expect("a store gives up more than it received"));
    }

    fn begins(&self, handle: &Handle) {
        assert!(self.live.borrow_mut().insert(key(handle)), "{handle:?} is given out twice");
    }

    fn ends(&self, handle: Key) {
        assert!(self.live.borrow_mut().remove(&handle), "{handle:?} is not alive");
    }
}

impl<B: OwnedBlock> BackingStore<B> for Tally<'_, B> {
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
        self.inner.save(block, order, payer, cx).inspect(|handle| self.begins(handle))
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.inner.load(handle, block, at, cx)?;
        if self.flips {
            flip(block, at);
        }
        Ok(())
    }

    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        self.inner.transfer(block, payer).inspect(|handle| {
            self.begins(handle);
            self.transferred.set(self.transferred.get() + handle.order().pages().get());
        })
    }

    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let mine = key(&handle);
        self.inner.take_back(handle, cx).inspect(|block| {
            self.ends(mine);
            self.gave_up(block);
        })
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let mine = key(&handle);
        self.inner.split(handle).inspect(|(lower, upper)| {
            self.ends(mine);
            self.begins(lower);
            self.begins(upper);
        })
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.ends(key(&handle));
        let block = self.inner.discard(handle);
        match &block {
            Ok(Some(block)) => self.gave_up(block),
            Ok(None) if self.at_work.get() => self.orphans.set(true),
            Ok(None) => {}
            Err(refused) => panic!("{:?} is alive, and its discard is refused", refused.item),
        }
        block
    }

    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        self.settles.set(self.settles.get() + 1);
        self.inner.settle(budget, cx, &mut |block: B| {
            self.gave_up(&block);
            owner(block);
        })
    }
}
