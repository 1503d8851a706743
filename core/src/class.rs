//! What a reclaim may want of a buffer, known without looking at it.

use bitflags::bitflags;

bitflags! {
    /// What a reclaim may want of a buffer. Each says "perhaps": a mark that is there too long costs a look, one that is
    /// missing would hide the buffer.
    ///
    /// A buffer tells it to what is beside its slots ([`Slots::sorted`](crate::Slots::sorted)), and so to a
    /// [`Roster`](crate::Roster).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Class: u8 {
        /// It has blocks.
        const RESIDENT = 1;
        /// Among them are clean ones: the store has a copy.
        const CLEAN = 2;
        /// It has contents, here or in the store, and its owner does not need them.
        const PURGEABLE = 4;
        /// The same again, after a purge that its owner was not told of yet: zeros that somebody read, blocks that could not go.
        const PURGED = 8;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Class {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Class({=u8:b})", self.bits());
    }
}
