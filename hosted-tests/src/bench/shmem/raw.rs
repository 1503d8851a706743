//! What the kernel does without forebay: mappings, copies, advice, and the time that a thread takes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

/// Where mappings begin: the largest block.
const ALIGN: usize = 4 << 20;

/// What a mapping asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Folios {
    /// Huge pages, where the machine permits it.
    Huge,
    /// Pages of the usual size.
    Small,
}

/// The processor time of this thread: what others do on the machine is not in it.
///
/// # Panics
/// If the machine has no such clock.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a time.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "a clock for threads");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A new memfd of that size.
///
/// # Errors
/// Those of `memfd_create` and `ftruncate`.
pub fn memfd(bytes: usize) -> io::Result<File> {
    // SAFETY: a name that ends with a zero; the descriptor is new, and nothing else has it.
    let file = unsafe {
        match libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            fd => File::from_raw_fd(fd),
        }
    };
    file.set_len(bytes as u64)?;
    Ok(file)
}

/// Memory that is mapped until this is dropped.
///
/// # Invariants
/// `at` is the first of `bytes` mapped bytes, inside of the reserved addresses, which nothing else has.
#[derive(Debug)]
pub struct Window {
    reserved: *mut libc::c_void,
    at: *mut u8,
    bytes: usize,
}

impl Window {
    /// Memory of the process alone.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn anonymous(bytes: usize, folios: Folios) -> io::Result<Window> {
        Window::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, folios)
    }

    /// The memory of a file, which others may have mapped too.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn of(file: &File, bytes: usize, folios: Folios) -> io::Result<Window> {
        Window::map(bytes, libc::MAP_SHARED, file.as_raw_fd(), folios)
    }

    fn map(bytes: usize, flags: libc::c_int, fd: libc::c_int, folios: Folios) -> io::Result<Window> {
        let none = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new addresses; then a mapping over a part of just these.
        let window = unsafe {
            let reserved = libc::mmap(std::ptr::null_mut(), bytes + ALIGN, libc::PROT_NONE, none, -1, 0);
            if reserved == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let at = reserved.byte_add(reserved.align_offset(ALIGN));
            let window = Window { reserved, at: at.cast(), bytes };
            let access = libc::PROT_READ | libc::PROT_WRITE;
            if libc::mmap(at, bytes, access, flags | libc::MAP_FIXED, fd, 0) == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            window
        };
        let advice = if folios == Folios::Huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
        let _ = window.advise(0..bytes, advice); // a kernel without huge pages
        Ok(window)
    }

    /// Its bytes. No other thread writes them while the bench runs.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: by the invariant; the bench has one thread, and `bytes_mut` is exclusive.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes) }
    }

    /// Its bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.bytes) }
    }

    /// `madvise`.
    ///
    /// # Errors
    /// Those of `madvise`.
    pub fn advise(&self, range: Range<usize>, advice: libc::c_int) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.bytes);
        // SAFETY: the range is in the mapping. Bytes of anonymous memory may become zeros, which no reference sees: advice is given
        // between copies.
        match unsafe { libc::madvise(self.at.add(range.start).cast(), range.len(), advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Window {
    /// Locks what is populated from now on.
    ///
    /// # Errors
    /// The process may not.
    pub fn lock(&self) -> io::Result<()> {
        // SAFETY: the mapping; locking changes no byte.
        match unsafe { libc::mlock2(self.at.cast(), self.bytes, libc::MLOCK_ONFAULT as libc::c_uint) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the addresses are ours, and no reference to them is left.
        unsafe { libc::munmap(self.reserved, self.bytes + ALIGN) };
    }
}

/// Frees the memory of a range of a file.
///
/// # Errors
/// Those of `fallocate`.
pub fn punch(file: &File, range: Range<usize>) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: a call with a descriptor and numbers.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, range.start as i64, range.len() as i64) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Copies with stores that go past the caches, where the processor has them; both are multiples of 64 bytes long.
#[cfg(target_arch = "x86_64")]
pub fn copy_past_caches(from: &[u8], to: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    assert!(from.len() == to.len() && to.as_ptr().addr().is_multiple_of(16) && to.len().is_multiple_of(64));
    for (from, to) in from.chunks_exact(64).zip(to.chunks_exact_mut(64)) {
        let (from, to) = (from.as_ptr().cast::<__m128i>(), to.as_mut_ptr().cast::<__m128i>());
        // SAFETY: SSE2 is a part of x86-64. Each chunk has four times 16 bytes, and `to` is aligned to 16 bytes.
        unsafe {
            let all = [0, 1, 2, 3].map(|n| _mm_loadu_si128(from.add(n)));
            all.into_iter().enumerate().for_each(|(n, value)| _mm_stream_si128(to.add(n), value));
        }
    }
    // SAFETY: orders the stores before those behind it.
    unsafe { _mm_sfence() };
}

/// Elsewhere a plain copy.
#[cfg(not(target_arch = "x86_64"))]
pub fn copy_past_caches(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}
