//! Who pays for memory.

use core::fmt;
use core::num::NonZeroUsize;

/// Who pays for contents: a token of the platform's, such as the number of a control group, a client or a guest.
///
/// It pays for contents, not for a place: once, from the first block until they are dropped. It goes with them into the
/// store and back, so evicting and restoring charge nobody anew, and so can't fail for it; and whoever it is that shrinks,
/// the owner goes on paying. (Linux charges what a shrinker copies to the task that happens to shrink, unless it is told
/// otherwise.)
///
/// Prints as `C7`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge(NonZeroUsize); // one more than the token, so that an optional one takes no more room

impl Charge {
    /// The token with that word, or `None` for `usize::MAX`.
    pub const fn new(word: usize) -> Option<Charge> {
        match NonZeroUsize::new(word.wrapping_add(1)) {
            Some(next) => Some(Charge(next)),
            None => None,
        }
    }

    /// The word.
    pub const fn get(self) -> usize {
        self.0.get() - 1
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.get())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Charge {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "C{=usize}", self.get());
    }
}

/// Who would have to pay has no more to give; nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OverLimit;

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "over the limit of who would have to pay for it: drop something of theirs, or raise the limit",
        )
    }
}

impl core::error::Error for OverLimit {}
