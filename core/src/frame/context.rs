//! What a caller permits: the rights of its context, and the ways out of an eviction.

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

bitflags! {
    /// The methods that an eviction may use, tried from the first to the last.
    ///
    /// From [`COPY`](Evict::COPY), only "too large" or a short copy leads to splitting: a store that is merely full must not
    /// split every large block for nothing. No block is split before the store has taken a part of it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Evict: u16 {
        /// Transfer the block: O(1) each, copies nothing, fit for an interrupt.
        const TRANSFER = 1;
        /// Copy the block whole, at its own order, then return it to the source.
        const COPY = 2;
        /// Copy the block in parts, and return each part to the source as soon as it is copied. Without
        /// [`COPY`](Evict::COPY): one unit of the buffer at a time. With it: halves, where the store says that the whole is
        /// too large or takes less of it.
        const SPLIT = 4;
        /// Drop contents that their owner does not need ([`set_purgeable`](crate::Buffer::set_purgeable)): the whole buffer
        /// at once, whatever the budget, used lately or not. A buffer that was purged before, and is resident again, is subject to
        /// the clock like any other.
        const PURGE = 8;
    }
}

impl Evict {
    /// All methods: purge what may be purged; else transfer, else copy, else split.
    pub const ANY: Evict = Evict::all();
}

#[cfg(feature = "defmt")]
impl defmt::Format for Evict {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Evict({=u16:b})", self.bits());
    }
}
