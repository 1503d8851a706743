//! A copy engine that sees memory only.

use super::block::CachedBlock;
use super::board::{Board, Forget};
use forebay::OwnedBlock;
use forebay_backends::{CopyEngine, Job};
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

/// Writes out for a region. It cleans what it will read when it starts, and reads it some polls later.
pub struct DmaEngine<B, const PAGE: usize> {
    board: Arc<Board>,
    job: Stage<Job<CachedBlock<B>, PAGE>>,
}

enum Stage<J> {
    Idle,
    Started(J),
    /// It was asked once.
    Running(J),
}

impl<B, const PAGE: usize> DmaEngine<B, PAGE> {
    pub(super) fn new(board: Arc<Board>) -> Self {
        DmaEngine { board, job: Stage::Idle }
    }
}

impl<B: OwnedBlock, const PAGE: usize> CopyEngine<CachedBlock<B>, PAGE> for DmaEngine<B, PAGE> {
    fn start(&mut self, job: Job<CachedBlock<B>, PAGE>) {
        let memory = job.from().part(job.at()..job.at() + job.len());
        self.board.lock().unless(Forget::CleanInEngine, |cache| cache.clean(memory));
        self.job = Stage::Started(job);
    }

    fn poll(&mut self) -> Poll<Option<Job<CachedBlock<B>, PAGE>>> {
        match std::mem::replace(&mut self.job, Stage::Idle) {
            Stage::Idle => Poll::Ready(None),
            Stage::Started(job) => {
                self.job = Stage::Running(job);
                Poll::Pending
            }
            Stage::Running(mut job) => {
                let bytes = job.at()..job.at() + job.len();
                let memory = job.from().part(bytes);
                self.board.lock().cache.read_memory(memory.start, job.to());
                Poll::Ready(Some(job))
            }
        }
    }
}

impl<B, const PAGE: usize> fmt::Debug for DmaEngine<B, PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DmaEngine").finish_non_exhaustive()
    }
}
