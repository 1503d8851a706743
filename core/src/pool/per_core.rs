//! Free lists for each core.

use crate::pool::MOST_FETCHED;
use crate::port::{FreeListCounts, FreeListId, FreeLists, PooledBlock};
use core::{fmt, marker::PhantomData};

/// Which core this code runs on.
pub trait CurrentCore {
    /// The number of the core, from 0 on. A wrong one costs time and nothing else, so the code may move to another core meanwhile. O(1),
    /// in any context.
    fn current() -> usize;
}

/// Lists for each of `CORES` cores, on cache lines of their own: what a core takes and puts back concerns no other core. A list that is
/// empty is filled with several blocks at once ([`FrameSource::allocate_more`](crate::FrameSource::allocate_more)), half of what it may
/// have, and no more than 64 pages.
///
/// A core takes from its own lists. Where the source has no such block, it takes one from the lists of others, so none is out of reach. A
/// [limit](crate::pool::FreeListArray::with_limit) is that of each core. A core with a larger number uses the lists of another.
///
/// ```
/// # use forebay::*; use forebay::{pool::{CurrentCore, FreeListArray, OfCore, PerCore, Pool}, port::*};
/// struct Hart;
/// impl CurrentCore for Hart {
///     fn current() -> usize {
///         0 // the number of this core
///     }
/// }
/// # fn make<P: Platform<Lists = ()>>(machine: P) -> Pool<WithLists<P, PerCore<FreeListArray<P, 11, 32>, Hart, 2>>> {
/// Pool::new(WithLists(machine, PerCore::new([const { OfCore(FreeListArray::new()) }; 2])))
/// # }
/// ```
pub struct PerCore<L, C, const CORES: usize> {
    lists: [OfCore<L>; CORES],
    core: PhantomData<fn() -> C>,
}

/// The lists of one core, on cache lines of their own: two, since some machines fetch them in pairs.
#[repr(align(128))]
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OfCore<L>(pub L);

impl<L, C: CurrentCore, const CORES: usize> PerCore<L, C, CORES> {
    /// These lists, one for each core.
    pub const fn new(lists: [OfCore<L>; CORES]) -> Self {
        const { assert!(CORES > 0, "CORES: at least one") }
        PerCore { lists, core: PhantomData }
    }

    #[inline]
    fn own(&self) -> Option<&L> {
        self.lists.get(C::current() % CORES).map(|of| &of.0)
    }
}

impl<B, M, L: FreeLists<B, M>, C: CurrentCore, const CORES: usize> FreeLists<B, M> for PerCore<L, C, CORES> {
    const ENABLED: bool = L::ENABLED;
    const BATCH: usize = MOST_FETCHED;

    fn take(&self, list: FreeListId) -> Option<PooledBlock<B, M>> {
        self.own()?.take(list)
    }

    fn put(&self, list: FreeListId, block: PooledBlock<B, M>) -> Result<(), PooledBlock<B, M>> {
        match self.own() {
            Some(own) => own.put(list, block),
            None => Err(block),
        }
    }

    /// Of the core's own lists first, then of the others. O(`CORES`).
    fn take_reserved(&self, list: FreeListId) -> Option<PooledBlock<B, M>> {
        let own = self.own().into_iter();
        own.chain(self.lists.iter().map(|of| &of.0)).find_map(|lists| lists.take_reserved(list))
    }

    fn unreserve(
        &self,
        list: FreeListId,
        block: Option<PooledBlock<B, M>>,
    ) -> Result<(), Option<PooledBlock<B, M>>> {
        let mut block = block;
        for of in &self.lists {
            match of.0.unreserve(list, block) {
                Ok(()) => return Ok(()),
                Err(back) => block = back,
            }
        }
        Err(block)
    }

    fn batch(&self, list: FreeListId) -> usize {
        self.own().map_or(1, |own| own.batch(list))
    }

    /// The sum over all cores. O(`CORES`).
    fn counts(&self, list: FreeListId) -> Option<FreeListCounts> {
        let mut sum = FreeListCounts::default();
        for of in &self.lists {
            let counts = of.0.counts(list)?;
            sum.ready += counts.ready;
            sum.hits = sum.hits.wrapping_add(counts.hits);
            sum.misses = sum.misses.wrapping_add(counts.misses);
        }
        Some(sum)
    }
}

impl<L, C, const CORES: usize> fmt::Debug for PerCore<L, C, CORES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PerCore({CORES} cores)")
    }
}

#[cfg(feature = "defmt")]
impl<L, C, const CORES: usize> defmt::Format for PerCore<L, C, CORES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "PerCore({=usize} cores)", CORES);
    }
}
