//! Everything in one static, for a firmware with fast RAM in front of slow RAM.

use crate::ram::{self, MemoryError, Ram, RamBlock};
use crate::region::{RamRegion, Region, RegionBacked};
use core::fmt;
use core::ops::Deref;
use forebay::{
    AccessError, AllocError, AllocRequest, AsForebay, BackingStore, Buffer, Candidates, Context, Evict,
    Forebay, FrameSource, Order, Pages, Refused, StoreId,
    buffer::{ReadGuard, Slots, WriteGuard},
    port::Supply,
    sync::RawMutex,
};

type Fast<L, const PAGE: usize, const LOBBY: usize = 0, const RANGES: usize = 1> =
    Ram<L, PAGE, RANGES, LOBBY>;

/// A buffer of a [`RamForebay`].
pub type RamBuffer<
    L,
    const PAGE: usize,
    const N: usize,
    const LOBBY: usize = 0,
    const RANGES: usize = 1,
    S = RamRegion<L, PAGE, N>,
> = Buffer<&'static RamForebay<L, PAGE, N, LOBBY, RANGES, S>>;

/// A pool over fast RAM, a swap region over slow RAM, and the forebay that joins them, in one `static`.
///
/// `PAGE` is the smallest part worth moving, in bytes: a buffer takes a power of two of pages. `N` is how many blocks may wait to be
/// written out; one more is refused until [`write_out`](RamForebay::write_out) ran. Align the fast RAM to the largest buffer:
/// memory before the first such boundary serves smaller buffers only.
///
/// `LOBBY` is for programs whose contents may fill both memories: the size of the largest buffer in bytes, a power of two of pages.
/// Then what was once written can always be read and written again, by [`read`](RamForebay::read) and
/// [`write`](RamForebay::write), as long as no guard is alive in the lobby: when both memories are full, hold one guard at a time.
/// There is room for `fast + slow - LOBBY` bytes of contents. New contents beyond that are refused with
/// `AccessError::Store(StoreError::Full)`, also zeros that are only read, and even where [`has_room`](RamForebay::has_room) says
/// yes: purge a buffer. It needs 2 `RANGES`, or 3 if the fast RAM is not aligned. Without a lobby (0), nothing is promised when both are full,
/// and nothing is paid. [`Ram`] says where the lobby lies.
///
/// `S` is the store, if it is not a plain region: one with a [`Checksum`](crate::Checksum), behind a [`Gate`](crate::Gate), or any that
/// stands in front of a region ([`RegionBacked`]). [`with_store`](RamForebay::with_store) makes such a forebay.
///
/// Everything else of [`Forebay`] is there too, by `Deref`.
/// ([`NoopRawMutex`](forebay::sync::NoopRawMutex) can't be in a static.)
///
/// With the feature `critical-section`:
///
#[cfg_attr(feature = "critical-section", doc = "```no_run")]
#[cfg_attr(not(feature = "critical-section"), doc = "```ignore")]
/// use forebay::{AccessError, sync::CriticalSectionRawMutex};
/// use forebay_backends::{RamBuffer, RamForebay};
///
/// type Ram = RamForebay<CriticalSectionRawMutex, 512, 16>; // pages of 512 bytes; 16 blocks may wait to be written out
///
/// static RAM: Ram = Ram::new();
/// static TILES: [RamBuffer<CriticalSectionRawMutex, 512, 16>; 64] = [const { RAM.buffer::<8192>() }; 64];
///
/// # fn main() -> Result<(), AccessError> {
/// # let (sram, psram) = (vec![0; 64 << 10].leak(), vec![0; 1 << 20].leak());
/// # let meta = vec![0; Ram::metadata_words(64 << 10)].leak();
/// RAM.init(sram, psram, meta).expect("unused memory"); // at start-up
/// for (n, tile) in TILES.iter().enumerate() {
///     if RAM.free() < 8192 {
///         RAM.make_room(&TILES, 8192)?; // or `transfer` in an interrupt, and `write_out` in an idle loop
///     }
///     tile.write()?.fill(n as u8);
/// }
/// # Ok(())
/// # }
/// ```
pub struct RamForebay<
    L: RawMutex,
    const PAGE: usize,
    const N: usize,
    const LOBBY: usize = 0,
    const RANGES: usize = 1,
    S = RamRegion<L, PAGE, N>,
>(Forebay<Fast<L, PAGE, LOBBY, RANGES>, S>);

/// Why [`RamForebay::init`] refused. The memory is handed back.
pub struct InitError {
    /// What is wrong, and with which range.
    pub why: InitErrorKind,
    /// The fast RAM.
    pub fast: &'static mut [u8],
    /// The slow RAM.
    pub slow: &'static mut [u8],
    /// The metadata.
    pub meta: &'static mut [usize],
}

/// Which range is wrong, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum InitErrorKind {
    /// The fast RAM.
    Fast(MemoryError),
    /// The slow RAM.
    Slow(MemoryError),
}

impl fmt::Display for InitErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitErrorKind::Fast(why) => write!(f, "fast RAM: {why}"),
            InitErrorKind::Slow(why) => write!(f, "slow RAM: {why}"),
        }
    }
}

/// The reason only: the ranges may be all memory of a machine.
impl fmt::Debug for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitError").field("why", &self.why).finish_non_exhaustive()
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for InitError {
    fn format(&self, f: defmt::Formatter<'_>) {
        self.why.format(f);
    }
}

impl core::error::Error for InitError {}

impl<L: RawMutex, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize>
    RamForebay<L, PAGE, N, LOBBY, RANGES>
{
    /// Over a plain region. Without memory every access fails with [`AllocError::Never`].
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        Self::with_store(RamRegion::new(StoreId::DEFAULT))
    }
}

impl<L, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize, S>
    RamForebay<L, PAGE, N, LOBBY, RANGES, S>
where
    L: RawMutex,
    S: RegionBacked<L, PAGE, N>,
{
    /// Over this store, which has a region inside. Without memory, as [`new`](RamForebay::new).
    pub const fn with_store(store: S) -> Self {
        const { assert!(N > 0, "N: at least one block must be able to wait") }
        RamForebay(Forebay::new(Ram::new(), store))
    }

    /// Words of metadata for [`init`](RamForebay::init), of that much fast RAM, in bytes. The slow RAM has its own, behind its pages.
    pub const fn metadata_words(fast: usize) -> usize {
        Fast::<L, PAGE, LOBBY, RANGES>::metadata_words(fast)
    }

    /// Words of metadata for [`init_apart`](RamForebay::init_apart), of that much fast and slow RAM, in bytes.
    pub const fn metadata_words_apart(fast: usize, slow: usize) -> usize {
        Self::metadata_words(fast) + RegionOf::<L, PAGE, N, S>::metadata_words(slow)
    }

    /// Adds the memory. Returns the usable bytes of both: ragged ends are trimmed, and the slow RAM has a word of metadata for each
    /// of its pages. More fast RAM may be added with [`Ram::add`], as `RANGES` permit.
    ///
    /// Memory that a linker script or a `static mut` reserves, aligned to the largest buffer:
    ///
    /// ```
    /// #[repr(align(8192))]
    /// struct Sram([u8; 64 << 10]);
    /// static mut SRAM: Sram = Sram([0; 64 << 10]);
    ///
    /// // SAFETY: start-up runs once, and nothing else names the static.
    /// let sram: &'static mut [u8] = unsafe { &mut (*(&raw mut SRAM)).0 };
    /// # assert!(sram.as_ptr().addr() % 8192 == 0);
    /// ```
    ///
    /// A store that needs its metadata in fast RAM ([`RegionBacked::META_IN_SLOW`]) does not compile here: use
    /// [`init_apart`](RamForebay::init_apart).
    ///
    /// # Errors
    /// [`InitError`]; all three ranges are handed back. If another thread initialises it at the same time, the fast RAM may be in use.
    ///
    /// # Context
    /// For start-up.
    pub fn init(
        &self,
        fast: &'static mut [u8],
        slow: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<(usize, usize), InitError> {
        const { assert!(S::META_IN_SLOW, "this store needs its metadata in fast memory: use `init_apart`") }
        let region = self.store().region();
        if let Err(why) = apart(fast, slow).and_then(|()| region.check_within(slow)) {
            return Err(InitError { why: InitErrorKind::Slow(why), fast, slow, meta });
        }
        let fast = match self.platform().add(fast, meta) {
            Ok(bytes) => bytes,
            Err(Refused { item: (fast, meta), why }) => {
                return Err(InitError { why: InitErrorKind::Fast(why), fast, slow, meta });
            }
        };
        // The check holds unless another thread calls this at the same time; then the fast RAM is in use already.
        region.init_within(slow).map(|slow| (fast, slow)).map_err(|Refused { item: slow, why }| InitError {
            why: InitErrorKind::Slow(why),
            fast: &mut [],
            slow,
            meta: &mut [],
        })
    }

    /// As [`init`](RamForebay::init), with all metadata in `meta`: no byte of the slow RAM is touched but to copy contents, and all its
    /// pages are usable. [`metadata_words_apart`](RamForebay::metadata_words_apart) says how many words that takes. With a
    /// [`Gate`](crate::Gate) or a [`Checksum`](crate::Checksum) there is only this one: `init` does not compile.
    ///
    /// # Errors
    /// As [`init`](RamForebay::init). [`MemoryError::Metadata`] says how many words both need together.
    ///
    /// # Context
    /// For start-up.
    pub fn init_apart(
        &self,
        fast: &'static mut [u8],
        slow: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<(usize, usize), InitError> {
        let region = self.store().region();
        let (for_fast, for_slow) = meta.split_at(Self::metadata_words(fast.len()).min(meta.len()));
        let checked = match self.platform().check(fast, for_fast) {
            Ok(()) => {
                apart(fast, slow).and_then(|()| region.check(slow, for_slow)).map_err(InitErrorKind::Slow)
            }
            Err(why) => Err(InitErrorKind::Fast(why)),
        };
        if let Err(mut why) = checked {
            if let InitErrorKind::Fast(MemoryError::Metadata { words })
            | InitErrorKind::Slow(MemoryError::Metadata { words }) = &mut why
            {
                *words = Self::metadata_words_apart(fast.len(), slow.len());
            }
            return Err(InitError { why, fast, slow, meta });
        }
        // The checks hold unless another thread calls this at the same time; then some of it is in use already.
        let (for_fast, for_slow) = meta.split_at_mut(for_fast.len());
        let fast = match self.platform().add(fast, for_fast) {
            Ok(bytes) => bytes,
            Err(Refused { item: (fast, meta), why }) => {
                return Err(InitError { why: InitErrorKind::Fast(why), fast, slow, meta });
            }
        };
        region.init(slow, for_slow).map(|slow| (fast, slow)).map_err(|Refused { item: (slow, meta), why }| {
            let why = InitErrorKind::Slow(why);
            InitError { why, fast: &mut [], slow, meta }
        })
    }

    /// Tests memory that may be absent, mirrored or broken, such as external RAM that was reported and does not answer: writes all of it
    /// twice, each bit once as 0 and once as 1, and reads it back. Its contents are lost; afterwards it is zeroed.
    ///
    /// Call it at start-up, before [`init`](RamForebay::init). Behind a write-back cache it tests the memory only if
    /// there is much more of it than of the cache.
    ///
    /// # Errors
    /// The offset of the first byte that was read back wrong.
    ///
    /// # Context
    /// For start-up: linear, five accesses for each byte.
    pub fn test_memory(memory: &mut [u8]) -> Result<(), usize> {
        ram::test_memory(memory)
    }

    /// An empty contiguous buffer of at least `BYTES` bytes: the next power of two of pages. Larger than the largest
    /// order, or than the lobby, does not compile. Many of them in a static: `[const { RAM.buffer::<8192>() }; 64]`.
    pub const fn buffer<const BYTES: usize>(&'static self) -> RamBuffer<L, PAGE, N, LOBBY, RANGES, S> {
        const {
            assert!(
                BYTES > 0 && BYTES <= PAGE << Order::TEN.get(),
                "a buffer has 1 byte to 1024 pages: use larger pages"
            );
            assert!(LOBBY == 0 || BYTES <= LOBBY, "a buffer is no larger than the lobby: make LOBBY larger");
        }
        let order = match Order::for_pages(Pages::new(BYTES.div_ceil(PAGE))) {
            Some(order) => order,
            None => Order::TEN, // excluded above
        };
        Buffer::new(self, order)
    }

    /// The forebay inside, for a buffer that [`buffer`](RamForebay::buffer) does not make: of several blocks, with an id.
    pub const fn home(&self) -> &Forebay<Fast<L, PAGE, LOBBY, RANGES>, S> {
        &self.0
    }

    /// Bytes of fast RAM that are free.
    pub fn free(&self) -> usize {
        self.platform().unused().get() * PAGE
    }

    /// Whether there is room for a buffer of `bytes` bytes now: what a water mark asks, since free bytes in smaller blocks help none.
    /// O(`RANGES`). [`Ram::largest_free`] says for which sizes there is. In a lobby, new contents need room in the slow RAM too.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.platform().has(order_for::<PAGE>(bytes))
    }

    /// How many buffers of `bytes` bytes the fast RAM holds at a time, given its alignment. O(1).
    pub fn fits(&self, bytes: usize) -> usize {
        let order = order_for::<PAGE>(bytes);
        self.platform().supply(&AllocRequest::new(order)).ever.map_or(0, |ever| ever.get() >> order.get())
    }

    /// As [`Buffer::write`], and makes room for the buffer where there is none, by evicting idle `buffers`. Give it buffers of all
    /// sizes: `(&TILES, &AUDIO)`.
    ///
    /// # Errors
    /// As [`Forebay::or_reclaim`].
    ///
    /// # Context
    /// For a thread; linear in what it writes out.
    pub fn write<'b, T, C>(
        &self,
        buffer: &'b Buffer<&'static Self, T>,
        buffers: C,
    ) -> Result<WriteGuard<'b, &'static Self, T>, AccessError>
    where
        T: Slots<Platform = Fast<L, PAGE, LOBBY, RANGES>>,
        C: Candidates,
    {
        self.or_reclaim(buffers, Pages::new(1), Evict::TRANSFER, Context::THREAD, || buffer.write())
    }

    /// As [`Buffer::read`], and makes room as [`write`](RamForebay::write).
    ///
    /// # Errors
    /// As [`Forebay::or_reclaim`].
    ///
    /// # Context
    /// As [`write`](RamForebay::write).
    pub fn read<'b, T, C>(
        &self,
        buffer: &'b Buffer<&'static Self, T>,
        buffers: C,
    ) -> Result<ReadGuard<'b, &'static Self, T>, AccessError>
    where
        T: Slots<Platform = Fast<L, PAGE, LOBBY, RANGES>>,
        C: Candidates,
    {
        self.or_reclaim(buffers, Pages::new(1), Evict::TRANSFER, Context::THREAD, || buffer.read())
    }

    /// Bytes transferred and not written out yet: still in fast RAM.
    pub fn pending(&self) -> usize {
        self.store().region().pending().get() * PAGE
    }

    /// Transfers idle buffers and writes them out until there is room for a buffer of `bytes` bytes. Returns how many bytes are
    /// free then. Call it when a guard fails with [`AccessError::Alloc`].
    ///
    /// Where buffers have several sizes, free memory may be fragmented: then more leaves. Give it buffers of all sizes:
    /// `(&TILES, &AUDIO)`.
    ///
    /// # Errors
    /// [`AccessError::Alloc`]: [`Never`](AllocError::Never) if no such buffer fits into the fast RAM, and nothing was evicted;
    /// [`Exhausted`](AllocError::Exhausted) if too much is in use, the slow RAM is full, or a gate in front of it is closed.
    ///
    /// # Context
    /// Linear in what it writes out; no lock is held while it copies.
    pub fn make_room<C: Candidates>(&self, buffers: C, bytes: usize) -> Result<usize, AccessError> {
        let pages = Pages::new(bytes.div_ceil(PAGE));
        let request = Order::for_pages(pages).map(AllocRequest::new).ok_or(AllocError::Never)?;
        let is_there = || match self.platform().supply(&request) {
            Supply { ready: Some(true), .. } => Ok(()),
            Supply { ever: Some(ever), .. } if ever < pages => Err(AllocError::Never.into()),
            _ => Err(AllocError::Exhausted.into()),
        };
        self.or_reclaim(buffers, pages, Evict::TRANSFER, Context::THREAD, is_there)?;
        Ok(self.free())
    }

    /// Transfers about `bytes` bytes of idle buffers to the slow RAM: O(1) each, copies nothing, frees nothing yet.
    /// [`write_out`](RamForebay::write_out) does that. Returns how many bytes left.
    ///
    /// # Context
    /// Fit for an interrupt if the lock is; as [`Forebay::transfer`].
    pub fn transfer<C: Candidates>(&self, buffers: C, bytes: usize) -> usize {
        self.0.transfer(buffers, Pages::new(bytes.div_ceil(PAGE))).get() * PAGE
    }

    /// Writes out up to `bytes` bytes of transferred blocks to the slow RAM, with the CPU, and frees the blocks that are done.
    /// Returns how many bytes. For an idle loop; with a DMA controller use [`Region::write_out`](crate::Region::write_out)
    /// of the region, which [`RegionBacked::region`] gives behind other stores.
    ///
    /// # Context
    /// Linear in `bytes`; no lock is held while it copies.
    pub fn write_out(&self, bytes: usize) -> usize {
        self.store().write_out_now(bytes, &mut |block| self.free_settled(block))
    }
}

/// The region of such a store.
type RegionOf<L, const PAGE: usize, const N: usize, S> =
    Region<L, RamBlock<PAGE>, PAGE, N, <S as RegionBacked<L, PAGE, N>>::Checksum>;

/// Checks that two ranges share no byte.
fn apart(fast: &[u8], slow: &[u8]) -> Result<(), MemoryError> {
    let (fast, slow) = (fast.as_ptr_range(), slow.as_ptr_range());
    let overlap = fast.start < slow.end && slow.start < fast.end;
    if overlap { Err(MemoryError::Overlap) } else { Ok(()) }
}

/// The order of a buffer of that size; what no source has, if it is too large.
fn order_for<const PAGE: usize>(bytes: usize) -> Order {
    Order::for_pages(Pages::new(bytes.div_ceil(PAGE))).unwrap_or(Order::MAX)
}

impl<L, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize, S> AsForebay
    for RamForebay<L, PAGE, N, LOBBY, RANGES, S>
where
    L: RawMutex,
    S: BackingStore<RamBlock<PAGE>>,
{
    type Platform = Fast<L, PAGE, LOBBY, RANGES>;
    type Store = S;
}

impl<L: RawMutex, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize, S>
    AsRef<Forebay<Fast<L, PAGE, LOBBY, RANGES>, S>> for RamForebay<L, PAGE, N, LOBBY, RANGES, S>
{
    fn as_ref(&self) -> &Forebay<Fast<L, PAGE, LOBBY, RANGES>, S> {
        &self.0
    }
}

impl<L: RawMutex, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize, S> Deref
    for RamForebay<L, PAGE, N, LOBBY, RANGES, S>
{
    type Target = Forebay<Fast<L, PAGE, LOBBY, RANGES>, S>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<L, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize, S> fmt::Debug
    for RamForebay<L, PAGE, N, LOBBY, RANGES, S>
where
    L: RawMutex,
    S: BackingStore<RamBlock<PAGE>> + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<L, const PAGE: usize, const N: usize, const LOBBY: usize, const RANGES: usize, S> defmt::Format
    for RamForebay<L, PAGE, N, LOBBY, RANGES, S>
where
    L: RawMutex,
    S: BackingStore<RamBlock<PAGE>> + defmt::Format,
{
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::Format::format(&self.0, f);
    }
}
