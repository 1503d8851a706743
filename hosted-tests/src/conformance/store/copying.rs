//! Rules of saving, loading and splitting.

use super::Bench;
use crate::conformance::{content, order, pattern};
use forebay::{
    BackingStore, Context, FrameSource, Handle, OwnedBlock, Pages, StoreError,
    port::{Capabilities, Space},
};

pub(super) fn a_save_keeps_the_start_of_the_block<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    for k in 0..=3 {
        for asked in (0..=k).rev() {
            let block = b.block(k, 31);
            let before = b.raw.space();
            match b.store.save(&block, order(asked), None, Context::THREAD) {
                Ok(handle) => {
                    assert!(handle.order() <= order(asked), "more than was asked for");
                    let left = b.less(before.pages, handle.order().pages());
                    assert_eq!(b.raw.space().pages, left, "space moves in step");
                    assert_eq!(b.raw.space().transfers, before.transfers, "a copy is no transfer");
                    b.loads(&handle, &b.start_of(&handle, 31));
                    b.loads(&handle, &b.start_of(&handle, 31)); // not consumed by the first
                    assert!(!b.discard(handle), "a copy has no block");
                }
                Err(why) => {
                    assert!(asked > 0, "an empty store does not take a page: {why}");
                    assert_eq!(why, StoreError::TooLarge, "the only reason while it is empty");
                }
            }
            assert_eq!(b.raw.space(), before, "space moves in step");
            assert!(content(&block) == pattern(31, block.bytes()), "a save changes no byte of the block");
            b.free(block);
        }
    }
}

pub(super) fn a_copy_does_not_follow_the_block<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    let mut block = b.block(1, 32);
    let first = b.save_start(&block, 1).expect("an empty store has room");
    crate::conformance::fill(&mut block, 33);
    let second = b.save_start(&block, 1).expect("a nearly empty store has room");
    block.zero();
    b.free(block);
    b.loads(&first, &b.start_of(&first, 32));
    b.loads(&second, &b.start_of(&second, 33));
    b.discard(first);
    b.loads(&second, &b.start_of(&second, 33));
    b.discard(second);
}

pub(super) fn a_load_writes_its_pages_and_no_others<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    for k in 0..=2 {
        let handle = b.save(k, 34);
        let bytes = b.start_of(&handle, 34);
        for at in 0..=8 - handle.order().pages().get() {
            let mut block = b.block(3, 35);
            let mut expected = content(&block);
            expected[at * Bench::<P, S>::PAGE..][..bytes.len()].copy_from_slice(&bytes);
            assert_eq!(b.store.load(&handle, &mut block, Pages::new(at), Context::THREAD), Ok(()));
            assert!(content(&block) == expected, "a load of {handle:?} at page {at}");
            b.free(block);
        }
        b.discard(handle);
    }
}

pub(super) fn a_load_into_too_little_room_loses_nothing<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    let handle = b.save(2, 36);
    let pages = handle.order().pages().get();
    let mut targets = vec![(2, 5 - pages), (2, 4), (0, 1), (0, usize::MAX)];
    if pages > 1 {
        targets.push((0, 0));
    }
    for (k, at) in targets {
        let mut block = b.block(k, 37);
        let result = b.store.load(&handle, &mut block, Pages::new(at), Context::THREAD);
        assert_eq!(result, Err(StoreError::TooLarge), "{handle:?} at page {at} of order {k}");
        b.free(block);
        b.loads(&handle, &b.start_of(&handle, 36));
    }
    b.discard(handle);
}

pub(super) fn full_means_that_nothing_was_stored<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    let mut held: Vec<(Handle, u64)> = Vec::new();
    let why = loop {
        let seed = held.len() as u64;
        let block = b.block(1, seed);
        let before = b.raw.space();
        let result = b.save_start(&block, 1);
        assert!(content(&block) == pattern(seed, block.bytes()));
        b.free(block);
        match result {
            Ok(handle) => held.push((handle, seed)),
            Err(why) => {
                assert_eq!(b.raw.space(), before, "a refusal changes nothing");
                break why;
            }
        }
        assert!(held.len() < 4096, "the store is never full");
    };
    assert_eq!(why, StoreError::Full, "a page is never too large");
    // Of tiers the one that does not copy may have room for other things.
    let unknown = b.start == Space::UNKNOWN;
    assert!(unknown || b.raw.space().pages == Pages::ZERO || b.is_tiered(), "not every page was used");
    // Once something leaves, something else has room.
    let (gone, _) = held.swap_remove(held.len() / 2);
    b.discard(gone);
    held.push((b.save(0, 999), 999));
    for (handle, seed) in &held {
        b.loads(handle, &b.start_of(handle, *seed));
    }
    for (handle, _) in held {
        assert!(!b.discard(handle));
    }
}

pub(super) fn copying_needs_the_right_to<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    let handle = b.save(0, 38);
    let mut block = b.block(0, 39);
    let before = b.raw.space();
    for cx in [Context::INTERRUPT, Context::MAY_IO, Context::NO_IO, Context::THREAD] {
        let enough = cx.contains(Context::MAY_BLOCK)
            && (cx.contains(Context::MAY_IO) || !b.can(Capabilities::NEEDS_IO));
        match b.store.save(&block, order(0), None, cx) {
            Ok(copy) => {
                assert!(enough, "a save in {cx:?}");
                b.discard(copy);
            }
            Err(why) => assert!(!enough && why == StoreError::Context, "{why:?} in {cx:?}"),
        }
        assert_eq!(b.raw.space(), before);
        let loaded = b.store.load(&handle, &mut block, Pages::ZERO, cx);
        assert_eq!(loaded, if enough { Ok(()) } else { Err(StoreError::Context) }, "a load in {cx:?}");
        let seed = if enough { 38 } else { 39 };
        assert!(content(&block) == pattern(seed, block.bytes()), "a load in {cx:?}");
        crate::conformance::fill(&mut block, 39);
    }
    b.free(block);
    b.discard(handle);
}

pub(super) fn a_copy_is_not_taken_back<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    let handle = b.save(1, 40);
    let refused = b
        .store
        .take_back(handle, Context::THREAD)
        .map(|block| block.pfn())
        .expect_err("there is only a copy");
    // Unsupported also where one tier gives back, and another copies.
    let other_way = refused.why == StoreError::WrongKind && b.can(Capabilities::TAKE_BACK);
    assert!(other_way || refused.why == StoreError::Unsupported, "{:?}", refused.why);
    b.loads(&refused.item, &b.start_of(&refused.item, 40));
    b.discard(refused.item);
}

pub(super) fn single_pages_of_a_split_come_back_and_go_alone<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY) {
        return;
    }
    let handle = b.save(3, 41);
    let bytes = b.start_of(&handle, 41);
    let room = b.raw.space().pages;
    let mut pages = Vec::new();
    let mut parts = vec![(0, handle)];
    while let Some((first, handle)) = parts.pop() {
        let (single, half) = (handle.order().pages() == Pages::new(1), handle.order().pages().get() / 2);
        let len = handle.order().pages().get() * Bench::<P, S>::PAGE;
        b.loads(&handle, &bytes[first * Bench::<P, S>::PAGE..][..len]);
        match b.store.split(handle) {
            Ok((lower, upper)) => {
                assert!(!single && b.can(Capabilities::SPLIT));
                parts.extend([(first, lower), (first + half, upper)]);
            }
            Err(refused) => {
                assert!(single || refused.why == StoreError::Unsupported, "{:?}", refused.why);
                pages.push((first, refused.item));
            }
        }
        assert_eq!(b.raw.space().pages, room, "a split takes and gives no room");
    }
    // Every second one goes; the others stay as they were.
    let mut room = room;
    for parity in [1, 0] {
        let (gone, stay): (Vec<_>, Vec<_>) = pages.drain(..).partition(|(first, _)| first % 2 == parity);
        for (_, handle) in gone {
            room += handle.order().pages();
            assert!(!b.discard(handle), "a copy has no block");
            assert_eq!(b.raw.space().pages, room, "its room is free at once");
        }
        for (first, handle) in &stay {
            let len = handle.order().pages().get() * Bench::<P, S>::PAGE;
            b.loads(handle, &bytes[first * Bench::<P, S>::PAGE..][..len]);
        }
        pages = stay;
    }
}
