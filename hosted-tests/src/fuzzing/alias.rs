//! The second mapping of an arena: the bytes as a guest or a device sees them.
#![allow(unsafe_code)]

use super::memfd::Memory;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The mapping, as long as its arena lives.
pub(super) struct Alias<'a> {
    mapping: NonNull<[u8]>,
    arena: PhantomData<&'a Memory>,
}

impl<'a> Alias<'a> {
    pub(super) fn of(arena: &'a Memory) -> Self {
        Alias { mapping: arena.mapping(1).expect("two were asked for"), arena: PhantomData }
    }

    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        assert!(offset + bytes <= self.mapping.len(), "outside the mapping");
        // SAFETY: it stays in the mapping.
        unsafe { self.mapping.cast::<u8>().add(offset) }
    }

    pub(super) fn read(&self, offset: usize, bytes: usize) -> Vec<u8> {
        let from = self.at(offset, bytes);
        // SAFETY: `at` found them in the mapping, which is mapped as long as the arena lives, and nothing has a reference
        // to its bytes: its blocks are copied.
        (0..bytes).map(|n| unsafe { from.add(n).read_volatile() }).collect()
    }

    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        for (n, byte) in bytes.iter().enumerate() {
            // SAFETY: as above.
            unsafe { to.add(n).write_volatile(*byte) };
        }
    }
}
