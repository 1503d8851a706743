//! Trimming: returns ready blocks to the source, with one flush for a batch.

use crate::frame::{Context, Mode, Pages, Zones};
use crate::pool::{BlockOf, Pool};
use crate::port::{FrameSource, FreeListId, FreeLists, OwnedBlock, PendingFlush, Platform};
use crate::stats::{self, Event};
use core::sync::atomic::Ordering::Relaxed;
use heapless::Vec;

/// The largest number of blocks for one flush.
pub(crate) const BATCH: usize = 8;

/// Blocks that leave their lists. Each has its place reserved: for the block if it stays, else to be given up. Also after a
/// panic of the platform, which costs only the block that the platform had in its hands.
struct Batch<'p, P: Platform> {
    pool: &'p Pool<P>,
    blocks: Vec<(FreeListId, Option<BlockOf<P>>), BATCH>,
}

impl<P: Platform> Drop for Batch<'_, P> {
    fn drop(&mut self) {
        for (list, block) in self.blocks.iter_mut() {
            let _ = self.pool.platform().lists().unreserve(*list, block.take()); // it was reserved
        }
    }
}

impl<P: Platform> Pool<P> {
    /// Returns ready blocks of these zones to the source until at least `target` pages are returned, or each block was tried
    /// once. Returns the number of pages. It overshoots by less than one block, takes one block of each kind in turn, and goes
    /// on where the last call ended. A block whose mode can't be changed stays in its list. Up to eight blocks share one flush.
    ///
    /// For an outer shrinker this is *scan*, and [`ready`](Pool::ready) is *count*. If it returns zero, nothing can leave
    /// in this context for now: stop (Linux: `SHRINK_STOP`).
    ///
    /// # Context
    /// O(blocks of those zones), a lock section for each. Interrupt-safe if raw mutex and platform are. (TTM's
    /// `ttm_pool_shrink` counts blocks as pages, and overshoots.)
    pub fn trim(&self, zones: Zones, target: Pages, cx: Context) -> Pages {
        let (mut done, mut lists, mut ready) = (Pages::ZERO, 0, 0);
        for list in self.lists() {
            lists += 1;
            ready += if zones.contains(Zones::of(list.zone)) { list.counts.ready } else { 0 };
        }
        let mut cursor = Cursor { next: self.next.load(Relaxed), lists, ready };
        while done < target {
            let freed = self.trim_batch(&mut cursor, zones, target - done, cx);
            if freed == Pages::ZERO && cursor.ready == 0 {
                break;
            }
            done += freed;
        }
        self.next.store(cursor.next, Relaxed);
        stats::send(Event::Trimmed(done));
        done
    }

    /// Returns one batch, as much of it as `target` needs.
    fn trim_batch(&self, cursor: &mut Cursor, zones: Zones, target: Pages, cx: Context) -> Pages {
        let platform = self.platform();
        let mut batch = Batch { pool: self, blocks: Vec::new() };
        let (mut staged, mut freed, mut pending) = (Pages::ZERO, Pages::ZERO, PendingFlush::NONE);
        while staged < target && !batch.blocks.is_full() {
            let Some((list, block)) = self.next_ready(cursor, zones) else { break };
            if batch.blocks.push((list, Some(block))).is_err() {
                break; // not reached: it is not full
            }
            let Some((_, slot)) = batch.blocks.last_mut() else { break };
            if pending.set_mode_in(slot, platform, P::Mode::CACHED, cx).is_err() {
                if let Some((list, block)) = batch.blocks.pop() {
                    let _ = platform.lists().unreserve(list, block); // it was reserved
                }
            } else {
                staged += list.order.pages();
                if P::Mode::COUNT > 1
                    && Self::kind(list.number).is_some_and(|(_, mode, _)| mode != P::Mode::CACHED.index())
                {
                    pending.add(); // also for a block that an earlier trim changed before it panicked
                }
            }
        }
        pending.flush(platform, cx);
        for (_, block) in batch.blocks.iter_mut() {
            if let Some(block) = block.take() {
                let pages = block.order().pages();
                platform.source().free(block.block);
                freed += pages;
            }
        }
        freed
    }

    /// The next ready block, one list after the other.
    fn next_ready(&self, cursor: &mut Cursor, zones: Zones) -> Option<(FreeListId, BlockOf<P>)> {
        let mut empty = 0;
        while cursor.ready > 0 && empty < cursor.lists {
            let number = if cursor.next < cursor.lists { cursor.next } else { 0 };
            cursor.next = number + 1;
            let list = Self::kind(number).filter(|(_, _, zone)| zones.contains(Zones::of(*zone)));
            let list = list.map(|(order, ..)| FreeListId { number, order });
            if let Some((list, block)) =
                list.and_then(|l| Some((l, self.platform().lists().take_reserved(l)?)))
            {
                cursor.ready -= 1;
                return Some((list, block));
            }
            empty += 1;
        }
        cursor.ready = 0;
        None
    }
}

/// How far a trim has come.
struct Cursor {
    /// The list that is next.
    next: usize,
    /// The number of lists.
    lists: usize,
    /// How many blocks are still to be tried.
    ready: usize,
}
