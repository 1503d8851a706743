//! What all [`FreeLists`] keep.

use super::order;
use forebay::pool::{Pool, PooledBlock};
use forebay::port::{FreeListCounts, FreeListId, FreeLists};
use forebay::{AllocRequest, Context, OwnedBlock, Pfn, Platform};

/// A block of a platform, as lists keep it.
type BlockOf<P> = PooledBlock<<P as Platform>::Block, <P as Platform>::Mode>;

/// What holds for lists and a mode.
type Rule<P, L> = fn(&Bench<'_, P, L>, <P as Platform>::Mode);

/// Everything, for empty lists that were never used, and that nothing else uses meanwhile. There is a list with the number 0,
/// for blocks of order 0, and it has room for a block. The platform has at least 16 free pages, and gives pages in `modes`.
/// The lists are empty afterwards.
///
/// # Panics
/// If a rule is broken.
pub fn suite<P, L>(platform: P, lists: &L, modes: &[P::Mode])
where
    P: Platform<Lists = ()>,
    L: FreeLists<P::Block, P::Mode>,
{
    assert!(L::ENABLED, "lists that are not enabled are not used");
    let b = Bench { pool: Pool::new(platform), lists };
    for mode in modes.iter().copied() {
        let rules: [Rule<P, L>; 5] = [
            what_is_put_is_taken_once,
            a_list_that_does_not_exist_keeps_nothing,
            a_refused_block_comes_back,
            a_reserved_place_is_kept,
            hits_and_misses_are_counted,
        ];
        for rule in rules {
            rule(&b, mode);
            assert_eq!(b.ready(PAGES), 0, "something is left in a list");
        }
    }
}

/// The list that exists.
const PAGES: FreeListId = FreeListId { number: 0, order: forebay::Order::PAGE };

/// The most blocks that are put into one list.
const MOST: usize = 16;

struct Bench<'a, P: Platform, L> {
    /// Blocks for lists come from a pool only, and go there.
    pool: Pool<P>,
    lists: &'a L,
}

impl<P: Platform<Lists = ()>, L: FreeLists<P::Block, P::Mode>> Bench<'_, P, L> {
    #[track_caller]
    fn block(&self, k: u8, mode: P::Mode) -> BlockOf<P> {
        self.pool.take(AllocRequest::new(order(k)), mode, Context::THREAD).expect("the source has enough")
    }

    #[track_caller]
    fn free(&self, block: BlockOf<P>) {
        assert!(self.pool.put(block, Context::THREAD).is_ok(), "a thread may change modes");
    }

    #[track_caller]
    fn counts(&self, list: FreeListId) -> FreeListCounts {
        self.lists.counts(list).expect("there is such a list")
    }

    #[track_caller]
    fn ready(&self, list: FreeListId) -> usize {
        self.counts(list).ready
    }

    /// Puts blocks into the list until one is refused; returns where they are, and that one.
    fn fill(&self, mode: P::Mode) -> (Vec<Pfn>, Option<BlockOf<P>>) {
        let mut kept = Vec::new();
        while kept.len() < MOST {
            let block = self.block(0, mode);
            let pfn = block.pfn();
            match self.lists.put(PAGES, block) {
                Ok(()) => kept.push(pfn),
                Err(block) => return (kept, Some(block)),
            }
        }
        (kept, None)
    }

    /// Takes everything, and frees it; returns where it was.
    fn drain(&self) -> Vec<Pfn> {
        let all = std::iter::from_fn(|| self.lists.take(PAGES));
        all.map(|block| (block.pfn(), self.free(block)).0).collect()
    }
}

fn sorted(mut places: Vec<Pfn>) -> Vec<Pfn> {
    places.sort();
    places
}

fn what_is_put_is_taken_once<P, L>(b: &Bench<'_, P, L>, mode: P::Mode)
where
    P: Platform<Lists = ()>,
    L: FreeLists<P::Block, P::Mode>,
{
    assert!(b.lists.take(PAGES).is_none(), "it begins empty");
    for n in 1..=3 {
        let mut put = Vec::new();
        for _ in 0..n {
            let mut block = b.block(0, mode);
            block.write_at(0, &[n; 16]);
            let pfn = block.pfn();
            match b.lists.put(PAGES, block) {
                Ok(()) => put.push(pfn),
                Err(block) => b.free(block),
            }
            assert_eq!(b.ready(PAGES), put.len());
        }
        assert!(!put.is_empty(), "an empty list has room for a block");
        let mut taken = Vec::new();
        while let Some(block) = b.lists.take(PAGES) {
            let mut bytes = [0; 16];
            block.read_at(0, &mut bytes);
            assert_eq!((bytes, block.order()), ([n; 16], order(0)), "its bytes are not touched");
            taken.push(block.pfn());
            assert_eq!(b.ready(PAGES), put.len() - taken.len());
            b.free(block);
        }
        assert_eq!(sorted(taken), sorted(put), "each block once");
    }
}

fn a_list_that_does_not_exist_keeps_nothing<P, L>(b: &Bench<'_, P, L>, mode: P::Mode)
where
    P: Platform<Lists = ()>,
    L: FreeLists<P::Block, P::Mode>,
{
    for number in [1, 2, 100, usize::MAX] {
        let list = FreeListId { number, order: order(1) };
        if b.lists.counts(list).is_some() {
            continue;
        }
        assert!(b.lists.take(list).is_none() && b.lists.take_reserved(list).is_none());
        let block = b.block(1, mode);
        let pfn = block.pfn();
        let Err(block) = b.lists.put(list, block) else { panic!("{list:?} took a block") };
        assert_eq!((block.pfn(), block.order()), (pfn, order(1)), "another block came back");
        b.free(block);
        assert_eq!(b.lists.counts(list), None);
    }
}

fn a_refused_block_comes_back<P, L>(b: &Bench<'_, P, L>, mode: P::Mode)
where
    P: Platform<Lists = ()>,
    L: FreeLists<P::Block, P::Mode>,
{
    let (kept, refused) = b.fill(mode);
    assert_eq!(b.ready(PAGES), kept.len());
    if let Some(block) = refused {
        let pfn = block.pfn();
        assert!(!kept.contains(&pfn), "it is in the list");
        let Err(block) = b.lists.put(PAGES, block) else { panic!("the same question, another answer") };
        assert_eq!(block.pfn(), pfn, "another block came back");
        // One leaves, and one has room.
        let other = b.lists.take(PAGES).expect("it is full");
        b.free(other);
        assert!(b.lists.put(PAGES, block).is_ok(), "there is room again");
        assert_eq!(b.ready(PAGES), kept.len());
    }
    assert_eq!(b.drain().len(), kept.len());
}

fn a_reserved_place_is_kept<P, L>(b: &Bench<'_, P, L>, mode: P::Mode)
where
    P: Platform<Lists = ()>,
    L: FreeLists<P::Block, P::Mode>,
{
    assert!(b.lists.take_reserved(PAGES).is_none(), "it is empty");
    // Given up, or used: once, and for all of them.
    for give_up in [true, false] {
        let (kept, refused) = b.fill(mode);
        let reserved: Vec<_> = std::iter::from_fn(|| b.lists.take_reserved(PAGES)).collect();
        assert_eq!((reserved.len(), b.ready(PAGES)), (kept.len(), 0), "a reserved place has no block");
        assert_eq!(sorted(reserved.iter().map(|block| block.pfn()).collect()), sorted(kept.clone()));
        // Where a place was short, they are taken by the reservations.
        if let Some(block) = refused {
            let Err(block) = b.lists.put(PAGES, block) else { panic!("a reserved place was given away") };
            b.free(block);
        }
        for block in reserved {
            if give_up {
                assert!(b.lists.unreserve(PAGES, None).is_ok());
                b.free(block);
            } else {
                assert!(b.lists.unreserve(PAGES, Some(block)).is_ok());
            }
        }
        assert_eq!(b.ready(PAGES), if give_up { 0 } else { kept.len() });
        // The places are there again.
        b.drain();
        let (again, refused) = b.fill(mode);
        assert_eq!(again.len(), kept.len(), "a place was lost");
        refused.into_iter().for_each(|block| b.free(block));
        b.drain();
    }
}

fn hits_and_misses_are_counted<P, L>(b: &Bench<'_, P, L>, mode: P::Mode)
where
    P: Platform<Lists = ()>,
    L: FreeLists<P::Block, P::Mode>,
{
    let before = b.counts(PAGES);
    assert!(b.lists.take(PAGES).is_none());
    assert!(b.lists.put(PAGES, b.block(0, mode)).is_ok());
    b.free(b.lists.take(PAGES).expect("it was put"));
    assert!(b.lists.take(PAGES).is_none());
    let now = b.counts(PAGES);
    assert_eq!((now.hits, now.misses), (before.hits + 1, before.misses + 2));
    // What a trim takes is no use of the list.
    assert!(b.lists.put(PAGES, b.block(0, mode)).is_ok());
    let block = b.lists.take_reserved(PAGES).expect("it was put");
    assert!(b.lists.unreserve(PAGES, None).is_ok());
    b.free(block);
    assert_eq!(b.counts(PAGES), now);
}

#[cfg(test)]
mod tests {
    use super::suite;
    use crate::kit::{AllPorts, Machine, Near, near, pages};
    use forebay::Caching::{Uncached, WriteBack, WriteCombined};
    use forebay::pool::FreeListArray;

    type M = AllPorts<Machine<Near>>;

    /// Rule: the free lists of the core keep the rules of the port, of every size and with a limit.
    #[test]
    fn free_lists_of_a_fixed_size() {
        let machine = &Machine::new(near(48));
        let modes = [WriteBack, WriteCombined, Uncached];
        suite(machine, &FreeListArray::<M, 1, 1>::new(), &modes);
        suite(machine, &FreeListArray::<M, 24, 4>::new(), &modes);
        suite(machine, &FreeListArray::<M, 6, 40>::new(), &modes);
        suite(machine, &FreeListArray::<M, 6, 8>::with_limit(pages(3)), &modes);
        suite(machine, &&FreeListArray::<M, 6, 8>::new(), &modes);
        let plain = &near(48);
        suite(plain, &FreeListArray::<Near, 2, 3>::new(), &[()]);
    }
}
