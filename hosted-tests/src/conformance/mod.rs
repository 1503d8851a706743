//! Suites that every implementation of a port goes through, wrapped in middleware or not.
//!
//! | port | suite |
//! | --- | --- |
//! | `FrameSource`, and `DmaMap`, `EvictHooks`, `Accounting`, `LinearMap` of the platform around it | [`platform::suite`], [`platform::threads`] |
//! | `CachingControl` | [`platform::modes`], given the modes |
//! | `FreeLists` | [`lists::suite`] |
//! | `BackingStore` | [`store::suite`], [`store::threads`] |
//! | `EvictionPolicy` | [`policy::suite`] |
//! | `RawMutex`, and the `Mutex` over it | [`lock::suite`] |
//!
//! A suite knows nothing of what it tests but the port: it is led by what the implementation says that it can do.
//! Each rule of a suite is a function whose name is the rule; after each, everything has to be as at the start.

pub mod lists;
pub mod lock;
pub mod other;
pub mod platform;
pub mod policy;
pub mod store;

use forebay::{Order, OwnedBlock};

/// The order with that number.
///
/// # Panics
/// Above 15.
#[track_caller]
pub fn order(number: u8) -> Order {
    Order::new(number).expect("an order is at most 15")
}

/// Bytes that differ from those of every other seed, and from themselves shifted by anything.
pub fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut piece: Vec<u8> = (0..32).flat_map(|_| rng.next().to_le_bytes()).collect();
    let mut all = Vec::with_capacity(bytes + piece.len());
    while all.len() < bytes {
        piece[..8].copy_from_slice(&rng.next().to_le_bytes()); // the rest of each 256 bytes is the same
        all.extend_from_slice(&piece);
    }
    all.truncate(bytes);
    all
}

/// Fills a block with [`pattern`]; returns it.
///
/// # Panics
/// If the block does not take all of it.
#[track_caller]
pub fn fill<B: OwnedBlock>(block: &mut B, seed: u64) -> Vec<u8> {
    let bytes = pattern(seed, block.bytes());
    assert_eq!(block.write_at(0, &bytes), bytes.len(), "a block takes as many bytes as it has");
    bytes
}

/// Every byte of a block.
///
/// # Panics
/// If the block does not give all of them.
#[track_caller]
pub fn content<B: OwnedBlock>(block: &B) -> Vec<u8> {
    let mut bytes = vec![0; block.bytes()];
    assert_eq!(block.read_at(0, &mut bytes), bytes.len(), "a block gives as many bytes as it has");
    bytes
}

/// Random numbers that are the same in every run (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of that seed.
    pub const fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 8) as usize % end.max(1)
    }
}
