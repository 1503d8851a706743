//! Free lists of a fixed size.

use crate::frame::Pages;
use crate::pool::BlockOf;
use crate::port::{FreeListCounts, FreeListId, FreeLists, Platform};
use crate::sync::Mutex;
use core::fmt;

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
/// Each operation is one lock section, O(1).
pub struct FreeListArray<P: Platform, const LISTS: usize, const DEPTH: usize> {
    limit: Pages,
    lists: Mutex<P::RawMutex, Lists<P, LISTS, DEPTH>>,
}

/// # Invariant
/// `kept` is the sum of the pages of all blocks in the lists and of all reserved places: the limit holds also if all of those
/// come back.
struct Lists<P: Platform, const LISTS: usize, const DEPTH: usize> {
    kept: usize,
    lists: [List<P, DEPTH>; LISTS],
}

/// One list: a ring, so that the newest and the oldest block are found at once.
///
/// # Invariants
/// The `len` places before `next`, round the end, have blocks, the oldest first; no other place has one. The blocks and the
/// reserved places are at most `DEPTH` together.
struct List<P: Platform, const DEPTH: usize> {
    places: [Option<BlockOf<P>>; DEPTH],
    next: usize,
    len: usize,
    reserved: usize,
    hits: u32,
    misses: u32,
}

impl<P: Platform, const DEPTH: usize> List<P, DEPTH> {
    const EMPTY: Self =
        List { places: [const { None }; DEPTH], next: 0, len: 0, reserved: 0, hits: 0, misses: 0 };

    fn push(&mut self, block: BlockOf<P>) -> Result<(), BlockOf<P>> {
        match self.places.get_mut(self.next) {
            Some(place @ None) => {
                *place = Some(block);
                self.next = if self.next + 1 < DEPTH { self.next + 1 } else { 0 };
                self.len += 1;
                Ok(())
            }
            _ => Err(block),
        }
    }

    fn pop_newest(&mut self) -> Option<BlockOf<P>> {
        let last = (if self.next > 0 { self.next } else { DEPTH }).checked_sub(1)?;
        let block = self.places.get_mut(last)?.take()?;
        self.next = last;
        self.len -= 1;
        Some(block)
    }

    fn pop_oldest(&mut self) -> Option<BlockOf<P>> {
        let first = if self.next >= self.len { self.next - self.len } else { self.next + DEPTH - self.len };
        let block = self.places.get_mut(first)?.take()?;
        self.len -= 1;
        Some(block)
    }
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> FreeListArray<P, LISTS, DEPTH> {
    /// Empty lists without a limit.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        let lists = [const { List::EMPTY }; LISTS];
        FreeListArray { limit: Pages::MAX, lists: Mutex::new(Lists { kept: 0, lists }) }
    }

    /// The most pages that are kept at a time. A block that would exceed it is returned to the source.
    #[must_use]
    pub const fn with_limit(mut self, pages: Pages) -> Self {
        self.limit = pages;
        self
    }

    /// One lock section over one list.
    fn with<R>(&self, id: FreeListId, f: impl FnOnce(&mut List<P, DEPTH>, &mut usize) -> R) -> Option<R> {
        self.lists.lock(|all| Some(f(all.lists.get_mut(id.number)?, &mut all.kept)))
    }
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> FreeLists<P::Block, P::Mode>
    for FreeListArray<P, LISTS, DEPTH>
{
    fn take(&self, list: FreeListId) -> Option<BlockOf<P>> {
        let pages = list.order.pages().get();
        self.with(list, |list, kept| {
            let block = list.pop_newest();
            match block {
                Some(_) => {
                    list.hits = list.hits.saturating_add(1);
                    *kept = kept.saturating_sub(pages);
                }
                None => list.misses = list.misses.saturating_add(1),
            }
            block
        })?
    }

    fn put(&self, list: FreeListId, block: BlockOf<P>) -> Result<(), BlockOf<P>> {
        let (pages, limit) = (list.order.pages().get(), self.limit.get());
        self.lists.lock(|all| {
            let kept = all.kept + pages;
            match all.lists.get_mut(list.number) {
                Some(list) if list.len + list.reserved < DEPTH && kept <= limit => {
                    list.push(block)?;
                    all.kept = kept;
                    Ok(())
                }
                _ => Err(block),
            }
        })
    }

    /// The block that waited longest.
    fn take_reserved(&self, list: FreeListId) -> Option<BlockOf<P>> {
        self.with(list, |list, _| {
            let block = list.pop_oldest()?;
            list.reserved += 1;
            Some(block)
        })?
    }

    fn unreserve(&self, list: FreeListId, block: Option<BlockOf<P>>) {
        let pages = list.order.pages().get();
        self.with(list, |list, kept| {
            list.reserved = list.reserved.saturating_sub(1);
            // There is a place, by the invariant; without a reservation the block would be dropped, and leaked.
            if block.is_none_or(|block| list.push(block).is_err()) {
                *kept = kept.saturating_sub(pages);
            }
        });
    }

    fn counts(&self, list: FreeListId) -> Option<FreeListCounts> {
        self.with(list, |list, _| FreeListCounts { ready: list.len, hits: list.hits, misses: list.misses })
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
