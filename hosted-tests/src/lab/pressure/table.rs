//! The figures as tables for people, and the verdict below them.

use super::outcome::{Ending, Lowered, Outcome};
use super::report::PressureReport;
use crate::lab::table::framed;
use crate::lab::text::{group, percent};
use comfy_table::{CellAlignment, ColumnConstraint, Table, Width};

/// Where there is no figure.
const NONE: &str = "–";

impl PressureReport {
    /// Tables for people, and the verdict below them.
    pub fn table(&self) -> String {
        let head = "A pool of 128 blocks of 2 MiB, one huge page each if the kernel gives them. Every other block leaves, in a \
                    control group with 256 KiB to spare:";
        let swapped = "Then the limit falls by 64 MiB, so that 16,384 pages have to leave memory: of blocks that left the \
                       pool, or were kept. Huge pages are written whole, or split. At last everything comes back:";
        let claims = format!(
            "\"Insert instead of copy pages into shmem when shrinking\" (May 2026):\n{}",
            self.claims.iter().map(|it| format!("- {}\n  Seen: {}\n", it.claim, it.seen)).collect::<String>()
        );
        format!(
            "{head}\n{}\n\n{swapped}\n{}\n\n{claims}\n{}",
            self.shrinking(),
            self.swapping(),
            self.verdict()
        )
    }

    fn shrinking(&self) -> Table {
        let mut table = framed([
            "",
            "left, of 64",
            "above start",
            "limit hits",
            "kernel memory",
            "huge, split",
            "pages of pool swapped",
            "time",
        ]);
        for it in &self.cases {
            let mut row = vec![it.name.clone(), left(it)];
            row.extend(match &it.shrunk {
                Some(shrunk) => [
                    format!("{} KiB", group((shrunk.peak_bytes >> 10) as usize)),
                    shrunk.limit_hits.map_or(NONE.into(), |hits| group(hits as usize)),
                    shrunk.kernel_bytes.map_or(NONE.into(), |bytes| format!("{:+} KiB", bytes >> 10)),
                    shrunk.splits.to_string(),
                    group(shrunk.swapped_kept),
                    duration(shrunk.microseconds),
                ],
                None => [NONE, NONE, NONE, &it.splits.to_string(), NONE, NONE].map(String::from),
            });
            table.add_row(row);
        }
        aligned(table)
    }

    fn swapping(&self) -> Table {
        let mut table = framed([
            "",
            "huge pages",
            "swapped: left, kept",
            "share of left",
            "whole, split",
            "swap-in, a page",
            "2 MiB in memory",
            "bytes",
        ]);
        for it in self.cases.iter().filter(|it| it.lowered.is_some() || it.restored.is_some()) {
            let mut row = vec![it.name.clone(), group(it.huge)];
            row.extend(match it.lowered {
                Some(Lowered { stored, kept, whole, splits }) => [
                    format!("{}, {}", group(stored), group(kept)),
                    percent(stored as f64 / (stored + kept).max(1) as f64),
                    format!("{whole}, {splits}"),
                ],
                None => [NONE; 3].map(String::from),
            });
            let micros =
                |ns: Option<u64>| ns.map_or(NONE.into(), |ns| format!("{:.1} µs", ns as f64 / 1000.0));
            row.extend(match it.restored {
                Some(restored) => [
                    micros(restored.swapped_page_ns),
                    micros(restored.resident_block_ns),
                    if it.is_intact() { "equal".into() } else { format!("{} WRONG", restored.wrong) },
                ],
                None => [NONE; 3].map(String::from),
            });
            table.add_row(row);
        }
        aligned(table)
    }

    fn verdict(&self) -> String {
        let swap = match &self.shmem_enabled_refused {
            Some(why) => format!("shmem_enabled stayed {} ({why})", self.shmem_enabled_before),
            None => format!("shmem_enabled was advise meanwhile, and before {}", self.shmem_enabled_before),
        };
        let refused = self.cases.iter().find_map(|it| it.refused.as_ref());
        let refused = refused.map_or(String::new(), |why| format!("Refused: {why}.\n"));
        let head = format!(
            "{refused}Control groups of version {}, swap on {}; {swap}. Huge pages are counted for the whole machine. Not pinned, \
             nothing is promised about kept blocks.\n",
            self.cgroup_version,
            match self.swap {
                super::SwapKind::Zram => "compressed memory (zram)",
                super::SwapKind::Loop => "a file behind a loop device",
            }
        );
        let faults: Vec<_> = self.faults.iter().chain(&self.left_behind).cloned().collect();
        match faults[..] {
            [] => {
                head + "Good: out of a pinned arena only transferred pages were swapped, no transfer took memory, \
                        and all contents are equal.\n"
            }
            _ => format!("{head}FAILED: {}.\n", faults.join("; ")),
        }
    }
}

/// How many blocks left, and what stopped the others.
fn left(outcome: &Outcome) -> String {
    let blocks = outcome.blocks_left;
    match (&outcome.ending, &outcome.refused) {
        (Ending::Killed, _) => format!("KILLED at {blocks}"),
        (Ending::Failed(why), _) => format!("{blocks}: {why}"),
        (Ending::Complete, Some(_)) => format!("refused at {blocks}"),
        (Ending::Complete, None) => blocks.to_string(),
    }
}

fn duration(microseconds: u64) -> String {
    if microseconds < 10_000 {
        format!("{} µs", group(microseconds as usize))
    } else {
        format!("{} ms", group(microseconds as usize / 1000))
    }
}

/// Names on one line, figures to the right.
fn aligned(mut table: Table) -> Table {
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(33)));
    }
    for column in 1..table.column_count() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
