//! Memory for the allocators that are compared.

use super::PAGE;
use crate::memory;
use forebay::Order;

/// Bytes of the largest block.
pub const LARGEST: usize = PAGE << Order::TEN.get();

/// Zeroed memory, aligned for the largest blocks. It is leaked. Pages that are never touched take no memory of the system.
///
/// # Panics
/// If there is none.
pub fn arena(bytes: usize) -> &'static mut [u8] {
    let all = memory::leak(bytes + LARGEST, 0);
    let start = all.as_ptr().align_offset(LARGEST);
    &mut all[start..start + bytes]
}
