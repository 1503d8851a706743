//! Memory for one machine after another.
#![allow(unsafe_code)]

use crate::memory::Reused;
use std::cell::RefCell;
use std::mem::take;

const MEMORY: usize = 2 << 20;
const META: usize = 16 << 10;

/// What the memory of a new machine is filled with: not zeros, which a pool has to make itself.
const STALE: u8 = 0xa5;

thread_local! {
    static PARTS: RefCell<Option<(Reused, Reused)>> = const { RefCell::new(None) };
}

/// What is not given to a source or a store yet.
pub(super) struct Parts {
    memory: &'static mut [u8],
    meta: &'static mut [usize],
}

impl Parts {
    /// `bytes` bytes, after a gap of `skip`, so that pieces begin at odd places and never touch.
    pub(super) fn memory(&mut self, bytes: usize, skip: usize) -> &'static mut [u8] {
        let (_, rest) = take(&mut self.memory).split_at_mut(skip + 1);
        let (mine, rest) = rest.split_at_mut(bytes);
        self.memory = rest;
        mine.fill(STALE);
        mine
    }

    /// The next `count` words.
    pub(super) fn words(&mut self, count: usize) -> &'static mut [usize] {
        let (mine, rest) = take(&mut self.meta).split_at_mut(count);
        self.meta = rest;
        mine
    }
}

/// Lends this thread's memory to `f`, the same to every call.
///
/// `f` must drop or forget all that it makes from the parts before it returns. Every machine of this module does: all
/// it makes are locals of the function that `f` calls, whether that returns or unwinds, and the oracle found every
/// frame in the source and no handle left. The parts must not be put into a `static` or sent to another thread.
pub(super) fn with(f: impl FnOnce(Parts)) {
    PARTS.with_borrow_mut(|parts| {
        let (memory, meta) = parts.get_or_insert_with(|| (Reused::new(MEMORY), Reused::new(META)));
        // SAFETY: the `RefCell` admits one borrower at a time, and `f` of every earlier call has ended. By the rule
        // above nothing that was made from its parts exists, or it was forgotten, and is not used any more.
        let (memory, meta) = unsafe { (memory.lend(), meta.lend()) };
        meta.fill(STALE);
        // SAFETY: any bytes are a word, and the slice is used as words only from here on.
        let (_, words, _) = unsafe { meta.align_to_mut::<usize>() };
        f(Parts { memory, meta: words });
    });
}
