//! Which memory a device finds at which address.

use forebay::frame::DmaAddr;
use std::collections::BTreeMap;
use std::ops::Range;

/// Windows through which devices see memory. Nothing is ever found at an address twice.
#[derive(Debug)]
pub(super) struct Iommu {
    next: u64,
    /// Physical bytes, by the bus address of the first.
    windows: BTreeMap<u64, Range<usize>>,
}

/// Between two windows there is nothing, so that one byte past the end of one is caught.
const GAP: u64 = 4096;

impl Iommu {
    pub(super) const fn new() -> Self {
        // Far above any physical address of a process, so that one that was never mapped is caught.
        Iommu { next: 0x4000_0000_0000_0000, windows: BTreeMap::new() }
    }

    #[track_caller]
    pub(super) fn map(&mut self, memory: Range<usize>) -> DmaAddr {
        self.assert_unmapped(&memory, "is mapped twice");
        let at = self.next;
        self.next += (memory.len() as u64).next_multiple_of(GAP) + GAP;
        self.windows.insert(at, memory);
        DmaAddr::new(at).expect("there are other addresses left")
    }

    #[track_caller]
    pub(super) fn unmap(&mut self, at: DmaAddr, memory: &Range<usize>) {
        let was = self.windows.remove(&at.get());
        assert_eq!(was.as_ref(), Some(memory), "{at:?} is not the address of that block");
    }

    #[track_caller]
    pub(super) fn assert_unmapped(&self, memory: &Range<usize>, what: &str) {
        let hit = self.windows.values().find(|window| window.start < memory.end && memory.start < window.end);
        assert_eq!(hit, None, "memory from {:x} {what}", memory.start);
    }

    /// The physical address of `len` bytes that a device reaches there.
    #[track_caller]
    pub(super) fn find(&self, at: DmaAddr, len: usize) -> usize {
        let window = self.windows.range(..=at.get()).next_back();
        let found = window.and_then(|(first, memory)| {
            let start = memory.start + usize::try_from(at.get() - first).ok()?;
            (start + len <= memory.end).then_some(start)
        });
        found.unwrap_or_else(|| panic!("a device uses {len} bytes at {at:?}, which are not mapped"))
    }
}
