//! The lobby under the oracle: buffers of several blocks, two stores, stores that fail, purges, and every byte.

use hosted_tests::fuzzing::many_in_a_lobby;

/// Rule: with buffers of several blocks in several ways out, in steps, and in interrupts, while calls of the store fail now and then,
/// what was accepted is reached, each block has one owner and its bytes, and in the end no room is left over.
#[test]
fn random_calls() {
    let (mut refused, mut exchanged, mut transferred) = (0, 0, 0);
    for seed in 1..40_u64 {
        let mut state = seed * 0x9e37_79b9;
        // xorshift64 (Marsaglia 2003)
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let bytes: Vec<u8> = (0..1500).flat_map(|_| next()).collect();
        let counts = many_in_a_lobby(&bytes, usize::MAX);
        refused += counts[0];
        exchanged += counts[1];
        transferred += counts[2];
    }
    println!(
        "{refused} accesses were refused, {exchanged} made room, {transferred} pages left in an interrupt's pass"
    );
    assert!(refused > 500 && exchanged > 500 && transferred > 10);
}
