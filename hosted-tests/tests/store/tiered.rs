//! Two stores in a row: what is counted for both, and what is of neither.

use forebay_backends::*;
use hosted_tests::kit::*;

fn filled(near: &Near, n: u8, seed: u8) -> RamBlock<PAGE> {
    let mut block = near.allocate(AllocRequest::new(order(n)), CX).unwrap();
    let bytes = pattern(seed, block.bytes());
    block.copy_from_slice(&bytes);
    block
}

/// Rule: a budget is for both tiers together: what the first one wrote out, finished or not, is not there for the
/// second ("how much of the budget this call used").
#[test]
fn a_budget_is_not_spent_twice() {
    let near = near(64);
    let (first, second) = (far_with_id(32, 1), far_with_id(32, 2));
    let tiers = Tiered(&first, &second);
    let large = first.transfer(filled(&near, 4, 1), None).unwrap();
    let small = [2, 3, 4].map(|seed| second.transfer(filled(&near, 0, seed), None).unwrap());
    let settle = |budget, cx| {
        let before = near.unused();
        let settled = tiers.settle(budget, cx, &mut |block| near.free(block));
        assert_eq!((settled.freed, settled.error), (near.unused() - before, None));
        assert_eq!(settled.pending, first.pending() + second.pending());
        (settled.written.get(), settled.freed.get())
    };
    assert_eq!(settle(ALL, Context::INTERRUPT), (0, 0));
    assert_eq!(settle(NONE, CX), (0, 0));
    assert_eq!(
        settle(pages(4), CX),
        (4, 0),
        "a quarter of the first one's block, and nothing of the second's"
    );
    assert_eq!(settle(pages(11), CX), (11, 0));
    assert_eq!(settle(pages(3), CX), (3, 16 + 2), "the last page of that one, and two more");
    assert_eq!(settle(ALL, CX), (1, 1));
    assert_eq!(settle(ALL, CX), (0, 0));
    for handle in small.into_iter().chain([large]) {
        assert!(matches!(BackingStore::<RamBlock<PAGE>>::discard(&tiers, handle), Ok(None)));
    }
    assert_eq!((near.unused(), first.space().pages), (near.total(), first.total()));
}

/// Rule: a handle of neither tier is `WrongStore` in every call, comes back, and nothing changes.
#[test]
fn a_handle_of_neither_tier_comes_back() {
    let (world, near) = (World::new(Contents::Compared), near(16));
    let (first, second, third) = (far_with_id(16, 1), far_with_id(16, 2), far_with_id(16, 3));
    let tiers = Tiered(Watched::new(&first, &world), Tiered(Watched::new(&second, &world), Null));
    let source = Watched::new(&near, &world);
    let other = Watched::new(&third, &world);
    let mut block = source.allocate(AllocRequest::new(order(1)), CX).unwrap();
    block.fill(0xEE);
    let foreign = other.save(&block, order(1), None, CX).unwrap();
    let space = BackingStore::<RamBlock<PAGE>>::space(&tiers);
    assert_eq!(tiers.load(&foreign, &mut block, NONE, CX), Err(StoreError::WrongStore));
    assert!(block.iter().all(|b| *b == 0xEE));
    source.free(block);
    let refused = BackingStore::<RamBlock<PAGE>>::take_back(&tiers, foreign, CX).unwrap_err();
    assert_eq!(refused.why, StoreError::WrongStore);
    let refused = BackingStore::<RamBlock<PAGE>>::split(&tiers, refused.item).unwrap_err();
    assert_eq!(refused.why, StoreError::WrongStore);
    let refused = BackingStore::<RamBlock<PAGE>>::discard(&tiers, refused.item).unwrap_err();
    assert_eq!(refused.why, StoreError::WrongStore);
    assert_eq!(BackingStore::<RamBlock<PAGE>>::space(&tiers), space);
    assert!(matches!(other.discard(refused.item), Ok(None)), "its own store still has it");
    all_returned(&world, &near, &third);
}

/// Rule: two stores can what either can. They need I/O if all that copy need it, and promise whole loads if all that load promise it.
#[test]
fn what_two_stores_can() {
    struct Can(Capabilities);
    impl BackingStore<RamBlock<PAGE>> for Can {
        fn ids(&self) -> StoreIds {
            StoreId::DEFAULT.into()
        }
        fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
            Err(Refused { item: handle, why: StoreError::NotStored })
        }
        fn capabilities(&self) -> Capabilities {
            self.0
        }
    }
    use Capabilities as C;
    let (none, takes, copies) = (C::empty(), C::TRANSFER | C::TAKE_BACK, C::COPY | C::SPLIT);
    let with_io = |n: u8| if n & 1 > 0 { C::NEEDS_IO } else { none };
    let all = |n: u8| if n & 2 > 0 { C::LOADS_ALL } else { none };
    for (n, m) in (0..4).flat_map(|n| (0..4).map(move |m| (n, m))) {
        let both = |a, b| Tiered(Can(a), Can(b)).capabilities();
        let (a, b) = (copies | with_io(n) | all(n), copies | with_io(m) | all(m));
        assert_eq!(both(a, b), copies | with_io(n & m) | all(n & m));
        // Beside one that can't copy, the other one says it.
        for (one, other) in [(a, takes), (takes, a)] {
            assert_eq!(both(one, other), copies | takes | with_io(n) | all(n));
        }
        // One that only loads promises for its loads.
        for (one, other) in [(a, C::LOAD | all(m)), (C::LOAD | all(m), a)] {
            assert_eq!(both(one, other), copies | with_io(n) | all(n & m));
        }
        assert_eq!(both(takes | with_io(n) | all(n), takes) - C::NEEDS_IO, takes, "no load, no promise");
    }
}
