//! What is in a buffer, and where.

use super::*;

/// Bytes of which no two pages are alike.
pub fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

/// Writes the [`pattern`] of that seed.
#[track_caller]
pub fn fill<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, seed: u8) {
    let mut guard = buffer.write().unwrap();
    let bytes = pattern(seed, guard.bytes());
    assert_eq!(guard.write_at(0, &bytes), bytes.len());
}

/// All of it, read.
#[track_caller]
pub fn contents<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>) -> Vec<u8> {
    let guard = buffer.read().unwrap();
    let mut bytes = vec![0xA5; guard.bytes()];
    assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
    bytes
}

/// The bytes that `fill` wrote, each of them.
#[track_caller]
pub fn check<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, seed: u8) {
    let bytes = contents(buffer);
    assert!(bytes == pattern(seed, bytes.len()), "other bytes than were written");
}

/// The residency of a buffer that has `resident` pages in blocks, `clean` of them with copies, and `stored` pages only in the
/// store.
pub fn residency(resident: usize, clean: usize, stored: usize) -> Result<Residency, Busy> {
    let mut sum = Residency::default();
    (sum.resident, sum.clean, sum.stored) = (pages(resident), pages(clean), pages(stored));
    Ok(sum)
}
