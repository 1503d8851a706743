//! Memory for what is compared.

use super::PAGE;
use crate::memory;
use forebay::Order;

/// Bytes of the largest block.
pub const LARGEST: usize = PAGE << Order::TEN.get();

/// Zeroed memory for the largest blocks, which is leaked. What is never touched takes none.
///
/// # Panics
/// If there is none.
pub fn arena(bytes: usize) -> &'static mut [u8] {
    let all = memory::leak(bytes + LARGEST, 0);
    let start = all.as_ptr().align_offset(LARGEST);
    &mut all[start..start + bytes]
}
