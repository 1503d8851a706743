//! The short ways out and back of a buffer of one block. Constants of the types choose them, so a program links them or the walks
//! over slots.

use crate::buffer::contents::{Changing, Contents, Marks};
use crate::buffer::evict::Eviction;
use crate::buffer::{Buffer, ModeOf, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{Mode, Pages};
use crate::port::{EvictHooks, Platform};
use crate::stats::RefusalReason;

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Whether it has one block, which is always cached and never mapped for a device, charged, or in a lobby.
    pub(super) const ONE_BLOCK: bool = T::PLAIN && <ModeOf<T> as Mode>::COUNT == 1 && Self::LOBBY.is_empty();

    /// As [`evict_blocks`](Buffer::evict_blocks), of one block.
    #[inline]
    pub(super) fn evict_block<const MOST: u16>(
        &self,
        contents: &mut Contents<T>,
        eviction: &mut Eviction<'_, H>,
    ) {
        if !eviction.is_about(contents.slots.slots(), self.unit) {
            return;
        }
        let was_mapped = !contents.marks.contains(Marks::UNMAPPED);
        if self.before_evict(contents, eviction.cx).is_err() {
            return eviction.refuse(Pages::ZERO, RefusalReason::Hook);
        }
        let ready = contents.marks & Marks::READY;
        contents.marks.remove(Marks::READY);
        let changing = Changing::new(contents);
        self.write_back::<MOST>(changing.0, 0, eviction);
        changing.done();
        if eviction.lost {
            contents.marks.insert(Marks::LOST);
        }
        match contents.slots.slots().first() {
            Some(Slot { block: Some(_), .. }) => {
                if was_mapped && self.platform().hooks().after_restore(self.id(), eviction.cx).is_ok() {
                    contents.marks.remove(Marks::UNMAPPED);
                    contents.marks.insert(ready); // nothing happened
                }
            }
            Some(Slot { copy: Some(_), .. }) => {
                let transferred = eviction.sum.transferred > Pages::ZERO;
                contents.marks.remove(Marks::BLOCKS | Marks::CLEAN);
                contents.marks.insert(Marks::STORED);
                contents.marks.set(Marks::TRANSFERRED, transferred);
            }
            _ => contents.marks.remove(Marks::BLOCKS | Marks::CLEAN),
        }
    }
}
