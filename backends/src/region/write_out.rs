//! Writing out transferred blocks to the region, a bounded part at a time.

use super::checksum::Checksum;
use super::engine::{CopyEngine, Job};
use super::rings::Left;
use super::room::Room;
use super::store::{Books, Region};
use super::table::{Asked, By, Next};
use core::ops::Range;
use core::task::Poll;
use forebay::{OwnedBlock, Pages, sync::RawMutex};

/// How far a write-out by the CPU came.
pub(super) struct Progress {
    pub(super) bytes: usize,
    /// A block gave no bytes.
    pub(super) stuck: bool,
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> Region<L, B, PAGE, N, C> {
    /// Collects what the engine finished, and starts the next part of at most `max_bytes` bytes (0 counts as 1). Oldest first; a
    /// block whose recall failed while in flight is requeued last, once. A part may end inside a block. Finished blocks go to
    /// `owner`.
    ///
    /// `Pending`: the engine is at work, or there is more to do; call again. `Ready(Ok)`: nothing waits.
    ///
    /// # Errors
    /// The engine also serves another region, and handed back a job of that: it is returned, for [`finish`](Region::finish) of the
    /// other.
    ///
    /// # Context
    /// O(1), and copies nothing itself, so it is fit for an interrupt if the engine's two calls and `owner` are. With a [`Checksum`] it
    /// is linear in a block that is done, as [`finish`](Region::finish) says.
    pub fn write_out(
        &self,
        engine: &mut impl CopyEngine<B, PAGE>,
        max_bytes: usize,
        owner: &mut dyn FnMut(B),
    ) -> Poll<Result<(), Job<B, PAGE>>> {
        match engine.poll() {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(job)) => {
                if let Err(foreign) = self.finish(job, owner) {
                    return Poll::Ready(Err(foreign));
                }
            }
            Poll::Ready(None) => {}
        }
        match self.books.lock(|books| books.table.send_out(By::Engine)) {
            Next::Out(entry, from, to, at) => engine.start(self.piece(entry, from, to, at, max_bytes)),
            Next::PassedOver => return Poll::Pending,
            Next::Nothing => return Poll::Ready(Ok(())),
        }
        // An engine that copies at once keeps nothing: so it may be made for this one call.
        match engine.poll() {
            Poll::Ready(Some(job)) => match self.finish(job, owner) {
                Ok(()) => Poll::Pending,
                Err(foreign) => Poll::Ready(Err(foreign)),
            },
            _ => Poll::Pending,
        }
    }

    /// Collects a job that is done, or as far as it was done. What it did not copy stays pending.
    ///
    /// # Errors
    /// The job, if it belongs to another region.
    ///
    /// # Context
    /// As [`write_out`](Region::write_out), without the engine. With a [`Checksum`], the last job of a block is linear in the block: the
    /// CPU reads all of it.
    pub fn finish(&self, job: Job<B, PAGE>, owner: &mut dyn FnMut(B)) -> Result<(), Job<B, PAGE>> {
        if !C::KEPT {
            return self.take_in(job, owner);
        }
        if !self.books.lock(|books| books.made(&job.to)) {
            return Err(job);
        }
        let job = self.with_hand(job, owner, |job| self.sum_up(job));
        job.map_or(Ok(()), |job| self.take_in(job, owner))
    }

    /// For an engine that was reset and lost its jobs, or dropped one: gives up what it had. Call it when no engine is at work for
    /// this region. Returns the pages of the blocks that are lost by it.
    ///
    /// Their buffers are [`Lost`](forebay::AccessError::Lost), no longer `Busy`, and usable again after a purge. Blocks and room
    /// stay out of use and are counted ([`lost`](Region::lost)): the region can't know whether a device still reaches them. A job
    /// that turns up later gives both back, by [`finish`](Region::finish).
    ///
    /// # Context
    /// O(`N`), a lock section for each entry.
    pub fn engine_was_reset(&self) -> Pages {
        let lose = |entry| {
            self.books.lock(|books| {
                let pages = books.table.lose(entry);
                books.lost += pages;
                pages
            })
        };
        (0..N).map(lose).sum()
    }

    /// Pages that were lost with an engine's jobs, in both memories each.
    pub fn lost(&self) -> Pages {
        self.books.lock(|books| books.lost)
    }

    /// Writes out up to `max_bytes` bytes with the CPU. Returns how many. It may end inside a block, and ends at a block that was
    /// recalled while it was copied.
    ///
    /// # Context
    /// Linear in `max_bytes`, with a [`Checksum`] also in each block that is done; no lock is held while it copies.
    pub fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(B)) -> usize {
        self.write_out_bytes(max_bytes, owner).bytes
    }

    pub(super) fn write_out_bytes(&self, max_bytes: usize, owner: &mut dyn FnMut(B)) -> Progress {
        let (mut done, mut turns) = (Progress { bytes: 0, stuck: false }, 0);
        while done.bytes < max_bytes {
            let job = match self.books.lock(|books| books.table.send_out(By::Cpu)) {
                Next::Out(entry, from, to, at) => self.piece(entry, from, to, at, max_bytes - done.bytes),
                Next::PassedOver => continue, // at most once for each that was asked for before
                Next::Nothing => break,
            };
            let job = self.with_hand(job, owner, |job| {
                job.copy();
                self.sum_up(job);
            });
            let Some(Job { from, to, at, len, entry }) = job else { break };
            let (from, came) = self.books.lock(|books| books.written(entry, from, to, at..at + len));
            from.into_iter().for_each(&mut *owner); // last, as it may panic
            done.bytes += len;
            turns = if len == 0 { turns + 1 } else { 0 };
            done.stuck |= len == 0; // it waits behind the others now
            if came == Came::Wanted || turns > N {
                break; // or each has had its turn
            }
        }
        done
    }

    /// Does `work` on a job, which waits again if the block's own code panics.
    fn with_hand(
        &self,
        job: Job<B, PAGE>,
        owner: &mut dyn FnMut(B),
        work: impl FnOnce(&mut Job<B, PAGE>),
    ) -> Option<Job<B, PAGE>> {
        let mut hand = InHand { region: self, owner, job: Some(job) };
        hand.job.as_mut().map(work);
        hand.job.take()
    }

    /// Keeps the checksums of a block, if this job is its last. A block that does not give all its bytes is not copied.
    fn sum_up(&self, job: &mut Job<B, PAGE>) {
        let ends = job.at + job.len == job.to.len();
        if C::KEPT && ends && !self.keep_sums(&job.to, &job.from) {
            job.fell_short(0);
        }
    }

    /// A job comes back: the block goes to `owner` if it is done.
    ///
    /// # Errors
    /// The job, if it belongs to another region.
    fn take_in(&self, job: Job<B, PAGE>, owner: &mut dyn FnMut(B)) -> Result<(), Job<B, PAGE>> {
        let from = self.books.lock(|books| {
            if !books.made(&job.to) {
                return Err(job);
            }
            let Job { from, to, at, len, entry } = job;
            if books.table.is_out(entry, to.head()) {
                return Ok(books.written(entry, from, to, at..at + len).0);
            }
            books.lost -= to.order().pages(); // it was given up for lost
            books.give_back(to, Left::Nothing);
            Ok(Some(from))
        })?;
        from.into_iter().for_each(owner); // last, as it may panic
        Ok(())
    }

    /// The next part of a block in flight. It ends where the pages behind it lie elsewhere.
    fn piece(&self, entry: usize, from: B, mut to: Room<PAGE>, at: usize, max_bytes: usize) -> Job<B, PAGE> {
        self.reach(&mut to, at);
        let len = max_bytes.max(1).min(to.reach().end - at);
        Job { from, to, at, len, entry }
    }
}

impl<B: OwnedBlock, const PAGE: usize, const N: usize> Books<B, PAGE, N> {
    /// A part of a block in flight was written to its room. Returns the block if it is done, or was discarded meanwhile.
    fn written(&mut self, entry: usize, from: B, to: Room<PAGE>, part: Range<usize>) -> (Option<B>, Came) {
        let asked = self.table.asked(entry);
        if asked != Asked::Drop && part.end < to.len() {
            self.table.wait_again(entry, from, to, part);
            return (None, if asked == Asked::Back { Came::Wanted } else { Came::Unwanted });
        }
        self.table.leave(entry);
        self.give_back(to, if asked == Asked::Drop { Left::Nothing } else { Left::Stored });
        (Some(from), Came::Unwanted)
    }
}

/// A job that waits again, as if nothing of it had been copied, if the block's own code panics.
struct InHand<'r, L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> {
    #[cfg_attr(not(panic = "unwind"), expect(dead_code, reason = "for the end by a panic"))]
    region: &'r Region<L, B, PAGE, N, C>,
    #[cfg_attr(not(panic = "unwind"), expect(dead_code, reason = "for the end by a panic"))]
    owner: &'r mut dyn FnMut(B),
    job: Option<Job<B, PAGE>>,
}

#[cfg(panic = "unwind")] // elsewhere it is always done before this ends
impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> Drop
    for InHand<'_, L, B, PAGE, N, C>
{
    fn drop(&mut self) {
        if let Some(mut job) = self.job.take() {
            job.fell_short(0);
            let _ = self.region.take_in(job, &mut *self.owner); // if it was discarded meanwhile
        }
    }
}

/// Whether a block was recalled while it was in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Wanted,
    Unwanted,
}
