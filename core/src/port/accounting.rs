//! Accounting: optional; `()` charges the number of the buffer plus one, without a limit.

use crate::frame::{BufferId, Charge, Context, Pages};
use core::num::NonZeroUsize;

/// Charges owners for contents. Only buffers that keep charges ([`Charged`](crate::buffer::Charged)) call it.
pub trait Accounting {
    /// Charges for new contents of that buffer; the token says who pays. Called where such a buffer gets a block for empty
    /// slots. Evicting and restoring charge nothing. The default's token is the number of the buffer plus one.
    ///
    /// `None`: the payer is at its limit. The block goes back to the pool, and the guard is refused.
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        let _ = (pages, cx);
        NonZeroUsize::new(id.0.wrapping_add(1)).map(Charge)
    }

    /// Ends the charge for this many pages, whose contents were dropped. Must not fail and must not block: interrupts call
    /// it. The default does nothing.
    fn uncharge(&self, charge: Charge, pages: Pages) {
        let _ = (charge, pages);
    }
}

/// The number of the buffer pays, without a limit.
impl Accounting for () {}

impl<A: Accounting + ?Sized> Accounting for &A {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        (**self).charge(id, pages, cx)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        (**self).uncharge(charge, pages);
    }
}
