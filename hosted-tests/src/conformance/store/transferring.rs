//! Rules of transferring and taking back.

use super::Bench;
use crate::conformance::{content, order, pattern};
use forebay::{
    BackingStore, Context, FrameSource, OwnedBlock, Pages, StoreError,
    port::{Capabilities, Settled, Space},
};

pub(super) fn a_transfer_comes_back_as_it_was<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    for k in 0..=3 {
        let block = b.block(k, 3);
        let (pfn, pages) = (block.pfn(), block.order().pages());
        let before = b.raw.space();
        let handle = match b.store.transfer(block, None) {
            Ok(handle) => handle,
            Err(refused) => {
                assert!(k > 0 || !b.can(Capabilities::TRANSFER), "an empty store refuses a page");
                assert_eq!(b.raw.space(), before, "a refusal changes nothing");
                b.free(refused.item);
                continue;
            }
        };
        assert_eq!(handle.order(), order(k), "a transfer is never short");
        let now = b.raw.space();
        let transfers = if before.transfers == usize::MAX { usize::MAX } else { before.transfers - 1 };
        let expected = Space { pages: b.less(before.pages, pages), transfers };
        assert_eq!(now, expected, "space moves in step");
        if b.can(Capabilities::TAKE_BACK) {
            let block = b.store.take_back(handle, Context::THREAD).expect("nothing happened since");
            assert_eq!((block.pfn(), block.order()), (pfn, order(k)), "another block");
            assert!(content(&block) == pattern(3, block.bytes()));
            b.free(block);
        } else {
            b.discard(handle);
        }
        assert_eq!(b.raw.space(), before, "space moves in step");
    }
}

pub(super) fn a_refused_block_comes_back_unharmed<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if b.start.transfers == usize::MAX && b.can(Capabilities::TRANSFER) {
        return; // it takes whatever there is
    }
    for k in [1, 0] {
        let mut held = Vec::new();
        let refused = loop {
            let block = b.block(k, held.len() as u64);
            let pfn = block.pfn();
            match b.store.transfer(block, None) {
                Ok(handle) => held.push(handle),
                Err(refused) => {
                    assert_eq!((refused.item.pfn(), refused.item.order()), (pfn, order(k)));
                    break refused;
                }
            }
        };
        assert!(content(&refused.item) == pattern(held.len() as u64, refused.item.bytes()));
        if b.can(Capabilities::TRANSFER) {
            assert!(matches!(refused.why, StoreError::Full | StoreError::Backlog), "{:?}", refused.why);
        } else {
            assert_eq!(refused.why, StoreError::Unsupported);
        }
        // The same question, the same answer: and that room is not lost by asking.
        let space = b.raw.space();
        let mut block = refused.item;
        for _ in 0..3 {
            let again = b.store.transfer(block, None).expect_err("nothing left it");
            assert_eq!(again.why, refused.why);
            block = again.item;
        }
        assert_eq!(b.raw.space(), space);
        // A backlog goes away by settling.
        let settled = b.settle(Pages::MAX, Context::THREAD);
        if refused.why == StoreError::Backlog && settled.freed > Pages::ZERO {
            match b.store.transfer(block, None) {
                Ok(handle) => assert!(b.discard(handle)),
                Err(refused) => {
                    assert_eq!(refused.why, StoreError::Full, "after a settle it is no backlog");
                    b.free(refused.item);
                }
            }
        } else {
            b.free(block);
        }
        let found = held.into_iter().map(|handle| b.discard(handle)).filter(|came| *came).count();
        assert_eq!(found == 0, settled.pending == Pages::ZERO, "what is pending is still a block");
    }
}

pub(super) fn a_discard_of_a_transferred_block_returns_it<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    let block = b.block(1, 4);
    let pfn = block.pfn();
    match b.store.transfer(block, None) {
        Ok(handle) => {
            let block = b.store.discard(handle).expect("it is stored").expect("the store still has it");
            assert_eq!((block.pfn(), block.order()), (pfn, order(1)), "another block");
            b.free(block);
        }
        Err(refused) => b.free(refused.item),
    }
}

pub(super) fn a_transferred_block_is_not_loaded_as_something_else<
    P: FrameSource,
    S: BackingStore<P::Block>,
>(
    b: &Bench<'_, P, S>,
) {
    let Some(handle) = b.transfer(1, 5) else { return };
    let mut block = b.block(2, 6);
    match b.store.load(&handle, &mut block, Pages::ZERO, Context::THREAD) {
        // It may load what it took; the oracle compared the bytes.
        Ok(()) => {}
        Err(StoreError::WrongKind) => assert!(content(&block) == pattern(6, block.bytes())),
        // One tier takes blocks, and another copies.
        Err(why) => assert_eq!(why, StoreError::Unsupported),
    }
    b.free(block);
    if b.can(Capabilities::TAKE_BACK) {
        b.takes_back(handle, &pattern(5, 2 * Bench::<P, S>::PAGE));
    } else {
        b.discard(handle);
    }
}

pub(super) fn halves_of_a_transferred_block_come_back_or_the_handle_does<
    P: FrameSource,
    S: BackingStore<P::Block>,
>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::TAKE_BACK) {
        return;
    }
    for k in 0..=2 {
        let Some(handle) = b.transfer(k, 7) else { continue };
        let bytes = pattern(7, Bench::<P, S>::PAGE << k);
        let before = b.raw.space();
        match b.store.split(handle) {
            Ok((lower, upper)) => {
                let (low, high) = bytes.split_at(bytes.len() / 2);
                assert!(k > 0, "half a page");
                assert_eq!((lower.order(), upper.order()), (order(k - 1), order(k - 1)));
                b.takes_back(upper, high);
                b.takes_back(lower, low);
            }
            Err(refused) => {
                assert_eq!(b.raw.space(), before, "a refusal changes nothing");
                b.takes_back(refused.item, &bytes);
            }
        }
    }
}

pub(super) fn settling_without_rights_or_budget_frees_nothing<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    let handles: Vec<_> =
        [(1, 1), (0, 2)].map(|(k, seed)| b.transfer(k, seed)).into_iter().flatten().collect();
    let all: Pages = handles.iter().map(|h| h.order().pages()).sum();
    let space = b.raw.space();
    for (budget, cx) in [
        (Pages::ZERO, Context::INTERRUPT),
        (Pages::ZERO, Context::THREAD),
        (Pages::MAX, Context::INTERRUPT),
        (Pages::MAX, Context::MAY_IO),
    ] {
        let Settled { freed, reclaimable, pending, error, .. } = b
            .store
            .settle(budget, cx, &mut |block| panic!("{:?} was returned: {budget:?} {cx:?}", block.pfn()));
        assert_eq!((freed, error), (Pages::ZERO, None));
        assert_eq!(pending + reclaimable, all, "what was accepted and not freed is pending or reclaimable");
    }
    assert_eq!(b.raw.space(), space);
    for handle in handles {
        assert!(b.discard(handle), "still the block that was transferred");
    }
}

pub(super) fn settling_frees_what_it_says_and_little_more_than_asked<
    P: FrameSource,
    S: BackingStore<P::Block>,
>(
    b: &Bench<'_, P, S>,
) {
    for budget in [1, 2, 5, usize::MAX] {
        let mut held: Vec<_> = [(2, 11), (0, 12), (1, 13)]
            .into_iter()
            .filter_map(|(k, seed)| Some((b.transfer(k, seed)?, seed)))
            .collect();
        let all: Pages = held.iter().map(|(h, _)| h.order().pages()).sum();
        let room = b.raw.space().pages;
        let mut left = b.settle(Pages::ZERO, Context::THREAD);
        assert_eq!(left.pending + left.reclaimable, all);
        // A step may end inside a block and free nothing; but as many as there are pages free it.
        let mut idle = 0;
        while left.pending > Pages::ZERO && idle < 4 {
            let now = b.settle(Pages::new(budget), Context::THREAD);
            assert_eq!(now.error, None);
            assert!(now.freed.get() < budget.saturating_add(4), "{:?} for {budget}", now.freed);
            assert_eq!(now.pending + now.freed + now.reclaimable, left.pending + left.reclaimable, "exact");
            idle = if now.freed == Pages::ZERO { idle + 1 } else { 0 };
            left = now;
        }
        assert_eq!(b.raw.space().pages, room, "room was reserved when it was accepted");
        let mut blocks = Pages::ZERO;
        for (handle, seed) in held.drain(..) {
            let bytes = b.start_of(&handle, seed);
            match b.store.take_back(handle, Context::THREAD) {
                Ok(block) => {
                    assert!(content(&block) == bytes);
                    blocks += block.order().pages();
                    b.free(block);
                }
                Err(refused) => {
                    assert_eq!(refused.why, StoreError::WrongKind, "only a copy is left");
                    b.loads(&refused.item, &bytes);
                    assert!(!b.discard(refused.item), "its block was returned before");
                }
            }
        }
        assert_eq!(blocks, left.pending + left.reclaimable, "pending is what is still a block");
    }
}

pub(super) fn taking_back_half_way_cancels<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    if !b.can(Capabilities::TAKE_BACK) {
        return;
    }
    for steps in 0..4 {
        let Some(handle) = b.transfer(2, 14) else { return };
        for _ in 0..steps {
            let settled = b.settle(Pages::new(1), Context::THREAD);
            assert_eq!(settled.freed, Pages::ZERO, "an order 2 is freed before it is written");
        }
        b.takes_back(handle, &pattern(14, 4 * Bench::<P, S>::PAGE));
        b.is_as_at_the_start();
    }
}
