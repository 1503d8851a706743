//! Memory for sources and stores, which want it for ever.
#![allow(unsafe_code)]

/// Where memory is aligned to: the largest page there is.
const ALIGN: usize = 2 << 20;

/// Zeroed memory, aligned to the largest page there is (2 MiB) plus `skew` bytes; leaked. What is never touched takes
/// none, where the system gives zeroed pages on demand.
///
/// # Panics
/// If there is none.
pub fn leak(bytes: usize, skew: usize) -> &'static mut [u8] {
    let all = vec![0; bytes + skew + ALIGN].leak();
    let start = all.as_ptr().align_offset(ALIGN) + skew;
    &mut all[start..start + bytes]
}

/// Address space with zeroed memory behind it, of which only what is touched is taken; aligned to 4 MiB, leaked. It may be larger
/// than the machine's memory.
///
/// # Panics
/// If there is none.
#[cfg(target_os = "linux")]
pub fn address_space(bytes: usize) -> &'static mut [u8] {
    const LARGEST: usize = 4 << 20;
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: a new mapping, where nothing else is.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes + LARGEST, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    let start = start.cast::<u8>();
    let skip = start.align_offset(LARGEST);
    // SAFETY: the mapping has these bytes, which are zero at first, and it is never unmapped.
    unsafe { std::slice::from_raw_parts_mut(start.add(skip), bytes) }
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
    /// `bytes` bytes, aligned as [`leak`] aligns.
    pub fn new(bytes: usize) -> Self {
        Reused { start: leak(bytes, 0).as_mut_ptr(), bytes }
    }

    /// The memory, with the bytes that its last user left in it.
    ///
    /// # Safety
    /// Nothing that was made from an earlier call's slice is used any more.
    pub unsafe fn lend(&mut self) -> &'static mut [u8] {
        // SAFETY: ours for ever, initialised, and by the caller's promise not used by anything else now.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}
