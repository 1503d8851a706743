//! Why an arena was not made.

use core::fmt;
use rustix::io::Errno;
use std::io;

/// Why there is no arena. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum CreateError {
    /// No bytes, or no mapping.
    Empty,
    /// More bytes than there are addresses, or than handles can name.
    TooLarge,
    /// The chunk is no power of two, or smaller than a page.
    Chunk {
        /// The smallest chunk that is accepted, in bytes.
        least: usize,
    },
    /// There is no memory for the metadata: eight bits a page.
    Metadata,
    /// `memfd_create` failed, or the memfd may not have this size.
    Memfd(io::Error),
    /// The memfd could not be sealed, so pages could be removed under the mapping.
    Seal(io::Error),
    /// It could not be mapped.
    Map {
        /// The bytes that could not be mapped.
        bytes: usize,
        /// The reason.
        why: io::Error,
    },
    /// The kernel can't keep a mapping out of children and core dumps, or a filter forbids it.
    Advice(io::Error),
    /// A pinned arena is not possible: the process may not lock memory, or the kernel is older than Linux 5.18.
    Lock(io::Error),
    /// The kernel does not report forks.
    Fork(io::Error),
    /// The descriptor is not shmem, not writable, or too short.
    NotShmem(io::Error),
    /// A mapping, or its beginning in the memfd, is not aligned to a chunk.
    Misaligned {
        /// The alignment that is needed, in bytes.
        chunk: usize,
    },
}

impl CreateError {
    pub(super) fn memfd(why: Errno) -> CreateError {
        CreateError::Memfd(why.into())
    }
    pub(super) fn seal(why: Errno) -> CreateError {
        CreateError::Seal(why.into())
    }
    pub(super) fn map(bytes: usize, why: Errno) -> CreateError {
        CreateError::Map { bytes, why: why.into() }
    }
    pub(super) fn advice(why: Errno) -> CreateError {
        CreateError::Advice(why.into())
    }
    pub(super) fn lock(why: Errno) -> CreateError {
        CreateError::Lock(why.into())
    }
    pub(super) fn fork(why: Errno) -> CreateError {
        CreateError::Fork(why.into())
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CreateError::Empty => {
                f.write_str("an arena needs at least one byte and one mapping: give it more")
            }
            CreateError::TooLarge => f.write_str("more bytes than can be addressed: make the arena smaller"),
            CreateError::Chunk { least } => {
                write!(
                    f,
                    "a chunk is a power of two of at least {least} bytes: leave it out, or choose one like that"
                )
            }
            CreateError::Metadata => f.write_str("no memory for the metadata: make the arena smaller"),
            CreateError::Memfd(why) => write!(
                f,
                "memfd_create: {why}: raise the limit on descriptors (ulimit -n) or on the size of files (ulimit -f), \
                 or permit memfd_create and ftruncate (seccomp)"
            ),
            CreateError::Seal(why) => {
                write!(
                    f,
                    "the memfd can't be sealed ({why}): create it with MFD_ALLOW_SEALING, without F_SEAL_SEAL, \
                     or permit fcntl (seccomp)"
                )
            }
            CreateError::Map { bytes, why } if why.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => {
                write!(
                    f,
                    "{bytes} bytes can't be mapped ({why}): the process locks all its memory (mlockall), so raise the limit on \
                 locked memory (ulimit -l), or make the arena before"
                )
            }
            CreateError::Map { bytes, why } => write!(
                f,
                "{bytes} bytes can't be mapped ({why}): raise the limit on addresses (ulimit -v), make the arena \
                 smaller, or permit mmap (seccomp)"
            ),
            CreateError::Advice(why) => {
                write!(
                    f,
                    "madvise: {why}: an arena needs MADV_DONTFORK and MADV_DONTDUMP; permit them (seccomp)"
                )
            }
            CreateError::Lock(why) => {
                write!(
                    f,
                    "the arena can't be pinned ({why}): raise the limit on locked memory (ulimit -l) or give the process \
                     CAP_IPC_LOCK; Linux 5.18 is needed; or leave out `pinned`"
                )
            }
            CreateError::Fork(why) => {
                write!(
                    f,
                    "madvise: {why}: an arena needs MADV_WIPEONFORK, of Linux 4.14; permit it (seccomp)"
                )
            }
            CreateError::NotShmem(why) => {
                write!(
                    f,
                    "no writable memfd that is as long as its mapping ({why}): make it with memfd_create and ftruncate"
                )
            }
            CreateError::Misaligned { chunk } => write!(
                f,
                "mappings and the offset in the memfd must be multiples of the chunk, {chunk} bytes: align them, or \
                 choose smaller chunks"
            ),
        }
    }
}

impl std::error::Error for CreateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CreateError::Memfd(why)
            | CreateError::Seal(why)
            | CreateError::Map { why, .. }
            | CreateError::Advice(why)
            | CreateError::Lock(why)
            | CreateError::Fork(why)
            | CreateError::NotShmem(why) => Some(why),
            _ => None,
        }
    }
}

/// Errors of the system by their numbers.
#[cfg(feature = "defmt")]
impl defmt::Format for CreateError {
    fn format(&self, f: defmt::Formatter<'_>) {
        let errno = |why: &io::Error| why.raw_os_error().unwrap_or(0);
        match self {
            CreateError::Empty => defmt::write!(f, "Empty"),
            CreateError::TooLarge => defmt::write!(f, "TooLarge"),
            CreateError::Chunk { least } => defmt::write!(f, "Chunk(least {=usize})", least),
            CreateError::Metadata => defmt::write!(f, "Metadata"),
            CreateError::Memfd(why) => defmt::write!(f, "Memfd(errno {=i32})", errno(why)),
            CreateError::Seal(why) => defmt::write!(f, "Seal(errno {=i32})", errno(why)),
            CreateError::Map { bytes, why } => {
                defmt::write!(f, "Map({=usize} bytes, errno {=i32})", bytes, errno(why));
            }
            CreateError::Advice(why) => defmt::write!(f, "Advice(errno {=i32})", errno(why)),
            CreateError::Lock(why) => defmt::write!(f, "Lock(errno {=i32})", errno(why)),
            CreateError::Fork(why) => defmt::write!(f, "Fork(errno {=i32})", errno(why)),
            CreateError::NotShmem(why) => defmt::write!(f, "NotShmem(errno {=i32})", errno(why)),
            CreateError::Misaligned { chunk } => defmt::write!(f, "Misaligned(chunk {=usize})", chunk),
        }
    }
}
