//! A test for external memory, before it is used.

use core::hint::black_box;

/// Bytes that differ from place to place, also in each address bit, and the bits of a word.
fn pattern(at: usize, round: usize) -> u8 {
    let mixed = at.wrapping_mul(0x9e37_79b9) ^ (at >> 7);
    (mixed >> 11) as u8 ^ if round == 0 { 0 } else { u8::MAX }
}

/// See [`RamForebay::test_memory`](crate::RamForebay::test_memory).
pub(crate) fn test_memory(memory: &mut [u8]) -> Result<(), usize> {
    for round in 0..2 {
        for (at, byte) in memory.iter_mut().enumerate() {
            *byte = pattern(at, round);
        }
        // The compiler may not know what was written, so each byte is really read.
        let written = black_box(&mut *memory);
        if let Some(at) = written.iter().enumerate().position(|(at, byte)| *byte != pattern(at, round)) {
            return Err(at);
        }
    }
    memory.fill(0);
    Ok(())
}
