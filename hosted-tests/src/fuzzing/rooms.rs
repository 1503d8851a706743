//! A region that must not refuse a block while it has room for it.

use super::plants::Plant;
use super::{Swap, TRANSFERS};
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A region, and what of it is under handles.
pub(super) struct Rooms<'r, B, const PAGE: usize> {
    region: &'r Swap<B, PAGE>,
    /// By first page.
    taken: RefCell<BTreeMap<usize, Order>>,
    plant: Plant,
}

impl<'r, B: OwnedBlock, const PAGE: usize> Rooms<'r, B, PAGE> {
    pub(super) fn new(region: &'r Swap<B, PAGE>, plant: Plant) -> Self {
        Rooms { region, taken: RefCell::default(), plant }
    }

    fn page(handle: &Handle) -> usize {
        handle.value() / (TRANSFERS + 1)
    }

    fn take(&self, handle: &Handle) {
        self.taken.borrow_mut().insert(Self::page(handle), handle.order());
    }

    fn free(&self, page: usize) {
        self.taken.borrow_mut().remove(&page);
    }

    fn check(&self, why: StoreError, order: Order) {
        let taken: Pages = self.taken.borrow().values().map(|order| order.pages()).sum();
        let space = self.region.space();
        let free = self.region.total() - taken;
        if space.pages != free {
            return; // something is with an engine, and its handle is gone
        }
        match why {
            StoreError::Full | StoreError::TooLarge => {
                assert!(order.pages() > free, "{why:?}, and there is room for {order:?}: {:?}", self.region);
            }
            StoreError::Backlog => assert_eq!(space.transfers, 0, "{:?}", self.region),
            _ => {}
        }
    }
}

impl<B: OwnedBlock, const PAGE: usize> BackingStore<B> for Rooms<'_, B, PAGE> {
    fn ids(&self) -> StoreIds {
        self.region.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.region.capabilities()
    }
    fn space(&self) -> Space {
        self.region.space()
    }
    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        let done = self.region.save(block, order, payer, cx).inspect(|handle| self.take(handle));
        done.inspect_err(|why| match order <= block.order() {
            true => self.check(*why, order),
            false => assert_eq!(*why, StoreError::TooLarge),
        })
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.region.load(handle, block, at, cx)
    }
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        let order = block.order();
        let keeps =
            self.plant == Plant::KeepsRoom && self.region.space().pages < order.pages() + order.pages();
        let done = match keeps {
            true => Err(Refused { item: block, why: StoreError::Full }),
            false => self.region.transfer(block, payer),
        };
        done.inspect(|handle| self.take(handle)).inspect_err(|refused| self.check(refused.why, order))
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let page = Self::page(&handle);
        self.region.take_back(handle, cx).inspect(|_| self.free(page))
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.region.split(handle).inspect(|(lower, upper)| {
            self.take(lower);
            self.take(upper);
        })
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        let page = Self::page(&handle);
        if self.plant == Plant::LosesRoom && self.region.pending() == Pages::ZERO {
            self.free(page);
            return Ok(None);
        }
        self.region.discard(handle).inspect(|_| self.free(page))
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        self.region.settle(budget, cx, owner)
    }
}
