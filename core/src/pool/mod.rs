//! The pool: free lists of ready blocks in front of the source. Uses `frame`, `sync`, `port` and `stats`.
//!
//! A free list saves two things: the way to the source, and the change of the caching mode, which on many machines is a flush
//! on every core. That is why pools exist (the first lines of TTM's `ttm_pool.c` say so), and why there is a list for each
//! order, mode and zone.

mod array;
mod per_core;
mod trim;

#[doc(no_inline)]
pub use crate::port::PooledBlock;
pub use array::FreeListArray;
pub use per_core::{CurrentCore, OfCore, PerCore};
pub(crate) use trim::BATCH;

use crate::frame::{AllocError, AllocRequest, Context, Mode, ModeRefused, Order, Pages, Refused, Zones};
use crate::port::{
    CachingControl, FrameSource, FreeListCounts, FreeListId, FreeLists, OwnedBlock, PendingFlush, Platform,
};
use core::fmt;
use core::sync::atomic::AtomicUsize;

/// How many blocks a pool fetches at a time at most: one for the caller, and 16 for its list.
pub(crate) const MOST_FETCHED: usize = 17;

/// A block of a platform in some caching mode.
pub(crate) type BlockOf<P> = PooledBlock<<P as Platform>::Block, <P as Platform>::Mode>;

/// Blocks ready for use, by order, caching mode and zone, in front of a source.
///
/// The free lists are the platform's ([`WithLists`](crate::port::WithLists)). Without lists a pool only changes modes and zeroes.
/// Dropping a pool returns what is ready to the source; a block whose mode can't be changed, after two tries, is leaked with
/// it: [`trim`](Pool::trim) before, to see that.
///
/// `Display` prints a line for each list that was ever used, as TTM's `page_pool` file in debugfs.
pub struct Pool<P: Platform> {
    platform: P,
    /// The list where the next trim begins. A hint.
    next: AtomicUsize,
}

/// A free list of a pool: its kind, and how it was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct FreeList {
    /// The order of its blocks.
    pub order: Order,
    /// The number of their mode ([`Mode::index`]).
    pub mode: usize,
    /// Their zone.
    pub zone: u8,
    /// What is in it, and how it was used.
    pub counts: FreeListCounts,
}

/// What the bytes of a block are when a buffer receives it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    Zeros,
    /// The caller writes every byte before anything reads one.
    Arbitrary,
}

impl<P: Platform> Pool<P> {
    /// Lists for each order.
    const PER_ORDER: usize = P::Mode::COUNT * Self::ZONES;
    const ZONES: usize = P::Source::ZONES as usize;

    /// A pool in front of a platform.
    pub const fn new(platform: P) -> Self {
        Pool { platform, next: AtomicUsize::new(0) }
    }

    pub(crate) const fn platform(&self) -> &P {
        &self.platform
    }

    /// A zeroed block in that mode: from a free list, the preferred zone first, else from the source; never from its lobby.
    ///
    /// # Errors
    /// [`AllocError`]; nothing changed.
    ///
    /// # Context
    /// Zeroing is linear in the block. Interrupt-safe if the raw mutex is.
    pub fn take(
        &self,
        request: AllocRequest,
        mode: P::Mode,
        cx: Context,
    ) -> Result<PooledBlock<P::Block, P::Mode>, AllocError> {
        self.take_as(request, mode, Fill::Zeros, cx)
    }

    /// As [`take`](Pool::take), without zeroing: its bytes are what its last user left. The caller writes all of it before anything reads
    /// it. O(1) where a block is ready.
    ///
    /// # Errors
    /// As `take`.
    #[inline]
    pub fn take_unzeroed(
        &self,
        request: AllocRequest,
        mode: P::Mode,
        cx: Context,
    ) -> Result<PooledBlock<P::Block, P::Mode>, AllocError> {
        self.take_as(request, mode, Fill::Arbitrary, cx)
    }

    #[inline]
    fn take_as(
        &self,
        request: AllocRequest,
        mode: P::Mode,
        fill: Fill,
        cx: Context,
    ) -> Result<BlockOf<P>, AllocError> {
        let AllocRequest { order, zones, .. } = request;
        let zones = zones.difference(P::Source::LOBBY); // that is for buffers
        match self.find_ready(order, zones.intersection(self.platform.caching().zones_for(mode)), mode, cx) {
            Some(mut block) if block.is_in(mode) => {
                if fill == Fill::Zeros {
                    block.block.zero();
                }
                Ok(block)
            }
            found => self.take_slowly(found, &request.within(zones), mode, fill, cx),
        }
    }

    /// A block that was found in another mode, or a fresh one. The request is passed by reference, so that the way to a list does not
    /// copy it.
    #[inline(never)] // so that the way to a list is short
    fn take_slowly(
        &self,
        found: Option<BlockOf<P>>,
        request: &AllocRequest,
        mode: P::Mode,
        fill: Fill,
        cx: Context,
    ) -> Result<BlockOf<P>, AllocError> {
        let request = *request;
        let filled = self.fill(found, request, mode, fill, cx);
        let mut block = filled.map_err(|why| self.never_or(why, request, mode, request.order.pages()))?;
        let mut pending = PendingFlush::NONE;
        match pending.set_mode(&self.platform, &mut block, mode, cx) {
            Ok(()) => {
                pending.flush(&self.platform, cx);
                Ok(block)
            }
            Err(refused) => {
                // A fresh block is in the mode of its source, so it goes back without a change.
                self.platform.source().free(block.block);
                Err(refused.into())
            }
        }
    }

    /// The reason why such requests failed: `Never`, if no eviction ever frees `pages` pages for them.
    #[cold]
    pub(crate) fn never_or(
        &self,
        why: AllocError,
        request: AllocRequest,
        mode: P::Mode,
        pages: Pages,
    ) -> AllocError {
        let zones = request.zones.intersection(self.platform.caching().zones_for(mode));
        let ever = || self.platform.source().supply(&request.within(zones)).ever;
        match why {
            AllocError::Exhausted | AllocError::Limit if ever().is_some_and(|ever| ever < pages) => {
                AllocError::Never
            }
            why => why,
        }
    }

    /// A block of the largest order from `most` down to the request's: the lists before the source at each order (after
    /// TTM's `__ttm_pool_alloc`). A fresh block is still in the mode of its source: the caller changes the modes of many at
    /// once.
    pub(crate) fn take_up_to(
        &self,
        most: Order,
        request: AllocRequest,
        mode: P::Mode,
        fill: Fill,
        cx: Context,
    ) -> Result<BlockOf<P>, AllocError> {
        let mut order = most.max(request.order);
        loop {
            let taken = self.take_filled(AllocRequest::new(order).within(request.zones), mode, fill, cx);
            match (taken, order.lower()) {
                (Err(_), Some(lower)) if lower >= request.order => order = lower,
                (result, _) => return result,
            }
        }
    }

    /// A block from a list, in that mode, or a fresh one, in the mode of its source.
    fn take_filled(
        &self,
        request: AllocRequest,
        mode: P::Mode,
        fill: Fill,
        cx: Context,
    ) -> Result<BlockOf<P>, AllocError> {
        let zones = request.zones.intersection(self.platform.caching().zones_for(mode));
        let found = self.find_ready(request.order, zones, mode, cx);
        self.fill(found, request, mode, fill, cx)
    }

    /// What was found, or a fresh block.
    fn fill(
        &self,
        found: Option<BlockOf<P>>,
        request: AllocRequest,
        mode: P::Mode,
        fill: Fill,
        cx: Context,
    ) -> Result<BlockOf<P>, AllocError> {
        let zones = request.zones.intersection(self.platform.caching().zones_for(mode));
        let (mut block, zeroed) = match found {
            Some(block) => (block, false),
            None => self.find_fresh(request.within(zones), mode, cx)?,
        };
        if fill == Fill::Zeros && !zeroed {
            block.block.zero();
        }
        Ok(block)
    }

    /// A block from the lists.
    #[inline]
    fn find_ready(&self, order: Order, zones: Zones, mode: P::Mode, cx: Context) -> Option<BlockOf<P>> {
        if !P::Lists::ENABLED {
            return None;
        }
        for zone in 0..P::Source::ZONES {
            let list = if zones.contains(Zones::of(zone)) { self.list(order, mode, zone) } else { None };
            if let Some(block) = list.and_then(|list| self.platform.lists().take(list)) {
                if !block.is_in(mode) {
                    self.platform.caching().flush(cx); // a trim that panicked changed it, perhaps without a flush
                }
                return Some(block);
            }
        }
        None
    }

    /// A block from the source, and whether it is all zeros.
    #[inline(never)] // so that the way to a list is short
    fn find_fresh(
        &self,
        request: AllocRequest,
        mode: P::Mode,
        cx: Context,
    ) -> Result<(BlockOf<P>, bool), AllocError> {
        let source = self.platform.source();
        let block = if P::Lists::BATCH > 1 {
            match self.fetch(request, mode, cx) {
                Ok(block) => block,
                // Another core's list may have one.
                Err(why) => return self.find_kept(request, mode).map(|block| (block, false)).ok_or(why),
            }
        } else {
            source.allocate(request, cx)?
        };
        // A block of another size would cover the slots behind its own, or leave a hole there.
        if block.order() == request.order && request.zones.contains(Zones::of(source.zone(&block))) {
            let zeroed = source.is_zeroed(&block);
            return Ok((PooledBlock::cached(block), zeroed));
        }
        source.free(block);
        Err(AllocError::Exhausted)
    }

    /// A block from the source, and more of them for its list.
    fn fetch(&self, request: AllocRequest, mode: P::Mode, cx: Context) -> Result<P::Block, AllocError> {
        let (source, lists) = (self.platform.source(), self.platform.lists());
        // Fresh blocks are in the mode of their source, and what lies in a lobby is not pooled.
        let fits = mode.index() == P::Mode::CACHED.index()
            && self.platform.caching().pools(mode)
            && request.zones.intersection(P::Source::LOBBY).is_empty();
        let list = if fits { self.list(request.order, mode, 0) } else { None };
        let most = list.map_or(1, |list| lists.batch(list).min(P::Lists::BATCH).clamp(1, MOST_FETCHED));
        let mut more = [const { None }; MOST_FETCHED - 1];
        let block = source.allocate_more(request, more.get_mut(..most - 1).unwrap_or_default(), cx)?;
        for block in more.into_iter().flatten() {
            // All as if they had been freed now.
            let _ = self.put(PooledBlock::cached(block), cx); // in this mode it is never refused
        }
        Ok(block)
    }

    /// A block of such a list that [`FreeLists::take`] does not give.
    #[cold]
    fn find_kept(&self, request: AllocRequest, mode: P::Mode) -> Option<BlockOf<P>> {
        let lists = self.platform.lists();
        for zone in 0..P::Source::ZONES {
            let list = if request.zones.contains(Zones::of(zone)) {
                self.list(request.order, mode, zone)
            } else {
                None
            };
            if let Some((list, block)) = list.and_then(|list| Some((list, lists.take_reserved(list)?))) {
                let _ = lists.unreserve(list, None); // it was reserved
                return Some(block);
            }
        }
        None
    }

    /// Puts a block into its free list; or returns it to the source if the list is full, a limit is reached, or blocks like
    /// this are not pooled.
    ///
    /// # Errors
    /// The block, if it has to be returned to the source and its mode can't be changed.
    ///
    /// # Context
    /// As [`FreeLists::put`], or a mode change. Interrupt-safe if raw mutex and platform are.
    pub fn put(
        &self,
        block: PooledBlock<P::Block, P::Mode>,
        cx: Context,
    ) -> Result<(), Refused<BlockOf<P>, ModeRefused>> {
        let (platform, mut block) = (&self.platform, block);
        if P::Lists::ENABLED && platform.caching().pools(block.mode) && platform.source().is_poolable(&block)
        {
            let (order, zone) = (block.order(), platform.source().zone(&block));
            if let Some(list) = self.list(order, block.mode, zone) {
                match platform.lists().put(list, block) {
                    Ok(()) => return Ok(()),
                    Err(back) => block = back,
                }
            }
        }
        self.free(block, cx)
    }

    /// Returns a block to the source, past the lists.
    #[inline(never)] // so that the way to a list is short
    pub(crate) fn free(
        &self,
        mut block: BlockOf<P>,
        cx: Context,
    ) -> Result<(), Refused<BlockOf<P>, ModeRefused>> {
        let mut pending = PendingFlush::NONE;
        if let Err(why) = pending.set_mode(&self.platform, &mut block, P::Mode::CACHED, cx) {
            return Err(Refused { item: block, why });
        }
        pending.flush(&self.platform, cx);
        self.platform.source().free(block.block);
        Ok(())
    }

    /// Pages that are ready in these zones: what [`trim`](Pool::trim) may return to the source. For an outer shrinker this is
    /// *count*; zero says that there is nothing to shrink (Linux: `SHRINK_EMPTY`).
    ///
    /// # Context
    /// O(lists), a lock section for each, so it is no sum of one moment.
    pub fn ready(&self, zones: Zones) -> Pages {
        let lists = self.lists().filter(|list| zones.contains(Zones::of(list.zone)));
        lists.map(|list| Pages::new(list.counts.ready.saturating_mul(list.order.pages().get()))).sum()
    }

    /// All free lists, by order, mode and zone. One lock section for each, so the pool may change between two.
    pub fn lists(&self) -> impl Iterator<Item = FreeList> {
        (0..).map_while(|number| {
            let (order, mode, zone) = Self::kind(number)?;
            let counts = self.platform.lists().counts(FreeListId { number, order })?;
            Some(FreeList { order, mode, zone, counts })
        })
    }

    /// The list of a kind. `None` if the platform has more modes or zones than it says: their blocks would be in lists of
    /// another order.
    fn list(&self, order: Order, mode: P::Mode, zone: u8) -> Option<FreeListId> {
        let exists = mode.index() < P::Mode::COUNT && zone < P::Source::ZONES;
        let number =
            usize::from(order.get()) * Self::PER_ORDER + mode.index() * Self::ZONES + usize::from(zone);
        exists.then_some(FreeListId { number, order })
    }

    /// Order, mode and zone of the list with that number.
    fn kind(number: usize) -> Option<(Order, usize, u8)> {
        let order = u8::try_from(number.checked_div(Self::PER_ORDER)?).ok().and_then(Order::new)?;
        let zone = u8::try_from(number.checked_rem(Self::ZONES)?).ok()?;
        Some((order, number % Self::PER_ORDER / Self::ZONES, zone))
    }
}

impl<P: Platform> Drop for Pool<P> {
    fn drop(&mut self) {
        if P::Lists::ENABLED {
            // A context that is right wherever the pool is dropped. What is refused once is tried once more.
            self.trim(Zones::ALL, Pages::MAX, Context::INTERRUPT);
            if self.ready(Zones::ALL) > Pages::ZERO {
                self.trim(Zones::ALL, Pages::MAX, Context::INTERRUPT);
            }
        }
    }
}

impl<P: Platform> fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("ready", &self.ready(Zones::ALL)).finish_non_exhaustive()
    }
}

impl<P: Platform> fmt::Display for Pool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut title = "order mode zone  ready   hits misses\n";
        for FreeList { order, mode, zone, counts } in self.lists() {
            let FreeListCounts { ready, hits, misses } = counts;
            if counts != FreeListCounts::default() {
                writeln!(f, "{title}{:5} {mode:4} {zone:4} {ready:6} {hits:6} {misses:6}", order.get())?;
                title = "";
            }
        }
        let ready = self.ready(Zones::ALL);
        write!(f, "{ready} {} ready", if ready.get() == 1 { "page" } else { "pages" })
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform> defmt::Format for Pool<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        for FreeList { order, mode, zone, counts } in self.lists() {
            let FreeListCounts { ready, hits, misses } = counts;
            if counts != FreeListCounts::default() {
                defmt::write!(f, "{} mode {=usize} zone {=u8}: {=usize} ready, ", order, mode, zone, ready);
                defmt::write!(f, "{=u32} hits, {=u32} misses; ", hits, misses);
            }
        }
        defmt::write!(f, "{} ready", self.ready(Zones::ALL));
    }
}
