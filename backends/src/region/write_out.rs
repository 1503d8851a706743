//! Moving adopted blocks into the region, a bounded piece at a time.

use super::engine::{CopyEngine, Job};
use super::store::Region;
use super::table::Waiting;
use core::task::Poll;
use forebay::{OwnedBlock, RawLock};

impl<L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> Region<L, B, PAGE, N> {
    /// Takes what the engine finished, and starts the next piece of at most `max_bytes` bytes (0 counts as 1). The
    /// block that waits longest comes first (with one engine); a piece may end inside a block. Frames of finished blocks go to `home`.
    ///
    /// `Pending`: the engine is at work, or there is more to do; call again. `Ready(Ok)`: nothing is left to write out
    /// now. (What somebody asked back in vain while the engine had it is passed over once, so that he gets it.)
    ///
    /// # Errors
    /// The engine also serves another region, and gave back a job of that: it is returned, for the other's
    /// [`finish`](Region::finish).
    ///
    /// # Context
    /// Copies nothing itself, so it is fit for an interrupt if the engine's two calls and `home` are.
    pub fn write_out(
        &self,
        engine: &mut impl CopyEngine<B, PAGE>,
        max_bytes: usize,
        home: &mut dyn FnMut(B),
    ) -> Poll<Result<(), Job<B, PAGE>>> {
        match engine.poll() {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(job)) => {
                if let Err(foreign) = self.finish(job, home) {
                    return Poll::Ready(Err(foreign));
                }
            }
            Poll::Ready(None) => {}
        }
        let Some(job) = self.next_job(max_bytes) else { return Poll::Ready(Ok(())) };
        engine.start(job);
        // An engine that copies at once has nothing to keep: so it may be made for this one call.
        match engine.poll() {
            Poll::Ready(Some(job)) => {
                self.finish(job, home).map_or_else(|job| Poll::Ready(Err(job)), |()| Poll::Pending)
            }
            _ => Poll::Pending,
        }
    }

    /// Takes back a job that is done, or as far as it was done. What it did not copy stays pending.
    ///
    /// # Errors
    /// The job, if it is of another region.
    pub fn finish(&self, job: Job<B, PAGE>, home: &mut dyn FnMut(B)) -> Result<(), Job<B, PAGE>> {
        if !self.table.with(|t| t.is_out(job.entry, &job.to)) {
            return Err(job);
        }
        let Job { from, to, at, len, entry } = job;
        let block = self.table.with(|t| t.come_back(entry, Waiting { from, to, at: at + len }, at));
        if let Some(block) = block {
            home(block);
        }
        Ok(())
    }

    /// Writes out up to `max_bytes` bytes with the CPU; returns how many. It may end inside a block.
    ///
    /// # Context
    /// Linear in `max_bytes`; no lock is held while it copies.
    pub fn write_out_now(&self, max_bytes: usize, home: &mut dyn FnMut(B)) -> usize {
        let mut done = 0;
        while done < max_bytes {
            let Some(mut job) = self.next_job(max_bytes - done) else { break };
            job.copy();
            let copied = job.len;
            let _ = self.finish(job, home); // it is ours
            if copied == 0 {
                break; // a block that gives no bytes: it stays pending
            }
            done += copied;
        }
        done
    }

    fn next_job(&self, max_bytes: usize) -> Option<Job<B, PAGE>> {
        let (entry, Waiting { from, to, at }) = self.table.with(|t| t.send_out())?;
        let len = max_bytes.max(1).min(to.len() - at);
        Some(Job { from, to, at, len, entry })
    }
}
