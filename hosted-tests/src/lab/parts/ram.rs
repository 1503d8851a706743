//! Plain RAM in front of a swap region in RAM.

use super::{Parts, Transferred};
use crate::lab::options::PAGE;
use crate::lab::shape::{MachineError, Shape, check_addresses, check_memory};
use crate::memory;
use forebay::{BackingStore, Pages, StoreId, sync::SpinRawMutex};
use forebay_backends::{MemoryError, MemoryRefused, Ram, RamRegion};

/// Blocks that wait to be written out, at most.
pub const TRANSFERS: usize = 256;

pub(super) type Near = Ram<SpinRawMutex, PAGE, 1>;
type Far = RamRegion<SpinRawMutex, PAGE, TRANSFERS>;

/// Fast and slow memory, leaked: they want it for ever.
#[derive(Debug)]
pub struct RamParts {
    near: Near,
    far: Far,
}

/// Bytes that [`near`] takes, with what it keeps notes in.
pub(super) fn near_bytes(shape: &Shape) -> Result<usize, MachineError> {
    let bytes = Shape::bytes(shape.frames())?;
    Ok(bytes + Near::metadata_words(bytes) * size_of::<usize>())
}

/// Memory for the buffers, leaked.
pub(super) fn near(shape: &Shape) -> Result<Near, MachineError> {
    let bytes = Shape::bytes(shape.frames())?;
    let near = Near::new();
    near.add(memory::leak(bytes, 0), memory::words(Near::metadata_words(bytes)))
        .map_err(why(MachineError::Source))?;
    Ok(near)
}

fn why(what: fn(MemoryError) -> MachineError) -> impl Fn(MemoryRefused) -> MachineError {
    move |refused| what(refused.why)
}

impl Parts for RamParts {
    type Source = Near;
    type Store<'p> = &'p Far;

    const TRANSFERRED: Transferred = Transferred::InBudget;

    fn new(shape: &Shape, more: usize) -> Result<RamParts, MachineError> {
        check_memory(shape.data.min(shape.region).saturating_add(shape.frames()), 0)?;
        let bytes = Shape::bytes(shape.region)?;
        let words = Far::metadata_words(bytes);
        check_addresses(&[near_bytes(shape)?, bytes, words * size_of::<usize>(), more])?;
        let far = Far::new(StoreId::DEFAULT);
        far.init(memory::leak(bytes, 0), memory::words(words)).map_err(why(MachineError::Region))?;
        Ok(RamParts { near: near(shape)?, far })
    }

    fn source(&self) -> &Near {
        &self.near
    }
    fn store(&self) -> &Far {
        &self.far
    }

    fn frames(&self) -> Pages {
        self.near.total()
    }
    fn unused(&self) -> Pages {
        self.near.unused()
    }
    fn out(&self) -> Pages {
        self.near.total() - self.near.unused()
    }

    fn transferred(&self) -> Pages {
        self.far.pending()
    }
    fn room(&self) -> Pages {
        self.far.total()
    }
    fn taken(&self) -> Pages {
        self.far.total() - self.far.space().pages
    }
}
