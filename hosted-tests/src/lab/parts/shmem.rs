//! One shmem arena: as the buffers' memory and the store at once, or as a store for copies of plain RAM.

use super::ram::{Near, near, near_bytes};
use super::{Adopted, Parts};
use crate::lab::options::PAGE;
use crate::lab::shape::{MachineError, Shape, check_addresses, check_memory};
use crate::lab::system;
use forebay::{Pages, StoreId};
use forebay_backends::shmem::{Arena, Builder, Copies, OsLock, Swap};

/// What the system moves at once, at most: a huge page.
const CHUNK: usize = (2 << 20) / PAGE;

/// For blocks that are handed over: the buffers' memory is the arena's. What leaves them stays where it is, and is
/// the store's.
#[derive(Debug)]
pub struct ArenaParts {
    arena: Arena,
    frames: Pages,
}

/// For copies: the buffers' memory is plain RAM.
#[derive(Debug)]
pub struct CopiesParts {
    near: Near,
    arena: Arena,
}

/// That the computer can hold so many pages, in RAM or swap; and an arena with addresses for `room` pages.
fn builder(data: usize, room: usize) -> Result<Builder, MachineError> {
    check_memory(data.saturating_add(CHUNK), system::free_swap().unwrap_or(0))?;
    let room = room.max(1).checked_next_multiple_of(CHUNK).unwrap_or(usize::MAX);
    Ok(Arena::builder(Shape::bytes(room)? as u64))
}

impl Parts for ArenaParts {
    type Source = Arena;
    type Store<'p> = &'p Arena;

    const ADOPTED: Adopted = Adopted::OutsideBudget;

    fn new(shape: &Shape, more: usize) -> Result<ArenaParts, MachineError> {
        let frames = Pages::new(shape.frames());
        let room = shape.region.saturating_add(shape.frames());
        let arena = builder(shape.data, room)?.limit(frames).create().map_err(MachineError::Arena)?;
        check_addresses(&[more])?;
        Ok(ArenaParts { arena, frames })
    }

    fn source(&self) -> &Arena {
        &self.arena
    }
    fn store(&self) -> &Arena {
        &self.arena
    }

    fn frames(&self) -> Pages {
        self.frames
    }
    fn free(&self) -> Pages {
        self.frames - self.arena.resident()
    }
    fn out(&self) -> Pages {
        self.arena.resident() + self.arena.stored()
    }

    fn adopted(&self) -> Pages {
        self.arena.stored()
    }
    fn room(&self) -> Pages {
        self.arena.total()
    }
    fn taken(&self) -> Pages {
        Pages::ZERO
    }

    fn file_bytes(&self) -> Option<u64> {
        self.arena.memory_bytes().ok()
    }
    fn surroundings(&self) -> Option<String> {
        Some(self.arena.surroundings().to_string())
    }
    fn stays_in_ram(&self) -> bool {
        matches!(self.arena.surroundings().swap, Swap::None)
    }
}

impl Parts for CopiesParts {
    type Source = Near;
    type Store<'p> = Copies<'p, PAGE, OsLock>;

    const ADOPTED: Adopted = Adopted::InBudget; // nothing is

    fn new(shape: &Shape, more: usize) -> Result<CopiesParts, MachineError> {
        let all = shape.data.min(shape.region).saturating_add(shape.frames());
        let arena = builder(all, shape.region)?.create().map_err(MachineError::Arena)?;
        check_addresses(&[near_bytes(shape)?, more])?;
        Ok(CopiesParts { near: near(shape)?, arena })
    }

    fn source(&self) -> &Near {
        &self.near
    }
    fn store(&self) -> Copies<'_, PAGE, OsLock> {
        self.arena.copies(StoreId::DEFAULT)
    }

    fn frames(&self) -> Pages {
        self.near.total()
    }
    fn free(&self) -> Pages {
        self.near.free()
    }
    fn out(&self) -> Pages {
        self.near.total() - self.near.free()
    }

    fn adopted(&self) -> Pages {
        Pages::ZERO
    }
    fn room(&self) -> Pages {
        self.arena.total()
    }
    fn taken(&self) -> Pages {
        self.arena.stored()
    }

    fn file_bytes(&self) -> Option<u64> {
        self.arena.memory_bytes().ok()
    }
    fn surroundings(&self) -> Option<String> {
        Some(self.arena.surroundings().to_string())
    }
    fn stays_in_ram(&self) -> bool {
        matches!(self.arena.surroundings().swap, Swap::None)
    }
}
