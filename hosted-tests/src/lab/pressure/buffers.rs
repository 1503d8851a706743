//! A pool of buffers: what leaves is transferred, or copied by forebay.

use super::outcome::{Phase, Sample};
use super::pool::{BLOCKS, BYTES, HUGE, LEAVING, PAGES, Pool, contents, leaves, missing};
use crate::lab::options::PAGE;
use forebay::{BackingStore, Buffer, Context, Evict, Forebay, Pages};
use forebay_backends::shmem::{Arena, ArenaBlock};
use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

type Home<'a, S> = Forebay<&'a Arena, S>;

/// Buffers of one block each.
#[derive(Debug)]
pub(super) struct Buffers<'h, 'a, S: BackingStore<ArenaBlock<PAGE>>> {
    home: &'h Home<'a, S>,
    arena: &'a Arena,
    how: Evict,
    /// Each with where its block is in the arena.
    kept: Vec<(Buffer<&'h Home<'a, S>>, u64)>,
    leaving: Vec<(Buffer<&'h Home<'a, S>>, u64)>,
}

fn failed(why: impl Display) -> io::Error {
    io::Error::other(why.to_string())
}

impl<'h, 'a, S: BackingStore<ArenaBlock<PAGE>>> Buffers<'h, 'a, S> {
    /// With contents. They leave by transfer, or as `how` says.
    pub(super) fn filled(home: &'h Home<'a, S>, arena: &'a Arena, how: Evict) -> io::Result<Self> {
        let (mut kept, mut leaving) = (vec![], vec![]);
        for number in 0..BLOCKS {
            let buffer = Buffer::new(home, HUGE);
            let mut guard = buffer.write().map_err(failed)?;
            for page in 0..PAGES {
                guard.write_at(page * PAGE, &contents(number, page));
            }
            let offset = guard.blocks().next().and_then(|(_, block)| arena.offset(block));
            let offset = offset.ok_or_else(|| failed("a buffer without a block"))?;
            drop(guard);
            if leaves(number) { &mut leaving } else { &mut kept }.push((buffer, offset));
        }
        Ok(Buffers { home, arena, how, kept, leaving })
    }

    fn all(&self, block: usize) -> &(Buffer<&'h Home<'a, S>>, u64) {
        if leaves(block) { &self.leaving[block / 2] } else { &self.kept[block / 2] }
    }

    fn sum(&self, blocks: &[(Buffer<&'h Home<'a, S>>, u64)]) -> io::Result<usize> {
        blocks.iter().map(|(_, offset)| missing(self.arena, *offset)).sum()
    }
}

impl<S: BackingStore<ArenaBlock<PAGE>>> Pool for Buffers<'_, '_, S> {
    /// By transfer in two calls, as an interrupt and an idle loop make them: between the two everything is pending.
    fn shrink(&mut self, left: &mut dyn FnMut(&Self, usize)) -> io::Result<(usize, Option<String>)> {
        let pages = Pages::new(LEAVING * PAGES);
        let leaving: [&Buffer<_>; LEAVING] = std::array::from_fn(|n| &self.leaving[n].0);
        if self.how != Evict::TRANSFER {
            let evicted = self.home.reclaim(&leaving, pages, self.how, Context::THREAD).evicted;
            return Ok((evicted.moved().get() / PAGES, evicted.why.map(|why| why.to_string())));
        }
        let moved = self.home.transfer(&leaving, pages).get() / PAGES;
        left(self, moved);
        match self.home.settle(Pages::ZERO, Context::THREAD).error {
            Some(why) => Err(failed(why)),
            None => Ok((moved, None)),
        }
    }

    fn use_kept(&mut self) -> io::Result<()> {
        for (n, (buffer, _)) in self.kept.iter().enumerate() {
            let mut guard = buffer.write().map_err(failed)?;
            for page in 0..PAGES {
                guard.write_at(page * PAGE, &contents(2 * n + 1, page)[..8]);
            }
        }
        Ok(())
    }

    fn look(&self, phase: Phase) -> io::Result<Sample> {
        let usage = self.arena.usage();
        let [swapped_stored, swapped_kept] = [self.sum(&self.leaving)?, self.sum(&self.kept)?];
        Ok(Sample {
            phase,
            resident: usage.resident.get() - swapped_kept,
            pending: usage.pending.get(),
            reclaimable: usage.reclaimable.get().saturating_sub(swapped_stored),
            swapped_stored,
            swapped_kept,
        })
    }

    fn swapped(&self, block: usize) -> io::Result<usize> {
        missing(self.arena, self.all(block).1)
    }

    fn restore(&mut self, block: usize) -> io::Result<Duration> {
        let start = Instant::now();
        let restored = self.all(block).0.restore(Pages::new(PAGES), Context::THREAD);
        let took = start.elapsed();
        restored.why.map_or(Ok(took), |why| Err(failed(why)))
    }

    fn read(&self, block: usize, page: usize, to: &mut [u8; PAGE]) -> io::Result<()> {
        self.all(block).0.read().map_err(failed)?.read_at(page * PAGE, to);
        Ok(())
    }

    fn chunks(&self) -> (usize, usize) {
        (BLOCKS * BYTES / self.arena.chunk_bytes(), self.arena.usage().huge_chunks)
    }
}
