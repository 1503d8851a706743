//! Promised sizes, checked by the compiler for each target.
//!
//! On 64 bits a block and an optional one are 16 bytes at most, and a slot 16 with one caching mode and 24 with several; on
//! 32 bits a block is 4, and a slot 8 with one mode and 12 with several. Metadata is a thousandth of the memory at most, also with a
//! pool in front of it.

use crate::facade::RamBuffer;
#[cfg(feature = "heap")]
use crate::ram::HeapBlock;
use crate::ram::{Ram, RamBlock};
use forebay::frame::{Mode, ModeRefused};
use forebay::pool::{FreeListArray, Pool};
use forebay::port::{CachingControl, WithCaching, WithLists};
use forebay::sync::NoopRawMutex;
use forebay::{Caching, Context, Platform, Slot};

type Source<const PAGE: usize> = Ram<NoopRawMutex, PAGE>;

/// Three caching modes. Only the size of its slots is of interest.
struct Modes;

impl<B> CachingControl<B> for Modes {
    type Mode = Caching;
    fn set_mode(&self, _: &mut B, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Err(ModeRefused)
    }
}

/// A platform with several modes.
type Modal = WithCaching<Source<512>, Modes>;

/// A pool in front of a source that is elsewhere: four orders, one mode, four blocks of each.
type Pooled<const PAGE: usize> = Pool<WithLists<&'static Source<PAGE>, FreeListArray<Source<PAGE>, 4, 4>>>;

const fn block<B>(most: usize) {
    assert!(size_of::<B>() <= most, "a block has grown");
    assert!(size_of::<Option<B>>() <= most, "an optional block has grown");
}

const fn slot<P: Platform>(most: usize) {
    assert!(size_of::<Slot<P>>() <= most, "a slot has grown");
}

const _: () = assert!(<() as Mode>::COUNT == 1 && Caching::COUNT > 1, "one mode, and several");

#[cfg(target_pointer_width = "64")]
const _: () = {
    block::<RamBlock<512>>(16);
    #[cfg(feature = "heap")]
    block::<HeapBlock<512>>(16);
    #[cfg(all(feature = "shmem", target_os = "linux"))]
    block::<crate::shmem::ArenaBlock<4096>>(16);
    slot::<Source<512>>(16);
    slot::<Modal>(24);
};

#[cfg(target_pointer_width = "32")]
const _: () = {
    block::<RamBlock<512>>(4);
    #[cfg(feature = "heap")]
    block::<HeapBlock<512>>(4);
    slot::<Source<512>>(8);
    slot::<Modal>(12);
    assert!(size_of::<Pooled<512>>() <= 512, "a small pool has grown");
};

const _: () = {
    let words = size_of::<RamBuffer<NoopRawMutex, 512, 16>>() / size_of::<usize>();
    assert!(words <= if WIDE { 10 } else { 11 }, "a contiguous buffer has grown");
};

const MIB: usize = 1 << 20;

/// Bytes of metadata for a source of `bytes` bytes.
const fn lent<const PAGE: usize>(bytes: usize) -> usize {
    Source::<PAGE>::metadata_words(bytes) * size_of::<usize>()
}

/// From `least` bytes up to a GiB: metadata and the source itself are a thousandth of the memory at most, from `with_pool` on also
/// together with a pool.
const fn a_thousandth<const PAGE: usize>(least: usize, with_pool: usize) {
    let mut bytes = least;
    while bytes <= 1024 * MIB {
        let source = lent::<PAGE>(bytes) + size_of::<Source<PAGE>>();
        assert!(source <= bytes / 1000, "a source has more metadata than 0.1 %");
        let all = source + size_of::<Pooled<PAGE>>();
        assert!(all <= bytes / 1000 || bytes < with_pool, "a source and its pool have more than 0.1 %");
        bytes *= 2;
    }
}

const WIDE: bool = size_of::<usize>() == 8;

const _: () = {
    a_thousandth::<512>(2 * MIB, 4 * MIB);
    a_thousandth::<1024>(2 * MIB, 2 * MIB);
    a_thousandth::<2048>(2 * MIB, 2 * MIB);
    a_thousandth::<4096>(2 * MIB, 2 * MIB);
};

/// A tree of 1,024 pages and its places in the lists are about 274 bytes: 0.0065 % of pages of 4 KiB, and 0.105 % of the smallest
/// pages. A small memory has one tree, and a larger one that is not aligned has one more.
const _: () = {
    let mut bytes = 64 * MIB;
    while bytes <= 1024 * MIB {
        assert!(lent::<4096>(bytes) <= bytes / 100_000 * 7 || bytes < 128 * MIB, "more than 0.007 %");
        assert!(lent::<256>(bytes) <= bytes / 100_000 * 105, "more than 0.105 %");
        bytes *= 2;
    }
    assert!(lent::<4096>(1024 * MIB) <= 1024 * MIB / 1_000_000 * 66, "more than 0.0066 %");
    assert!(lent::<256>(4 * MIB) <= 4 * MIB / 1000 * 115 / 100, "more than 0.115 %");
    assert!(
        lent::<512>(64 << 10) <= if WIDE { 392 } else { 328 },
        "a small memory needs more than a tree and a few words"
    );
};
