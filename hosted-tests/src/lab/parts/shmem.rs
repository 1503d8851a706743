//! One shmem arena: as the buffers' memory and the store at once, or as a store for copies of plain RAM.

use super::ram::{Near, near, near_bytes};
use super::{Medium, Parts, Transferred};
use crate::lab::options::PAGE;
use crate::lab::shape::{MachineError, Shape, check_addresses, check_memory};
use crate::lab::system;
use forebay::{Pages, StoreId};
use forebay_backends::shmem::{Arena, Builder, Copies, OsLock, Swap};

/// Pages that the system moves at once, where it can: a huge page.
const HUGE: usize = (2 << 20) / PAGE;

/// The least that is worth a system call, and a page of any machine at least.
const LEAST: usize = (64 << 10) / PAGE;

/// For blocks that are transferred: the buffers' memory is the arena's. What leaves them stays where it is, and is
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

/// That the computer can hold `data` pages, in RAM or swap; and an arena with addresses for `room` pages.
///
/// A chunk of it stays mapped while any page of it is in a buffer. So that this does not become more than what the
/// buffers may have, several times over, its chunks are an eighth of that, or what is usual if that is less.
fn builder(shape: &Shape, data: usize, room: usize) -> Result<Builder, MachineError> {
    check_memory(data.saturating_add(HUGE), system::free_swap().unwrap_or(0))?;
    let room = room.max(1).checked_next_multiple_of(HUGE).unwrap_or(usize::MAX);
    let builder = Arena::builder(Shape::bytes(room)? as u64);
    let chunk = (shape.frames() / 8).max(LEAST);
    Ok(if chunk < HUGE { builder.chunk((1 << chunk.ilog2()) * PAGE) } else { builder })
}

fn medium(arena: &Arena) -> Medium {
    let surroundings = arena.host_report();
    Medium {
        chunk_bytes: arena.chunk_bytes(),
        shmem_bytes: arena.memory_bytes().ok(),
        stays_in_ram: match surroundings.swap {
            Swap::None => Some(true),
            Swap::Unknown => None,
            _ => Some(false),
        },
        surroundings: Some(surroundings.to_string()),
    }
}

impl Parts for ArenaParts {
    type Source = Arena;
    type Store<'p> = &'p Arena;

    const TRANSFERRED: Transferred = Transferred::OutsideBudget;

    fn new(shape: &Shape, more: usize) -> Result<ArenaParts, MachineError> {
        let frames = Pages::new(shape.frames());
        let room = shape.region.saturating_add(shape.frames());
        let arena = builder(shape, shape.data, room)?.limit(frames).create().map_err(MachineError::Arena)?;
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
    fn unused(&self) -> Pages {
        self.frames - self.arena.resident()
    }
    fn out(&self) -> Pages {
        self.arena.resident() + self.arena.stored()
    }

    fn transferred(&self) -> Pages {
        self.arena.stored()
    }
    fn room(&self) -> Pages {
        self.arena.total()
    }
    fn taken(&self) -> Pages {
        Pages::ZERO
    }

    fn medium(&self) -> Medium {
        medium(&self.arena)
    }
}

impl Parts for CopiesParts {
    type Source = Near;
    type Store<'p> = Copies<'p, PAGE, OsLock>;

    const TRANSFERRED: Transferred = Transferred::InBudget; // nothing is

    fn new(shape: &Shape, more: usize) -> Result<CopiesParts, MachineError> {
        let all = shape.data.min(shape.region).saturating_add(shape.frames());
        let arena = builder(shape, all, shape.region)?.create().map_err(MachineError::Arena)?;
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
    fn unused(&self) -> Pages {
        self.near.unused()
    }
    fn out(&self) -> Pages {
        self.near.total() - self.near.unused()
    }

    fn transferred(&self) -> Pages {
        Pages::ZERO
    }
    fn room(&self) -> Pages {
        self.arena.total()
    }
    fn taken(&self) -> Pages {
        self.arena.stored()
    }

    fn medium(&self) -> Medium {
        medium(&self.arena)
    }
}
