//! Which buffers leave: hit rates on the recorded traces.

use hosted_tests::lab::policies::HitRates;
use hosted_tests::lab::{PoliciesOptions, Trace, policies};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// Memory, as shares of the pages of a trace.
const SHARES: [f64; 3] = [0.1, 0.25, 0.5];

/// What is compared with the ideal, in the order of the columns.
type Column = (&'static str, fn(&HitRates) -> f64);
const COLUMNS: [Column; 5] = [
    ("exact LRU", |row| row.lru),
    ("ARC", |row| row.arc),
    ("SIEVE", |row| row.sieve),
    ("forebay's clock", |row| row.clock),
    ("forebay's `S3Fifo`", |row| row.s3_fifo),
];

const ABOUT: &str = "
## Which buffers leave

Hit rates in per cent, and the points above exact LRU. Clock and `S3Fifo` move real buffers, and every byte is compared; the others
are simulated. The best one is bold; the ideal knows the future. `cargo run --release -- policies TRACE` shows one trace.

";

/// The section of the page, for all traces in the repository.
///
/// # Errors
/// A trace can't be read or replayed, or a replay found other bytes.
pub fn section() -> io::Result<String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../traces"));
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut text =
        format!("{ABOUT}| trace | memory | {} | the ideal |\n|{}\n", names.join(" | "), " --- |".repeat(8));
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let trace = Trace::load(&file).map_err(io::Error::other)?;
        let told = policies(&trace, &PoliciesOptions { share: SHARES.to_vec() }).map_err(io::Error::other)?;
        if !told.good {
            return Err(io::Error::other(format!("{name}: a replay found other bytes")));
        }
        told.rows.iter().for_each(|row| _ = writeln!(text, "{}", line(&name, row)));
    }
    Ok(text)
}

fn line(trace: &str, row: &HitRates) -> String {
    let rates = COLUMNS.map(|(_, rate)| rate(row));
    let best = rates.into_iter().fold(0.0, f64::max);
    let cell = |rate: f64| {
        let text = format!("{:.2} {:+.2}", 100.0 * rate, 100.0 * (rate - row.lru));
        if rate == best { format!("**{text}**") } else { text }
    };
    let cells = rates.map(cell).join(" | ");
    format!(
        "| {trace} | {:.0} %, {} pages | {cells} | {} |",
        100.0 * row.share,
        row.memory_pages,
        cell(row.ideal)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a line has every policy, and the best one stands out, also where it is not forebay's.
    #[test]
    fn the_best_is_bold() {
        let row = HitRates {
            share: 0.25,
            memory_pages: 46,
            lru: 0.5,
            arc: 0.75,
            sieve: 0.4,
            clock: 0.5,
            s3_fifo: 0.7,
            ideal: 0.9,
        };
        let text = "| sort | 25 %, 46 pages | 50.00 +0.00 | **75.00 +25.00** | 40.00 -10.00 | 50.00 +0.00 | 70.00 +20.00 | \
                    90.00 +40.00 |";
        assert_eq!(line("sort", &row), text);
    }
}
