//! What a panic in a port costs: contents, but no frame of a block that the port only borrows.

use forebay_backends::RamBlock;
use hosted_tests::kit::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A store that copies, and a hook. The call with that number, counted down to zero, panics before it does anything.
struct Faulty<'f>(&'f Far, AtomicUsize);

impl Faulty<'_> {
    fn call(&self) {
        let left = self.1.load(Relaxed);
        self.1.store(left.wrapping_sub(1), Relaxed);
        assert!(left != 0, "a port's own fault");
    }
}

impl BackingStore<Block> for Faulty<'_> {
    fn ids(&self) -> StoreIds {
        self.0.ids()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::COPY | Capabilities::SPLIT
    }
    fn space(&self) -> Space {
        self.call();
        self.0.space()
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.0.discard(handle)
    }
    fn save(
        &self,
        block: &Block,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.call();
        self.0.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.call();
        self.0.load(handle, block, at, cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.0.split(handle)
    }
}

type Block = RamBlock<PAGE>;

impl EvictHooks<Block> for &Faulty<'_> {
    fn before_evict(
        &self,
        _: BufferId,
        _: &mut dyn Iterator<Item = &mut Block>,
        _: Context,
    ) -> Result<(), Busy> {
        self.call();
        Ok(())
    }
    fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        self.call();
        Ok(())
    }
}

/// Rule: a panic of `save`, `load`, `space` or a hook loses no frame, at whichever call it is: the store and the hook only borrow
/// blocks. What was in the buffer is there or said to be lost, and the buffer is usable after a purge.
#[test]
fn a_port_that_borrows_a_block_loses_none() {
    let mut calls = 0;
    for panics in 0.. {
        let (near, far) = (near(8), far(16));
        let ports = Faulty(&far, AtomicUsize::new(usize::MAX));
        let home = Forebay::new(WithHooks(&near, &ports), &ports);
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
        fill(&buffer, 1);
        ports.1.store(panics, Relaxed);
        let ends = catch_unwind(AssertUnwindSafe(|| {
            assert_eq!(buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap().copied, pages(8));
            check(&buffer, 1);
            assert_eq!(buffer.evict(pages(4), Evict::COPY, CX).unwrap().clean, pages(8));
            drop(buffer.write().unwrap());
        }));
        ports.1.store(usize::MAX, Relaxed);
        match buffer.read().map(|_| ()) {
            Ok(()) => check(&buffer, 1),
            Err(why) => assert_eq!(why, AccessError::Lost, "after {panics} calls"),
        }
        buffer.purge(CX).unwrap();
        assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()), "after {panics} calls");
        fill(&buffer, 2);
        assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
        check(&buffer, 2);
        if ends.is_ok() {
            break;
        }
        calls += 1;
    }
    assert!(calls >= 9, "only {calls} calls");
}
