//! The chunks of an arena: what the kernel maps, swaps and drops as one.

use super::folio::Folio;
use crate::frames::{bitmap, runs};
use core::ops::Range;
use std::boxed::Box;

/// The state of a chunk in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mapping {
    /// It has no memory.
    Hole,
    /// May be mapped.
    Mapped,
    /// Unknown: some of it may have no memory, or be mapped or not.
    Unknown,
    /// A settle is unmapping it, outside of the lock.
    Unmapping,
    /// The same, and a page of it was given out meanwhile, so a part may be mapped again.
    Raced,
    /// Not mapped; its contents are in the memfd, or in swap.
    Unmapped,
    /// A settle is dropping its memory, outside of the lock.
    Punching,
}

/// What is to be done about a chunk. It follows from its mapping and its counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// No memory, and no owner.
    Empty,
    /// Some of it is resident, so all of it stays mapped.
    Open,
    /// Mapped, with stored contents only: to be unmapped.
    Queued,
    /// Being unmapped.
    Flushing,
    /// Unmapped: the system can reclaim it by itself.
    Clean,
    /// It has memory without an owner: to be punched.
    Dead,
    /// Being punched.
    Punching,
}

/// Pages of one chunk, by owner. The rest of it is free and fresh, or retired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    /// Owned as blocks, reserved for one, or being read: they keep the chunk mapped.
    pub(crate) resident: u32,
    /// Under handles.
    pub(crate) stored: u32,
    /// Free, or retired, with old bytes.
    pub(crate) stale: u32,
    pub(crate) mapping: Mapping,
    /// Its kind of folio, if that is known.
    pub(crate) folio: Option<Folio>,
}

impl Chunk {
    /// `pages` more pages have an owner, who may touch them from now on.
    pub(crate) fn claim(&mut self, pages: u32) {
        self.resident += pages;
        if self.mapping == Mapping::Unmapping {
            self.mapping = Mapping::Raced;
        }
    }

    pub(crate) fn state(&self) -> State {
        match (self.mapping, self.resident > 0, self.stored > 0) {
            (Mapping::Punching, ..) => State::Punching,
            (_, true, _) => State::Open,
            (Mapping::Hole, false, _) => State::Empty,
            (Mapping::Unmapping | Mapping::Raced, false, _) => State::Flushing,
            (Mapping::Mapped | Mapping::Unknown, false, true) => State::Queued,
            (Mapping::Unmapped, false, true) => State::Clean,
            (Mapping::Mapped | Mapping::Unknown | Mapping::Unmapped, false, false) => State::Dead,
        }
    }
}

/// Pages of all chunks, and how many chunks are of which kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) resident: usize,
    pub(crate) pending: usize,
    pub(crate) reclaimable: usize,
    pub(crate) stale: usize,
    pub(crate) huge: usize,
    pub(crate) small: usize,
}

impl Sums {
    /// Adds or subtracts what a chunk in that state contributes.
    #[inline]
    fn count(&mut self, chunk: &Chunk, state: State, op: fn(usize, usize) -> usize) {
        self.resident = op(self.resident, chunk.resident as usize);
        let stored = if state == State::Clean { &mut self.reclaimable } else { &mut self.pending };
        *stored = op(*stored, chunk.stored as usize);
        self.stale = op(self.stale, chunk.stale as usize);
        if chunk.mapping != Mapping::Hole {
            match chunk.folio {
                Some(Folio::Huge) => self.huge = op(self.huge, 1),
                Some(Folio::Small) => self.small = op(self.small, 1),
                None => {}
            }
        }
    }
}

/// All chunks of an arena.
///
/// # Invariants
/// `sums`, `queued` and `dead` equal what a walk over `all` would count. [`change`](Chunks::change), the only way to write to a
/// chunk, keeps them so.
#[derive(Debug)]
pub(crate) struct Chunks {
    all: Box<[Chunk]>,
    queued: Box<[usize]>,
    dead: Box<[usize]>,
    sums: Sums,
}

impl Chunks {
    /// `count` chunks, each like `chunk`. `None` if there is no memory for them.
    pub(crate) fn new(chunk: Chunk, count: usize) -> Option<Chunks> {
        let words = bitmap::plain_words(count);
        let all = boxed(chunk, count)?;
        let mut chunks =
            Chunks { all, queued: boxed(0, words)?, dead: boxed(0, words)?, sums: Sums::default() };
        let empty = Chunk { resident: 0, stored: 0, stale: 0, mapping: Mapping::Hole, folio: None };
        for n in 0..count {
            if let Some(it) = chunks.all.get_mut(n) {
                *it = empty;
            }
            chunks.change(n, |it| *it = chunk);
        }
        Some(chunks)
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn sums(&self) -> Sums {
        self.sums
    }

    pub(crate) fn get(&self, n: usize) -> Option<&Chunk> {
        self.all.get(n)
    }

    /// Changes a chunk, and everything that follows from it.
    #[inline]
    pub(crate) fn change(&mut self, n: usize, f: impl FnOnce(&mut Chunk)) {
        let Some(chunk) = self.all.get_mut(n) else { return };
        let was = chunk.state();
        self.sums.count(chunk, was, usize::wrapping_sub);
        f(chunk);
        let state = chunk.state();
        self.sums.count(chunk, state, usize::wrapping_add);
        if state != was {
            for (marks, which) in [(&mut self.queued, State::Queued), (&mut self.dead, State::Dead)] {
                let mark = bitmap::Bit::new(n);
                if state == which {
                    mark.set(marks)
                } else {
                    mark.clear(marks)
                };
            }
        }
    }

    /// The first run of chunks in that state, [`Queued`](State::Queued) or [`Dead`](State::Dead), from `at` on, of at
    /// most `most` chunks.
    pub(crate) fn run(&self, which: State, at: usize, most: usize) -> Option<Range<usize>> {
        let marks = if which == State::Queued { &self.queued } else { &self.dead };
        let start = runs::next(marks, at)?;
        let len = (start..self.count()).take(most).take_while(|n| bitmap::get(marks, *n)).count();
        Some(start..start + len)
    }
}

/// `count` times the same value, or `None` if there is no memory for them.
pub(crate) fn boxed<T: Clone>(value: T, count: usize) -> Option<Box<[T]>> {
    let mut all = std::vec::Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize(count, value);
    Some(all.into_boxed_slice())
}
