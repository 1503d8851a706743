//! Bugs, to show that the harness finds them.

use super::alias::Alias;
use super::memfd::{COPIED, Memory, OWN};
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::cell::RefCell;

/// A bug to plant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// None.
    Nothing,
    /// One bit of what is loaded is wrong.
    FlipsABit,
    /// The same where the oracle does not see it: only a comparison of the buffers' bytes does.
    FlipsPastTheOracle,
    /// A block that a discard brings to light is lost.
    LosesABlock,
    /// The halves of a split change places.
    SwapsHalves,
    /// A settle that returns frames forgets to count them.
    CountsNothing,
    /// An arena gives back the block of another handle, in another chunk where there is one.
    TakesBackAnother,
    /// Of a block that a discard brings to light only the lower half comes out.
    LosesHalfABlock,
    /// A settle of an arena unmaps nothing and drops nothing.
    SettlesNothing,
    /// Another party writes to pages of an arena that were discarded, after the next settle.
    WritesLate,
    /// An arena is not told that another party was shown a block.
    ForgetsAnExport,
    /// An index does not say of what is clean that it is resident.
    MissesABit,
    /// A walk ends at a buffer that is in use.
    GivesUpAtABusyOne,
    /// A reclaim that transfers counts a page too many.
    CountsAPageMore,
    /// A reclaim drops what is needed.
    DropsWhatIsNeeded,
    /// A store says that more is reclaimable than it has.
    PromisesMemory,
    /// A region refuses a transfer though there is room, when there is not much.
    KeepsRoom,
    /// A region does not free the room of what is discarded.
    LosesRoom,
}

/// Flips a bit of a page.
pub(super) fn flip<B: OwnedBlock>(block: &mut B, page: Pages) {
    let (at, mut byte) = (page.get() * B::PAGE, [0]);
    block.read_at(at, &mut byte);
    block.write_at(at, &[byte[0] ^ 4]);
}

/// A store with a bug.
pub(super) struct Planted<'s, B> {
    inner: &'s dyn BackingStore<B>,
    plant: Plant,
    alias: Option<Alias<'s>>,
    /// Order and value of what was transferred to an arena.
    transferred: RefCell<Vec<(Order, usize)>>,
    /// Pages that were discarded.
    discarded: RefCell<Vec<usize>>,
}

impl<'s, B: OwnedBlock> Planted<'s, B> {
    pub(super) fn new(inner: &'s dyn BackingStore<B>, plant: Plant, memory: Option<&'s Memory>) -> Self {
        let alias = memory.map(Alias::of);
        Planted { inner, plant, alias, transferred: RefCell::default(), discarded: RefCell::default() }
    }

    /// The handle of something else that was transferred to the arena, the farther away the better.
    fn other(&self, handle: &Handle) -> Option<Handle> {
        let transferred = self.transferred.borrow();
        let others =
            transferred.iter().filter(|(order, value)| *order == handle.order() && *value != handle.value());
        let (order, value) = others.max_by_key(|(_, value)| value.abs_diff(handle.value()))?;
        Handle::new(OWN, *order, *value)
    }

    fn forget(&self, handle: &Handle) {
        self.transferred.borrow_mut().retain(|at| *at != (handle.order(), handle.value()));
    }
}

impl<B: OwnedBlock> BackingStore<B> for Planted<'_, B> {
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
        self.inner.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.inner.load(handle, block, at, cx)?;
        if self.plant == Plant::FlipsABit {
            flip(block, at);
        }
        Ok(())
    }
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        self.inner.transfer(block, payer).inspect(|handle| {
            if handle.store() == OWN {
                self.transferred.borrow_mut().push((handle.order(), handle.value()));
            }
        })
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let other = match self.plant {
            Plant::TakesBackAnother if handle.store() == OWN => self.other(&handle),
            _ => None,
        };
        self.forget(&handle);
        self.inner.take_back(other.unwrap_or(handle), cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let (lower, upper) = self.inner.split(handle)?;
        Ok(if self.plant == Plant::SwapsHalves { (upper, lower) } else { (lower, upper) })
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.forget(&handle);
        if [OWN, COPIED].contains(&handle.store()) {
            self.discarded.borrow_mut().push(handle.value());
        }
        let block = self.inner.discard(handle)?;
        Ok(match self.plant {
            Plant::LosesABlock => None,
            Plant::LosesHalfABlock => block.map(|block| match block.split() {
                Ok((lower, _)) => lower,
                Err(page) => page,
            }),
            _ => block,
        })
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let cx = if self.plant == Plant::SettlesNothing { Context::INTERRUPT } else { cx };
        let mut settled = self.inner.settle(budget, cx, owner);
        if let Some(alias) = self.alias.as_ref().filter(|_| self.plant == Plant::WritesLate) {
            for page in self.discarded.take() {
                alias.write(page * B::PAGE, &[0x5e]);
            }
        }
        match self.plant {
            Plant::CountsNothing => settled.freed = Pages::ZERO,
            Plant::PromisesMemory if settled.pending > Pages::ZERO => settled.reclaimable += Pages::new(1),
            _ => {}
        }
        settled
    }
}
