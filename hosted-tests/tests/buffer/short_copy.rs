//! A store that stops in the middle of a block (`ttm-semantics.md` rules 33, 51 to 53, 55; §5.4 d; B6): what it got stays
//! stored, the block is split there, and the walk goes on until there is no progress.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// A medium with room for a number of pages, written page by page. A copy that reaches its end keeps the largest power of two of
/// pages that it wrote.
struct Medium {
    room: Cell<usize>,
    stored: RefCell<HashMap<usize, Vec<u8>>>,
    next: Cell<usize>,
    saves: Cell<usize>,
}

impl Medium {
    fn new(room: usize) -> Self {
        Medium {
            room: Cell::new(room),
            stored: RefCell::default(),
            next: Cell::default(),
            saves: Cell::default(),
        }
    }
}

impl BackingStore<RamBlock<PAGE>> for Medium {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::COPY
    }
    fn space(&self) -> Space {
        Space { pages: pages(self.room.get()), transfers: 0 }
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        match self.stored.borrow_mut().remove(&handle.value()) {
            Some(bytes) => {
                self.room.set(self.room.get() + bytes.len() / PAGE);
                Ok(None)
            }
            None => Err(Refused { item: handle, why: StoreError::NotStored }),
        }
    }
    fn save(
        &self,
        block: &RamBlock<PAGE>,
        order: Order,
        _: Option<Charge>,
        _: Context,
    ) -> Result<Handle, StoreError> {
        self.saves.set(self.saves.get() + 1);
        let written = order.pages().get().min(self.room.get());
        let kept = Order::new(written.checked_ilog2().ok_or(StoreError::Full)? as u8).unwrap();
        let mut bytes = vec![0; kept.pages().get() * PAGE];
        block.read_at(0, &mut bytes);
        self.room.set(self.room.get() - kept.pages().get());
        self.next.set(self.next.get() + 1);
        self.stored.borrow_mut().insert(self.next.get(), bytes);
        Ok(Handle::new(StoreId::DEFAULT, kept, self.next.get()).unwrap())
    }
    fn load(
        &self,
        handle: &Handle,
        block: &mut RamBlock<PAGE>,
        at: Pages,
        _: Context,
    ) -> Result<(), StoreError> {
        let stored = self.stored.borrow();
        let bytes = stored.get(&handle.value()).ok_or(StoreError::NotStored)?;
        assert_eq!(block.write_at(at.get() * PAGE, bytes), bytes.len());
        Ok(())
    }
}

const SLOTS: usize = 16;

/// Rule: wherever it stops, the pages before are stored and no more. The rest stays, unchanged. What counts as copied is
/// copied (B6). When there is room again, the rest leaves too.
#[test]
fn it_may_stop_after_any_page() {
    for room in 0..=SLOTS {
        let (near, medium, world) = (near(16), Medium::new(room), World::new(Contents::Compared));
        let home = forebay(&near, &medium, &world);
        let mut slots = [const { Slot::EMPTY }; SLOTS];
        let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
        fill(&buffer, room as u8);
        let evicted = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
        assert_eq!((evicted.copied, evicted.refused), (pages(room), pages(SLOTS - room)));
        assert_eq!(evicted.why.is_some(), room < SLOTS, "{evicted:?}");
        assert_eq!((world.stored(), world.frames_out()), (pages(room), pages(SLOTS - room)));
        assert_eq!(buffer.residency(), residency(SLOTS - room, 0, room));
        // Each part was tried once: two for each split, and the last one.
        assert!(medium.saves.get() <= 2 * evicted.splits + 1, "{} saves, {evicted:?}", medium.saves.get());
        medium.room.set(SLOTS);
        let again = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
        assert_eq!((again.copied, again.why), (pages(SLOTS - room), None), "what is stored is passed over");
        assert_eq!(buffer.residency(), residency(0, 0, SLOTS));
        check(&buffer, room as u8);
        drop(buffer);
        world.validate();
        world.assert_empty();
        assert_eq!((near.unused(), near.total()), (pages(16), pages(16)));
    }
}

/// Rule: what is stored in part comes back, and leaves again, and may be dropped, from wherever it stopped.
#[test]
fn it_may_turn_round_wherever_it_stopped() {
    for room in 0..=SLOTS {
        let (near, medium, world) = (near(16), Medium::new(room), World::new(Contents::Compared));
        let home = forebay(&near, &medium, &world);
        let mut slots = [const { Slot::EMPTY }; SLOTS];
        let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
        for seed in 0..3 {
            fill(&buffer, seed);
            assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().copied, pages(room));
            check(&buffer, seed);
        }
        assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().moved(), pages(room), "clean, or copied again");
        drop(buffer);
        world.validate();
        world.assert_empty();
        assert_eq!(medium.room.get(), room);
    }
}
