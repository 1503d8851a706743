//! What kind of folios the kernel really gave.
#![allow(unsafe_code)]

use super::sys::Mapping;
use core::ops::Range;
use core::ptr::from_mut;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::fs::File;

/// What a chunk is made of: it decides what unmapping, swapping and dropping it cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Folio {
    /// One huge page: a mapping of one entry, swapped and dropped as a whole.
    Huge,
    /// Smaller pages, which the kernel maps and swaps one by one.
    Small,
}

/// `PAGE_IS_HUGE` of the kernel: mapped by one entry for a huge page.
const HUGE: u64 = 1 << 6;

/// The kernel's `struct page_region`.
#[repr(C)]
#[derive(Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// The kernel's `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const PAGEMAP_SCAN: Opcode = opcode::read_write::<Scan>(b'f', 16);

/// Asks for the kind of folios: `PAGEMAP_SCAN` of Linux 6.7, which needs no rights.
#[derive(Debug)]
pub(crate) struct FolioScan(File);

impl FolioScan {
    /// `None` where there is no `/proc`, or the descriptors ran out.
    pub(crate) fn open() -> Option<FolioScan> {
        File::open("/proc/self/pagemap").ok().map(FolioScan)
    }

    /// The kind that a populated range of a mapping has. `None` if the kernel does not tell.
    pub(crate) fn kind(&self, mapping: &Mapping, range: Range<usize>) -> Option<Folio> {
        let start = mapping.check(range.clone())?.addr() as u64;
        let mut found = Region::default();
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            start,
            end: start + range.len() as u64,
            regions: from_mut(&mut found).expose_provenance() as u64,
            regions_len: 1,
            category_mask: HUGE,
            return_mask: HUGE,
            ..Scan::default()
        };
        // SAFETY: the number and the two structures are those of the kernel's header; it writes one region at most,
        // into `found`, which outlives the call.
        unsafe { ioctl(&self.0, Updater::<PAGEMAP_SCAN, Scan>::new(&mut scan)) }.ok()?;
        Some(if found.end - found.start == range.len() as u64 { Folio::Huge } else { Folio::Small })
    }
}
