//! A store that hands back handles of another order: they never stand for the contents, nor hide a neighbour's.

use forebay::{
    AccessError, BackingStore, Buffer, Context, Evict, Forebay, Handle, Order, Pages, Refused, Slot,
    StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, StoreIds},
    sync::SpinRawMutex,
};
use forebay_backends::{Ram, RamBlock, RamRegion};
use hosted_tests::memory::{leak, words};
use std::cell::Cell;

const PAGE: usize = 512;
const T: Context = Context::THREAD;
type Source = Ram<SpinRawMutex, PAGE>;
type Block = RamBlock<PAGE>;
type Slow = RamRegion<SpinRawMutex, PAGE, 16>;

/// A region in front of which handles are exchanged, as long as `wrong` is set.
struct Wrong {
    slow: Slow,
    wrong: Cell<bool>,
}

impl BackingStore<Block> for Wrong {
    fn ids(&self) -> StoreIds {
        <Slow as BackingStore<Block>>::ids(&self.slow)
    }
    fn capabilities(&self) -> Capabilities {
        self.slow.capabilities()
    }
    fn save(
        &self,
        block: &Block,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.slow.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.slow.load(handle, block, at, cx)
    }
    fn transfer(&self, block: Block, payer: Option<Charge>) -> Result<Handle, Refused<Block, StoreError>> {
        self.slow.transfer(block, payer)
    }
    /// Refuses, and hands back a handle of the next order.
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Block, Refused<Handle, StoreError>> {
        if !self.wrong.get() {
            return self.slow.take_back(handle, cx);
        }
        let order = Order::new(handle.order().get() + 1).expect("below the largest");
        let item = Handle::new(StoreId::DEFAULT, order, handle.value()).expect("a value that there is");
        self.slow.discard(handle).expect("it was transferred");
        Err(Refused { item, why: StoreError::Busy })
    }
    /// Splits, and halves the lower half again.
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let (lower, upper) = self.slow.split(handle)?;
        if !self.wrong.get() {
            return Ok((lower, upper));
        }
        let (quarter, other) = self.slow.split(lower)?;
        self.slow.discard(other).expect("it is stored");
        Ok((quarter, upper))
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.slow.discard(handle)
    }
}

fn home(fast: usize, skew: usize) -> Forebay<Source, Wrong> {
    let (source, slow) = (Source::new(), Slow::new(StoreId::DEFAULT));
    source
        .add(leak(fast * PAGE, skew * PAGE), words(Source::metadata_words(fast * PAGE)))
        .expect("good memory");
    slow.init(leak(64 * PAGE, 0), words(64)).expect("good memory");
    Forebay::new(source, Wrong { slow, wrong: Cell::new(false) })
}

/// Rule: a refused take-back that hands back a larger handle costs that block's contents. The block behind it stays the buffer's:
/// it is not hidden, and a purge returns every frame.
#[test]
fn a_larger_handle_comes_back() {
    let home = home(2, 1); // no two pages are a block
    let buffer = Buffer::<_, [Slot<Source>; 2]>::inline(&home, Order::PAGE);
    buffer.write().unwrap().write_at(0, &[7; 2 * PAGE]);
    assert_eq!(buffer.evict(Pages::new(1), Evict::TRANSFER, T).unwrap().transferred, Pages::new(1));
    home.store().wrong.set(true);
    assert_eq!(buffer.read().map(drop), Err(AccessError::Lost));
    home.store().wrong.set(false);
    let residency = buffer.residency().unwrap();
    assert_eq!((residency.resident, residency.stored), (Pages::new(1), Pages::ZERO));
    buffer.purge(T).unwrap();
    assert_eq!(home.platform().unused(), Pages::new(1), "all but the block that the store lost");
}

/// Rule: halves of another size are no halves: the contents are lost, what was handed back is discarded, and the copies behind are
/// the buffer's as before.
#[test]
fn halves_of_another_size() {
    let home = home(4, 0);
    let buffer = Buffer::<_, [Slot<Source>; 4]>::inline(&home, Order::PAGE);
    buffer.write().unwrap().write_at(0, &[7; 4 * PAGE]);
    assert_eq!(buffer.evict(Pages::MAX, Evict::COPY, T).unwrap().copied, Pages::new(4));
    // Fast memory has pages only, so the copy of four has to be split.
    let pages: Vec<_> = (0..4).map(|_| Buffer::new(&home, Order::PAGE)).collect();
    pages.iter().for_each(|page| page.write().unwrap().fill(1));
    pages.iter().step_by(2).for_each(|page| page.purge(T).unwrap());
    home.store().wrong.set(true);
    assert_eq!(buffer.read().map(drop), Err(AccessError::Lost));
    home.store().wrong.set(false);
    buffer.purge(T).unwrap();
    assert_eq!(home.store().slow.space().pages, Pages::new(64), "no room is lost");
    buffer.evict(Pages::MAX, Evict::COPY, T).unwrap();
}
