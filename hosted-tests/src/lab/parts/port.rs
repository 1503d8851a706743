//! What the lab must know of a source and a store, beyond what every source and store says.

use crate::lab::shape::{MachineError, Shape};
use forebay::{BackingStore, Pages, Platform};
use std::fmt;

/// Where the pages are counted that the store adopted and still has as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adopted {
    /// In the budget of the buffers: their frames are free again once they are written out.
    InBudget,
    /// With the store, from the moment of the transfer. It is the source as well: what it drops is home at once.
    OutsideBudget,
}

/// A source and a store. All figures are in pages.
pub trait Parts: fmt::Debug + Sized + 'static {
    /// Where the buffers' memory comes from.
    type Source: Platform;
    /// Where evicted contents go.
    type Store<'p>: BackingStore<<Self::Source as Platform>::Block>;

    /// What the store's adoptions are charged to.
    const ADOPTED: Adopted;

    /// Both, with memory for this shape. What is not used of it takes none. The lab will ask for `more` bytes later.
    ///
    /// # Errors
    /// [`MachineError`].
    fn new(shape: &Shape, more: usize) -> Result<Self, MachineError>;

    /// The source.
    fn source(&self) -> &Self::Source;
    /// The store.
    fn store(&self) -> Self::Store<'_>;

    /// What the buffers may hold at once.
    fn frames(&self) -> Pages;
    /// How much of that is free now.
    fn free(&self) -> Pages;
    /// What the source says is out, by its own count: with the buffers, or adopted.
    fn out(&self) -> Pages;

    /// Adopted by the store, and still as it was handed over.
    fn adopted(&self) -> Pages;
    /// What the store has in all.
    fn room(&self) -> Pages;
    /// Of the store's own memory, what is taken. (Blocks that it adopted are the source's.)
    fn taken(&self) -> Pages;

    /// Bytes of memory that a file of the store holds, in RAM or swap: zero where there is no file, `None` where the
    /// system does not say.
    fn file_bytes(&self) -> Option<u64> {
        Some(0)
    }
    /// Bytes that the store unmaps and drops as one; zero where it does not unmap.
    fn chunk_bytes(&self) -> usize {
        0
    }
    /// What the machine offers this store and what it lacks, if that matters to it.
    fn surroundings(&self) -> Option<String> {
        None
    }
    /// Whether nothing of what is stored can leave RAM.
    fn stays_in_ram(&self) -> bool {
        true
    }
}
