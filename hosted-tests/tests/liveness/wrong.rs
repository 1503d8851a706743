//! Stores that panic or lie where they keep room for the lobby: no frame is lost that they only borrow, and no other buffer pays.

use super::T;
use forebay::sync::SpinRawMutex;
use forebay::{
    AccessError, BackingStore, Buffer, Context, Evict, Forebay, Handle, Order, Pages, Refused, StoreError,
    StoreId,
    frame::Charge,
    port::{Capabilities, Rooms, Settled, Space, StoreIds},
};
use forebay_backends::{Ram, RamBlock, RamRegion};
use hosted_tests::conformance::{order, pattern};
use hosted_tests::memory::{leak, words};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const PAGE: usize = 512;
type Block = RamBlock<PAGE>;
type Near = Ram<SpinRawMutex, PAGE, 2, { 4 * PAGE }>;
type Slow = RamRegion<SpinRawMutex, PAGE, 4>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Right,
    PanicsInReserve,
    PanicsInSave,
    /// Keeps the block, and makes up a handle of the next order.
    OtherOrder,
}

struct Wrong {
    slow: Slow,
    does: Cell<Does>,
}

impl Wrong {
    fn panics(&self, does: Does) {
        if self.does.get() == does {
            resume_unwind(Box::new("the store")); // no message
        }
    }
}

impl BackingStore<Block> for Wrong {
    fn ids(&self) -> StoreIds {
        <Slow as BackingStore<Block>>::ids(&self.slow)
    }
    fn capabilities(&self) -> Capabilities {
        self.slow.capabilities()
    }
    fn space(&self) -> Space {
        self.slow.space()
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
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Block, Refused<Handle, StoreError>> {
        self.slow.take_back(handle, cx)
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.slow.discard(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(Block)) -> Settled {
        self.slow.settle(budget, cx, owner)
    }
    fn rooms(&self) -> Option<&dyn Rooms<Block>> {
        Some(self)
    }
}

impl Rooms<Block> for Wrong {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        self.panics(Does::PanicsInReserve);
        self.slow.reserve(order)
    }
    fn transfer_into(
        &self,
        room: Handle,
        block: Block,
    ) -> Result<Handle, Refused<(Handle, Block), StoreError>> {
        let handle = self.slow.transfer_into(room, block)?;
        if self.does.get() != Does::OtherOrder {
            return Ok(handle);
        }
        let next = Order::new(handle.order().get() + 1).expect("below the largest");
        Ok(Handle::new(StoreId::DEFAULT, next, handle.value()).expect("a value that there is"))
    }
    fn save_into(&self, room: &Handle, block: &Block, cx: Context) -> Result<(), StoreError> {
        self.panics(Does::PanicsInSave);
        self.slow.save_into(room, block, cx)
    }
    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, Block), Refused<Handle, StoreError>> {
        self.slow.take_back_from(handle, cx)
    }
}

/// Four pages, and a lobby of four.
fn home() -> Forebay<Near, Wrong> {
    let (near, slow) = (Near::new(), Slow::new(StoreId::DEFAULT));
    near.add(leak(8 * PAGE, 0), words(Near::metadata_words(8 * PAGE))).expect("good memory");
    slow.init(leak(16 * PAGE, 0), words(16)).expect("good memory");
    Forebay::new(near, Wrong { slow, does: Cell::new(Does::Right) })
}

fn is_right(buffer: &Buffer<&Forebay<Near, Wrong>>, seed: u64) {
    assert!(buffer.read().expect("it is resident")[..] == pattern(seed, 4 * PAGE));
}

/// Rule (N4): a panic of a store that reserves or copies loses neither the frame nor room; only contents that were in its hands.
#[test]
fn a_store_that_panics() {
    let home = &home();
    let [outside, inside] = [0, 1].map(|_| Buffer::new(home, order(2)));
    outside.write().unwrap().copy_from_slice(&pattern(1, 4 * PAGE));
    for _ in 0..10 {
        home.store().does.set(Does::PanicsInReserve);
        assert!(catch_unwind(AssertUnwindSafe(|| inside.write().map(drop))).is_err());
        home.store().does.set(Does::Right);
        assert_eq!((home.platform().unused(), home.store().space().pages), (Pages::new(4), Pages::new(16)));
        inside.purge(T).unwrap();
        inside.write().unwrap().copy_from_slice(&pattern(2, 4 * PAGE));
        assert_eq!(home.store().space().pages, Pages::new(12), "it has room of its own");
        home.store().does.set(Does::PanicsInSave);
        assert!(catch_unwind(AssertUnwindSafe(|| inside.evict(Pages::MAX, Evict::COPY, T))).is_err());
        home.store().does.set(Does::Right);
        assert_eq!(inside.read().map(drop), Err(AccessError::Lost));
        inside.purge(T).unwrap();
        assert_eq!((home.platform().unused(), home.store().space().pages), (Pages::new(4), Pages::new(16)));
        is_right(&outside, 1);
    }
}

/// Rule: a handle of another order for what was transferred into its room costs the contents, and no slot keeps it.
#[test]
fn a_store_that_names_another_order() {
    let home = &home();
    let [outside, inside] = [0, 1].map(|_| Buffer::new(home, order(2)));
    outside.write().unwrap().copy_from_slice(&pattern(1, 4 * PAGE));
    inside.write().unwrap().copy_from_slice(&pattern(2, 4 * PAGE));
    home.store().does.set(Does::OtherOrder);
    let evicted = inside.evict(Pages::MAX, Evict::TRANSFER, T).unwrap();
    assert_eq!(evicted.moved(), Pages::ZERO);
    home.store().does.set(Does::Right);
    assert_eq!(inside.read().map(drop), Err(AccessError::Lost));
    inside.purge(T).unwrap();
    assert_eq!(inside.residency().unwrap().stored, Pages::ZERO);
    is_right(&outside, 1);
}

/// Rule: what can't lie in the lobby may be larger than it: where the store keeps no room, or zones leave it out. And what is attached
/// is born there too.
#[test]
fn buffers_larger_than_the_lobby() {
    let home = &home();
    let handle = {
        let large = Buffer::new(home, order(1));
        large.write().unwrap().fill(3);
        let block = home.pool().take(forebay::AllocRequest::new(order(2)), (), T);
        drop(block); // it is leaked, and only its size matters
        home.store().reserve(order(3)).unwrap()
    };
    let large = Buffer::new(home, order(3));
    let refused = large.attach_stored(0, handle, T).unwrap_err();
    assert_eq!(refused.why, forebay::AttachError::DoesNotFit);
    home.store().discard(refused.item).unwrap();
    let near = Near::new();
    near.add(leak(16 * PAGE, 0), words(Near::metadata_words(16 * PAGE))).expect("good memory");
    let without = Forebay::new(near, forebay_backends::Null);
    let large = Buffer::new(&without, order(3));
    large.write().unwrap().fill(5);
    assert!(large.read().unwrap().iter().all(|byte| *byte == 5));
}
