//! What every [`BackingStore`] keeps.
//!
//! The suite is led by the store's capabilities. What it asks of a store that declares something is that it does
//! it as the port says; of one that does not, that it answers `Unsupported` and returns what it was given.

mod copying;
mod handles;
mod many;
mod transferring;

pub use many::threads;

use super::{content, fill, order, pattern};
use crate::{Contents, Watched, World};
use forebay::frame::Charge;
use forebay::{
    AllocRequest, BackingStore, Context, FrameSource, Handle, OwnedBlock, Pages, StoreError, StoreId,
    port::{Capabilities, Space},
};

/// Everything.
///
/// `source` has at least 64 pages, the store is empty, and has room for a block of order 3 but not for all of the
/// source (unless it never takes anything). Nothing else uses them meanwhile. Both are as before afterwards.
///
/// # Panics
/// If a rule is broken.
pub fn suite<P: FrameSource, S: BackingStore<P::Block>>(source: &P, store: &S) {
    let world = World::new(Contents::Compared);
    let b = Bench {
        world: &world,
        source: Watched::new(source, &world),
        store: Watched::new(store, &world),
        raw: store,
        can: store.capabilities(),
        start: store.space(),
    };
    let rules: [fn(&Bench<'_, P, S>); 25] = [
        what_is_not_declared_is_unsupported,
        what_is_declared_is_done,
        transferring::a_transfer_comes_back_as_it_was,
        transferring::a_refused_block_comes_back_unharmed,
        transferring::a_discard_of_a_transferred_block_returns_it,
        transferring::a_transferred_block_is_not_loaded_as_something_else,
        transferring::halves_of_a_transferred_block_come_back_or_the_handle_does,
        transferring::settling_without_rights_or_budget_frees_nothing,
        transferring::settling_frees_what_it_says_and_little_more_than_asked,
        transferring::taking_back_half_way_cancels,
        copying::a_save_keeps_the_start_of_the_block,
        copying::a_copy_does_not_follow_the_block,
        copying::a_load_writes_its_pages_and_no_others,
        copying::a_load_into_too_little_room_loses_nothing,
        copying::full_means_that_nothing_was_stored,
        copying::copying_needs_the_right_to,
        copying::a_copy_is_not_taken_back,
        copying::single_pages_of_a_split_come_back_and_go_alone,
        handles::what_is_gone_is_not_stored,
        handles::a_handle_that_was_split_is_gone,
        handles::forged_handles_reach_nothing_in_an_empty_store,
        handles::forged_handles_do_not_disturb_what_is_stored,
        contents_with_a_payer_come_back,
        many::anything_in_any_order,
        handles::handles_of_other_stores_come_back,
    ];
    for rule in rules {
        rule(&b);
        b.is_as_at_the_start();
    }
}

/// A source and a store, with the oracle around both.
struct Bench<'a, P, S> {
    world: &'a World,
    source: Watched<'a, &'a P>,
    store: Watched<'a, &'a S>,
    /// Without the oracle: for handles that it would refuse.
    raw: &'a S,
    can: Capabilities,
    start: Space,
}

impl<P: FrameSource, S: BackingStore<P::Block>> Bench<'_, P, S> {
    const PAGE: usize = P::Block::PAGE;

    fn can(&self, what: Capabilities) -> bool {
        self.can.contains(what)
    }

    /// A block with the bytes of that seed.
    #[track_caller]
    fn block(&self, k: u8, seed: u64) -> P::Block {
        let mut block = self
            .source
            .allocate(AllocRequest::new(order(k)), Context::THREAD)
            .expect("the source has enough");
        fill(&mut block, seed);
        block
    }

    fn free(&self, block: P::Block) {
        self.source.free(block);
    }

    /// Transfers a block of that order and seed; it may be refused.
    #[track_caller]
    fn transfer(&self, k: u8, seed: u64) -> Option<Handle> {
        let block = self.block(k, seed);
        match self.store.transfer(block, None) {
            Ok(handle) => Some(handle),
            Err(refused) => {
                self.free(refused.item);
                None
            }
        }
    }

    /// Saves the start of a block of that order and seed, as much as the store takes at once.
    #[track_caller]
    fn save(&self, k: u8, seed: u64) -> Handle {
        let block = self.block(k, seed);
        let handle = self.save_start(&block, k).expect("an empty store has room");
        self.free(block);
        handle
    }

    /// As an eviction does: smaller, as long as it is too large.
    fn save_start(&self, block: &P::Block, k: u8) -> Result<Handle, StoreError> {
        let mut asked = order(k);
        loop {
            match (self.store.save(block, asked, None, Context::THREAD), asked.lower()) {
                (Err(StoreError::TooLarge), Some(lower)) => asked = lower,
                (Err(StoreError::TooLarge), None) => panic!("a page is too large, but nothing is smaller"),
                (result, _) => return result,
            }
        }
    }

    /// What a handle of a save has: the start of the block of that seed.
    fn start_of(&self, handle: &Handle, seed: u64) -> Vec<u8> {
        pattern(seed, Self::PAGE << handle.order().get())
    }

    /// Loads into a block of its own, and compares.
    #[track_caller]
    fn loads(&self, handle: &Handle, expected: &[u8]) {
        let mut block = self.block(handle.order().get(), 0xf111);
        assert_eq!(self.store.load(handle, &mut block, Pages::ZERO, Context::THREAD), Ok(()), "{handle:?}");
        assert!(content(&block) == expected, "{handle:?} was loaded with other bytes");
        self.free(block);
    }

    /// Takes back, and compares.
    #[track_caller]
    fn takes_back(&self, handle: Handle, expected: &[u8]) {
        match self.store.take_back(handle, Context::THREAD) {
            Ok(block) => {
                assert!(content(&block) == expected, "{:?} came back with other bytes", block.pfn());
                self.free(block);
            }
            Err(refused) => panic!("{:?} is not taken back: {}", refused.item, refused.why),
        }
    }

    /// Discards; a block that the store still had is returned to the source. Returns whether there was one.
    fn discard(&self, handle: Handle) -> bool {
        let block = self.store.discard(handle).expect("what is stored can be discarded");
        let came = block.is_some();
        block.into_iter().for_each(|block| self.free(block));
        came
    }

    fn settle(&self, budget: Pages, cx: Context) -> forebay::port::Settled {
        self.store.settle(budget, cx, &mut |block| self.free(block))
    }

    /// Nothing is stored, no frame is out, and there is as much room as there was.
    #[track_caller]
    fn is_as_at_the_start(&self) {
        let settled = self.settle(Pages::MAX, Context::THREAD);
        assert_eq!((settled.freed, settled.pending, settled.error), (Pages::ZERO, Pages::ZERO, None));
        assert_eq!(self.raw.space(), self.start, "something is left in the store");
        self.world.validate();
        self.world.assert_empty();
    }

    /// The room that is left of `before`, if it is known.
    fn less(&self, before: Pages, taken: Pages) -> Pages {
        if self.start == Space::UNKNOWN { before } else { before - taken }
    }

    fn is_tiered(&self) -> bool {
        all_ids().filter(|id| self.raw.ids().contains((*id).into())).count() > 1
    }

    /// A store that this one is not, and does not have in it.
    fn foreign_id(&self) -> StoreId {
        let foreign = |id: &StoreId| !self.raw.ids().contains((*id).into());
        all_ids().find(foreign).expect("a store does not have all ids")
    }
}

fn all_ids() -> impl Iterator<Item = StoreId> {
    (0..16).filter_map(StoreId::new)
}

/// A handle that the type does not let us have twice.
fn forged(handle: &Handle) -> Handle {
    Handle::new(handle.store(), handle.order(), handle.value()).expect("it exists already")
}

fn what_is_not_declared_is_unsupported<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    use StoreError::Unsupported;
    let mut block = b.block(0, 1);
    let bytes = content(&block);
    let handle = || {
        let mine = all_ids().find(|id| b.raw.ids().contains((*id).into())).unwrap_or(StoreId::DEFAULT);
        Handle::new(mine, order(0), 0).expect("0 is a value")
    };
    if !b.can(Capabilities::COPY) {
        assert_eq!(b.raw.save(&block, order(0), None, Context::THREAD), Err(Unsupported));
    }
    if !b.can(Capabilities::LOAD) {
        assert_eq!(b.raw.load(&handle(), &mut block, Pages::ZERO, Context::THREAD), Err(Unsupported));
    }
    if !b.can(Capabilities::TAKE_BACK) {
        let refused = b.raw.take_back(handle(), Context::THREAD).err().expect("it never does this");
        assert_eq!((refused.item, refused.why), (handle(), Unsupported));
    }
    if !b.can(Capabilities::SPLIT) {
        let refused = b.raw.split(handle()).expect_err("it never does this");
        assert_eq!((refused.item, refused.why), (handle(), Unsupported));
    }
    if !b.can(Capabilities::TRANSFER) {
        let known = b.start != Space::UNKNOWN;
        assert!(!known || b.start.transfers == 0, "it takes no block, but says that it would");
        let refused = b.store.transfer(block, None).expect_err("it never does this");
        assert_eq!(refused.why, Unsupported);
        block = refused.item;
    }
    assert!(content(&block) == bytes);
    b.free(block);
}

fn what_is_declared_is_done<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    assert_eq!(b.raw.capabilities(), b.can, "capabilities are constant");
    if b.can(Capabilities::TRANSFER) {
        let handle = b.transfer(0, 1).expect("an empty store takes a page");
        assert!(b.raw.ids().contains(handle.store().into()));
        if b.can(Capabilities::TAKE_BACK) {
            b.takes_back(handle, &pattern(1, Bench::<P, S>::PAGE));
        } else {
            b.discard(handle);
        }
    }
    if b.can(Capabilities::COPY) {
        let mut handle = b.save(3, 2);
        assert!(b.raw.ids().contains(handle.store().into()));
        b.loads(&handle, &b.start_of(&handle, 2));
        if b.can(Capabilities::SPLIT) && handle.order().pages() > Pages::new(1) {
            handle = match b.store.split(handle) {
                Ok((lower, upper)) => {
                    b.discard(upper);
                    lower
                }
                // The tier that copies may be the one that does not split.
                Err(refused) => {
                    assert!(b.is_tiered() && refused.why == StoreError::Unsupported, "{:?}", refused.why);
                    refused.item
                }
            };
        }
        assert!(!b.discard(handle), "a copy has no block");
    }
}

/// A store without accounts ignores the payer; one with accounts has room for this one, or is full for it.
fn contents_with_a_payer_come_back<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    let payer = core::num::NonZeroUsize::new(7).map(Charge);
    let block = b.block(1, 6);
    let bytes = content(&block);
    let block = match b.store.transfer(block, payer) {
        Ok(handle) if b.can(Capabilities::TAKE_BACK) => {
            b.store.take_back(handle, Context::THREAD).expect("nothing happened since")
        }
        Ok(handle) => b.store.discard(handle).expect("it is stored").expect("the store still has it"),
        Err(refused) => refused.item,
    };
    assert!(content(&block) == bytes);
    match b.store.save(&block, order(0), payer, Context::THREAD) {
        Ok(handle) => {
            b.loads(&handle, &b.start_of(&handle, 6));
            assert!(!b.discard(handle), "a copy has no block");
        }
        Err(why) => assert!(matches!(why, StoreError::Full | StoreError::Unsupported), "{why:?}"),
    }
    b.free(block);
}
