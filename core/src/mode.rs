//! Caching modes: how the CPU sees a block while a pool or a buffer has it.

/// The caching modes of a platform.
///
/// `()` is a platform with one mode; it costs no bytes and no code. [`Caching`] is the usual set of three.
pub trait Mode: Copy {
    /// The mode of every block outside pool and buffers: write-back. Sources and stores see no other.
    const PLAIN: Self;
    /// How many modes there are.
    const COUNT: usize;
    /// A different number below [`Mode::COUNT`] for each mode.
    fn index(self) -> usize;
}

impl Mode for () {
    const PLAIN: () = ();
    const COUNT: usize = 1;
    fn index(self) -> usize {
        0
    }
}

/// The three caching modes of TTM (`enum ttm_caching`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Caching {
    /// Ordinary cached memory.
    WriteBack,
    /// Writes are gathered, reads are not cached.
    WriteCombined,
    /// Neither reads nor writes are cached.
    Uncached,
}

impl Mode for Caching {
    const PLAIN: Self = Caching::WriteBack;
    const COUNT: usize = 3;
    fn index(self) -> usize {
        self as usize
    }
}
