//! The sizes that the README promises, in words.

use forebay::{
    Caching, Context, Handle, Slot,
    frame::{Mode, ModeRefused},
    port::{CachingControl, WithCaching},
    reclaim::{Follow, Link, S3Fifo},
    sync::SpinRawMutex,
};
use forebay_backends::{Ram, RamBlock, RamBuffer, RamRegion};

const WORD: usize = size_of::<usize>();

/// Three caching modes.
struct Modes;

impl CachingControl<RamBlock<512>> for Modes {
    type Mode = Caching;
    fn set_mode(&self, _: &mut RamBlock<512>, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

/// Rule: a block and a handle are a word, also optional ones; a slot is two, three with several caching modes.
#[test]
fn blocks_handles_and_slots() {
    assert_eq!((size_of::<RamBlock<512>>(), size_of::<Option<RamBlock<512>>>()), (WORD, WORD));
    assert_eq!((size_of::<Handle>(), size_of::<Option<Handle>>()), (WORD, WORD));
    assert_eq!(size_of::<Slot<Ram<SpinRawMutex, 512>>>(), 2 * WORD);
    assert_eq!(size_of::<Slot<WithCaching<Ram<SpinRawMutex, 512>, Modes>>>(), 3 * WORD);
    assert_eq!(Caching::COUNT, 3);
}

/// Rule: metadata is two bits for a page of fast RAM and a little (a tree of 1,024 pages more if it is not aligned), and a word for one of slow RAM, where it may lie itself.
#[test]
fn metadata() {
    let (bytes, pages) = (16 << 20, (16 << 20) / 512);
    let bits = |words: usize| words * usize::BITS as usize;
    let fast = bits(Ram::<SpinRawMutex, 512>::metadata_words(bytes));
    assert!((2 * pages..=pages * 23 / 10).contains(&fast), "{fast} bits for {pages} pages");
    assert_eq!(RamRegion::<SpinRawMutex, 512, 16>::metadata_words(bytes), pages);
}

/// Rule: a buffer that an `S3Fifo` follows has a link of 12 bytes, and two words more itself.
#[test]
fn followed_buffers() {
    type Queues = S3Fifo<SpinRawMutex, &'static mut [Link]>;
    assert_eq!(size_of::<Link>(), 12);
    assert_eq!(size_of::<Follow<'_, [usize; 2], Queues>>(), size_of::<[usize; 2]>() + 2 * WORD);
}

/// Rule: a contiguous buffer is at most ten words, and a transferred block that waits costs the region seven.
#[test]
fn buffers_and_transfers() {
    assert!(
        size_of::<RamBuffer<SpinRawMutex, 512, 16>>() <= 10 * WORD,
        "{}",
        size_of::<RamBuffer<SpinRawMutex, 512, 16>>()
    );
    let entry = (size_of::<RamRegion<SpinRawMutex, 512, 116>>()
        - size_of::<RamRegion<SpinRawMutex, 512, 16>>())
        / 100;
    assert!(entry <= 7 * WORD, "{entry}");
}
