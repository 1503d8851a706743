//! A block whose bytes the CPU sees through its cache.

use super::board::Board;
use forebay::{Order, OwnedBlock, Pfn};
use std::ops::Range;
use std::sync::Arc;

/// A block of simulated memory. The block inside gives it its frames; the bytes of that are not used.
#[derive(Debug)]
pub struct CachedBlock<B> {
    inner: B,
    board: Arc<Board>,
}

impl<B: OwnedBlock> CachedBlock<B> {
    /// # Panics
    /// If the block is not whole cache lines: then it would share one with a neighbour, and the cleaning of either could
    /// cost the other bytes.
    pub(super) fn new(inner: B, board: Arc<Board>) -> Self {
        let block = CachedBlock { inner, board };
        let line = block.board.lock().cache.line();
        let memory = block.memory();
        assert!(
            memory.start.is_multiple_of(line) && memory.end.is_multiple_of(line),
            "a block at {memory:x?} shares a cache line of {line} bytes"
        );
        block
    }

    pub(super) fn into_inner(self) -> B {
        self.inner
    }

    pub(super) fn inner(&self) -> &B {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Its physical addresses.
    pub(super) fn memory(&self) -> Range<usize> {
        let start = self.inner.pfn().0 * B::PAGE;
        start..start + self.inner.bytes()
    }

    /// The physical addresses of these bytes of it.
    #[track_caller]
    pub(super) fn part(&self, bytes: Range<usize>) -> Range<usize> {
        let memory = self.memory();
        assert!(
            bytes.start <= bytes.end && bytes.end <= memory.len(),
            "{:?} has no bytes {bytes:?}",
            self.pfn()
        );
        memory.start + bytes.start..memory.start + bytes.end
    }

    /// The physical address of byte `at`, and how many of `len` bytes there are from there on.
    fn within(&self, at: usize, len: usize) -> (usize, usize) {
        let memory = self.memory();
        let at = at.min(memory.len());
        (memory.start + at, len.min(memory.len() - at))
    }
}

impl<B: OwnedBlock> OwnedBlock for CachedBlock<B> {
    const PAGE: usize = B::PAGE;

    fn pfn(&self) -> Pfn {
        self.inner.pfn()
    }

    fn order(&self) -> Order {
        self.inner.order()
    }

    fn split(self) -> Result<(Self, Self), Self> {
        let CachedBlock { inner, board } = self;
        match inner.split() {
            Ok((lower, upper)) => {
                let lower = CachedBlock { inner: lower, board: Arc::clone(&board) };
                Ok((lower, CachedBlock { inner: upper, board }))
            }
            Err(inner) => Err(CachedBlock { inner, board }),
        }
    }

    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let (start, len) = self.within(at, to.len());
        self.board.lock().cache.read(start, &mut to[..len]);
        len
    }

    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let (start, len) = self.within(at, from.len());
        self.board.lock().cache.write(start, &from[..len]);
        len
    }

    fn zero(&mut self) {
        self.write_at(0, &vec![0; self.bytes()]);
    }
}
