//! What a device sees of a block: its address.

use core::fmt;
use core::num::NonZeroU64;

/// Where a device finds a byte: a bus address, which an IOMMU may have made up.
///
/// Prints as `D4000`, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmaAddr(NonZeroU64); // one more than the address, so that an optional one takes no more room

impl DmaAddr {
    /// That address, or `None` for the last one there is, which no mapping can have (Linux's `DMA_MAPPING_ERROR`).
    pub const fn new(address: u64) -> Option<DmaAddr> {
        match NonZeroU64::new(address.wrapping_add(1)) {
            Some(next) => Some(DmaAddr(next)),
            None => None,
        }
    }

    /// The address itself.
    pub const fn get(self) -> u64 {
        self.0.get() - 1
    }

    /// So many bytes further on; `None` past the end of all addresses.
    pub const fn checked_add(self, bytes: u64) -> Option<DmaAddr> {
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

/// The block has no address for devices; nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MapRefused;

impl fmt::Display for MapRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the platform has no address for it that the device could use: evict other buffers, then try again")
    }
}

impl core::error::Error for MapRefused {}

/// A piece of a buffer that is contiguous for the device: an entry of a scatter list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Segment {
    /// The byte of the buffer at which it begins.
    pub at: usize,
    /// Where the device finds that byte.
    pub address: DmaAddr,
    /// How many bytes.
    pub bytes: usize,
}
