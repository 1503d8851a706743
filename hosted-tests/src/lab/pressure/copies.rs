//! A pool whose blocks are copied into shmem as Linux's TTM does it: by writing to a file, whole or page by page.

use super::outcome::{Phase, Sample};
use super::pool::{BLOCKS, BYTES, HUGE, LEAVING, PAGES, Pool, contents, leaves, missing};
use crate::lab::options::PAGE;
use forebay::{AllocRequest, Context, FrameSource, OwnedBlock};
use forebay_backends::shmem::{Arena, ArenaBlock};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Blocks of one arena, and a file, which is another one, for the copies.
#[derive(Debug)]
pub(super) struct Copied<'a> {
    /// Where the blocks are. What is copied is freed by its range, not as a block.
    pool: &'a Arena,
    /// Each with where it is.
    blocks: Vec<(ArenaBlock<PAGE>, u64)>,
    copies: &'a Arena,
    file: File,
    /// Bytes that are copied before they are freed.
    piece: usize,
    /// Blocks that are copied.
    done: usize,
    /// What came back, block by block.
    back: Vec<Vec<u8>>,
}

impl<'a> Copied<'a> {
    /// With contents. `piece` bytes are copied before they are freed.
    pub(super) fn filled(pool: &'a Arena, copies: &'a Arena, piece: usize) -> io::Result<Copied<'a>> {
        let mut blocks = vec![];
        for number in 0..BLOCKS {
            let mut block =
                pool.allocate(AllocRequest::new(HUGE), Context::THREAD).map_err(io::Error::other)?;
            for page in 0..PAGES {
                block.write_at(page * PAGE, &contents(number, page));
            }
            let offset = pool.offset(&block).unwrap_or(0); // it is its own
            blocks.push((block, offset));
        }
        let file = File::from(copies.as_fd().try_clone_to_owned()?);
        Ok(Copied { pool, blocks, copies, file, piece, done: 0, back: vec![vec![]; LEAVING] })
    }

    /// Where the copy of a block is.
    fn place(block: usize) -> u64 {
        (block / 2 * BYTES) as u64
    }

    /// Writes a part of a block, a page at a time, and frees it.
    fn write_part(&self, block: usize, part: usize) -> io::Result<()> {
        let (from, offset) = &self.blocks[block];
        let mut bytes = [0; PAGE];
        for at in (part..part + self.piece).step_by(PAGE) {
            from.read_at(at, &mut bytes);
            self.file.write_all_at(&bytes, Self::place(block) + at as u64)?;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(self.pool, flags, offset + part as u64, self.piece as u64)?)
    }

    fn sum(&self, of: impl Fn(usize) -> bool) -> io::Result<usize> {
        (0..BLOCKS).filter(|block| of(*block)).map(|block| self.swapped(block)).sum()
    }

    fn has_left(&self, block: usize) -> bool {
        leaves(block) && block / 2 < self.done
    }
}

impl Pool for Copied<'_> {
    fn shrink(&mut self, left: &mut dyn FnMut(&Self, usize)) -> io::Result<(usize, Option<String>)> {
        for block in (0..BLOCKS).filter(|block| leaves(*block)) {
            for part in (0..BYTES).step_by(self.piece) {
                self.write_part(block, part)?;
            }
            self.done += 1;
            left(self, self.done);
        }
        Ok((self.done, None))
    }

    fn use_kept(&mut self) -> io::Result<()> {
        for (n, (block, _)) in self.blocks.iter_mut().enumerate().filter(|(n, _)| !leaves(*n)) {
            for page in 0..PAGES {
                block.write_at(page * PAGE, &contents(n, page)[..8]);
            }
        }
        Ok(())
    }

    fn look(&self, phase: Phase) -> io::Result<Sample> {
        let [stored, kept] = [self.done * PAGES, (BLOCKS - self.done) * PAGES];
        let swapped_stored = self.sum(|block| self.has_left(block) && self.back[block / 2].is_empty())?;
        let swapped_kept = self.sum(|block| !self.has_left(block))?;
        let back = self.back.iter().filter(|bytes| !bytes.is_empty()).count() * PAGES;
        Ok(Sample {
            phase,
            resident: kept - swapped_kept + back,
            pending: 0,
            reclaimable: stored - swapped_stored - back,
            swapped_stored,
            swapped_kept,
        })
    }

    fn swapped(&self, block: usize) -> io::Result<usize> {
        match self.has_left(block) {
            true => missing(self.copies, Self::place(block)),
            false => missing(self.pool, self.blocks[block].1),
        }
    }

    fn restore(&mut self, block: usize) -> io::Result<Duration> {
        let mut bytes = vec![1; BYTES]; // it has its memory before the clock starts
        let start = Instant::now();
        self.file.read_exact_at(&mut bytes, Self::place(block))?;
        let took = start.elapsed();
        self.back[block / 2] = bytes;
        Ok(took)
    }

    fn read(&self, block: usize, page: usize, to: &mut [u8; PAGE]) -> io::Result<()> {
        match self.has_left(block) {
            true => to.copy_from_slice(&self.back[block / 2][page * PAGE..][..PAGE]),
            false => {
                self.blocks[block].0.read_at(page * PAGE, to);
            }
        }
        Ok(())
    }

    fn chunks(&self) -> (usize, usize) {
        (BLOCKS * BYTES / self.pool.chunk_bytes(), self.pool.usage().huge_chunks)
    }
}
