//! What the caller of an operation may do.

use bitflags::bitflags;

bitflags! {
    /// The rights of a calling context. Fewer bits, fewer rights; the empty set is an interrupt.
    ///
    /// Handed down to every port that could block or start I/O (TTM derives the same from `gfp` flags:
    /// `__GFP_FS` to back up at all, `__GFP_IO` to write back).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Context: u16 {
        /// May wait, and may spend time that grows with the size of a block: copy it, zero it.
        const MAY_BLOCK = 1;
        /// May start I/O.
        const MAY_IO = 2;
    }
}

impl Context {
    /// An ordinary thread or main loop: everything is allowed.
    pub const THREAD: Context = Context::all();
    /// May wait, but must not start I/O: reclaim from inside an I/O path.
    pub const NO_IO: Context = Context::MAY_BLOCK;
    /// May do neither.
    pub const INTERRUPT: Context = Context::empty();
}

#[cfg(feature = "defmt")]
impl defmt::Format for Context {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Context({=u16:b})", self.bits());
    }
}
