//! A store that breaks its contract: what it was given comes back, or is said to be lost. Never is it zeros, or other bytes.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::RefCell;

/// What a [`Bad`] store does with a transferred block: it gives a handle of another order, and of that handle's discard ...
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gives {
    /// ... the block.
    TheBlock,
    /// ... its lower half.
    Half,
    /// ... nothing.
    Nothing,
    /// ... an error.
    AnError,
    /// ... another block of the same order.
    Another,
}

struct Bad<'f> {
    copies: &'f Far,
    gives: Gives,
    larger: bool,
    kept: RefCell<Vec<RamBlock<PAGE>>>,
    /// What is given instead.
    other: RefCell<Option<RamBlock<PAGE>>>,
}

impl BackingStore<RamBlock<PAGE>> for Bad<'_> {
    fn ids(&self) -> StoreIds {
        self.copies.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.copies.capabilities()
    }
    fn space(&self) -> Space {
        self.copies.space()
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        _: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        let order = block.order();
        let other = if self.larger { Order::new(order.get() + 1) } else { order.lower() };
        self.kept.borrow_mut().push(block);
        Ok(Handle::new(StoreId::DEFAULT, other.unwrap(), Handle::VALUES - 1).unwrap())
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        if handle.value() != Handle::VALUES - 1 {
            return self.copies.discard(handle);
        }
        let mut kept = self.kept.borrow_mut();
        match self.gives {
            Gives::TheBlock => Ok(kept.pop()),
            Gives::Half => {
                let (lower, upper) = kept.pop().unwrap().split().unwrap();
                kept.push(upper);
                Ok(Some(lower))
            }
            Gives::Nothing => Ok(None),
            Gives::AnError => Err(Refused { item: handle, why: StoreError::NotStored }),
            Gives::Another => Ok(self.other.take()),
        }
    }
    fn save(
        &self,
        block: &RamBlock<PAGE>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.copies.save(block, order, payer, cx)
    }
    fn load(
        &self,
        handle: &Handle,
        block: &mut RamBlock<PAGE>,
        at: Pages,
        cx: Context,
    ) -> Result<(), StoreError> {
        self.copies.load(handle, block, at, cx)
    }
}

fn bad(copies: &Far, gives: Gives, larger: bool) -> Bad<'_> {
    Bad { copies, gives, larger, kept: RefCell::default(), other: RefCell::default() }
}

/// What is left of blocks that were lost.
fn give_kept_back(near: &Near, store: &Bad<'_>) {
    store.kept.borrow_mut().drain(..).for_each(|block| near.free(block));
}

/// Rule: a transfer whose handle is of another order did not happen: the block comes back by a discard, and stays or is
/// copied.
#[test]
fn a_handle_of_another_order_gives_the_block_back() {
    let (near, far) = (near(16), far(16));
    for larger in [false, true] {
        let store = bad(&far, Gives::TheBlock, larger);
        let home = &Forebay::new(&near, &store);
        let mut slots = [const { Slot::EMPTY }; 8];
        let (tile, many) =
            (Buffer::new(home, order(2)), Buffer::with_slots(home, &mut slots[..], Order::PAGE));
        fill(&tile, 1);
        fill(&many, 2);
        let at = tile.read().unwrap().as_ptr();
        let evicted = tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.refused), (NONE, pages(4)));
        assert_eq!(evicted.why, Some(RefusalReason::Store(StoreError::Io)));
        assert_eq!((tile.residency(), tile.read().unwrap().as_ptr()), (residency(4, 0, 0), at));
        check(&tile, 1);
        for buffer in [&many as &dyn Evictable, &tile] {
            let copied = home.reclaim([buffer], ALL, Evict::ANY, CX).evicted.copied;
            assert!(copied == pages(8) || copied == pages(4));
        }
        check(&tile, 1);
        check(&many, 2);
        drop((tile, many));
        assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
    }
}

/// Rule: where it does not come back whole, the contents are lost, and every access says so until the buffer is purged: no
/// zeros are read, and no part.
#[test]
fn what_a_store_keeps_is_said_to_be_lost() {
    let (near, far) = (near(16), far(16));
    for gives in [Gives::Nothing, Gives::AnError] {
        for how in [Evict::TRANSFER, Evict::ANY] {
            is_lost(&near, &far, gives, how);
        }
    }
}

#[track_caller]
fn is_lost(near: &Near, far: &Far, gives: Gives, how: Evict) {
    let store = bad(far, gives, false);
    let home = &Forebay::new(near, &store);
    let mut slots = [const { Slot::EMPTY }; 4];
    let (tile, many) = (Buffer::new(home, order(2)), Buffer::with_slots(home, &mut slots[..], Order::PAGE));
    fill(&tile, 1);
    fill(&many, 2);
    assert_eq!(tile.evict(ALL, how, CX).unwrap().moved(), NONE, "{gives:?} {how:?}");
    assert_eq!(many.evict(ALL, how, CX).unwrap().moved(), NONE, "{gives:?} {how:?}");
    let counted: Vec<_> = home.stats().refusals.iter().collect();
    assert_eq!(counted, [(RefusalReason::Store(StoreError::Io), 2)], "one for each block");
    for _ in 0..2 {
        assert_eq!(
            (tile.read().err(), tile.write().err()),
            (Some(AccessError::Lost), Some(AccessError::Lost))
        );
        assert_eq!(
            (many.read().err(), many.write().err()),
            (Some(AccessError::Lost), Some(AccessError::Lost))
        );
        assert_eq!(many.restore(ALL, CX).why, Some(AccessError::Lost));
        assert_eq!(many.populate(ALL, CX).why, Some(AccessError::Lost));
    }
    tile.purge(CX).unwrap();
    many.purge(CX).unwrap();
    assert!(contents(&tile).iter().chain(&contents(&many)).all(|b| *b == 0));
    fill(&many, 3);
    assert_eq!(many.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(4));
    check(&many, 3);
    drop((tile, many));
    give_kept_back(near, &store);
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
}

/// Rule: where it does not come back whole, the contents are lost: no part is read, and no zeros behind it.
#[test]
fn half_of_a_block_is_not_the_contents() {
    let (near, far) = (near(16), far(16));
    for how in [Evict::TRANSFER, Evict::ANY] {
        is_lost(&near, &far, Gives::Half, how);
    }
}

/// Refuses a transfer with another block than it was given, of the same order, once.
struct Swaps<'f> {
    inside: &'f Far,
    other: RefCell<Option<RamBlock<PAGE>>>,
}

impl BackingStore<RamBlock<PAGE>> for Swaps<'_> {
    fn ids(&self) -> StoreIds {
        self.inside.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inside.capabilities()
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        _: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        let other = self.other.replace(Some(block)).expect("there is one transfer");
        Err(Refused { item: other, why: StoreError::Full })
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        self.inside.discard(handle)
    }
    fn save(
        &self,
        block: &RamBlock<PAGE>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.inside.save(block, order, payer, cx)
    }
    fn load(
        &self,
        handle: &Handle,
        block: &mut RamBlock<PAGE>,
        at: Pages,
        cx: Context,
    ) -> Result<(), StoreError> {
        self.inside.load(handle, block, at, cx)
    }
}

/// Rule: another block of the same order is not the one that was given: the contents are lost, the other block is returned to
/// the source, and no byte of it is seen; from a refused transfer as from a discard.
#[test]
fn another_block_is_not_the_contents() {
    let (near, far) = (near(16), far(16));
    let other = || {
        let mut other = near.allocate(AllocRequest::new(order(2)), CX).unwrap();
        other.fill(0xEE);
        Some(other)
    };
    for how in [Evict::TRANSFER, Evict::ANY] {
        let store = Swaps { inside: &far, other: RefCell::new(other()) };
        let home = &Forebay::new(&near, &store);
        let tile = Buffer::new(home, order(2));
        fill(&tile, 1);
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.why), (NONE, Some(RefusalReason::Store(StoreError::Io))));
        assert_eq!((tile.read().err(), tile.residency()), (Some(AccessError::Lost), residency(0, 0, 0)));
        assert_eq!(near.unused(), pages(12), "the store has one, and the other was returned");
        tile.purge(CX).unwrap();
        assert!(contents(&tile).iter().all(|byte| *byte == 0));
        drop(tile);
        near.free(store.other.take().expect("the block of the buffer"));
        assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
    }
    for how in [Evict::TRANSFER, Evict::ANY] {
        let store = bad(&far, Gives::Another, false);
        store.other.replace(other());
        let home = &Forebay::new(&near, &store);
        let tile = Buffer::new(home, order(2));
        fill(&tile, 1);
        assert_eq!(tile.evict(ALL, how, CX).unwrap().moved(), NONE);
        assert_eq!(tile.read().err(), Some(AccessError::Lost));
        tile.purge(CX).unwrap();
        drop(tile);
        give_kept_back(&near, &store);
        assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
    }
}
