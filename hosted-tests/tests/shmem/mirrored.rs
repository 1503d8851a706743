//! External memory that is not what it is said to be.
#![allow(unsafe_code)]

use forebay::sync::SpinRawMutex;
use forebay_backends::RamForebay;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PAGE: usize = 4096;
type Ram = RamForebay<SpinRawMutex, PAGE, 4>;

/// `pages` pages of addresses over a file of `real` pages, again and again.
fn mirrored(pages: usize, real: usize) -> &'static mut [u8] {
    // SAFETY: plain calls; the file and the mapping are leaked, so the addresses stay, and nothing else has them.
    unsafe {
        let fd = libc::memfd_create(c"mirrored".as_ptr(), 0);
        assert!(fd >= 0);
        let fd = OwnedFd::from_raw_fd(fd);
        assert_eq!(libc::ftruncate(fd.as_raw_fd(), (real * PAGE) as libc::off_t), 0);
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let all = libc::mmap(std::ptr::null_mut(), pages * PAGE, access, flags, fd.as_raw_fd(), 0);
        assert_ne!(all, libc::MAP_FAILED);
        for page in 0..pages {
            let (at, offset) =
                (all.cast::<u8>().add(page * PAGE).cast(), (page % real * PAGE) as libc::off_t);
            assert_ne!(
                libc::mmap(at, PAGE, access, flags | libc::MAP_FIXED, fd.as_raw_fd(), offset),
                libc::MAP_FAILED
            );
        }
        std::slice::from_raw_parts_mut(all.cast(), pages * PAGE)
    }
}

/// Rule (N9): memory of which a part is the same as another part is found out, where it begins to differ; memory that is there is
/// zeroed.
#[test]
fn mirrored_memory_is_found_out() {
    for real in [1, 2, 4, 8] {
        let wrong = Ram::test_memory(mirrored(16, real)).expect_err("it is mirrored");
        assert!(wrong < 16 * PAGE / 2, "{real}: {wrong}");
    }
    let memory = mirrored(16, 16);
    memory.fill(7);
    assert_eq!(Ram::test_memory(memory), Ok(()));
    assert!(memory.iter().all(|byte| *byte == 0));
    assert_eq!(Ram::test_memory(&mut []), Ok(()));
}
