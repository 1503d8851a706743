//! How much fast memory a trace needs for a hit rate.

use super::curve::Curve;
use super::options::{PAGE, parse_share, parse_size};
use super::policy::least_ideal;
use super::table::framed;
use super::text::{count, group, human, percent};
use super::trace::Trace;
use clap::Args;
use comfy_table::CellAlignment;
use serde::Serialize;

/// What may be chosen about a plan.
#[derive(Clone, Debug, Args)]
pub struct PlanOptions {
    /// Hit rates that are wanted, such as 0.9,0.95 or 90%,95%
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = parse_share,
          default_value = "0.9,0.95,0.99")]
    pub hit_rate: Vec<f64>,

    /// What a page has, to tell sizes: such as 512 or 4KiB
    #[arg(long, value_name = "SIZE", value_parser = parse_page, default_value_t = PAGE as u64)]
    pub page: u64,
}

fn parse_page(text: &str) -> Result<u64, String> {
    match parse_size(text).map_err(|e| e.to_string())? {
        0 => Err("0 is no size of a page: write 512 or 4KiB, say".into()),
        bytes => Ok(bytes),
    }
}

/// What a trace needs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Plan {
    /// Accesses of the trace.
    pub accesses: usize,
    /// Of those, writes.
    pub writes: usize,
    /// Pages that are touched.
    pub pages: usize,
    /// Accesses that are a page's first. No memory makes hits of them.
    pub cold_misses: usize,
    /// The hit rate with room for all pages: none is higher.
    pub highest_hit_rate: f64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// For each hit rate that is wanted, and for the highest.
    pub needs: Vec<Need>,
}

/// What a hit rate needs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Need {
    /// The hit rate.
    pub hit_rate: f64,
    /// Pages of memory with which exact LRU has it. `None` if no memory is enough.
    pub lru_pages: Option<usize>,
    /// Pages with which an ideal memory has it, which knows what will be touched next. `None` as above.
    pub ideal_pages: Option<usize>,
}

/// What this trace needs. O(n log² n) in its accesses.
pub fn plan(trace: &Trace, options: &PlanOptions) -> Plan {
    let curve = Curve::of(trace);
    let highest = trace.highest_rate();
    let rates = options.hit_rate.iter().copied().chain([highest].into_iter().filter(|rate| *rate > 0.0));
    let needs = rates.map(|hit_rate| {
        let hits = hits_for(hit_rate, trace.len());
        let lru_pages = curve.least(hits);
        Need { hit_rate, lru_pages, ideal_pages: lru_pages.map(|enough| least_ideal(trace, hits, enough)) }
    });
    Plan {
        accesses: trace.len(),
        writes: trace.writes(),
        pages: trace.pages(),
        cold_misses: trace.pages(),
        highest_hit_rate: highest,
        page_bytes: options.page,
        needs: needs.collect(),
    }
}

/// The least number of hits that makes this rate. A rate is rarely a number that a float has exactly.
fn hits_for(rate: f64, accesses: usize) -> usize {
    (rate * accesses as f64 - 1e-6).ceil() as usize
}

impl Plan {
    /// A table for people, and what the trace is.
    pub fn table(&self) -> String {
        let mut table = framed(["hit rate", "exact LRU needs", "", "", "an ideal memory needs", "", ""]);
        for need in &self.needs {
            let mut row = vec![percent(need.hit_rate)];
            row.extend(self.room(need.lru_pages));
            row.extend(self.room(need.ideal_pages));
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n{}", self.summary())
    }

    /// Pages, their size, and their share of all pages.
    fn room(&self, pages: Option<usize>) -> [String; 3] {
        match pages {
            Some(pages) => {
                let share = pages as f64 / self.pages as f64;
                [count(pages, "page"), self.size(pages), percent(share)]
            }
            None => ["not to be had".into(), String::new(), String::new()],
        }
    }

    fn size(&self, pages: usize) -> String {
        human((pages as u64).saturating_mul(self.page_bytes))
    }

    fn summary(&self) -> String {
        let highest = percent(self.highest_hit_rate);
        let mut text = format!(
            "Accesses: {}, of which writes: {}. They touch {}, {}. The first access of a page is never a hit, so {highest} \
             is the most.\n",
            group(self.accesses),
            group(self.writes),
            count(self.pages, "page"),
            self.size(self.pages),
        );
        for need in self.needs.iter().filter(|need| need.lru_pages.is_none()) {
            let wanted = percent(need.hit_rate);
            text += &format!("No memory has a hit rate of {wanted} on it: ask for {highest} or less.\n");
        }
        text
    }

    /// One object, on one line.
    ///
    /// # Errors
    /// None that can happen: it is plain data.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the least memory that has the rate, neither a page more for what a float is not, nor a page less.
    #[test]
    fn rates() {
        for accesses in 1..200 {
            for hits in 1..=accesses {
                assert_eq!(hits_for(hits as f64 / accesses as f64, accesses), hits);
            }
        }
        assert_eq!([hits_for(0.9, 11), hits_for(0.5, 11), hits_for(0.001, 11)], [10, 6, 1]);
    }

    /// Rule: a circle needs all of its pages with LRU, and one less for a hit in each round of the ideal.
    #[test]
    fn known_plan() {
        let trace = Trace::parse(b"1-4 1-4 1-4 1-4 1-4").unwrap();
        let options = PlanOptions { hit_rate: vec![0.2, 0.5, 0.9], page: 512 };
        let plan = plan(&trace, &options);
        assert_eq!((plan.accesses, plan.pages, plan.writes, plan.highest_hit_rate), (20, 4, 0, 0.8));
        let needs = plan.needs.iter().map(|need| (need.lru_pages, need.ideal_pages));
        assert_eq!(
            needs.collect::<Vec<_>>(),
            [(Some(4), Some(2)), (Some(4), Some(3)), (None, None), (Some(4), Some(4))]
        );
        let text = plan.table();
        assert!(text.contains("No memory has a hit rate of 90 %") && text.contains("2.0 KiB"), "{text}");
    }
}
