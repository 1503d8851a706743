//! What happened: the figures, as JSON, and whether forebay's own agree with the oracle's.

use super::files::Skipped;
use super::machine::Figures;
use super::options::{EvictKind, StoreKind};
use super::parts::Medium;
use super::system::Usage;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that a round trip found out. Pages have [`page_bytes`](Report::page_bytes) bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Files that were loaded.
    pub files: usize,
    /// Bytes that were loaded.
    pub bytes: u64,
    /// Files that another program changed, replaced or removed meanwhile.
    pub changed: usize,
    /// Pages that left the buffers: transferred, copied or clean.
    pub evicted_pages: usize,
    /// Of those, while loading.
    pub evicted_loading_pages: usize,
    /// Of those, while reading back.
    pub evicted_reading_pages: usize,
    /// Pages whose blocks were transferred, by forebay's count.
    pub transferred_pages: usize,
    /// The same, by the oracle's count.
    pub adopted_pages: usize,
    /// Pages that were copied into the store by evicting them.
    pub copied_pages: usize,
    /// Pages that were evicted without copying, as the store still had a copy.
    pub clean_pages: usize,
    /// Pages that the store copied into its own memory after it took their blocks. None with shmem: nothing moves.
    pub written_out_pages: usize,
    /// Times that a block was cut in two.
    pub split_blocks: usize,
    /// Pages whose frames were returned to the source by evicting or writing out. What is transferred to shmem is not
    /// counted: it leaves the budget at once, by changing its owner, and its frames are returned when it is dropped.
    pub freed_pages: usize,
    /// Pages that the store had accepted, and neither written out nor made reclaimable, when all was read. With
    /// shmem: those that share a chunk with what is in a buffer, so that it can't be unmapped.
    pub pending_pages: usize,
    /// Pages in the store that the system might reclaim by itself when all was read: unmapped. None with `ram`.
    pub reclaimable_pages: usize,
    /// Pages that were dropped, and whose memory was still held, when all was read: they share a chunk with what is
    /// not dropped. None with `ram`.
    pub held_pages: usize,
    /// Pages that were tried and stayed; one that is tried twice counts twice.
    pub refused_pages: usize,
    /// Why blocks stayed, and how many for each reason.
    pub refusals: BTreeMap<String, u32>,
    /// Pages that came back into buffers, in either way.
    pub restored_pages: usize,
    /// Of those, as the same blocks: without copying.
    pub taken_back_pages: usize,
    /// Files of which a byte came back different, or not at all.
    pub mismatches: usize,
    /// The most pages of the budget that were in use: by pool and buffers, and with `ram` by transferred blocks.
    pub peak_pool_pages: usize,
    /// The most pages that pool, buffers and store together held beyond the start of a shrink call.
    pub peak_extra_pages: usize,
    /// The same, beyond the start of a write-out.
    pub peak_write_out_pages: usize,
    /// Pages that the buffers might hold.
    pub budget_pages: usize,
    /// Bytes that were asked for them, if any were. What is left over beyond the last page is not used.
    pub budget_asked: Option<u64>,
    /// Pages that the store has room for: those of the swap region; with shmem the addresses of the arena, most of
    /// which never get memory, and of which the buffers' own memory is a part where blocks are transferred.
    pub region_pages: usize,
    /// Pages that the files took.
    pub data_pages: usize,
    /// Frames that were never returned, and pages of the store that stayed taken.
    pub leaked_pages: usize,
    /// From the first file opened to the last byte compared.
    pub seconds: f64,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// Where contents went.
    pub store: StoreKind,
    /// How they left.
    pub evict: EvictKind,
    /// What was passed over.
    pub skipped: Skipped,
    /// Files that were read back and compared.
    pub compared: usize,
    /// What was noticed about single files, the first few.
    pub notes: Vec<String>,
    /// Counts of forebay that the oracle contradicts.
    pub disagreements: Vec<String>,
    /// What the system counted, when all was read.
    #[serde(flatten)]
    pub usage: Usage,
    /// What contents were in, as it stood when all was read.
    #[serde(flatten)]
    pub medium: Medium,
    /// Why it ended early, if it did.
    pub failure: Option<String>,
}

impl Report {
    /// Notes that are kept.
    pub(crate) const NOTES: usize = 20;

    /// Every byte that was loaded came back, nothing leaked, and all counts agree.
    pub fn is_good(&self) -> bool {
        self.mismatches == 0
            && self.leaked_pages == 0
            && self.disagreements.is_empty()
            && self.failure.is_none()
    }

    /// Takes over what the machine counted. `loading` is what had been evicted when everything was loaded.
    pub(crate) fn take(&mut self, figures: &Figures, loading: usize) {
        let Figures { stats, counts, .. } = figures;
        self.evicted_pages = stats.evicted.moved().get();
        self.evicted_loading_pages = loading;
        self.evicted_reading_pages = self.evicted_pages - loading;
        self.transferred_pages = stats.evicted.transferred.get();
        self.adopted_pages = counts.transferred;
        self.copied_pages = stats.evicted.copied.get();
        self.clean_pages = stats.evicted.clean.get();
        self.written_out_pages = counts.written_out;
        self.split_blocks = stats.evicted.splits;
        self.freed_pages = (stats.evicted.moved() - stats.evicted.transferred + stats.settled).get();
        self.pending_pages = figures.settled.pending.get();
        self.reclaimable_pages = figures.settled.reclaimable.get();
        self.held_pages = figures.settled.held.get();
        self.refused_pages = stats.evicted.refused.get();
        self.refusals = stats.refusals.iter().map(|(why, times)| (why.to_string(), times)).collect();
        self.restored_pages = (stats.restored.loaded + stats.restored.taken_back).get();
        self.taken_back_pages = stats.restored.taken_back.get();
        self.peak_pool_pages = figures.peak_used.get();
        self.peak_extra_pages = figures.peak_extra.get();
        self.peak_write_out_pages = figures.peak_write_out.get();
    }

    /// Notes which counts of forebay the oracle contradicts. Some can be compared only if `nothing_odd`: no file
    /// was dropped half way, and no restore failed.
    pub(crate) fn compare(&mut self, figures: &Figures, nothing_odd: Oddness) {
        let Figures { stats, counts, transferred, stored, settled, .. } = figures;
        let transfers = self.evict == EvictKind::Transfer;
        let plain = nothing_odd == Oddness::None && counts.discarded == 0;
        let all = [
            (true, "transferred", stats.evicted.transferred.get(), counts.transferred),
            (true, "copied", stats.evicted.copied.get(), counts.saved),
            (true, "taken back", stats.restored.taken_back.get(), counts.taken_back),
            (true, "written out", stats.settled.get(), counts.written_out),
            (true, "leaked", stats.leaked.get(), 0),
            (transfers, "refused", stats.evicted.refused.get(), counts.refused),
            (plain, "loaded", stats.restored.loaded.get(), counts.loaded),
            (
                plain,
                "freed",
                (stats.evicted.moved() - stats.evicted.transferred + stats.settled).get(),
                counts.freed,
            ),
            (
                plain && self.store.is_shmem(),
                "stored, pending or reclaimable,",
                (settled.pending + settled.reclaimable).get(),
                stored.get(),
            ),
            (
                plain,
                "transferred, as the sum of what became of it,",
                stats.evicted.transferred.get(),
                counts.written_out + counts.taken_back + transferred.get(),
            ),
        ];
        if self.peak_pool_pages > self.budget_pages {
            let over = self.peak_pool_pages - self.budget_pages;
            self.disagreements.push(format!("the buffers took {over} pages more than their budget"));
        }
        for (_, what, own, seen) in all.into_iter().filter(|(holds, _, own, seen)| *holds && own != seen) {
            self.disagreements.push(format!("pages {what}: forebay counts {own}, the oracle {seen}"));
        }
    }

    /// One object, on one line.
    ///
    /// # Errors
    /// None that can happen: it is plain data.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            good: bool,
            #[serde(flatten)]
            report: &'a Report,
        }
        serde_json::to_string(&Told { good: self.is_good(), report: self })
    }
}

/// Whether something happened after which some counts can't be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Oddness {
    None,
    Some,
}
