//! A small seeded generator: the same seed gives the same trace, everywhere.

/// xorshift64* (Marsaglia 2003, Vigna 2016).
#[derive(Clone, Debug)]
pub struct XorShift(u64);

impl XorShift {
    /// Each seed has a sequence of its own.
    pub fn new(seed: u64) -> XorShift {
        // Seeds are small numbers, often neighbours: one step of splitmix64 spreads them.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        XorShift((mixed ^ (mixed >> 31)) | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not 0 and at most 2^32.
    pub fn below(&mut self, end: usize) -> usize {
        (((self.draw() >> 32) * end as u64) >> 32) as usize
    }

    /// Shuffles the items: every order of them has the same probability.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the same seed gives the same sequence, another seed another one, and a shuffle loses no item.
    #[test]
    fn sequences() {
        let draw = |seed| {
            let mut rng = XorShift::new(seed);
            [rng.draw(), rng.draw(), rng.draw()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut items: Vec<usize> = (0..100).collect();
        let mut rng = XorShift::new(7);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        rng.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
