//! Rules of handles that are not what they seem: of others, used up, or made up.

use super::{Bench, all_ids, forged};
use crate::conformance::{content, order, pattern};
use forebay::{
    BackingStore, Context, FrameSource, Handle, OwnedBlock, Pages, StoreError, port::Capabilities,
};

/// The answer to a handle where the store should find nothing. `what` is needed for the call to do anything.
#[track_caller]
fn is_refused<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
    why: StoreError,
    expected: StoreError,
    what: Capabilities,
) {
    let (one, other) = match (b.can(what), expected) {
        // Nothing that tiers declare is unsupported for a handle that none of them knows.
        (true, StoreError::WrongStore) => (expected, expected),
        // The tier that the handle is of may do less than the other.
        (true, _) if b.is_tiered() => (expected, StoreError::Unsupported),
        (true, _) => (expected, expected),
        (false, _) => (StoreError::Unsupported, StoreError::Unsupported),
    };
    assert!(why == one || why == other, "{why:?} instead of {one:?}");
}

/// Checks that every call with this handle fails with `expected`, and changes nothing.
#[track_caller]
fn reaches_nothing<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
    handle: Handle,
    block: &mut P::Block,
    expected: StoreError,
) {
    let copy = forged(&handle);
    let space = b.raw.space();
    let why = b.raw.load(&handle, block, Pages::ZERO, Context::THREAD).expect_err("there is nothing");
    is_refused(b, why, expected, Capabilities::LOAD);
    let refused = match b.raw.take_back(handle, Context::THREAD) {
        Ok(block) => panic!("{copy:?} is nothing, but {:?} came back", block.pfn()),
        Err(refused) => refused,
    };
    assert_eq!(refused.item, copy, "another handle came back");
    is_refused(b, refused.why, expected, Capabilities::TAKE_BACK);
    let refused = b.raw.split(refused.item).expect_err("there is nothing to split");
    assert_eq!(refused.item, copy, "another handle came back");
    is_refused(b, refused.why, expected, Capabilities::SPLIT);
    let refused = b.raw.discard(refused.item).map(|_| ()).expect_err("there is nothing to discard");
    assert_eq!(refused.item, copy, "another handle came back");
    assert_eq!(refused.why, expected);
    assert_eq!(b.raw.space(), space, "{copy:?} is nothing, but made room");
}

pub(super) fn handles_of_other_stores_come_back<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    let transferred = b.transfer(1, 51);
    let copied = b.can(Capabilities::COPY).then(|| b.save(1, 52));
    let mut block = b.block(1, 53);
    for mine in transferred.iter().chain(&copied) {
        let foreign =
            || Handle::new(b.foreign_id(), mine.order(), mine.value()).expect("a value of a handle");
        assert!(!b.raw.ids().contains(foreign().store().into()) && b.raw.ids().contains(mine.store().into()));
        reaches_nothing(b, foreign(), &mut block, StoreError::WrongStore);
    }
    let nowhere = Handle::new(b.foreign_id(), order(0), 0).expect("a value of a handle");
    assert!(!b.raw.ids().contains(nowhere.store().into()));
    reaches_nothing(b, nowhere, &mut block, StoreError::WrongStore);
    assert!(content(&block) == pattern(53, block.bytes()), "a refused load touches no byte");
    b.free(block);
    for handle in transferred.into_iter().chain(copied) {
        b.discard(handle);
    }
}

pub(super) fn what_is_gone_is_not_stored<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    let mut gone = Vec::new();
    for k in 0..=2 {
        if let Some(handle) = b.transfer(k, 54) {
            gone.push(forged(&handle));
            if b.can(Capabilities::TAKE_BACK) {
                b.takes_back(handle, &pattern(54, Bench::<P, S>::PAGE << k));
            } else {
                b.discard(handle);
            }
        }
        if let Some(handle) = b.transfer(k, 54) {
            gone.push(forged(&handle));
            b.settle(Pages::MAX, Context::THREAD); // written out, or not
            b.discard(handle);
        }
        if b.can(Capabilities::COPY) {
            let handle = b.save(k, 55);
            gone.push(forged(&handle));
            b.discard(handle);
        }
    }
    let mut block = b.block(2, 56);
    for handle in gone {
        reaches_nothing(b, handle, &mut block, StoreError::NotStored);
    }
    assert!(content(&block) == pattern(56, block.bytes()), "a refused load touches no byte");
    b.free(block);
}

pub(super) fn a_handle_that_was_split_is_gone<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    if !b.can(Capabilities::COPY | Capabilities::SPLIT) {
        return;
    }
    let whole = b.save(2, 57);
    let (stale, bytes) = (forged(&whole), b.start_of(&whole, 57));
    let Ok((lower, upper)) = b.store.split(whole).map_err(|refused| b.discard(refused.item)) else { return };
    let mut block = b.block(3, 58);
    reaches_nothing(b, stale, &mut block, StoreError::NotStored);
    b.free(block);
    b.loads(&lower, &bytes[..bytes.len() / 2]);
    b.loads(&upper, &bytes[bytes.len() / 2..]);
    b.discard(upper);
    b.loads(&lower, &bytes[..bytes.len() / 2]);
    b.discard(lower);
}

/// Values small and large, and around every power of two.
fn values() -> impl Iterator<Item = usize> {
    let powers = (8..usize::BITS - 8).map(|bit| 1_usize << bit);
    (0..64).chain(powers.flat_map(|p| [p - 1, p, p + 1])).chain([Handle::VALUES - 2, Handle::VALUES - 1])
}

pub(super) fn forged_handles_reach_nothing_in_an_empty_store<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    assert!(Handle::new(b.foreign_id(), order(0), Handle::VALUES).is_none());
    let mut block = b.block(0, 59);
    for id in all_ids().filter(|id| b.raw.ids().contains((*id).into())) {
        for (k, value) in (0..=15).flat_map(|k| values().map(move |value| (k, value))) {
            let Some(handle) = Handle::new(id, order(k), value) else { continue };
            reaches_nothing(b, handle, &mut block, StoreError::NotStored);
        }
    }
    assert!(content(&block) == pattern(59, block.bytes()), "a refused load touches no byte");
    b.free(block);
}

/// Those of other orders than what is there: a handle of the right value and order can't be told from the true
/// one, but any other must not reach it.
pub(super) fn forged_handles_do_not_disturb_what_is_stored<P: FrameSource, S: BackingStore<P::Block>>(
    b: &Bench<'_, P, S>,
) {
    let copied = b.can(Capabilities::COPY).then(|| b.save(1, 61));
    let written = b.transfer(1, 62);
    b.settle(Pages::MAX, Context::THREAD);
    let transferred = b.transfer(1, 63);
    let mut live: Vec<_> = [(copied, 61), (written, 62), (transferred, 63)]
        .into_iter()
        .filter_map(|(handle, seed)| Some((handle?, seed)))
        .collect();
    let orders: Vec<_> = live.iter().map(|(h, _)| h.order()).collect();
    let mut block = b.block(0, 64);
    for id in all_ids().filter(|id| b.raw.ids().contains((*id).into())) {
        for k in (0..=15).map(order).filter(|k| !orders.contains(k)) {
            let near = live.iter().flat_map(|(h, _)| [h.value(), h.value() + 1, h.value().saturating_sub(1)]);
            for value in near.chain(values()) {
                let Some(handle) = Handle::new(id, k, value) else { continue };
                reaches_nothing(b, handle, &mut block, StoreError::NotStored);
            }
        }
    }
    b.free(block);
    for (handle, seed) in live.drain(..) {
        let bytes = b.start_of(&handle, seed);
        match b.store.take_back(handle, Context::THREAD) {
            Ok(block) => {
                assert!(content(&block) == bytes);
                b.free(block);
            }
            Err(refused) => {
                b.loads(&refused.item, &bytes);
                b.discard(refused.item);
            }
        }
    }
}
