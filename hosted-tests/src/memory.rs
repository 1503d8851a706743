//! Memory for sources and stores, which want it for ever.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

/// Zeroed memory, aligned to the largest page there is (2 MiB) plus `skew` bytes; leaked.
///
/// # Panics
/// If there is none.
pub fn leak(bytes: usize, skew: usize) -> &'static mut [u8] {
    let layout = Layout::from_size_align(bytes + skew.max(1), 2 << 20).expect("a size that fits");
    // SAFETY: the layout is not empty. What it gives is ours, zeroed, and never given back.
    let all = unsafe {
        let start = alloc_zeroed(layout);
        if start.is_null() {
            handle_alloc_error(layout);
        }
        std::slice::from_raw_parts_mut(start, bytes + skew)
    };
    &mut all[skew..]
}

/// Metadata words; leaked.
pub fn words(count: usize) -> &'static mut [usize] {
    vec![0; count].leak()
}

/// One piece of memory, lent out again and again: for a fuzzer, whose leaks would add up.
#[derive(Debug)]
pub struct Reused {
    start: *mut u8,
    bytes: usize,
}

impl Reused {
    /// So many bytes, aligned as [`leak`] aligns.
    pub fn new(bytes: usize) -> Self {
        Reused { start: leak(bytes, 0).as_mut_ptr(), bytes }
    }

    /// The memory, as it was left.
    ///
    /// # Safety
    /// Nothing that was made from an earlier call's slice is used any more.
    pub unsafe fn lend(&mut self) -> &'static mut [u8] {
        // SAFETY: ours for ever, initialised, and by the caller's promise nobody else's now.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}
