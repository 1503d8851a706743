//! The figures of a replay as a table for people, and the verdict below it.

use super::policy::Outcome;
use super::replay::ReplayReport;
use super::table::framed;
use super::text::{count, group, human, percent};
use comfy_table::CellAlignment;

/// A name, a figure of each, and what that means.
type Row = (&'static str, fn(&Outcome) -> String, String);

impl ReplayReport {
    /// A table for people, and the verdict below it.
    pub fn table(&self) -> String {
        let mut table = framed(["", "forebay", "exact LRU", "ideal", "what that means"]);
        for (name, figure, meaning) in self.rows() {
            let figures = [&self.forebay, &self.lru, &self.ideal].map(figure);
            table.add_row([&[name.to_owned()], &figures[..], &[meaning]].concat());
        }
        for column in 1..=3 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{table}\n{}{}{}", self.summary(), self.how_they_left(), self.verdict())
    }

    fn rows(&self) -> [Row; 6] {
        [
            ("hits", |o| group(o.hits), "accesses whose page was in memory".into()),
            (
                "hit rate",
                |o| format!("{:.2} %", 100.0 * o.hit_rate()),
                format!(
                    "of all {} accesses; forebay: {:+.2} points to LRU",
                    group(self.accesses),
                    self.above_lru()
                ),
            ),
            (
                "cold misses",
                |o| group(o.cold_misses),
                "a page's first access, which no memory can help".into(),
            ),
            ("other misses", |o| group(o.other_misses), "accesses whose page had left".into()),
            ("evictions", |o| group(o.evictions), "pages that left to make room".into()),
            (
                "  clean",
                |o| group(o.clean_evictions),
                "of those, unchanged since they came back: nothing had to be written".into(),
            ),
        ]
    }

    fn size(&self, pages: usize) -> String {
        human((pages as u64).saturating_mul(self.page_bytes as u64))
    }

    fn summary(&self) -> String {
        format!(
            "The trace: {} accesses, of which {} writes, of {}, {}. Memory for {}, {}: {} of that.\n",
            group(self.accesses),
            group(self.writes),
            count(self.pages, "page"),
            self.size(self.pages),
            count(self.memory_pages, "page"),
            self.size(self.memory_pages),
            percent(self.memory_pages as f64 / self.pages as f64),
        )
    }

    /// What is only forebay's.
    fn how_they_left(&self) -> String {
        let [transferred, taken_back, written_out, copied, clean] = [
            self.transferred_pages,
            self.taken_back_pages,
            self.written_out_pages,
            self.copied_pages,
            self.forebay.clean_evictions,
        ]
        .map(|pages| count(pages, "page"));
        format!(
            "What left forebay's buffers: {transferred} transferred ({taken_back} came back as the same blocks, \
             {written_out} written out), {copied} copied, {clean} clean.\n"
        )
    }

    fn verdict(&self) -> String {
        if self.is_good() {
            return "Good: every access found the right bytes, nothing leaked.\n".into();
        }
        let mut wrong: Vec<String> = self.failure.iter().cloned().collect();
        if let Some(first) = &self.first_mismatch {
            let number = group(self.mismatches);
            wrong.push(format!("accesses that found something else: {number}, the first of them {first}"));
        }
        if self.leaked_pages > 0 {
            wrong.push(format!("{} leaked", count(self.leaked_pages, "page")));
        }
        wrong.extend(self.disagreements.iter().cloned());
        format!("FAILED: {}.\n", wrong.join("; "))
    }
}
