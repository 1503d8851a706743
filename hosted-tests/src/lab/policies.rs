//! Which buffers leave: hit rates of forebay's policies on real buffers, beside exact LRU, ARC, SIEVE and the ideal.

use super::arc;
use super::options::{PolicyKind, parse_share};
use super::policy::{Policy, simulate};
use super::replay::{ReplayOptions, replay};
use super::shape::MachineError;
use super::sieve;
use super::table::framed;
use super::text::percent;
use super::trace::Trace;
use clap::Args;
use comfy_table::CellAlignment;
use serde::Serialize;

/// What may be chosen about a comparison.
#[derive(Clone, Debug, Args)]
pub struct PoliciesOptions {
    /// Memory for the buffers, as shares of the pages that the trace touches, such as 0.1,0.25 or 10%,25%
    #[arg(long, value_name = "SHARES", value_delimiter = ',', value_parser = parse_share,
          default_value = "0.1,0.25,0.5")]
    pub share: Vec<f64>,
}

/// The hit rates of a trace.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Policies {
    /// In each replay no byte was wrong, and nothing leaked.
    pub good: bool,
    /// For each size of memory.
    pub rows: Vec<HitRates>,
}

/// The hit rates of all policies with one size of memory, as shares of all accesses.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct HitRates {
    /// Memory, as a share of the pages.
    pub share: f64,
    /// Memory in pages.
    pub memory_pages: usize,
    /// Exact LRU; simulated.
    pub lru: f64,
    /// ARC; simulated.
    pub arc: f64,
    /// SIEVE; simulated.
    pub sieve: f64,
    /// Forebay's clock; replayed on buffers.
    pub clock: f64,
    /// Forebay's S3-FIFO; replayed on buffers.
    pub s3_fifo: f64,
    /// What is possible at all; simulated.
    pub ideal: f64,
}

/// Compares them.
///
/// # Errors
/// [`MachineError`]: there is no memory for it.
pub fn policies(trace: &Trace, options: &PoliciesOptions) -> Result<Policies, MachineError> {
    let mut told = Policies { good: true, rows: vec![] };
    for share in options.share.iter().copied() {
        let mut replayed = |policy| {
            let report = replay(trace, &ReplayOptions { policy, share, ..ReplayOptions::default() })?;
            told.good &= report.is_good();
            Ok((report.memory_pages, report.forebay.hit_rate()))
        };
        let (memory_pages, clock) = replayed(PolicyKind::Clock)?;
        let (_, s3_fifo) = replayed(PolicyKind::S3Fifo)?;
        told.rows.push(HitRates {
            share,
            memory_pages,
            lru: simulate(trace, memory_pages, Policy::Lru).hit_rate(),
            arc: arc::hits(trace, memory_pages) as f64 / trace.len() as f64,
            sieve: sieve::hits(trace, memory_pages) as f64 / trace.len() as f64,
            clock,
            s3_fifo,
            ideal: simulate(trace, memory_pages, Policy::Ideal).hit_rate(),
        });
    }
    Ok(told)
}

impl Policies {
    /// A table for people. Behind each rate, the percentage points above exact LRU.
    pub fn table(&self) -> String {
        let mut table =
            framed(["memory", "pages", "exact LRU", "ARC", "SIEVE", "clock", "S3-FIFO", "the ideal"]);
        for row in &self.rows {
            let rate = |rate: f64| format!("{:.2} % {:+.2}", 100.0 * rate, 100.0 * (rate - row.lru));
            table.add_row([
                percent(row.share),
                row.memory_pages.to_string(),
                format!("{:.2} %", 100.0 * row.lru),
                rate(row.arc),
                rate(row.sieve),
                rate(row.clock),
                rate(row.s3_fifo),
                rate(row.ideal),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let verdict = match self.good {
            true => "Good: every access found the right bytes, nothing leaked.",
            false => "FAILED: a replay found other bytes, or leaked; `lab replay` says what.",
        };
        format!(
            "{table}\nClock and S3-FIFO are forebay's, on real buffers; the others are simulated.\n{verdict}\n"
        )
    }

    /// One object, on one line.
    ///
    /// # Errors
    /// None that can happen: it is plain data.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}
