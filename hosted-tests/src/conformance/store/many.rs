//! Many calls: in any order, and from several threads.

use super::Bench;
use crate::conformance::{Rng, content, fill, order, pattern};
use forebay::{
    AllocRequest, BackingStore, Context, FrameSource, Handle, OwnedBlock, Pages, Refused, StoreError,
    port::Capabilities,
};

/// The oracle compares every byte that comes back, and knows the owner of each frame.
pub(super) fn anything_in_any_order<P: FrameSource, S: BackingStore<P::Block>>(b: &Bench<'_, P, S>) {
    let mut rng = Rng::new(70);
    let mut held: Vec<Handle> = Vec::new();
    for step in 0..250 {
        let k = rng.below(4) as u8;
        let one = |held: &mut Vec<Handle>, rng: &mut Rng| {
            (!held.is_empty()).then(|| held.swap_remove(rng.below(held.len())))
        };
        match rng.below(9) {
            0 | 1 => held.extend(b.transfer(k, step)),
            2 | 3 => {
                let block = b.block(k, step);
                let asked = rng.below(usize::from(k) + 1) as u8;
                held.extend(b.store.save(&block, order(asked), None, Context::THREAD));
                b.free(block);
            }
            4 => match one(&mut held, &mut rng).map(|handle| b.store.take_back(handle, Context::THREAD)) {
                Some(Ok(block)) => b.free(block),
                Some(Err(refused)) => held.push(refused.item),
                None => {}
            },
            5 => {
                let Some(handle) = one(&mut held, &mut rng) else { continue };
                let mut block = b.block(handle.order().get(), step);
                let _ = b.store.load(&handle, &mut block, Pages::ZERO, Context::THREAD);
                b.free(block);
                held.push(handle);
            }
            6 => match one(&mut held, &mut rng).map(|handle| b.store.split(handle)) {
                Some(Ok((lower, upper))) => held.extend([upper, lower]),
                Some(Err(refused)) => held.push(refused.item),
                None => {}
            },
            7 => {
                let settled =
                    b.settle(Pages::new(rng.below(4)), Context::from_bits_truncate(rng.next() as u16));
                assert_eq!(settled.error, None);
            }
            _ => {
                let _ = one(&mut held, &mut rng).map(|handle| b.discard(handle));
            }
        }
        if step % 16 == 0 {
            b.world.validate();
        }
    }
    for handle in held {
        b.discard(handle);
    }
}

/// For a store that threads may share: each keeps what each gave it, while another settles all the time.
///
/// # Panics
/// If a rule is broken.
pub fn threads<P, S>(source: &P, store: &S)
where
    P: FrameSource<Block: Send> + Sync,
    S: BackingStore<P::Block> + Sync,
{
    let start = store.space();
    let settle = |budget, cx| store.settle(budget, cx, &mut |block| source.free(block));
    std::thread::scope(|s| {
        for me in 0..3_u64 {
            s.spawn(move || {
                let mut rng = Rng::new(me);
                for round in 0..60 {
                    once(source, store, rng.below(3) as u8, me * 1000 + round);
                }
            });
        }
        for _ in 0..60 {
            settle(Pages::new(1), Context::THREAD);
            settle(Pages::MAX, Context::INTERRUPT);
            std::thread::yield_now();
        }
    });
    assert_eq!(settle(Pages::MAX, Context::THREAD).pending, Pages::ZERO);
    assert_eq!(store.space(), start, "something is left in the store");
}

/// One block, out and back by whatever way there is.
fn once<P: FrameSource, S: BackingStore<P::Block>>(source: &P, store: &S, k: u8, seed: u64) {
    let Ok(mut block) = source.allocate(AllocRequest::new(order(k)), Context::THREAD) else { return };
    fill(&mut block, seed);
    let handle = match store.transfer(block, None) {
        Ok(handle) => handle,
        Err(Refused { item, .. }) => {
            assert!(content(&item) == pattern(seed, item.bytes()), "a refused block is unharmed");
            let saved = store.save(&item, order(k), None, Context::THREAD);
            source.free(item);
            match saved {
                Ok(handle) => handle,
                Err(_) => return,
            }
        }
    };
    let bytes = pattern(seed, P::Block::PAGE << handle.order().get());
    std::thread::yield_now();
    if seed.is_multiple_of(5) {
        return store.discard(handle).expect("it is stored").into_iter().for_each(|block| source.free(block));
    }
    let mut handle = handle;
    if store.capabilities().contains(Capabilities::TAKE_BACK) {
        loop {
            match store.take_back(handle, Context::THREAD) {
                Ok(block) => {
                    assert!(content(&block) == bytes, "seed {seed}: other bytes came back");
                    return source.free(block);
                }
                Err(Refused { item, why: StoreError::Busy }) => {
                    handle = item;
                    std::thread::yield_now();
                }
                Err(Refused { item, why }) => {
                    assert!(matches!(why, StoreError::WrongKind | StoreError::Unsupported), "{why:?}");
                    handle = item;
                    break;
                }
            }
        }
    }
    let mut block = loop {
        match source.allocate(AllocRequest::new(handle.order()), Context::THREAD) {
            Ok(block) => break block,
            Err(_) => std::thread::yield_now(), // others have it, and come to an end
        }
    };
    assert_eq!(store.load(&handle, &mut block, Pages::ZERO, Context::THREAD), Ok(()));
    assert!(content(&block) == bytes, "seed {seed}: other bytes were loaded");
    source.free(block);
    assert!(matches!(store.discard(handle), Ok(None)));
}
