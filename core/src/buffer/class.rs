//! What a reclaim may want of a buffer, known without holding it.

use bitflags::bitflags;

bitflags! {
    /// What a reclaim may want of a buffer. Each flag says "perhaps": a superfluous flag costs a look, a missing one would
    /// hide the buffer.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Class: u8 {
        /// It has blocks.
        const RESIDENT = 1;
        /// Some of its blocks are clean: the store has a copy.
        const CLEAN = 2;
        /// It has contents, resident or stored, that its owner does not need.
        const PURGEABLE = 4;
        /// Purgeable and already purged; the owner has not rewritten it.
        const PURGED = 8;
        /// A guard needs no work: everything is resident, in the right mode, with addresses, and the hook ran.
        const READY = 16;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Class {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Class({=u8:b})", self.bits());
    }
}
