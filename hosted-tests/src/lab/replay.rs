//! A trace on a real pool and store: one buffer for each of its pages, in a part of the memory that all of them want.
//!
//! What a page holds follows from its number and how often it was written, so every access compares all bytes, and every
//! write changes them. A page's first access puts its contents in: in the trace they were there before.

use super::bad::Sabotage;
use super::machine::{Chunk, ChunkSlot, Figures, Machine, Of, OpenError, Rig, RoomError, Source};
use super::options::{EvictKind, PAGE, PolicyKind, StoreKind, parse_share};
#[cfg(target_os = "linux")]
use super::parts::{ArenaParts, CopiesParts};
use super::parts::{Parts, RamParts};
use super::policy::{Outcome, Policy, simulate};
use super::shape::{MachineError, Shape};
use super::trace::{Access, Touch, Trace};
use clap::Args;
use forebay::buffer::Slots;
use forebay::port::EvictionPolicy;
use forebay::reclaim::{Follow, Link, S3Fifo};
use forebay::sync::NoopRawMutex;
use forebay::{AccessError, Buffer, Order, Pages, Slot};
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// What may be chosen about a replay. The last one is for tests and has no flag.
#[derive(Clone, Debug, Args)]
pub struct ReplayOptions {
    /// Where evicted contents go
    #[arg(long, value_enum, default_value_t = StoreKind::Ram)]
    pub store: StoreKind,

    /// How contents leave: transfer the block, copy it whole, or split it and copy page by page
    #[arg(long, value_enum, default_value_t = EvictKind::Copy)]
    pub evict: EvictKind,

    /// Which buffers leave
    #[arg(long, value_enum, default_value_t)]
    pub policy: PolicyKind,

    /// Memory for the buffers, in pages of 4 KiB
    #[arg(long, value_name = "PAGES", conflicts_with = "share", value_parser = parse_pages)]
    pub memory: Option<usize>,

    /// The same, as a share of the pages that the trace touches, such as 0.1 or 10%
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "0.25")]
    pub share: f64,

    /// What the store does wrong.
    #[arg(skip)]
    pub sabotage: Sabotage,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        ReplayOptions {
            store: StoreKind::Ram,
            evict: EvictKind::Copy,
            policy: PolicyKind::Clock,
            memory: None,
            share: 0.25,
            sabotage: Sabotage::None,
        }
    }
}

impl ReplayOptions {
    /// Pages for the buffers: one at least.
    fn memory(&self, trace: &Trace) -> usize {
        self.memory.unwrap_or((trace.pages() as f64 * self.share) as usize).max(1)
    }
}

fn parse_pages(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number of pages, 1 or more"),
        Ok(pages) => Ok(pages),
    }
}

/// Everything that a replay found out.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayReport {
    /// Accesses of the trace.
    pub accesses: usize,
    /// Of those, writes.
    pub writes: usize,
    /// Pages that are touched.
    pub pages: usize,
    /// Pages that the buffers might hold.
    pub memory_pages: usize,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// Where contents went.
    pub store: StoreKind,
    /// How they left.
    pub evict: EvictKind,
    /// Which ones left.
    pub policy: PolicyKind,
    /// What forebay made of it, as seen from outside and by its own counts.
    pub forebay: Outcome,
    /// What exact LRU makes of it with the same memory.
    pub lru: Outcome,
    /// What is possible at all with the same memory.
    pub ideal: Outcome,
    /// Pages whose blocks were transferred.
    pub transferred_pages: usize,
    /// Pages that were copied into the store by evicting them.
    pub copied_pages: usize,
    /// Pages that the store copied into its own memory after it took their blocks.
    pub written_out_pages: usize,
    /// Pages that came back as the same blocks: without copying.
    pub taken_back_pages: usize,
    /// Accesses that found a byte different, or no contents at all.
    pub mismatches: usize,
    /// The first of them.
    pub first_mismatch: Option<String>,
    /// Frames that were never returned, and pages of the store that stayed taken.
    pub leaked_pages: usize,
    /// Counts that contradict each other.
    pub disagreements: Vec<String>,
    /// Why it ended early, if it did.
    pub failure: Option<String>,
    /// From the first access to the last.
    pub seconds: f64,
}

impl ReplayReport {
    /// Every access found what was there, nothing leaked, and all counts agree.
    pub fn is_good(&self) -> bool {
        self.mismatches == 0
            && self.leaked_pages == 0
            && self.disagreements.is_empty()
            && self.failure.is_none()
    }

    /// By how many percentage points the hit rate is above that of exact LRU; negative if it is below.
    pub fn above_lru(&self) -> f64 {
        100.0 * (self.forebay.hit_rate() - self.lru.hit_rate())
    }

    /// One object, on one line.
    ///
    /// # Errors
    /// None that can happen: it is plain data.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            good: bool,
            hit_rate: f64,
            lru_hit_rate: f64,
            ideal_hit_rate: f64,
            percentage_points_above_lru: f64,
            #[serde(flatten)]
            report: &'a ReplayReport,
        }
        serde_json::to_string(&Told {
            good: self.is_good(),
            hit_rate: self.forebay.hit_rate(),
            lru_hit_rate: self.lru.hit_rate(),
            ideal_hit_rate: self.ideal.hit_rate(),
            percentage_points_above_lru: self.above_lru(),
            report: self,
        })
    }

    /// Takes over what was counted, and notes what contradicts it.
    fn take(&mut self, figures: &Figures) {
        let Figures { stats, counts, .. } = figures;
        self.forebay.evictions = stats.evicted.moved().get();
        self.forebay.clean_evictions = stats.evicted.clean.get();
        self.transferred_pages = stats.evicted.transferred.get();
        self.copied_pages = stats.evicted.copied.get();
        self.written_out_pages = counts.written_out;
        self.taken_back_pages = stats.restored.taken_back.get();
        if self.mismatches > 0 || self.failure.is_some() {
            return; // then some do
        }
        let misses = self.forebay.cold_misses + self.forebay.other_misses;
        for (what, own, seen) in [
            ("transferred", self.transferred_pages, counts.transferred),
            ("copied", self.copied_pages, counts.saved),
            ("taken back", self.taken_back_pages, counts.taken_back),
            ("loaded", stats.restored.loaded.get(), counts.loaded),
            ("made resident", stats.restored.total().get(), misses),
            ("above the memory", figures.peak_used.get().saturating_sub(self.memory_pages), 0),
        ] {
            if own != seen {
                self.disagreements.push(format!("pages {what}: forebay counts {own}, the lab {seen}"));
            }
        }
    }
}

/// Why a replay ended early.
enum ReplayError {
    /// There was no room for a page.
    Room(RoomError),
    /// There is no memory for a page that was not touched before.
    New(AccessError),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Room(RoomError::Stuck(why)) => {
                f.write_str("no room can be made for the next page")?;
                if let Some(why) = why {
                    write!(f, ": {why}")?;
                }
                f.write_str(". Pass a larger --memory or another --evict")
            }
            ReplayError::Room(RoomError::Full { .. }) => {
                f.write_str("the store is full: pass a larger --memory")
            }
            ReplayError::Room(RoomError::NoMemory) => {
                f.write_str("the system has no memory left for what is evicted: take a smaller trace")
            }
            ReplayError::Room(RoomError::Source(why)) => write!(f, "room was made, and yet: {why}"),
            ReplayError::New(why) => write!(f, "a new page can't be had: {why}"),
        }
    }
}

/// Replays a trace.
///
/// What went wrong with contents or memory is in the report ([`ReplayReport::is_good`]), not an error.
///
/// # Errors
/// [`MachineError`]: there is no memory for it.
///
/// # Panics
/// If the oracle sees a frame with two owners, or the like.
pub fn replay(trace: &Trace, options: &ReplayOptions) -> Result<ReplayReport, MachineError> {
    match options.store {
        StoreKind::Ram => over::<RamParts>(trace, options),
        #[cfg(target_os = "linux")]
        StoreKind::Shmem => match options.evict {
            EvictKind::Transfer => over::<ArenaParts>(trace, options),
            EvictKind::Copy | EvictKind::Split => over::<CopiesParts>(trace, options),
        },
    }
}

/// The same, over these parts.
fn over<T: Parts>(trace: &Trace, options: &ReplayOptions) -> Result<ReplayReport, MachineError> {
    let memory = options.memory(trace);
    let shape = Shape::new(trace.pages(), Some(memory.saturating_mul(PAGE) as u64), None);
    let slots = shape.data.saturating_mul(size_of::<ChunkSlot<'_, T>>() + size_of::<Chunk<'_, '_, T>>());
    let rig = Rig::new(T::new(&shape, slots)?);
    let mut report = ReplayReport {
        accesses: trace.len(),
        writes: trace.writes(),
        pages: trace.pages(),
        memory_pages: memory,
        page_bytes: PAGE,
        store: options.store,
        evict: options.evict,
        policy: options.policy,
        forebay: Outcome::default(),
        lru: simulate(trace, memory, Policy::Lru),
        ideal: simulate(trace, memory, Policy::Ideal),
        transferred_pages: 0,
        copied_pages: 0,
        written_out_pages: 0,
        taken_back_pages: 0,
        mismatches: 0,
        first_mismatch: None,
        leaked_pages: 0,
        disagreements: vec![],
        failure: None,
        seconds: 0.0,
    };
    let joined = rig.join(options.sabotage);
    let policy = S3Fifo::<NoopRawMutex, _>::new(vec![Link::NONE; shape.data]);
    let policy: &dyn EvictionPolicy = &policy;
    let machine = Machine::new(&rig, &joined, options.evict).page_by_page();
    let mut slots: Vec<ChunkSlot<'_, T>> = (0..shape.data).map(|_| Slot::EMPTY).collect();
    let slots = slots.chunks_mut(1);
    let machine = match options.policy {
        PolicyKind::Clock => {
            let buffers = slots.map(|slot| machine.chunk(slot)).collect();
            Run::new(&machine, buffers, &mut report).go(trace.accesses());
            machine
        }
        PolicyKind::S3Fifo => {
            let machine = machine.by_policy(Some(policy));
            let follow = |(n, slot)| Buffer::with_slots(&joined, Follow::new(slot, policy, n), Order::PAGE);
            let buffers = slots.enumerate().map(follow).collect();
            Run::new(&machine, buffers, &mut report).go(trace.accesses());
            machine
        }
    };
    report.leaked_pages = machine.leaked().get();
    Ok(report)
}

/// A replay under way.
struct Run<'r, 'h, 'w, T: Parts, Q: Slots<Platform = Source<'w, T>>> {
    machine: &'r Machine<'h, 'w, T>,
    /// One for each page.
    buffers: Vec<Of<'h, 'w, T, Q>>,
    /// How often each page was written: 0 if it was not touched yet.
    versions: Vec<u32>,
    /// A page, as its buffer has it.
    found: Vec<u8>,
    /// The same page, as it should be.
    expected: Vec<u8>,
    report: &'r mut ReplayReport,
}

impl<'r, 'h, 'w, T: Parts, Q: Slots<Platform = Source<'w, T>>> Run<'r, 'h, 'w, T, Q> {
    fn new(
        machine: &'r Machine<'h, 'w, T>,
        buffers: Vec<Of<'h, 'w, T, Q>>,
        report: &'r mut ReplayReport,
    ) -> Self {
        let versions = vec![0; buffers.len()];
        Run { machine, buffers, versions, found: vec![0; PAGE], expected: vec![0; PAGE], report }
    }

    /// All of it. The buffers are dropped at the end.
    fn go(mut self, accesses: &[Access]) {
        let started = Instant::now();
        for (number, access) in accesses.iter().enumerate() {
            if let Err(e) = self.touch(number, *access) {
                self.report.failure = Some(format!("at access {}: {e}", number + 1));
                break;
            }
        }
        self.report.seconds = started.elapsed().as_secs_f64();
        self.machine.validate();
        let figures = self.machine.figures();
        self.report.take(&figures);
    }

    /// One access: counted, compared, and written if it writes.
    fn touch(&mut self, number: usize, access: Access) -> Result<(), ReplayError> {
        let page = access.page as usize;
        let version = self.versions[page];
        let resident = self.buffers[page].residency().is_ok_and(|now| now.resident > Pages::ZERO);
        let outcome = &mut self.report.forebay;
        *match (version, resident) {
            (0, _) => &mut outcome.cold_misses,
            (_, true) => &mut outcome.hits,
            (_, false) => &mut outcome.other_misses,
        } += 1;
        let (found, expected) = (&mut self.found, &mut self.expected);
        contents(access.page, version, expected);
        let same = if version == 0 || access.touch == Touch::Write {
            self.machine.open(&self.buffers, page, Pages::ZERO, Buffer::write).map(|mut guard| {
                let same = guard.read_at(0, found) == PAGE && found == expected;
                self.versions[page] += 1;
                contents(access.page, version + 1, expected);
                guard.write_at(0, expected) == PAGE && same
            })
        } else {
            self.machine
                .open(&self.buffers, page, Pages::ZERO, Buffer::read)
                .map(|guard| guard.read_at(0, found) == PAGE && found == expected)
        };
        match same {
            Ok(true) => {}
            Ok(false) => self.mismatch(number, "came back with other bytes"),
            Err(OpenError::Contents(e)) if version > 0 => {
                self.mismatch(number, &format!("did not come back: {e}"));
            }
            Err(OpenError::Contents(e)) => return Err(ReplayError::New(e)),
            Err(OpenError::Room(e)) => return Err(ReplayError::Room(e)),
        }
        Ok(())
    }

    fn mismatch(&mut self, number: usize, how: &str) {
        self.report.mismatches += 1;
        self.report.first_mismatch.get_or_insert_with(|| format!("access {}: the page {how}", number + 1));
    }
}

/// The bytes of a page after `version` writes: zeros before the first write, then bytes that repeat nowhere (splitmix64).
fn contents(page: u32, version: u32, to: &mut [u8]) {
    if version == 0 {
        return to.fill(0);
    }
    let mut state = (u64::from(page) << 32 | u64::from(version)).wrapping_mul(0xd134_2543_de82_ef95);
    for word in to.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..word.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: no two pages, and no two versions of one, have the same bytes; what was never touched is zeros.
    #[test]
    fn bytes() {
        let of = |page, version| {
            let mut bytes = [1; 20];
            contents(page, version, &mut bytes);
            bytes
        };
        assert_eq!([of(0, 0), of(7, 0)], [[0; 20]; 2]);
        let mut all: Vec<_> =
            (0..50).flat_map(|page| (1..50).map(move |n| (page, n))).map(|(p, n)| of(p, n)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 50 * 49);
    }
}
