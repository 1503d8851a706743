//! The figures as a table for people, and the verdict below it.

use super::report::Report;
use super::text::{count, group, human};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A name, a figure, and what that means.
type Row = (&'static str, String, String);

fn row(name: &'static str, value: String, meaning: impl Into<String>) -> Row {
    (name, value, meaning.into())
}

/// A table in the lab's style, with this header.
pub(crate) fn framed<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if table.width().is_none_or(|columns| columns < 60) {
        table.set_width(110); // a file, a pipe, or a terminal that does not know
    }
    table
}

impl Report {
    /// A table for people, and the verdict below it.
    pub fn table(&self) -> String {
        let mut table = framed(["", "", "what that means"]);
        for (name, value, meaning) in self.rows() {
            table.add_row([name.to_owned(), value, meaning]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n{}{}", self.where_it_is(), self.verdict())
    }

    fn rows(&self) -> Vec<Row> {
        [self.files_and_budget(), self.evicted(), self.in_the_store(), self.restored(), self.memory()]
            .concat()
    }

    fn size(&self, pages: usize) -> String {
        human(pages as u64 * self.page_bytes as u64)
    }

    fn files_and_budget(&self) -> Vec<Row> {
        let (bytes, pages) = (human(self.bytes), self.size(self.data_pages));
        let used = match self.store.is_shmem() {
            false => "the most that buffers, and transferred blocks, took of it",
            true => "the most that buffers took of it; a transferred block leaves it at once",
        };
        vec![
            row("files", group(self.files), format!("loaded into buffers: {bytes}, {pages} in whole pages")),
            row("skipped", group(self.skipped.total()), format!("not loaded: {}", self.skipped)),
            row(
                "changed",
                group(self.changed),
                "changed on disk meanwhile by another program: no fault of the buffers",
            ),
            row(
                "budget",
                self.size(self.budget_pages),
                format!("memory that the buffers might use: {}{}", self.share(), self.rounded()),
            ),
            row("most used", self.size(self.peak_pool_pages), used),
        ]
    }

    fn evicted(&self) -> Vec<Row> {
        vec![
            row(
                "evicted",
                self.size(self.evicted_pages),
                format!(
                    "left the buffers to make room: {} while loading, {} while reading back",
                    self.size(self.evicted_loading_pages),
                    self.size(self.evicted_reading_pages)
                ),
            ),
            row(
                "  transferred",
                self.size(self.transferred_pages),
                "the store took the blocks themselves: nothing was copied",
            ),
            row("  copied", self.size(self.copied_pages), "copied into the store while evicting"),
            row("  clean", self.size(self.clean_pages), "the store still had a copy: nothing was copied"),
            row(
                "refused",
                self.size(self.refused_pages),
                "the store would not have it, and it stayed where it was",
            ),
            row("cuts", group(self.split_blocks), "times that a block was cut in two to copy a part"),
            row(
                "extra, evicting",
                count(self.peak_extra_pages, "page"),
                "the most memory that evicting needed itself, beyond what was held at its start",
            ),
        ]
    }

    fn in_the_store(&self) -> Vec<Row> {
        let chunk = human(self.medium.chunk_bytes as u64);
        match self.store.is_shmem() {
            false => vec![
                row(
                    "written out",
                    self.size(self.written_out_pages),
                    "of what was transferred, moved to the store's own memory later",
                ),
                row(
                    "still pending",
                    self.size(self.pending_pages),
                    "transferred and not written out when all was read",
                ),
                row(
                    "freed",
                    self.size(self.freed_pages),
                    "memory that evicting and writing out gave back to the buffers' source",
                ),
                row(
                    "extra, writing out",
                    count(self.peak_write_out_pages, "page"),
                    "memory that this needed itself, at most, as for evicting",
                ),
            ],
            true => vec![
                row("reclaimable", self.size(self.reclaimable_pages), self.reclaimable_by()),
                row(
                    "still pending",
                    self.size(self.pending_pages),
                    format!(
                        "in the store too, but mapped: something else in the same {chunk} is in a buffer"
                    ),
                ),
                row(
                    "held",
                    self.size(self.held_pages),
                    format!("dropped, but its memory is kept: something else in the same {chunk} is in use"),
                ),
                row(
                    "freed",
                    self.size(self.freed_pages),
                    "returned to the source after copying; a transferred block just changed its owner",
                ),
            ],
        }
    }

    fn reclaimable_by(&self) -> &'static str {
        match self.medium.stays_in_ram {
            Some(true) => {
                "in the store when all was read, mapped nowhere: Linux could swap it out, had it swap"
            }
            _ => "in the store when all was read, mapped nowhere: Linux may swap it out",
        }
    }

    fn restored(&self) -> Vec<Row> {
        let rate = human((2.0 * self.bytes as f64 / self.seconds.max(1e-9)) as u64);
        vec![
            row(
                "restored",
                self.size(self.restored_pages),
                "came back into buffers when they were read or written",
            ),
            row(
                "  taken back",
                self.size(self.taken_back_pages),
                "of that, the same blocks again: nothing was copied",
            ),
            row(
                "mismatches",
                group(self.mismatches),
                "files of which a byte came back different, or not at all",
            ),
            row(
                "leaked",
                self.size(self.leaked_pages),
                "memory that was not returned when all buffers were dropped",
            ),
            row("time", format!("{:.3} s", self.seconds), format!("{rate}/s, once in and once out")),
        ]
    }

    /// What the system counted.
    fn memory(&self) -> Vec<Row> {
        let file = self.medium.shmem_bytes.filter(|_| self.store.is_shmem());
        let usage = &self.usage;
        [
            (
                "shmem",
                file,
                "what the store's memfd held when all was read, in RAM or swap, by Linux's count",
            ),
            ("process", usage.process_rss_bytes, "RAM that this process had mapped then"),
            ("  shmem", usage.process_shmem_rss_bytes, "of that, shmem: what was not unmapped"),
            ("process, peak", usage.process_peak_rss_bytes, "the most RAM that this process ever had mapped"),
            (
                "control group",
                usage.cgroup_peak_bytes,
                "the most that its control group was ever charged, with all that is in it and cached files",
            ),
        ]
        .into_iter()
        .filter_map(|(name, bytes, meaning)| Some(row(name, human(bytes?), meaning)))
        .collect()
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

    /// What the figures alone do not tell.
    fn where_it_is(&self) -> &'static str {
        match (self.store.is_shmem(), self.medium.stays_in_ram) {
            (false, _) => "",
            (true, Some(true)) => {
                "There is no swap here: what was evicted stays in RAM, owned by the store.\n"
            }
            (true, Some(false)) => "What was evicted is owned by the store, and Linux may swap it out.\n",
            (true, None) => {
                "What was evicted is owned by the store; whether there is swap for it is not known.\n"
            }
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
