//! Free lists of a fixed size against a model: what is taken is the newest, what is reserved the oldest, and places and the
//! limit are counted right, whatever was done before.

use hosted_tests::kit::*;
use proptest::prelude::*;
use std::collections::VecDeque;

type Pooled = PooledBlock<forebay_backends::RamBlock<PAGE>, ()>;

/// A step of a pool, for the list with that number.
#[derive(Clone, Copy, Debug)]
enum Op {
    Put(usize),
    Take(usize),
    Reserve(usize),
    /// The reservation that has waited longest, with its block or without.
    Unreserve(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Op::Put),
        2 => (0..3_usize).prop_map(Op::Take),
        3 => (0..3_usize).prop_map(Op::Reserve),
        3 => any::<bool>().prop_map(Op::Unreserve),
    ]
}

/// Lists 0 and 1 exist, for blocks of orders 0 and 1.
fn id(number: usize) -> FreeListId {
    FreeListId { number, order: order(u8::from(number == 1)) }
}

#[derive(Default)]
struct Model {
    lists: [VecDeque<Pfn>; 2],
    reserved: [usize; 2],
    hits: [u32; 2],
    misses: [u32; 2],
}

impl Model {
    /// Pages in lists, and for which there is a reservation.
    fn kept(&self) -> usize {
        (0..2).map(|n| (self.lists[n].len() + self.reserved[n]) << n).sum()
    }
}

fn against_the_model<const DEPTH: usize>(limit: usize, ops: &[Op]) -> Result<(), TestCaseError> {
    let near = near(64);
    let pool = Pool::new(&near);
    let lists = FreeListArray::<&Near, 2, DEPTH>::with_limit(pages(limit));
    let mut model = Model::default();
    let mut out: VecDeque<(usize, Pooled)> = VecDeque::new();
    for op in ops {
        match *op {
            Op::Put(n) => {
                let block = pool.take(AllocRequest::new(id(n).order), (), CX).unwrap();
                let (pfn, size) = (block.pfn(), id(n).order.pages().get());
                let fits =
                    n < 2 && model.lists[n].len() + model.reserved[n] < DEPTH && model.kept() + size <= limit;
                match lists.put(id(n), block) {
                    Ok(()) => {
                        prop_assert!(fits);
                        model.lists[n].push_back(pfn);
                    }
                    Err(block) => {
                        prop_assert!(!fits && block.pfn() == pfn);
                        pool.put(block, CX).unwrap();
                    }
                }
            }
            Op::Take(n) => {
                let block = lists.take(id(n));
                let expected = model.lists.get_mut(n).and_then(VecDeque::pop_back);
                prop_assert_eq!(block.as_ref().map(|block| block.pfn()), expected);
                if n < 2 {
                    *(if expected.is_some() { &mut model.hits[n] } else { &mut model.misses[n] }) += 1;
                }
                block.into_iter().for_each(|block| pool.put(block, CX).unwrap());
            }
            Op::Reserve(n) => {
                let block = lists.take_reserved(id(n));
                let expected = model.lists.get_mut(n).and_then(VecDeque::pop_front);
                prop_assert_eq!(block.as_ref().map(|block| block.pfn()), expected);
                if let Some(block) = block {
                    model.reserved[n] += 1;
                    out.push_back((n, block));
                }
            }
            Op::Unreserve(stays) => {
                let Some((n, block)) = out.pop_front() else { continue };
                model.reserved[n] -= 1;
                if stays {
                    model.lists[n].push_back(block.pfn());
                    assert!(lists.unreserve(id(n), Some(block)).is_ok());
                } else {
                    assert!(lists.unreserve(id(n), None).is_ok());
                    pool.put(block, CX).unwrap();
                }
            }
        }
        for n in 0..2 {
            let FreeListCounts { ready, hits, misses, .. } = lists.counts(id(n)).unwrap();
            prop_assert_eq!((ready, hits, misses), (model.lists[n].len(), model.hits[n], model.misses[n]));
        }
        prop_assert!(lists.counts(id(2)).is_none() && model.kept() <= limit);
        let all = model.kept();
        prop_assert_eq!(near.unused(), pages(64 - all), "each block is in one place");
    }
    for (n, block) in out {
        assert!(lists.unreserve(id(n), Some(block)).is_ok());
    }
    for n in 0..2 {
        while let Some(block) = lists.take(id(n)) {
            pool.put(block, CX).unwrap();
        }
    }
    prop_assert_eq!(near.unused(), near.total());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: a block is in one place; taking gives the newest, reserving the oldest, and a block that stays is the newest
    /// again; neither a depth nor the limit is ever exceeded, also if all that is reserved comes back.
    #[test]
    fn free_lists_against_a_model(limit in 0..20_usize, ops in prop::collection::vec(op(), 1..80)) {
        against_the_model::<0>(limit, &ops)?;
        against_the_model::<1>(limit, &ops)?;
        against_the_model::<2>(limit, &ops)?;
        against_the_model::<3>(limit, &ops)?;
        against_the_model::<8>(limit, &ops)?;
        against_the_model::<8>(usize::MAX, &ops)?;
    }
}
