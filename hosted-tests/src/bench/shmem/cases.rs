//! The cases: what one round does with each block, and how long it takes.

use super::raw::{self, Folios, Window, copy_past_caches, thread_time};
use forebay::{AllocRequest, BackingStore, Context, FrameSource, Handle, Order, OwnedBlock, Pages};
use forebay_backends::shmem::{Arena, ArenaBlock};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// Blocks of a batch.
const BATCH: usize = 64;

/// The memory of all cases of one size of blocks.
#[derive(Debug)]
pub struct Bench {
    order: Order,
    block: usize,
    count: usize,
    /// Two pieces of plain memory.
    source: Window,
    target: Window,
    /// The same as the arena, without forebay.
    bare: Window,
    bare_file: File,
    arena: Arena,
    blocks: Vec<ArenaBlock<4096>>,
    stored: Vec<Handle>,
}

/// Nanoseconds of a block, by case.
pub type Times = Vec<(&'static str, f64)>;

impl Bench {
    /// Blocks of that order in `bytes` bytes, all populated.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn new(arena: Arena, order: Order, bytes: usize) -> io::Result<Bench> {
        let block = 4096 << order.get();
        let bare_file = raw::memfd(bytes)?;
        let mut bench = Bench {
            order,
            block,
            count: bytes / block,
            source: Window::anonymous(bytes, Folios::Huge)?,
            target: Window::anonymous(bytes, Folios::Huge)?,
            bare: Window::of(&bare_file, bytes, Folios::Huge)?,
            bare_file,
            arena,
            blocks: vec![],
            stored: vec![],
        };
        if bench.arena.is_pinned() {
            bench.bare.lock()?;
        }
        bench.fill();
        Ok(bench)
    }

    /// Allocates all blocks, and stamps them.
    fn fill(&mut self) {
        for n in 0..self.count {
            let mut block =
                self.arena.allocate(AllocRequest::new(self.order), Context::THREAD).expect("there is memory");
            for at in (0..self.block).step_by(4096) {
                block.write_at(at, &stamp(n, at));
            }
            self.blocks.push(block);
        }
    }

    /// One round of the cases of an eviction.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn evict(&mut self) -> io::Result<Times> {
        let mut times = self.copies()?;
        times.push(("copy_pwrite", self.copy_pwrite()?));
        let best = [
            self.copy_in_batches()?,
            self.copy_to_window(<[u8]>::copy_from_slice)?,
            self.copy_to_window(past)?,
        ];
        let best = best.into_iter().chain([times[2].1]).fold(f64::INFINITY, f64::min);
        times.push(("copy_best", best));
        times.push(("transfer", self.transfer(1)));
        self.take_back();
        times.push(("madvise_floor", self.madvise_floor(1)?));
        times.push(("transfer_batched", self.transfer(BATCH)));
        self.take_back();
        times.push(("madvise_floor_batched", self.madvise_floor(BATCH)?));
        Ok(times)
    }

    /// One round of the cases of a restore.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn restore(&mut self) -> io::Result<Times> {
        let mut times = self.copies()?;
        self.transfer(BATCH);
        times.push(("take_back", self.take_back()));
        times.push(("copy_back", self.copy_back()?));
        Ok(times)
    }

    /// One round of the cases of a drop.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn discard(&mut self) -> io::Result<Times> {
        let mut times = self.copies()?;
        times.push(("drop", self.drop_stored()));
        self.fill();
        times.push(("punch_hole", self.punch_hole()?));
        Ok(times)
    }

    /// The limits: copies of warm memory.
    fn copies(&mut self) -> io::Result<Times> {
        self.touch();
        let plain = self.copy(<[u8]>::copy_from_slice);
        self.touch();
        Ok(vec![("memcpy", plain), ("memcpy_nt", self.copy(past))])
    }

    /// All plain memory is there.
    fn touch(&mut self) {
        for window in [&mut self.source, &mut self.target] {
            window.bytes_mut().iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        }
    }

    fn copy(&mut self, copy: impl Fn(&mut [u8], &[u8])) -> f64 {
        let (from, to) = (self.source.bytes(), self.target.bytes_mut());
        timed(self.count, || {
            from.chunks(self.block).zip(to.chunks_mut(self.block)).for_each(|(from, to)| copy(to, from));
        })
    }

    /// A fresh file, block by block; the source is freed.
    fn copy_pwrite(&mut self) -> io::Result<f64> {
        self.touch();
        let file = raw::memfd(self.block * self.count)?;
        tried(self.count, |n| {
            let range = n * self.block..(n + 1) * self.block;
            file.write_all_at(&self.source.bytes()[range.clone()], range.start as u64)?;
            self.source.advise(range, libc::MADV_DONTNEED)
        })
    }

    /// The same by 64 blocks in one call.
    fn copy_in_batches(&mut self) -> io::Result<f64> {
        use std::io::{Seek, Write};
        self.touch();
        let mut file = raw::memfd(self.block * self.count)?;
        let batches = self.count.div_ceil(BATCH);
        let sum = tried(batches, |n| {
            let range = n * BATCH * self.block..((n + 1) * BATCH * self.block).min(self.block * self.count);
            file.seek(io::SeekFrom::Start(range.start as u64))?;
            let mut slices: Vec<_> =
                self.source.bytes()[range.clone()].chunks(self.block).map(IoSlice::new).collect();
            let mut left = &mut slices[..];
            while !left.is_empty() {
                let written = file.write_vectored(left)?;
                IoSlice::advance_slices(&mut left, written);
            }
            self.source.advise(range, libc::MADV_DONTNEED)
        })?;
        Ok(sum * batches as f64 / self.count as f64)
    }

    /// Into a mapping of a fresh file that asks for huge pages; the source is freed.
    fn copy_to_window(&mut self, copy: impl Fn(&mut [u8], &[u8])) -> io::Result<f64> {
        self.touch();
        let bytes = self.block * self.count;
        let file = raw::memfd(bytes)?;
        let mut window = Window::of(&file, bytes, Folios::Huge)?;
        tried(self.count, |n| {
            let range = n * self.block..(n + 1) * self.block;
            copy(&mut window.bytes_mut()[range.clone()], &self.source.bytes()[range.clone()]);
            self.source.advise(range, libc::MADV_DONTNEED)
        })
    }

    /// All blocks to the store, with a settle after each `batch` blocks, or each chunk if that is more.
    fn transfer(&mut self, batch: usize) -> f64 {
        let blocks = std::mem::take(&mut self.blocks);
        let mut handles = Vec::with_capacity(self.count);
        let batch = batch * self.arena.chunk_bytes().div_ceil(self.block).max(1);
        let ns = timed(self.count, || {
            for block in blocks {
                handles.push(self.arena.transfer(block, None).expect("it takes all"));
                if handles.len() % batch == 0 {
                    settle(&self.arena);
                }
            }
            settle(&self.arena);
        });
        assert_eq!(self.arena.usage().pending, Pages::ZERO, "all of it was unmapped");
        self.stored = handles;
        ns
    }

    /// Takes all of them back, and compares the stamps.
    fn take_back(&mut self) -> f64 {
        let handles = std::mem::take(&mut self.stored);
        let mut blocks = Vec::with_capacity(self.count);
        let ns = timed(self.count, || {
            for handle in handles {
                blocks.push(self.arena.take_back(handle, Context::THREAD).expect("it is stored"));
            }
        });
        for (n, block) in blocks.iter().enumerate() {
            for at in [0, self.block - 4096] {
                let mut bytes = [0; 16];
                block.read_at(at, &mut bytes);
                assert_eq!(bytes, stamp(n, at), "block {n} came back different");
            }
        }
        self.blocks = blocks;
        ns
    }

    /// The system calls that a transfer makes, in the same steps, without forebay.
    fn madvise_floor(&mut self, batch: usize) -> io::Result<f64> {
        self.populate_bare()?;
        let step = (batch * self.arena.chunk_bytes().max(self.block)).min(self.count * self.block);
        let advice = self.unmapping();
        let calls = self.count * self.block / step;
        let sum = tried(calls, |n| self.bare.advise(n * step..(n + 1) * step, advice))?;
        Ok(sum * calls as f64 / self.count as f64)
    }

    /// The advice that an arena gives to unmap.
    fn unmapping(&self) -> libc::c_int {
        if self.arena.is_pinned() { DONTNEED_LOCKED } else { libc::MADV_DONTNEED }
    }

    /// Its pages are there, and used, as those of the arena.
    fn populate_bare(&mut self) -> io::Result<()> {
        self.bare.advise(0..self.count * self.block, libc::MADV_POPULATE_WRITE)?;
        self.bare.bytes_mut().iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        Ok(())
    }

    /// From the file into warm memory.
    fn copy_back(&mut self) -> io::Result<f64> {
        self.touch();
        self.populate_bare()?;
        tried(self.count, |n| {
            let range = n * self.block..(n + 1) * self.block;
            self.bare_file.read_exact_at(&mut self.target.bytes_mut()[range.clone()], range.start as u64)
        })
    }

    /// All blocks are stored and unmapped; each is discarded, with a settle after each chunk.
    fn drop_stored(&mut self) -> f64 {
        self.transfer(BATCH);
        let handles = std::mem::take(&mut self.stored);
        let batch = self.arena.chunk_bytes().div_ceil(self.block).max(1);
        let ns = timed(self.count, || {
            for (n, handle) in handles.into_iter().enumerate() {
                let block = self.arena.discard(handle).expect("it is stored");
                block.into_iter().for_each(|block| self.arena.free(block));
                if (n + 1) % batch == 0 {
                    settle(&self.arena);
                }
            }
            settle(&self.arena);
        });
        assert_eq!(self.arena.memory_bytes().expect("a descriptor"), 0, "all of it is gone");
        ns
    }

    /// The same by hand: pages that are not mapped, a chunk at a time.
    fn punch_hole(&mut self) -> io::Result<f64> {
        self.populate_bare()?;
        self.bare.advise(0..self.count * self.block, self.unmapping())?;
        let step = self.arena.chunk_bytes().max(self.block);
        let calls = self.count * self.block / step;
        let sum = tried(calls, |n| raw::punch(&self.bare_file, n * step..(n + 1) * step))?;
        Ok(sum * calls as f64 / self.count as f64)
    }
}

/// `MADV_DONTNEED_LOCKED`, which `libc` does not name on all machines.
const DONTNEED_LOCKED: libc::c_int = 24;

fn past(to: &mut [u8], from: &[u8]) {
    copy_past_caches(from, to);
}

fn settle(arena: &Arena) {
    let settled = arena.settle(Pages::ZERO, Context::THREAD, &mut |_| {});
    assert!(settled.error.is_none(), "{settled:?}");
}

/// What a page of block `n` begins with.
fn stamp(n: usize, at: usize) -> [u8; 16] {
    (((n as u128) << 64 | at as u128) ^ 0x5A5A).to_le_bytes()
}

/// Nanoseconds of this thread for each of `count`.
fn timed(count: usize, body: impl FnOnce()) -> f64 {
    let begin = thread_time();
    body();
    (thread_time() - begin).as_nanos() as f64 / count as f64
}

/// The same of steps that the system may refuse.
fn tried(count: usize, step: impl FnMut(usize) -> io::Result<()>) -> io::Result<f64> {
    let begin = thread_time();
    (0..count).try_for_each(step)?;
    Ok((thread_time() - begin).as_nanos() as f64 / count as f64)
}
