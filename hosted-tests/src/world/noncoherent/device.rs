//! A device: it has addresses, and sees memory.

use super::board::Board;
use forebay::frame::{DmaAddr, Segment};
use std::ops::Range;
use std::sync::Arc;

/// Reads and writes memory, past every cache, where the IOMMU lets it.
#[derive(Clone, Debug)]
pub struct Device {
    board: Arc<Board>,
}

impl Device {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Device { board }
    }

    /// Reads `to.len()` bytes.
    ///
    /// # Panics
    /// If one of them is not mapped now.
    #[track_caller]
    pub fn read(&self, at: DmaAddr, to: &mut [u8]) {
        let mut s = self.board.lock();
        let start = s.iommu.find(at, to.len());
        s.cache.read_memory(start, to);
    }

    /// Writes these bytes.
    ///
    /// # Panics
    /// If one of them is not mapped now.
    #[track_caller]
    pub fn write(&self, at: DmaAddr, from: &[u8]) {
        let mut s = self.board.lock();
        let start = s.iommu.find(at, from.len());
        s.cache.write_memory(start, from);
    }

    /// These bytes of a buffer, by its scatter list.
    ///
    /// # Panics
    /// If one of them is not mapped now, or in no segment.
    #[track_caller]
    pub fn gather(&self, list: &[Segment], bytes: Range<usize>) -> Vec<u8> {
        let mut to = vec![0; bytes.len()];
        let start = bytes.start;
        for (at, part) in pieces(list, bytes) {
            self.read(at, &mut to[part.start - start..part.end - start]);
        }
        to
    }

    /// Writes to a buffer, from byte `at` on, by its scatter list.
    ///
    /// # Panics
    /// If one of the bytes is not mapped now, or in no segment.
    #[track_caller]
    pub fn scatter(&self, list: &[Segment], at: usize, from: &[u8]) {
        for (address, part) in pieces(list, at..at + from.len()) {
            self.write(address, &from[part.start - at..part.end - at]);
        }
    }
}

/// Where the device finds these bytes of a buffer: address by address, and which bytes of the buffer are there.
#[track_caller]
fn pieces(list: &[Segment], bytes: Range<usize>) -> Vec<(DmaAddr, Range<usize>)> {
    let mut all = Vec::new();
    let mut at = bytes.start;
    while at < bytes.end {
        let found = list.iter().find(|segment| (segment.at..segment.at + segment.bytes).contains(&at));
        let segment = found.unwrap_or_else(|| panic!("byte {at} is in no segment"));
        let address =
            DmaAddr::new(segment.address.get() + (at - segment.at) as u64).expect("there are more addresses");
        let end = bytes.end.min(segment.at + segment.bytes);
        all.push((address, at..end));
        at = end;
    }
    all
}
