//! Promised sizes, checked by the compiler for each target.
//!
//! On 64 bits a block and an optional one are 16 bytes at most, and a slot 16 with one caching mode and 24 with several; on
//! 32 bits a block is 4, and a slot 8 with one mode and 12 with several. Metadata is a thousandth of the memory at most, also with a pool in
//! front of it.

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

/// A word of 64 bits costs a little more where there are few pages, and less where there are many.
const WIDE: bool = size_of::<usize>() == 8;

const _: () = {
    a_thousandth::<512>(MIB, if WIDE { 2 * MIB } else { MIB });
    a_thousandth::<1024>(MIB, MIB);
    a_thousandth::<2048>(MIB, MIB);
    a_thousandth::<4096>(MIB, MIB);
};

/// Two bits for 256 bytes are 0.0977 %, and the summaries of the bits a 63rd or a 31st of that. So with words of 64 bits a
/// thousandth is kept from 16 MiB on, without the source's own struct, which is included from 128 MiB on; with words of 32
/// bits it is 0.101 %, whatever the size. Below 16 MiB it is 0.105 % at most.
const _: () = {
    let mut bytes = MIB;
    while bytes <= 1024 * MIB {
        let most = if WIDE && bytes >= 16 * MIB { bytes / 1000 } else { bytes / 1000 * 105 / 100 };
        assert!(lent::<256>(bytes) <= most, "a source of the smallest pages has more metadata than is said");
        assert!(WIDE || bytes < 16 * MIB || lent::<256>(bytes) <= bytes / 1000 * 101 / 100, "0.101 %");
        bytes *= 2;
    }
    if WIDE {
        a_thousandth::<256>(128 * MIB, 128 * MIB);
    }
};
