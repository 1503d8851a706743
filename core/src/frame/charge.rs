//! Who pays for memory.

use core::fmt;
use core::num::NonZeroUsize;

/// Who pays for contents: a token of the integrator, such as the number of a control group, a client or a guest.
///
/// It pays for contents, not for a place: once, from the first block until the contents are dropped. The token moves with
/// the contents to the store and back. Evicting and restoring charge nothing, so they can't fail for it. (Linux charges
/// what a shrinker copies to the task that runs the shrinker, unless it is told otherwise.)
///
/// Prints as `C7`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge(pub NonZeroUsize);

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Charge {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "C{=usize}", self.0.get());
    }
}
