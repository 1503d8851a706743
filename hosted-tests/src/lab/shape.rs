//! How large everything is, and what is too large.

use super::options::PAGE;
use super::system;
use super::text::human;
use forebay_backends::MemoryError;
#[cfg(target_os = "linux")]
use forebay_backends::shmem::CreateError;
use std::fmt;

/// Pages of a buffer, at most: 256 KiB.
const CHUNK: usize = 64;

/// How large everything is, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What the files take.
    pub data: usize,
    /// What the buffers may take.
    pub budget: usize,
    /// What the store should have room for.
    pub region: usize,
    /// The largest buffer: a quarter of the budget, so that there is always something else to evict.
    pub chunk: usize,
}

impl Shape {
    /// For files of `data` pages. `budget` is in bytes; a tenth of the files if `None`.
    pub fn new(data: usize, budget: Option<u64>, region: Option<usize>) -> Shape {
        let asked = budget.map_or(data / 10, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX) / PAGE);
        let budget = asked.max(1);
        let most = (budget / 4).clamp(1, CHUNK);
        Shape {
            data,
            budget,
            region: region.unwrap_or_else(|| data.saturating_add(data / 2).saturating_add(CHUNK)),
            chunk: 1 << most.ilog2(),
        }
    }

    /// Frames for the buffers: more than there is data would never be touched, and a page there must be.
    pub fn frames(&self) -> usize {
        self.budget.min(self.data.max(1))
    }

    /// How many bytes these pages have.
    ///
    /// # Errors
    /// [`MachineError::NoMemory`]: more than a program can have.
    pub fn bytes(pages: usize) -> Result<usize, MachineError> {
        let most = isize::MAX as usize / 2; // with room for an alignment
        pages
            .checked_mul(PAGE)
            .filter(|bytes| *bytes <= most)
            .ok_or(MachineError::NoMemory { bytes: u64::MAX, available: system::available() })
    }
}

/// Checks that this computer has memory for these pages, as far as it says, and for `more` bytes besides.
///
/// # Errors
/// [`MachineError::NoMemory`].
pub fn check_memory(pages: usize, more: u64) -> Result<(), MachineError> {
    let needed = Shape::bytes(pages)? as u64;
    let available = system::available().map(|bytes| bytes.saturating_add(more));
    if available.is_some_and(|has| has < needed) {
        return Err(MachineError::NoMemory { bytes: needed, available });
    }
    Ok(())
}

/// Tries all that will be asked for later, at once: what is refused later ends the program.
///
/// # Errors
/// [`MachineError::Refused`].
pub fn check_addresses(bytes: &[usize]) -> Result<(), MachineError> {
    // Memory is aligned, and the oracle takes notes.
    let all = bytes.iter().copied().fold(8 << 20, usize::saturating_add);
    if Vec::<u8>::new().try_reserve_exact(all).is_err() {
        return Err(MachineError::Refused { bytes: all as u64 });
    }
    Ok(())
}

/// Why there is no machine to run on.
#[derive(Debug)]
#[non_exhaustive]
pub enum MachineError {
    /// The computer has less memory than that.
    NoMemory {
        /// What is needed.
        bytes: u64,
        /// What there is, if that is known.
        available: Option<u64>,
    },
    /// The computer may have the memory, but the system does not give this program a range of addresses of that length.
    Refused {
        /// What was asked for.
        bytes: u64,
    },
    /// The memory for the buffers was refused.
    Source(MemoryError),
    /// The memory for the swap region was refused.
    Region(MemoryError),
    /// There is no shmem.
    #[cfg(target_os = "linux")]
    Arena(CreateError),
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineError::NoMemory { bytes, available } => {
                write!(f, "the store keeps everything in memory and needs {} for all of it", human(*bytes))?;
                if let Some(available) = available {
                    write!(f, ", of which {} are available", human(*available))?;
                }
                f.write_str(": name a smaller directory or trace")
            }
            MachineError::Refused { bytes } => write!(
                f,
                "the system refused {} of address space: raise the limit (ulimit -v), or name a smaller \
                 directory or trace",
                human(*bytes)
            ),
            MachineError::Source(e) => write!(f, "memory for the buffers: {e}"),
            MachineError::Region(e) => write!(f, "memory for the swap region: {e}"),
            #[cfg(target_os = "linux")]
            MachineError::Arena(e) => write!(f, "shmem for the buffers: {e}"),
        }
    }
}

impl std::error::Error for MachineError {}
