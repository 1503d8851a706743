//! Addresses for devices.

use core::fmt;
use core::num::NonZeroU64;

/// Where a device finds a byte: a bus address, perhaps one that an IOMMU assigned.
///
/// Prints as `D4000`, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmaAddr(NonZeroU64); // one more than the address, so that an optional one takes no more room

impl DmaAddr {
    /// The address. `None` for the largest number, which no mapping can have (Linux's `DMA_MAPPING_ERROR`).
    pub const fn new(address: u64) -> Option<DmaAddr> {
        match NonZeroU64::new(address.wrapping_add(1)) {
            Some(next) => Some(DmaAddr(next)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get() - 1
    }

    /// The address `bytes` bytes further on. `None` past the end of all addresses.
    pub(crate) const fn checked_add(self, bytes: u64) -> Option<DmaAddr> {
        match self.get().checked_add(bytes) {
            Some(address) => DmaAddr::new(address),
            None => None,
        }
    }
}

impl fmt::Debug for DmaAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "D{:x}", self.get())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for DmaAddr {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "D{=u64:x}", self.get());
    }
}

/// A part of a buffer that is contiguous for the device: an entry of a scatter list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Segment {
    /// The first byte, as an offset into the buffer.
    pub at: usize,
    /// Where the device finds that byte.
    pub address: DmaAddr,
    /// Its length in bytes.
    pub bytes: usize,
}
