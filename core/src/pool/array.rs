//! Free lists of a fixed size.

use crate::frame::Pages;
use crate::pool::BlockOf;
use crate::port::{FreeListCounts, FreeListId, FreeLists, Platform};
use crate::sync::Mutex;
use core::{fmt, mem};
use heapless::Vec;

/// Up to `DEPTH` blocks of each kind, for as many kinds as there are `LISTS`: give it `orders × modes × zones`. No allocation.
///
/// `P` is a platform with the blocks, modes and raw mutex of the one around which the lists are: that one itself, or the source or
/// the `WithCaching` in it. Lists are made by order, then mode, then zone. Blocks of a kind without a list are returned to the source, so fewer lists
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
/// Each operation is one lock section, O(1); a trim's is O(`DEPTH`).
pub struct FreeListArray<P: Platform, const LISTS: usize, const DEPTH: usize> {
    lists: Mutex<P::RawMutex, Lists<P, LISTS, DEPTH>>,
}

/// # Invariant
/// `room` and the pages of all blocks in the lists and of all reserved places are the limit together, so the limit holds also
/// if all reserved places are filled again.
struct Lists<P: Platform, const LISTS: usize, const DEPTH: usize> {
    room: usize,
    lists: [List<P, DEPTH>; LISTS],
}

/// One list.
///
/// # Invariant
/// `most` and the reserved places are `DEPTH`, and there are at most `most` blocks, the oldest first.
struct List<P: Platform, const DEPTH: usize> {
    blocks: Vec<BlockOf<P>, DEPTH>,
    most: usize,
    hits: u32,
    misses: u32,
}

impl<P: Platform, const DEPTH: usize> List<P, DEPTH> {
    const EMPTY: Self = List { blocks: Vec::new(), most: DEPTH, hits: 0, misses: 0 };
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> FreeListArray<P, LISTS, DEPTH> {
    /// Empty lists without a limit.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        FreeListArray::with_limit(Pages::MAX)
    }

    /// Empty lists that keep at most this many pages at a time. A block that would exceed it is returned to the source.
    pub const fn with_limit(limit: Pages) -> Self {
        let lists = [const { List::EMPTY }; LISTS];
        FreeListArray { lists: Mutex::new(Lists { room: limit.get(), lists }) }
    }

    /// One lock section over one list.
    fn with<R>(&self, id: FreeListId, f: impl FnOnce(&mut List<P, DEPTH>, &mut usize) -> R) -> Option<R> {
        self.lists.lock(|all| Some(f(all.lists.get_mut(id.number)?, &mut all.room)))
    }
}

impl<P: Platform, const LISTS: usize, const DEPTH: usize> FreeLists<P::Block, P::Mode>
    for FreeListArray<P, LISTS, DEPTH>
{
    fn take(&self, list: FreeListId) -> Option<BlockOf<P>> {
        let pages = list.order.pages().get();
        self.with(list, |list, room| {
            let block = list.blocks.pop();
            match block {
                Some(_) => {
                    list.hits = list.hits.wrapping_add(1);
                    *room = room.wrapping_add(pages); // at most the limit, by the invariant
                }
                None => list.misses = list.misses.wrapping_add(1),
            }
            block
        })?
    }

    fn put(&self, list: FreeListId, block: BlockOf<P>) -> Result<(), BlockOf<P>> {
        let pages = list.order.pages().get();
        self.lists.lock(|all| {
            let (list, room) = (all.lists.get_mut(list.number), all.room.checked_sub(pages));
            let (Some(list), Some(room)) = (list, room) else { return Err(block) };
            if list.blocks.len() >= list.most {
                return Err(block);
            }
            list.blocks.push(block)?;
            all.room = room;
            Ok(())
        })
    }

    /// The block that waited longest. O(`DEPTH`).
    fn take_reserved(&self, list: FreeListId) -> Option<BlockOf<P>> {
        self.with(list, |list, _| {
            let mut block = list.blocks.pop()?;
            list.blocks.iter_mut().rev().for_each(|place| mem::swap(place, &mut block));
            list.most -= 1;
            Some(block)
        })?
    }

    fn unreserve(&self, list: FreeListId, block: Option<BlockOf<P>>) -> Result<(), Option<BlockOf<P>>> {
        let pages = list.order.pages().get();
        self.lists.lock(|all| {
            let Some(list) = all.lists.get_mut(list.number).filter(|list| list.most < DEPTH) else {
                return Err(block);
            };
            if let Some(block) = block {
                list.blocks.push(block).map_err(Some)?; // there is a place, by the invariant
            } else {
                all.room += pages; // at most the limit, by the invariant
            }
            list.most += 1;
            Ok(())
        })
    }

    /// Half of what it may have, and no more than 64 pages.
    fn batch(&self, list: FreeListId) -> usize {
        (64 >> list.order.get()).clamp(1, (DEPTH / 2).max(1))
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
        f.debug_struct("FreeListArray").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, const LISTS: usize, const DEPTH: usize> defmt::Format for FreeListArray<P, LISTS, DEPTH> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "FreeListArray({=usize} lists of {=usize})", LISTS, DEPTH);
    }
}
