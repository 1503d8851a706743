//! After a fork.

use crate::alone::{Case, Where};
use crate::common::{ALL, CX, order};
use crate::goods::{Block, Goods, MIB, PAGE, compare, page, write};
use crate::raw::in_fork;
use forebay::{
    AllocError, AllocRequest, BackingStore, FrameSource, Handle, Order, OwnedBlock, StoreError, StoreId,
};
use forebay_backends::shmem::Arena;

pub(crate) const CASES: &[Case] = &[
    Case::new("a_child_has_no_right_to_an_arena", Where::Here, no_rights),
    Case::new("a_child_that_drops_everything_changes_nothing", Where::Here, dropped),
    Case::new("a_child_makes_an_arena_of_its_own", Where::Here, own),
];

const COPIES: StoreId = StoreId::new(1).expect("below 16");

/// What a parent has when it forks.
struct Estate {
    arena: Arena,
    resident: Vec<Block>,
    stored: Vec<Handle>,
    copied: Vec<Handle>,
}

impl Estate {
    fn new() -> Estate {
        let arena = Arena::builder(32 * MIB as u64).mappings(2).create().unwrap();
        let block = |n: usize| {
            let mut block = arena.allocate(AllocRequest::new(order(3)), CX).unwrap();
            write(&mut block, n * 8);
            block
        };
        let resident = (0..256).map(block).collect();
        let stored = (256..512).map(|n| arena.transfer(block(n), None).unwrap()).collect();
        let copies = arena.copies(COPIES);
        let copied = (512..520).map(|n| {
            let source = block(n);
            let handle = BackingStore::save(&copies, &source, order(3), None, CX).unwrap();
            arena.free(source);
            handle
        });
        let copied = copied.collect();
        assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
        Estate { arena, resident, stored, copied }
    }

    fn memory(&self) -> u64 {
        self.arena.memory_bytes().unwrap()
    }

    /// Every byte is there; then everything is freed.
    fn close(self) {
        let Estate { arena, resident, stored, copied } = self;
        let mut blocks = resident;
        blocks.extend(stored.into_iter().map(|handle| arena.take_back(handle, CX).unwrap()));
        for (n, handle) in copied.into_iter().enumerate() {
            let copies = arena.copies(COPIES);
            let mut target = arena.allocate(AllocRequest::new(order(3)), CX).unwrap();
            BackingStore::load(&copies, &handle, &mut target, crate::common::NONE, CX).unwrap();
            compare(&target, (512 + n) * 8);
            arena.free(target);
            assert!(BackingStore::<Block>::discard(&copies, handle).unwrap().is_none());
        }
        for (n, block) in blocks.into_iter().enumerate() {
            compare(&block, n * 8);
            arena.free(block);
        }
        assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
        crate::goods::empty(&arena);
    }
}

/// Forks; the child does that with its copy, and must end well. The parent's memory stays as it is.
fn child(estate: Estate, f: impl FnOnce(Estate)) -> Estate {
    let (usage, memory) = (estate.arena.usage(), estate.memory());
    let (estate, ended) = in_fork(estate, f);
    assert_eq!(ended, 0, "how the child ended");
    assert_eq!((estate.arena.usage(), estate.memory()), (usage, memory));
    estate
}

/// Rule: in a child everything is `Unavailable`, what was handed in comes back, and no byte can be reached.
fn no_rights() {
    let estate = child(Estate::new(), |estate| {
        let Estate { arena, mut resident, mut stored, mut copied } = estate;
        assert_eq!(arena.allocate(AllocRequest::new(Order::PAGE), CX).err(), Some(AllocError::Unavailable));
        unreachable_bytes(&mut resident[0]);
        assert_eq!((arena.offset(&resident[0]), arena.export(&resident[0])), (None, None));

        let (pfn, order) = (resident[0].pfn(), resident[0].order());
        let refused = arena.transfer(resident.remove(0), None).unwrap_err();
        assert_eq!(refused.why, StoreError::Unavailable);
        assert_eq!((refused.item.pfn(), refused.item.order()), (pfn, order));
        let (left, right) = refused.item.split().unwrap();
        let (left, right) = arena.join(left, right).expect_err("nor joined");
        arena.free(left);
        arena.free(right);

        let refused = arena.take_back(stored.remove(0), CX).unwrap_err();
        assert_eq!(refused.why, StoreError::Unavailable);
        let refused = arena.split(refused.item).unwrap_err();
        assert_eq!(refused.why, StoreError::Unavailable);
        let refused = arena.discard(refused.item).unwrap_err();
        assert_eq!(refused.why, StoreError::Unavailable);
        let settled = arena.settle(ALL, CX, &mut |_| ());
        assert_eq!(settled.error, Some(StoreError::Unavailable));

        let copies = arena.copies(COPIES);
        let mut block = resident.remove(0);
        let saved = BackingStore::save(&copies, &block, Order::PAGE, None, CX);
        assert_eq!(saved.unwrap_err(), StoreError::Unavailable);
        let loaded = BackingStore::load(&copies, &copied[0], &mut block, crate::common::NONE, CX);
        assert_eq!(loaded.unwrap_err(), StoreError::Unavailable);
        let refused = BackingStore::<Block>::discard(&copies, copied.remove(0)).unwrap_err();
        assert_eq!(refused.why, StoreError::Unavailable);
        let settled = BackingStore::<Block>::settle(&copies, ALL, CX, &mut |_| ());
        assert_eq!(settled.error, Some(StoreError::Unavailable));
        println!("{arena:?}");
    });
    estate.close();
}

fn unreachable_bytes(block: &mut Block) {
    let mut bytes = [0xA5; PAGE];
    assert_eq!((block.read_at(0, &mut bytes), block.write_at(0, &page(0))), (0, 0));
    block.zero();
    assert!(bytes == [0xA5; PAGE], "something was read");
}

/// Rule: whatever a child drops, and in whichever order, is the parent's still.
fn dropped() {
    let estate = child(Estate::new(), |estate| drop(estate.arena));
    let estate = child(estate, |estate| {
        let Estate { arena, resident, stored, copied } = estate;
        drop((resident, stored, copied));
        drop(arena);
    });
    let estate = child(estate, |estate| {
        let Estate { arena, resident, .. } = estate;
        resident.into_iter().for_each(|block| arena.free(block));
        drop(arena);
    });
    // A child's child has no more.
    let estate = child(estate, |estate| {
        let (estate, ended) = in_fork(estate, |mut estate| {
            assert_eq!(
                estate.arena.allocate(AllocRequest::new(Order::PAGE), CX).err(),
                Some(AllocError::Unavailable)
            );
            unreachable_bytes(&mut estate.resident[0]);
        });
        assert_eq!(ended, 0);
        drop(estate);
    });
    estate.close();
}

/// Rule: a child may make an arena of its own, even where its parent's was; what the parent had is no better for it.
fn own() {
    let estate = child(Estate::new(), |mut estate| {
        let theirs = |estate: &mut Estate, mine: &Arena| {
            unreachable_bytes(&mut estate.resident[0]);
            let refused = mine.transfer(estate.resident.pop().unwrap(), None).unwrap_err();
            assert_eq!(refused.why, StoreError::WrongStore, "a block of the parent's");
            assert_eq!(mine.offset(&refused.item), None);
            mine.free(refused.item);
            assert_eq!(
                estate.arena.allocate(AllocRequest::new(Order::PAGE), CX).err(),
                Some(AllocError::Unavailable)
            );
        };
        let goods = Goods::usual();
        theirs(&mut estate, &goods.arena);
        let kept = goods.keep();
        theirs(&mut estate, &goods.arena);
        goods.round();
        // And one of its child's.
        let (kept, ended) = in_fork(kept, |_| {
            assert_eq!(
                goods.arena.allocate(AllocRequest::new(Order::PAGE), CX).err(),
                Some(AllocError::Unavailable)
            );
            let own = Goods::usual();
            own.round();
            own.all_returned();
        });
        assert_eq!(ended, 0);
        goods.free_all(kept);
    });
    // The parent makes another too.
    let goods = Goods::usual();
    goods.round();
    goods.all_returned();
    estate.close();
}
