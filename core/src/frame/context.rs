//! What the caller of an operation may do.

use bitflags::bitflags;

bitflags! {
    /// The rights of the calling context. The empty set is an interrupt.
    ///
    /// Every port that could block or start I/O receives it. (TTM derives the same from `gfp` flags: `__GFP_FS` to back
    /// up at all, `__GFP_IO` to write back.)
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Context: u16 {
        /// May wait, and may spend time that grows with the size of a block: copy it, zero it.
        const MAY_BLOCK = 1;
        /// May start I/O.
        const MAY_IO = 2;
    }
}

impl Context {
    /// A thread or a main loop: everything is allowed.
    pub const THREAD: Context = Context::all();
    /// May wait but not start I/O: a reclaim from inside an I/O path.
    pub const NO_IO: Context = Context::MAY_BLOCK;
    /// May neither wait nor start I/O.
    pub const INTERRUPT: Context = Context::empty();
}

#[cfg(feature = "defmt")]
impl defmt::Format for Context {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Context({=u16:b})", self.bits());
    }
}
