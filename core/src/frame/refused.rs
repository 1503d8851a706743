//! A failure that hands back what was given.

use core::fmt;

/// The operation was refused. `item` is what was passed in, unchanged.
///
/// There is no `From<Refused<..>>` for any error, on purpose: `?` can't drop a block. This is the contract of the
/// in-kernel proposal's insertion, "on failure the caller retains ownership", as a type.
#[must_use = "it holds what was handed in"]
#[derive(PartialEq, Eq)]
pub struct Refused<T, E> {
    /// What was handed in, unharmed.
    pub item: T,
    /// The reason.
    pub why: E,
}

/// The reason only: what was handed in may be all memory of a machine.
impl<T, E: fmt::Debug> fmt::Debug for Refused<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<T, E: fmt::Display> fmt::Display for Refused<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.why)
    }
}

/// `T` need not be `Format`.
#[cfg(feature = "defmt")]
impl<T, E: defmt::Format> defmt::Format for Refused<T, E> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "refused: {}", self.why);
    }
}
