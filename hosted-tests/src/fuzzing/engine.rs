//! A copy engine that takes its time and sometimes falls short.

use forebay::OwnedBlock;
use forebay_backends::{CopyEngine, Job};
use std::task::Poll;

/// One job at a time; the copying happens when it is done, after some polls.
pub(super) struct Slow<B, const PAGE: usize> {
    job: Option<Job<B, PAGE>>,
    /// How many more polls find it at work.
    pub(super) delay: u8,
    /// How many of the bytes of the next job arrive; 255 for all of them.
    pub(super) short: u8,
}

impl<B: OwnedBlock, const PAGE: usize> Slow<B, PAGE> {
    pub(super) const fn new() -> Self {
        Slow { job: None, delay: 0, short: u8::MAX }
    }

    /// Whether it has a job.
    pub(super) fn is_at_work(&self) -> bool {
        self.job.is_some()
    }
}

impl<B: OwnedBlock, const PAGE: usize> CopyEngine<B, PAGE> for Slow<B, PAGE> {
    fn start(&mut self, job: Job<B, PAGE>) {
        assert!(self.job.is_none(), "a job is started before the last one was taken back");
        assert!(!job.is_empty_or_outside(), "a job of no bytes, or outside its blocks");
        self.job = Some(job);
    }

    fn poll(&mut self) -> Poll<Option<Job<B, PAGE>>> {
        if self.job.is_some() && self.delay > 0 {
            self.delay -= 1;
            return Poll::Pending;
        }
        Poll::Ready(self.job.take().map(|mut job| {
            Job::copy(&mut job);
            if self.short < u8::MAX {
                job.fell_short(usize::from(self.short));
            }
            job
        }))
    }
}

trait Plausible {
    fn is_empty_or_outside(&self) -> bool;
}

impl<B: OwnedBlock, const PAGE: usize> Plausible for Job<B, PAGE> {
    fn is_empty_or_outside(&self) -> bool {
        Job::len(self) == 0 || Job::at(self) + Job::len(self) > Job::from(self).bytes()
    }
}
