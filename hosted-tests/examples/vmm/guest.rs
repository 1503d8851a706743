//! A guest that computes: it adds to words all over its memory. It knows by itself what must be where.

use forebay::{Home, WriteGuard};

pub(crate) struct Guest {
    memory: Vec<Vec<u64>>,
    state: u64,
}

impl Guest {
    pub(crate) fn new(units: usize, bytes: usize) -> Guest {
        Guest { memory: vec![vec![0; bytes / 8]; units], state: 1 }
    }

    /// The next word that it touches: a unit, and which of its words.
    pub(crate) fn next(&mut self) -> (usize, usize) {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (self.state >> 16) as usize;
        (random % self.memory.len(), (random >> 8) % self.memory[0].len())
    }

    /// Adds to a word, where it finds what it left there.
    pub(crate) fn step<H: Home>(&mut self, unit: &mut WriteGuard<'_, H>, n: usize, word: usize) {
        let mut bytes = [0; 8];
        unit.read_at(word * 8, &mut bytes);
        assert_eq!(u64::from_le_bytes(bytes), self.memory[n][word], "unit {n}, word {word}");
        self.memory[n][word] = self.memory[n][word].wrapping_add(self.state);
        unit.write_at(word * 8, &self.memory[n][word].to_le_bytes());
    }

    /// It gave this unit up.
    pub(crate) fn forget(&mut self, unit: usize) {
        self.memory[unit].fill(0);
    }

    /// What a unit must contain.
    pub(crate) fn bytes(&self, unit: usize) -> Vec<u8> {
        self.memory[unit].iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}
