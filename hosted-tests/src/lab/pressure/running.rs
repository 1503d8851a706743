//! A case, in its own process and control group: fill, shrink, lower the limit, bring back, compare.

use super::buffers::Buffers;
use super::case::{Case, Kept, Swapping, Way};
use super::copies::Copied;
use super::counters::Huge;
use super::group::Group;
use super::outcome::{Lowered, Phase, Restored, Shrunk, Told};
use super::pool::{BLOCKS, BYTES, PAGES, Pool, contents, leaves};
use crate::lab::options::PAGE;
use forebay::{Evict, Forebay, StoreId};
use forebay_backends::shmem::Arena;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes that the group has above what it takes when the shrink call begins.
const SLACK: u64 = 256 << 10;
/// How long that limit is in force before the call.
const SETTLED: Duration = Duration::from_millis(200);
/// Bytes by which the limit is lowered afterwards, in so many steps.
const LOWER: u64 = 64 << 20;
const STEPS: u64 = 16;
/// Addresses of an arena: stored and resident pages are in chunks of their own.
const ADDRESSES: u64 = 2 * (BLOCKS * BYTES) as u64;

/// Runs it; says what happens on standard output.
pub(super) fn main(case: Case, group: &Group) -> ExitCode {
    // Whatever happens to the run, this process does not outlive it.
    let begun = set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
    let result = begun.and_then(|()| group.join()).and_then(|()| run(case, group));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&Told::Failed(why.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// A line. If there is no reader, the run is over.
fn say(told: &Told) {
    let line = serde_json::to_string(told).unwrap_or_default() + "\n";
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

fn failed(why: impl Display) -> io::Error {
    io::Error::other(why.to_string())
}

fn run(case: Case, group: &Group) -> io::Result<()> {
    let builder = Arena::builder(ADDRESSES);
    let pool = if case.way == Way::TransferPinned { builder.pinned() } else { builder };
    let arena = pool.create().map_err(failed)?;
    let copies = Arena::builder(ADDRESSES).create().map_err(failed)?;
    let mut process = Process { case, group };
    match case.way {
        Way::TransferPinned | Way::Transfer => {
            let home = Forebay::new(&arena, &arena);
            process.go(&mut Buffers::filled(&home, &arena, Evict::TRANSFER)?)
        }
        Way::CopyChecked => {
            let id = StoreId::new(1).ok_or_else(|| failed("there is no store 1"))?;
            let home = Forebay::new(&arena, copies.copies(id));
            process.go(&mut Buffers::filled(&home, &arena, Evict::COPY | Evict::SPLIT)?)
        }
        Way::CopyWhole => process.go(&mut Copied::filled(&arena, &copies, BYTES)?),
        Way::CopySplit => process.go(&mut Copied::filled(&arena, &copies, PAGE)?),
    }
}

struct Process<'g> {
    case: Case,
    group: &'g Group,
}

impl Process<'_> {
    fn go(&mut self, pool: &mut impl Pool) -> io::Result<()> {
        let (chunks, huge) = pool.chunks();
        say(&Told::Filled { chunks, huge });
        say(&Told::At(pool.look(Phase::Filled)?));
        if self.case.kept == Kept::Idle {
            // Else all pages would count as just used: by the one who filled them.
            fs::write("/proc/self/clear_refs", "1")
                .map_err(|why| failed(format!("/proc/self/clear_refs: {why}")))?;
        }
        let left = self.shrink(pool)?;
        self.group.permit_swap()?;
        if left == BLOCKS / 2 {
            self.lower(pool)?;
        }
        self.group.unlimit()?;
        self.restore(pool)
    }

    /// Gives how many blocks left.
    fn shrink(&self, pool: &mut impl Pool) -> io::Result<usize> {
        let bytes = self.group.usage()? + SLACK;
        match self.case.swapping {
            Swapping::Forbidden => self.group.limit_without_swap(bytes)?,
            Swapping::Allowed => self.group.limit(bytes)?,
        }
        // A look for head-room is good for some milliseconds (`Headroom`): limits that are as new as that are another subject.
        sleep(SETTLED);
        let figures = || Ok::<_, io::Error>((self.group.usage()?, self.group.kernel(), self.group.hits()));
        let mut peak = self.group.watch()?;
        let (huge, (usage, kernel, hits)) = (Huge::now(), figures()?);
        let (start, mut looked) = (Instant::now(), Duration::ZERO);
        let (blocks, refused) = pool.shrink(&mut |pool, left| {
            let start = Instant::now();
            match self.case.way.is_transfer() {
                true => pool.look(Phase::Shrinking).iter().for_each(|sample| say(&Told::At(*sample))),
                false => say(&Told::Left(left)),
            }
            looked += start.elapsed();
        })?;
        let took = start.elapsed().saturating_sub(looked);
        let highest = peak.bytes()?;
        let (_, kernel_now, hits_now) = figures()?;
        let splits = Huge::since(huge).splits;
        let at = pool.look(Phase::Shrinking);
        let grown = |(before, now): (u64, u64)| now as i64 - before as i64;
        say(&Told::Shrunk(Shrunk {
            blocks,
            peak_bytes: highest.saturating_sub(usage),
            limit_hits: hits.zip(hits_now).map(|(before, now)| now.saturating_sub(before)),
            kernel_bytes: kernel.zip(kernel_now).map(grown),
            splits,
            swapped_kept: at.as_ref().map_or(0, |at| at.swapped_kept),
            microseconds: took.as_micros() as u64,
        }));
        match refused {
            Some(why) => say(&Told::Refused(why)),
            None => say(&Told::At(at?)),
        }
        Ok(blocks)
    }

    /// Lowers the limit step by step, so that 16,384 pages have to leave memory.
    fn lower(&self, pool: &mut impl Pool) -> io::Result<()> {
        let huge = Huge::now();
        let usage = self.group.usage()?;
        for step in 1..=STEPS {
            if self.case.kept == Kept::Hot {
                pool.use_kept()?;
            }
            self.group.limit(usage - LOWER / STEPS * step)?;
            say(&Told::At(pool.look(Phase::Lowering)?));
        }
        let Huge { whole, splits } = Huge::since(huge);
        let at = pool.look(Phase::Lowering)?;
        say(&Told::Lowered(Lowered { stored: at.swapped_stored, kept: at.swapped_kept, whole, splits }));
        Ok(())
    }

    fn restore(&self, pool: &mut impl Pool) -> io::Result<()> {
        let (mut from_swap, mut from_memory) = (Mean::default(), Mean::default());
        for block in (0..BLOCKS).filter(|block| leaves(*block)) {
            if self.case.way == Way::CopyChecked {
                break; // nothing has left
            }
            let swapped = pool.swapped(block)?;
            let took = pool.restore(block)?;
            match swapped {
                0 => from_memory.add(took, 1),
                pages => from_swap.add(took, pages),
            }
            if block % 16 == 14 {
                say(&Told::At(pool.look(Phase::Restoring)?));
            }
        }
        let mut wrong = 0;
        let mut bytes = [0; PAGE];
        for (block, page) in (0..BLOCKS).flat_map(|block| (0..PAGES).map(move |page| (block, page))) {
            pool.read(block, page, &mut bytes)?;
            wrong += usize::from(bytes != contents(block, page));
            bytes.fill(1);
        }
        say(&Told::Restored(Restored {
            swapped_page_ns: from_swap.nanoseconds(),
            resident_block_ns: from_memory.nanoseconds(),
            compared: BLOCKS * PAGES,
            wrong,
        }));
        Ok(())
    }
}

/// Time for so many of something.
#[derive(Default)]
struct Mean {
    time: Duration,
    count: usize,
}

impl Mean {
    fn add(&mut self, time: Duration, count: usize) {
        self.time += time;
        self.count += count;
    }

    fn nanoseconds(&self) -> Option<u64> {
        Some(self.time.as_nanos() as u64).and_then(|time| time.checked_div(self.count as u64))
    }
}
