//! No address left, or no page that may be resident.

use crate::alone::{Case, Where};
use crate::common::{ALL, CX, NONE, forebay, order, pages};
use crate::goods::{Goods, MIB, PAGE, compare, write};
use forebay::{
    AllocError, AllocRequest, BackingStore, Buffer, Evict, FrameSource, Order, OwnedBlock, StoreError,
};
use forebay_backends::shmem::Arena;

pub(crate) const CASES: &[Case] = &[
    Case::new("an_arena_without_addresses_is_exhausted_until_something_is_discarded", Where::Here, exhausted),
    Case::new("reclaiming_does_not_make_addresses", Where::Here, reclaimed),
    Case::new("the_limit_on_resident_pages_holds_both_ways", Where::Here, limit),
];

/// Rule: what is stored keeps its addresses, so only discarding makes new ones.
fn exhausted() {
    let goods = Goods::new(Arena::builder(4 * MIB as u64).create().unwrap());
    let blocks = goods.fill(4 * MIB, order(9));
    let full = || {
        for order in [Order::PAGE, order(9)] {
            assert_eq!(
                goods.watched().allocate(AllocRequest::new(order), CX).err(),
                Some(AllocError::Exhausted)
            );
        }
    };
    full();
    let mut handles = goods.transfer_all(blocks);
    full();
    assert_eq!(goods.settle().reclaimable, goods.arena.total());
    full();
    // Taking back needs no address.
    let blocks = goods.take_back(handles);
    goods.check(&blocks);
    handles = goods.transfer_all(blocks);
    let dropped = goods.watched().discard(handles.remove(0)).unwrap().expect("a block");
    goods.watched().free(dropped);
    let mut again = goods
        .watched()
        .allocate(AllocRequest::new(order(9)), CX)
        .expect("the addresses of what was discarded");
    again.zero();
    crate::goods::assert_zeros(&again);
    let second = goods.take_back(handles).remove(0);
    compare(&second, order(9).pages().get());
    goods.free(vec![again, second]);
    goods.all_returned();
}

/// Rule: the same through buffers: a walk that evicts everything makes no address, and purging does.
fn reclaimed() {
    let arena = Arena::builder(4 * MIB as u64).create().unwrap();
    let world = hosted_tests::World::new(hosted_tests::Contents::Compared);
    let home = forebay(&arena, &arena, &world);
    let buffers = [(); 3].map(|()| Buffer::new(&home, order(9)));
    for (seed, buffer) in (1..).zip(&buffers[..2]) {
        crate::common::fill(buffer, seed);
    }
    assert!(buffers[2].write().is_err(), "there is no address for a third");
    assert_eq!(home.reclaim(&buffers, ALL, Evict::ANY, CX).evicted.transferred, arena.total());
    assert_eq!((home.settle(ALL, CX).error, arena.stored()), (None, arena.total()));
    assert!(buffers[2].write().is_err(), "nor after a walk");
    crate::common::check(&buffers[0], 1);
    crate::common::check(&buffers[1], 2);
    buffers[0].purge(CX).unwrap();
    crate::common::fill(&buffers[2], 3);
    crate::common::check(&buffers[1], 2);
    crate::common::check(&buffers[2], 3);
    drop(buffers);
    drop(home);
    assert_eq!(BackingStore::settle(&arena, ALL, CX, &mut |_| ()).error, None);
    world.assert_empty();
    crate::goods::empty(&arena);
}

/// Rule: at the limit there is no head-room, for a fresh block and for one that is taken back alike, until something is
/// transferred.
fn limit() {
    let most = pages(2 * MIB / PAGE);
    let goods = Goods::new(Arena::builder(32 * MIB as u64).limit(most).create().unwrap());
    let first = goods.fill(2 * MIB, order(3));
    let full = || {
        assert_eq!(
            goods.watched().allocate(AllocRequest::new(Order::PAGE), CX).err(),
            Some(AllocError::Limit)
        )
    };
    full();
    let mut stored = goods.transfer_all(first);
    assert_eq!(goods.settle().error, None);
    let mut second = goods.fill(2 * MIB, order(3));
    full();
    let refused = goods.watched().take_back(stored.remove(0), CX).expect_err("one more than the limit");
    assert_eq!(refused.why, StoreError::Limit);
    assert_eq!((goods.arena.resident(), goods.arena.usage().pending), (most, NONE));
    // One leaves, one comes.
    let left = goods.watched().transfer(second.pop().unwrap(), None).unwrap();
    let back = goods.watched().take_back(refused.item, CX).expect("there is room for one");
    compare(&back, 0);
    full();
    let refused = goods.watched().take_back(left, CX).expect_err("again one more");
    goods.watched().free(back);
    second.push(goods.watched().take_back(refused.item, CX).expect("there is room for one"));
    goods.check(&second);
    // Discarding is not subject to the limit.
    for handle in stored {
        let block = goods.watched().discard(handle).unwrap().expect("a block");
        goods.watched().free(block);
    }
    write(&mut second[0], 7);
    compare(&second[0], 7);
    goods.free(second);
    goods.all_returned();
}
