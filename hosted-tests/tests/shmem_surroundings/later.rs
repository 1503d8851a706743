//! System calls that are refused once an arena has contents. A filter goes with its thread, so that what it did can be
//! looked at without it.

use crate::alone::{Case, Where};
use crate::common::{ALL, CX, NONE, order, pages};
use crate::filter::{Refuse, refused};
use crate::goods::{Goods, MIB, PAGE, assert_zeros, compare, empty, page, ram, write};
use crate::locked::keeps_to_its_limit;
use forebay::{AllocError, AllocRequest, BackingStore, Context, FrameSource, Order, OwnedBlock, StoreError};
use forebay_backends::shmem::{Arena, Usage};
use hosted_tests::pages::entries;
use rustix::io::Errno;
use std::ptr::NonNull;

pub(crate) const CASES: &[Case] = &[
    Case::new("memory_that_cannot_be_populated_is_an_error", Where::Here, populate),
    Case::new("what_cannot_be_unmapped_stays_pending", Where::Here, unmap),
    Case::new("a_limit_is_kept_though_nothing_can_be_unmapped", Where::Here, limit_without_unmapping),
    Case::new("what_was_unmapped_from_some_windows_is_brought_in", Where::Here, unmap_from_some_windows),
    Case::new("what_cannot_be_dropped_is_zeroed_before_it_is_reused", Where::Here, drop_memory),
    Case::new("a_chunk_that_cannot_be_dropped_is_still_unmapped", Where::Here, dropped_and_unmapped),
    Case::new("everything_is_refused_and_given_back", Where::Here, everything),
];

const POPULATE: [i32; 2] = [libc::MADV_POPULATE_READ, libc::MADV_POPULATE_WRITE];

/// What an arena says of owners: not how the memory stands with the kernel.
fn owners(usage: Usage) -> Usage {
    let mut usage = usage;
    (usage.pending, usage.reclaimable) = (usage.pending + usage.reclaimable, NONE);
    (usage.held, usage.huge_chunks, usage.small_chunks) = (NONE, 0, 0);
    usage
}

/// Rule: what the kernel says about memory is an error, with the handle in it, and nothing changes.
fn populate() {
    for why in [Errno::NOMEM, Errno::PERM, Errno::FAULT, Errno::HWPOISON, Errno::NOSYS] {
        let goods = Goods::usual();
        let mut kept = goods.keep();
        let before = goods.arena.usage();
        refused(&POPULATE.map(|advice| Refuse::advice(advice, why)), || {
            let fresh =
                goods.watched().allocate(AllocRequest::new(order(9)), CX).expect_err("there is no memory");
            let full = why == Errno::NOMEM;
            assert_eq!(fresh, if full { AllocError::NoHeadroom } else { AllocError::Failed });
            let refused = goods.watched().take_back(Goods::pick(&mut kept), CX).expect_err("nor here");
            let expected = if full { StoreError::NoHeadroom } else { StoreError::Io };
            assert_eq!(refused.why, expected, "{why}");
            Goods::put(&mut kept, refused.item);
            assert_eq!(owners(goods.arena.usage()), owners(before));
            goods.intact(&kept);
            // A copy needs memory too.
            let copies = goods.arena.copies(forebay::StoreId::new(1).unwrap());
            let source = ram(1).allocate(AllocRequest::new(Order::PAGE), CX).unwrap();
            let error = BackingStore::save(&copies, &source, Order::PAGE, None, CX).expect_err("nor here");
            assert_eq!(error, expected);
            assert_eq!(owners(goods.arena.usage()), owners(before));
        });
        goods.intact(&kept);
        assert_eq!(goods.settle().error, None);
        assert_eq!(goods.arena.usage(), before, "{why}");
        goods.free_all(kept);
    }
}

/// Rule: a settle that fails does not stop the relief of a limit, for which transfers alone are enough.
fn limit_without_unmapping() {
    let arena = Arena::builder(16 * MIB as u64).limit(pages(1024)).create().expect("an arena");
    let refuse = [Refuse::advice(libc::MADV_DONTNEED, Errno::PERM)];
    assert_eq!(refused(&refuse, || keeps_to_its_limit(&arena)), Some(StoreError::Io), "a settle fails");
}

/// Rule: a settle that fails says so, what it could not unmap stays pending, and the next one does it.
fn unmap() {
    for windows in [1, 3] {
        let goods = Goods::new(Arena::builder(32 * MIB as u64).mappings(windows).create().unwrap());
        let kept = goods.keep();
        let more = goods.transfer_all(goods.fill(2 * MIB, order(4)));
        refused(&[Refuse::advice(libc::MADV_DONTNEED, Errno::PERM)], || {
            for _ in 0..2 {
                let settled = goods.settle();
                assert_eq!(settled.error, Some(StoreError::Io));
                assert_eq!(
                    (settled.pending, settled.reclaimable),
                    (pages(2 * MIB / PAGE), pages(4 * MIB / PAGE))
                );
                goods.intact(&kept);
            }
        });
        let blocks = goods.take_back(more);
        goods.check(&blocks);
        let more = goods.transfer_all(blocks);
        let settled = goods.settle();
        assert_eq!((settled.error, settled.pending), (None, NONE));
        let blocks = goods.take_back(more);
        goods.check(&blocks);
        goods.free(blocks);
        goods.free_all(kept);
    }
}

/// Rule: what could be unmapped from some windows only does not count as mapped: who takes it back brings it in, and
/// waits for that.
fn unmap_from_some_windows() {
    let arena = Arena::builder(32 * MIB as u64).mappings(3).create().unwrap();
    let mut block = arena.allocate(AllocRequest::new(order(9)), CX).unwrap();
    write(&mut block, 0);
    let at = arena.offset(&block).unwrap() as usize;
    let address =
        |window| arena.mapping(window).unwrap().cast::<u8>().map_addr(|a| a.checked_add(at).unwrap());
    let handle = arena.transfer(block, None).unwrap();
    let second = Refuse::advice(libc::MADV_DONTNEED, Errno::PERM).at(address(1).addr().get());
    refused(&[second], || {
        let settled = arena.settle(ALL, CX, &mut |_| ());
        assert_eq!((settled.error, settled.pending), (Some(StoreError::Io), pages(2 * MIB / PAGE)));
    });
    let refused = arena.take_back(handle, Context::INTERRUPT).expect_err("it waits");
    assert_eq!(refused.why, StoreError::Context);
    let block = arena.take_back(refused.item, CX).unwrap();
    let range = NonNull::slice_from_raw_parts(address(0), block.bytes());
    assert!(entries(range).unwrap().iter().all(|entry| entry.present), "it was brought in");
    compare(&block, 0);
    arena.free(block);
    assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
    empty(&arena);
}

/// Rule: memory that the system would not take back is used again, and never with its old bytes.
fn drop_memory() {
    let goods = Goods::usual();
    let kept = goods.keep();
    let secret = goods.fill(2 * MIB, order(9));
    let at = goods.arena.offset(&secret[0]).expect("its block") as usize / PAGE;
    goods.free(secret);
    let fallocate = Refuse::new(libc::SYS_fallocate, Errno::OPNOTSUPP);
    refused(&[fallocate], || {
        let settled = goods.settle();
        assert_eq!(settled.error, Some(StoreError::Io));
        assert_eq!(settled.held, pages(2 * MIB / PAGE), "it still has its memory");
        assert!(goods.in_memfd(at) == page(0), "and its bytes");
        // All that is free in such blocks.
        let request = AllocRequest::new(order(9));
        let mut blocks: Vec<_> = std::iter::from_fn(|| goods.watched().allocate(request, CX).ok()).collect();
        let again = blocks.iter().filter(|b| goods.arena.offset(b) == Some((at * PAGE) as u64)).count();
        assert_eq!(again, 1, "the same pages are in use again");
        for block in &mut blocks {
            block.zero();
            assert_zeros(block);
        }
        goods.intact(&kept);
        goods.free(blocks);
    });
    goods.free_all(kept);
    assert!(goods.in_memfd(at) == [0; PAGE], "the system has it back");
}

/// Rule: a chunk that could not be dropped is in the state of before: what was unmapped is brought in with head-room, by a caller
/// that
/// may wait for it.
fn dropped_and_unmapped() {
    let goods = Goods::usual();
    let stored = goods.transfer_all(goods.fill(2 * MIB, order(9)));
    assert_eq!(goods.settle().error, None);
    for handle in stored {
        let block = goods.watched().discard(handle).unwrap().expect("it is a block");
        goods.watched().free(block);
    }
    refused(&[Refuse::new(libc::SYS_fallocate, Errno::OPNOTSUPP)], || {
        assert_eq!(goods.settle().error, Some(StoreError::Io));
    });
    let now = goods.watched().allocate(AllocRequest::new(Order::PAGE), Context::INTERRUPT);
    assert_eq!(now.expect_err("its memory may be in swap"), AllocError::Exhausted);
    let populate = POPULATE.map(|advice| Refuse::advice(advice, Errno::NOMEM));
    let fresh = refused(&populate, || goods.watched().allocate(AllocRequest::new(Order::PAGE), CX).err());
    assert_eq!(fresh, Some(AllocError::NoHeadroom));
    let mut block = goods.watched().allocate(AllocRequest::new(Order::PAGE), CX).unwrap();
    block.zero();
    assert_zeros(&block);
    goods.watched().free(block);
    goods.all_returned();
}

/// Rule: with every call refused that an arena makes, whatever is asked of it is an error that gives back what was
/// handed in, and what needs no system goes on.
fn everything() {
    let calls = [
        libc::SYS_madvise,
        libc::SYS_fallocate,
        libc::SYS_mincore,
        libc::SYS_ioctl,
        libc::SYS_pread64,
        libc::SYS_sysinfo,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_mmap,
        libc::SYS_munmap,
    ];
    let goods = Goods::usual();
    let mut kept = goods.keep();
    let spare = goods.fill(MIB, order(3));
    let spare = refused(&calls.map(|call| Refuse::new(call, Errno::PERM)), || {
        assert!(goods.arena.memory_bytes().is_err());
        assert_eq!(goods.watched().allocate(AllocRequest::new(order(9)), CX).err(), Some(AllocError::Failed));
        let refused = goods.watched().take_back(Goods::pick(&mut kept), CX).unwrap_err();
        Goods::put(&mut kept, refused.item);
        // No system is needed for these.
        let handles = goods.transfer_all(spare);
        let blocks = goods.take_back(handles);
        goods.check(&blocks);
        let mut handles = goods.transfer_all(blocks);
        let settled = goods.settle();
        assert_eq!(settled.error, Some(StoreError::Io));
        // What could not be brought in is pending too: it is not known how much of it was.
        assert_eq!(settled.pending, pages(3 * MIB / PAGE));
        let refused = goods.watched().take_back(handles.remove(0), CX).unwrap_err();
        handles.insert(0, refused.item);
        handles
    });
    let blocks = goods.take_back(spare);
    goods.check(&blocks);
    goods.free(blocks);
    goods.free_all(kept);
}
