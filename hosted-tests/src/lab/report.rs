//! What happened: as JSON, as a table, and as a verdict.

use super::files::Skipped;
use super::machine::Figures;
use super::options::{EvictKind, StoreKind};
use super::text::{count, group, human};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

/// Everything that a round trip found out. Pages have [`page_bytes`](Report::page_bytes) bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Files that were loaded.
    pub files: usize,
    /// Bytes that were loaded.
    pub bytes: u64,
    /// Files that somebody else changed, replaced or removed meanwhile.
    pub changed: usize,
    /// Pages that left the buffers: handed over, copied or clean.
    pub evicted_pages: usize,
    /// Of those, while loading.
    pub evicted_loading_pages: usize,
    /// Of those, while reading back.
    pub evicted_reading_pages: usize,
    /// Pages whose blocks were handed over, by forebay's count.
    pub transferred_pages: usize,
    /// Pages whose blocks the store adopted, by the oracle's count.
    pub adopted_pages: usize,
    /// Pages that were copied into the store by evicting them.
    pub copied_pages: usize,
    /// Pages that were evicted without copying, as the store still had a copy.
    pub clean_pages: usize,
    /// Pages that the store copied into its own memory after adopting them.
    pub written_out_pages: usize,
    /// Times that a block was cut in two.
    pub split_blocks: usize,
    /// Pages whose frames came home by evicting or writing out.
    pub freed_pages: usize,
    /// Pages that were still adopted at the end.
    pub pending_pages: usize,
    /// Pages that were tried and stayed; one that is tried twice counts twice.
    pub refused_pages: usize,
    /// Pages that came back into buffers, in either way.
    pub restored_pages: usize,
    /// Of those, as the same blocks: without copying.
    pub taken_back_pages: usize,
    /// Files of which a byte came back different, or not at all.
    pub mismatches: usize,
    /// The most pages that pool and buffers held, with what was adopted.
    pub peak_pool_pages: usize,
    /// The most pages that pool, buffers and store together held beyond the start of a shrink call.
    pub peak_extra_pages: usize,
    /// The same, beyond the start of a write-out.
    pub peak_write_out_pages: usize,
    /// Pages that the buffers might hold.
    pub budget_pages: usize,
    /// Bytes that were asked for them, if any were. What is left over beyond the last page is not used.
    pub budget_asked: Option<u64>,
    /// Pages of the swap region.
    pub region_pages: usize,
    /// Pages that the files took.
    pub data_pages: usize,
    /// Frames that never came home, and pages of the store that stayed taken.
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
        self.transferred_pages = stats.evicted.handed_over.get();
        self.adopted_pages = counts.transferred;
        self.copied_pages = stats.evicted.copied.get();
        self.clean_pages = stats.evicted.clean.get();
        self.written_out_pages = counts.written_out;
        self.split_blocks = stats.evicted.splits;
        self.freed_pages = (stats.evicted.freed() + stats.settled).get();
        self.pending_pages = figures.settled.pending.get();
        self.refused_pages = stats.evicted.refused.get();
        self.restored_pages = (stats.restored.loaded + stats.restored.taken_back).get();
        self.taken_back_pages = stats.restored.taken_back.get();
        self.peak_pool_pages = figures.peak_used.get();
        self.peak_extra_pages = figures.peak_extra.get();
        self.peak_write_out_pages = figures.peak_write_out.get();
    }

    /// Notes which counts of forebay the oracle contradicts. Some can be compared only if `nothing_odd`: no file
    /// was dropped half way, and no restore failed.
    pub(crate) fn compare(&mut self, figures: &Figures, nothing_odd: Oddness) {
        let Figures { stats, counts, adopted, .. } = figures;
        let transfers = self.evict == EvictKind::Transfer;
        let plain = nothing_odd == Oddness::None && counts.uncovered == 0;
        let all = [
            (true, "handed over", stats.evicted.handed_over.get(), counts.transferred),
            (true, "copied", stats.evicted.copied.get(), counts.saved),
            (true, "taken back", stats.restored.taken_back.get(), counts.taken_back),
            (true, "written out", stats.settled.get(), counts.written_out),
            (true, "stranded", stats.stranded.get(), 0),
            (transfers, "refused", stats.evicted.refused.get(), counts.refused),
            (plain, "loaded", stats.restored.loaded.get(), counts.loaded),
            (plain, "freed", (stats.evicted.freed() + stats.settled).get(), counts.released),
            (
                plain,
                "handed over, as the sum of what became of it,",
                stats.evicted.handed_over.get(),
                counts.written_out + counts.taken_back + adopted.get(),
            ),
        ];
        let all = all.into_iter().chain(
            figures.seen_adopted.map(|seen| (transfers, "still handed over", adopted.get(), seen.get())),
        );
        for (_, what, own, seen) in all.filter(|(holds, _, own, seen)| *holds && own != seen) {
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

    /// A table for people, and the verdict below it.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["", "", "what that means"]);
        if table.width().is_none_or(|columns| columns < 60) {
            table.set_width(110); // a file, a pipe, or a terminal that does not know
        }
        for (name, value, meaning) in self.rows() {
            table.add_row([name.to_owned(), value, meaning]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n{}", self.verdict())
    }

    fn rows(&self) -> Vec<(&'static str, String, String)> {
        let size = |pages: usize| human(pages as u64 * self.page_bytes as u64);
        let over = |pages| count(pages, "page");
        let mut rows = vec![
            (
                "files",
                group(self.files),
                format!(
                    "loaded into buffers: {}, {} in whole pages",
                    human(self.bytes),
                    size(self.data_pages)
                ),
            ),
            ("skipped", group(self.skipped.total()), format!("not loaded: {}", self.skipped)),
            (
                "changed",
                group(self.changed),
                "changed on disk meanwhile by somebody else: no fault of the buffers".into(),
            ),
            (
                "budget",
                size(self.budget_pages),
                format!("memory that the buffers might use: {}{}", self.share(), self.rounded()),
            ),
            (
                "most used",
                size(self.peak_pool_pages),
                "the most that buffers, and blocks handed over, took of it".into(),
            ),
            (
                "evicted",
                size(self.evicted_pages),
                format!(
                    "left the buffers to make room: {} while loading, {} while reading back",
                    size(self.evicted_loading_pages),
                    size(self.evicted_reading_pages)
                ),
            ),
            (
                "  handed over",
                size(self.transferred_pages),
                "the store took the blocks themselves: nothing was copied".into(),
            ),
            ("  copied", size(self.copied_pages), "copied into the store while evicting".into()),
            ("  clean", size(self.clean_pages), "the store still had a copy: nothing was copied".into()),
            (
                "written out",
                size(self.written_out_pages),
                "of what was handed over, moved to the store's own memory later".into(),
            ),
            (
                "still pending",
                size(self.pending_pages),
                "handed over and not written out when all was read".into(),
            ),
            ("freed", size(self.freed_pages), "memory that evicting and writing out gave back".into()),
            (
                "refused",
                size(self.refused_pages),
                "the store would not have it, and it stayed where it was".into(),
            ),
            ("cuts", group(self.split_blocks), "times that a block was cut in two to copy a part".into()),
            ("restored", size(self.restored_pages), "came back into buffers when somebody looked".into()),
            (
                "  taken back",
                size(self.taken_back_pages),
                "of that, the same blocks again: nothing was copied".into(),
            ),
            (
                "extra, evicting",
                over(self.peak_extra_pages),
                "the most memory that evicting needed itself, beyond what was held at its start".into(),
            ),
            (
                "extra, writing out",
                over(self.peak_write_out_pages),
                "the same for writing out what was handed over".into(),
            ),
            (
                "mismatches",
                group(self.mismatches),
                "files of which a byte came back different, or not at all".into(),
            ),
            (
                "leaked",
                size(self.leaked_pages),
                "memory that did not come home when all buffers were dropped".into(),
            ),
        ];
        rows.push((
            "time",
            format!("{:.3} s", self.seconds),
            format!(
                "{}/s, once in and once out",
                human((2.0 * self.bytes as f64 / self.seconds.max(1e-9)) as u64)
            ),
        ));
        rows
    }

    fn share(&self) -> String {
        match 100.0 * self.budget_pages as f64 / self.data_pages as f64 {
            share if share < 100.0 => format!("{share:.1} % of what the files need"),
            _ => "all of what the files need".into(),
        }
    }

    fn rounded(&self) -> String {
        match self.budget_asked {
            Some(bytes) if !bytes.is_multiple_of(self.page_bytes as u64) => {
                format!(" ({bytes} bytes, rounded down to whole pages)")
            }
            _ => String::new(),
        }
    }

    fn verdict(&self) -> String {
        if self.is_good() {
            let but = match self.evicted_pages {
                0 if self.data_pages > 1 => {
                    ", but nothing had to leave: the budget holds all the files. Pass a smaller --budget"
                }
                0 => ", but nothing had to leave: name a directory with more in it",
                _ => "",
            };
            let files = count(self.compared, "file");
            return format!(
                "Good{but}{} {files} compared with the disk, every byte came back, nothing leaked.\n",
                if but.is_empty() { ":" } else { "." }
            );
        }
        let mut wrong: Vec<String> = self.failure.iter().cloned().collect();
        if self.mismatches > 0 {
            wrong.push(format!("{} came back different", count(self.mismatches, "file")));
        }
        if self.leaked_pages > 0 {
            wrong.push(format!("{} leaked", count(self.leaked_pages, "page")));
        }
        wrong.extend(self.disagreements.iter().cloned());
        format!("FAILED: {}.\n", wrong.join("; "))
    }
}

/// Whether something happened after which some counts can't be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Oddness {
    None,
    Some,
}
