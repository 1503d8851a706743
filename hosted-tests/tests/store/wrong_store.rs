//! A handle that is given to the wrong store: a clear error, the handle back, and nothing lost.

use forebay_backends::*;
use hosted_tests::kit::*;

fn filled(near: &Watched<'_, &Near>, n: u8, seed: u8) -> RamBlock<PAGE> {
    let mut block = near.allocate(AllocRequest::new(order(n)), CX).unwrap();
    let bytes = pattern(seed, block.bytes());
    block.copy_from_slice(&bytes);
    block
}

fn ids(store: &impl BackingStore<RamBlock<PAGE>>) -> StoreIds {
    store.ids()
}

/// Rule: every call with a foreign handle says `WrongStore` and gives the handle back; its own store still
/// has all.
#[test]
fn a_foreign_handle_comes_back() {
    let (world, near) = (World::new(Contents::Compared), near(16));
    let (first, second) = (far_with_id(16, 1), far_with_id(16, 2));
    let source = Watched::new(&near, &world);
    let (a, b) = (Watched::new(&first, &world), Watched::new(&second, &world));
    // One block in each store, so that the numbers of the handles are in use in both.
    let others = b.transfer(filled(&source, 1, 9), None).unwrap();
    for transferred in [true, false] {
        let handle = if transferred {
            a.transfer(filled(&source, 1, 1), None).unwrap()
        } else {
            let block = filled(&source, 1, 1);
            let handle = a.save(&block, order(1), None, CX).unwrap();
            source.free(block);
            handle
        };
        assert!(ids(&a).contains(handle.store().into()) && !ids(&b).contains(handle.store().into()));
        let refused = b.take_back(handle, Context::THREAD).unwrap_err();
        assert_eq!(refused.why, StoreError::WrongStore);
        let refused = b.split(refused.item).unwrap_err();
        assert_eq!(refused.why, StoreError::WrongStore);
        let handle = refused.item;
        let mut block = source.allocate(AllocRequest::new(order(1)), CX).unwrap();
        block.fill(0xEE);
        assert_eq!(b.load(&handle, &mut block, NONE, CX), Err(StoreError::WrongStore));
        assert!(block.iter().all(|b| *b == 0xEE));
        source.free(block);
        world.validate();

        let block = match a.take_back(handle, Context::THREAD) {
            Ok(block) => block,
            Err(Refused { item, why }) => {
                assert_eq!((transferred, why), (false, StoreError::WrongKind));
                let mut block = source.allocate(AllocRequest::new(order(1)), CX).unwrap();
                a.load(&item, &mut block, NONE, CX).unwrap();
                assert!(matches!(a.discard(item), Ok(None)));
                block
            }
        };
        assert!(block[..] == pattern(1, 2 * PAGE)[..]);
        source.free(block);
    }
    source.free(b.take_back(others, Context::THREAD).unwrap());
    all_returned(&world, &near, &first);
    all_returned(&world, &near, &second);
}

/// Rule: discarding a foreign handle changes nothing in the store it is given to.
#[test]
fn discarding_a_foreign_handle_drops_nothing() {
    let (near, first, second) = (near(16), far_with_id(16, 1), far_with_id(16, 2));
    let mut blocks = [1, 2].map(|seed| {
        let mut block = near.allocate(AllocRequest::new(order(1)), CX).unwrap();
        block.fill(seed);
        Some(block)
    });
    let lost = first.transfer(blocks[0].take().unwrap(), None).unwrap();
    let kept = second.transfer(blocks[1].take().unwrap(), None).unwrap();
    assert_eq!((lost.value(), lost.order()), (kept.value(), kept.order()), "only the store tells them apart");
    let refused = second.discard(lost).unwrap_err();
    assert_eq!(refused.why, StoreError::WrongStore);
    assert_eq!((first.pending(), second.pending()), (pages(2), pages(2)));
    let block = second.take_back(kept, CX).unwrap();
    assert!(block.iter().all(|b| *b == 2));
    near.free(block);
    near.free(first.discard(refused.item).unwrap().expect("it came back, and its own store has the block"));
}

/// Rule: a forged or stale handle reaches nothing: an error, or nothing dropped.
#[test]
fn a_forged_handle_reaches_nothing() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let (source, store) = (Watched::new(&near, &world), Watched::new(&far, &world));
    let real = store.transfer(filled(&source, 1, 1), None).unwrap();
    let mut block = source.allocate(AllocRequest::new(order(2)), CX).unwrap();
    for value in (0..17 * 20).chain([Handle::VALUES - 1]).filter(|v| *v != real.value()) {
        for n in 0..3 {
            let forged = || Handle::new(StoreId::DEFAULT, order(n), value).unwrap();
            // Past the oracle, which knows it for a forgery.
            assert_eq!(far.take_back(forged(), Context::THREAD).unwrap_err().why, StoreError::NotStored);
            assert_eq!(far.split(forged()).unwrap_err().why, StoreError::NotStored);
            assert_eq!(far.load(&forged(), &mut block, NONE, CX), Err(StoreError::NotStored));
            assert_eq!(far.discard(forged()).unwrap_err().why, StoreError::NotStored);
        }
    }
    source.free(block);
    assert_eq!(far.pending(), pages(2));
    let block = store.take_back(real, Context::THREAD).unwrap();
    assert!(block[..] == pattern(1, 2 * PAGE)[..]);
    source.free(block);
    all_returned(&world, &near, &far);
}

/// Rule: a tier gives each handle to the store that it is of, and one of neither comes back.
#[test]
fn a_tier_knows_its_handles() {
    let (world, near) = (World::new(Contents::Compared), near(32));
    let (first, second, third) = (region::<1>(4, 1), region::<4>(32, 2), far_with_id(16, 3));
    let tiers = Tiered(&first, &second);
    let home = &forebay(&near, tiers, &world);
    let tiles = [0, 1, 2].map(|i| Buffer::new(home, order(i)));
    for (i, tile) in tiles.iter().enumerate() {
        fill(tile, i as u8);
        assert_eq!(tile.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, order(i as u8).pages());
    }
    assert_eq!(
        (first.pending(), second.pending()),
        (pages(1), pages(6)),
        "one transfer each, then the second"
    );
    for (i, tile) in tiles.iter().enumerate() {
        check(tile, i as u8);
    }
    let source = Watched::new(&near, &world);
    let foreign = Watched::new(&third, &world).transfer(filled(&source, 1, 7), None).unwrap();
    assert!(!ids(&tiers).contains(foreign.store().into()));
    let foreign = BackingStore::<RamBlock<PAGE>>::take_back(&tiers, foreign, CX).unwrap_err();
    assert_eq!(foreign.why, StoreError::WrongStore);
    let foreign = BackingStore::<RamBlock<PAGE>>::split(&tiers, foreign.item).unwrap_err();
    assert_eq!(foreign.why, StoreError::WrongStore);
    source.free(Watched::new(&third, &world).take_back(foreign.item, Context::THREAD).unwrap());
    drop(tiles);
    all_returned(&world, &near, &third);
    assert_eq!((first.space().pages, second.space().pages), (pages(4), pages(32)));
}

/// Rule: two stores of one number can't be told apart; so a tier of them takes nothing, says why, and every
/// block stays with its buffer.
#[test]
fn a_tier_of_one_number_takes_nothing() {
    let (world, near) = (World::new(Contents::Compared), near(16));
    let (first, second) = (far_with_id(16, 4), far_with_id(16, 4));
    let home = &forebay(&near, Tiered(&first, &second), &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 1);
    let at = tile.read().unwrap().as_ptr();
    for how in METHODS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.refused), (NONE, pages(4)));
        assert_eq!(evicted.why, Some(RefusalReason::Store(StoreError::SameId)), "{how:?}");
        assert_eq!(tile.read().unwrap().as_ptr(), at);
        check(&tile, 1);
        world.validate();
    }
    // Also where the two with one number are further inside.
    let other = far_with_id(16, 5);
    let inside = &forebay(&near, Tiered(&first, Tiered(&other, &second)), &world);
    let deep = Buffer::new(inside, order(0));
    fill(&deep, 2);
    assert_eq!(deep.evict(ALL, Evict::ANY, CX).unwrap().why, Some(RefusalReason::Store(StoreError::SameId)));
    check(&deep, 2);
    drop((tile, deep));
    all_returned(&world, &near, &first);
}
