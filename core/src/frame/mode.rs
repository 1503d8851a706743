//! Caching modes: how the CPU sees a block while a pool or a buffer owns it.

/// The caching modes of a machine.
///
/// `()` is a machine with one mode; it costs no bytes and no code. [`Caching`] is the usual set of three.
pub trait Mode: Copy {
    /// Ordinary cached memory: the mode of every block outside of pools and buffers. Sources and stores see no other.
    const CACHED: Self;
    /// The number of modes.
    const COUNT: usize;
    /// A different number below [`Mode::COUNT`] for each mode.
    fn index(self) -> usize;
}

impl Mode for () {
    const CACHED: () = ();
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
    const CACHED: Self = Caching::WriteBack;
    const COUNT: usize = 3;
    fn index(self) -> usize {
        self as usize
    }
}

/// The caching mode was not changed: every page of the block has the mode that it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModeRefused;

impl core::fmt::Display for ModeRefused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(
            "the platform refused the caching mode, and the block keeps the mode that it had: try again, where it may wait",
        )
    }
}

impl core::error::Error for ModeRefused {}
