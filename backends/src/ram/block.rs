//! A block of plain RAM.
#![allow(unsafe_code)]

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use forebay::{Order, OwnedBlock, Pfn};

/// `2^order` pages of ordinary RAM that nothing else reads or writes. It derefs to its bytes.
///
/// One word, and so is an `Option` of it: the address, with the order in bits that alignment leaves free.
///
/// # Invariants
/// Owns `PAGE << order` initialised bytes, aligned to that size, of one `&'static mut [u8]`.
/// `PAGE` is a power of two from 256 to 2 MiB.
pub struct RamBlock<const PAGE: usize>(NonNull<u8>);

const ORDER_BITS: usize = 15;

// SAFETY: it owns its bytes, as a `Box<[u8]>` would.
unsafe impl<const PAGE: usize> Send for RamBlock<PAGE> {}
// SAFETY: a shared reference gives no way to write.
unsafe impl<const PAGE: usize> Sync for RamBlock<PAGE> {}

const _: () = assert!(size_of::<Option<RamBlock<256>>>() == size_of::<usize>());

impl<const PAGE: usize> RamBlock<PAGE> {
    /// # Safety
    /// The invariants of the type hold for these bytes.
    pub(crate) unsafe fn new(at: NonNull<u8>, order: Order) -> Self {
        const {
            assert!(
                PAGE.is_power_of_two() && PAGE >= 256 && PAGE <= 2 << 20,
                "PAGE: a power of two from 256 B to 2 MiB"
            )
        }
        RamBlock(at.map_addr(|a| a | usize::from(order.get())))
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: by the invariant this is the address of the first byte, which is not 0.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|a| a & !ORDER_BITS)) }
    }
}

impl<const PAGE: usize> Deref for RamBlock<PAGE> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: invariant of the type: the bytes are initialised, owned by this block, and this many.
        unsafe { NonNull::slice_from_raw_parts(self.base(), self.bytes()).as_ref() }
    }
}

impl<const PAGE: usize> DerefMut for RamBlock<PAGE> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is exclusive.
        unsafe { NonNull::slice_from_raw_parts(self.base(), self.bytes()).as_mut() }
    }
}

impl<const PAGE: usize> OwnedBlock for RamBlock<PAGE> {
    const PAGE: usize = PAGE;

    fn pfn(&self) -> Pfn {
        Pfn(self.base().addr().get() / PAGE)
    }

    fn order(&self) -> Order {
        Order::new((self.0.addr().get() & ORDER_BITS) as u8).unwrap_or(Order::PAGE)
    }

    fn split(self) -> Result<(Self, Self), Self> {
        let Some(order) = self.order().lower() else { return Err(self) };
        let base = self.base();
        // SAFETY: 1. the block is twice as long as this offset, so it stays inside; 2. the halves share no byte,
        // are aligned to their size, and `self`, which owned both, ends here.
        unsafe { Ok((Self::new(base, order), Self::new(base.add(PAGE << order.get()), order))) }
    }

    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let from = self.get(at..).unwrap_or_default();
        copy(from, to)
    }

    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let to = self.get_mut(at..).unwrap_or_default();
        copy(from, to)
    }

    fn zero(&mut self) {
        self.fill(0);
    }
}

/// Copies as much as both have; returns how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

impl<const PAGE: usize> fmt::Debug for RamBlock<PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?}", self.pfn(), self.order())
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize> defmt::Format for RamBlock<PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}+{}", self.pfn(), self.order());
    }
}
