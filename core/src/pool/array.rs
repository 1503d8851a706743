//! Free lists of a fixed size.

use crate::frame::Pages;
use crate::port::{FreeListCounts, FreeListId, FreeLists, Platform, PooledBlock};
use crate::sync::Mutex;
use core::fmt;
use heapless::Deque;

/// Up to `DEPTH` blocks of each kind, for as many kinds as there are `LISTS`: give it `orders × modes × zones`. No allocation.
///
/// Lists are made by order, then mode, then zone. Blocks of a kind without a list are returned to the source, so fewer lists
/// pool the small orders only.
///
/// ```
/// # use forebay::*; use forebay::{frame::Caching, pool::{FreeListArray, Pool}, port::*};
/// # fn make<P: Platform<Mode = Caching, Lists = ()>>(machine: P) -> Pool<WithLists<P, FreeListArray<P, 24, 4>>> {
/// // 4 orders × 3 modes × 2 zones, 4 blocks of each: blocks of up to 8 pages.
/// Pool::new(WithLists(machine, FreeListArray::new()))
/// # }
/// ```
///
/// # Context
/// Each operation is one lock section, O(`DEPTH`).
pub struct FreeListArray<P: Platform, const LISTS: usize, const DEPTH: usize> {
    limit: Pages,
    lists: Mutex<P::RawMutex, Lists<P, LISTS, DEPTH>>,
}

/// # Invariant
/// `kept` is the sum of the pages of all blocks in the lists and of all reserved places: the limit holds also if all of those
/// come back.
struct Lists<P: Platform, const LISTS: usize, const DEPTH: usize> {
    kept: Pages,
    lists: [List<P, DEPTH>; LISTS],
}

/// One list.
///
/// # Invariant
/// The blocks and the reserved places are at most `DEPTH` together.
struct List<P: Platform, const DEPTH: usize> {
    blocks: Deque<PooledBlock<P::Block, P::Mode>, DEPTH>,
    reserved: u16,
    hits: u32,
    misses: u32,
}

impl<P: Platform, const DEPTH: usize> List<P, DEPTH> {
    fn has_room(&self) -> bool {
        self.blocks.len() + usize::from(self.reserved) < DEPTH
    }
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> FreeListArray<P, LISTS, DEPTH> {
    /// Empty lists without a limit.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        const { assert!(DEPTH < u16::MAX as usize, "DEPTH: at most 65534 blocks of a kind") }
        let lists = [const { List { blocks: Deque::new(), reserved: 0, hits: 0, misses: 0 } }; LISTS];
        FreeListArray { limit: Pages::MAX, lists: Mutex::new(Lists { kept: Pages::ZERO, lists }) }
    }

    /// The most pages that are kept at a time. A block that would exceed it is returned to the source.
    #[must_use]
    pub const fn with_limit(mut self, pages: Pages) -> Self {
        self.limit = pages;
        self
    }

    /// One lock section over one list.
    fn with<R>(&self, id: FreeListId, f: impl FnOnce(&mut List<P, DEPTH>, &mut Pages) -> R) -> Option<R> {
        self.lists.lock(|all| Some(f(all.lists.get_mut(id.number)?, &mut all.kept)))
    }
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> FreeLists<P::Block, P::Mode>
    for FreeListArray<P, LISTS, DEPTH>
{
    fn take(&self, list: FreeListId) -> Option<PooledBlock<P::Block, P::Mode>> {
        let pages = list.order.pages();
        self.with(list, |list, kept| {
            let block = list.blocks.pop_back();
            match block {
                Some(_) => {
                    list.hits = list.hits.saturating_add(1);
                    *kept -= pages;
                }
                None => list.misses = list.misses.saturating_add(1),
            }
            block
        })?
    }

    fn put(
        &self,
        list: FreeListId,
        block: PooledBlock<P::Block, P::Mode>,
    ) -> Result<(), PooledBlock<P::Block, P::Mode>> {
        let (pages, limit) = (list.order.pages(), self.limit);
        self.lists.lock(|all| match all.lists.get_mut(list.number) {
            Some(list) if list.has_room() && all.kept + pages <= limit => {
                list.blocks.push_back(block)?;
                all.kept += pages;
                Ok(())
            }
            _ => Err(block),
        })
    }

    /// The block that waited longest.
    fn take_reserved(&self, list: FreeListId) -> Option<PooledBlock<P::Block, P::Mode>> {
        self.with(list, |list, _| {
            let block = list.blocks.pop_front()?;
            list.reserved += 1;
            Some(block)
        })?
    }

    fn unreserve(&self, list: FreeListId, block: Option<PooledBlock<P::Block, P::Mode>>) {
        let pages = list.order.pages();
        self.with(list, |list, kept| {
            list.reserved = list.reserved.saturating_sub(1);
            // There is room, by the invariant; without a reservation the block would be dropped, and leaked.
            if !block.is_some_and(|block| list.blocks.push_back(block).is_ok()) {
                *kept -= pages;
            }
        });
    }

    fn counts(&self, list: FreeListId) -> Option<FreeListCounts> {
        self.with(list, |list, _| FreeListCounts {
            ready: list.blocks.len(),
            hits: list.hits,
            misses: list.misses,
        })
    }
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> fmt::Debug for FreeListArray<P, LISTS, DEPTH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeListArray").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, const LISTS: usize, const DEPTH: usize> defmt::Format for FreeListArray<P, LISTS, DEPTH> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "FreeListArray({=usize} lists of {=usize}, limit {})", LISTS, DEPTH, self.limit);
    }
}
