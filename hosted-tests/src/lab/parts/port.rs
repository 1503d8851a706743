//! What the lab must know of a source and a store, beyond what every source and store says.

use crate::lab::shape::{MachineError, Shape};
use forebay::{BackingStore, FrameSource, Pages};
use serde::Serialize;
use std::fmt;

/// Where the pages of transferred blocks are counted, as long as the store has the blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transferred {
    /// In the budget of the buffers: their frames are free again once they are written out.
    InBudget,
    /// With the store, from the moment of the transfer: it is the source as well.
    OutsideBudget,
}

/// What a store keeps contents in. Plain RAM has no chunks, no shmem and no surroundings that matter.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Medium {
    /// Bytes that shmem unmaps and drops as one. 0 with `ram`.
    pub chunk_bytes: usize,
    /// Bytes of memory that the shmem file holds, in RAM or swap; whole chunks count. Where blocks are transferred, the
    /// buffers' memory is in it too. 0 with `ram`; `None` if the system does not say.
    pub shmem_bytes: Option<u64>,
    /// Whether nothing of what is stored can leave RAM: there is no swap, or the store does not use it. `None` if it is
    /// not known whether there is swap.
    pub stays_in_ram: Option<bool>,
    /// What the machine offers the store, and what it lacks, if that matters to the store.
    pub surroundings: Option<String>,
}

/// A source and a store. All figures are in pages.
pub trait Parts: fmt::Debug + Sized + 'static {
    /// Where the buffers' memory comes from.
    type Source: FrameSource;
    /// Where evicted contents go.
    type Store<'p>: BackingStore<<Self::Source as FrameSource>::Block>;

    /// What the store's transfers are charged to.
    const TRANSFERRED: Transferred;

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
    fn unused(&self) -> Pages;
    /// What the source says is out, by its own count: with the buffers, or transferred.
    fn out(&self) -> Pages;

    /// Pages of transferred blocks that the store still has.
    fn transferred(&self) -> Pages;
    /// What the store has in all.
    fn room(&self) -> Pages;
    /// Of the store's own memory, what is taken. (Transferred blocks are the source's.)
    fn taken(&self) -> Pages;

    /// What contents are kept in, and how that stands now.
    fn medium(&self) -> Medium {
        Medium { chunk_bytes: 0, shmem_bytes: Some(0), stays_in_ram: Some(true), surroundings: None }
    }
}
