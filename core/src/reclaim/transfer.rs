//! One pass by transfer: what an interrupt does. Short, and linked without the rest of a reclaim.

use crate::buffer::Class;
use crate::forebay::Forebay;
use crate::frame::Pages;
use crate::port::{BackingStore, Platform};
use crate::reclaim::candidates::Candidates;
use crate::reclaim::scan::Scan;

impl<P: Platform, S: BackingStore<P::Block>> Forebay<P, S> {
    /// Transfers idle buffers to the store until `pages` left, or nothing more can be done. Returns how many left: transferred,
    /// or clean. The store frees what was transferred when it is [settled](Forebay::settle).
    ///
    /// As [`reclaim`](Forebay::reclaim) with [`Evict::TRANSFER`](crate::Evict::TRANSFER) for [`ReclaimTarget::moved`](crate::ReclaimTarget::moved), in
    /// one pass: clean blocks leave in the order of the walk, not before others; the pass ends at the first
    /// [`Backlog`](crate::StoreError::Backlog), and does not settle. A program that reclaims only by this has less code.
    ///
    /// # Context
    /// For an interrupt: copies nothing, allocates nothing, waits for nothing. One load for each buffer with nothing to give,
    /// O(1) for each block that leaves. Once round the candidates; a second time if a buffer was skipped that was used lately or
    /// refused.
    pub fn transfer<C: Candidates>(&self, candidates: C, pages: Pages) -> Pages {
        if pages == Pages::ZERO {
            return pages;
        }
        let mut moved = Pages::ZERO;
        let hand = &candidates.candidate_hands().unwrap_or(&self.hands).evict;
        let len = candidates.candidate_count();
        let mut scan = Scan::begin(hand, len, len);
        let mut skipped = false;
        while let Some(at) = scan.find(&candidates, Class::RESIDENT) {
            if let Some(did) = candidates.transfer_at(at, pages - moved) {
                moved += did.pages;
                if did.backlog || moved >= pages {
                    break; // the hand stays here: this one may have more to give
                }
            } else if !skipped {
                skipped = true;
                scan.again();
            }
            scan.pass(1);
        }
        scan.end(hand);
        moved
    }
}
