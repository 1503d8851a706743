//! forebay beside other allocators of page blocks, in one process and on the same traces.
//!
//! `cargo run --release --manifest-path hosted-tests/rivals/Cargo.toml -- --help`

mod add;
mod frames;
mod heaps;
mod hit_rates;
mod locks;
mod machine;
mod page;
mod plot;

use clap::Parser;
use hosted_tests::bench::meter::{Meter, Stopwatch};
use hosted_tests::bench::options::{Instructions, Scale, Traces, Workload};
use hosted_tests::bench::progress::Progress;
use hosted_tests::bench::row::{Row, json};
use hosted_tests::bench::subject::{Kind, Subject};
use hosted_tests::bench::table::table;
use hosted_tests::bench::window::{self, WindowError, Windows};
use hosted_tests::bench::{evict, forebay, frag, speed, threads};
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures forebay beside other allocators of page blocks
#[derive(Parser, Debug)]
#[command(name = "rivals", after_help = STATUS)]
struct Cli {
    #[command(flatten)]
    scale: Scale,
    #[command(flatten)]
    traces: Traces,

    /// Only these workloads
    #[arg(long, value_enum, ignore_case = true, value_delimiter = ',')]
    workload: Vec<Workload>,

    #[command(flatten)]
    instructions: Instructions,

    /// Print one JSON array of rows instead of tables
    #[arg(long)]
    json: bool,

    /// Also write a page of the results into this folder, with plots
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

const STATUS: &str =
    "Exit status: 0 if all was measured, 2 if nothing was, 3 if all was but the report could not be written.";

/// Those that several threads may use, then those for one thread.
fn subjects() -> Vec<Subject> {
    let pages = [
        forebay::POOL,
        forebay::SOURCE,
        frames::FRAME_ALLOC,
        frames::DEPOT,
        frames::BUDDY,
        forebay::POOL_UNLOCKED,
        forebay::SOURCE_UNLOCKED,
        frames::BUDDY_UNLOCKED,
    ];
    pages.into_iter().chain(heaps::HEAPS).collect()
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.instructions.windows {
        let mut windows = Windows::default();
        cli.costs(&mut windows, &mut Progress::default());
        return printed(&windows.json());
    }
    let facts = machine::facts(); // before it is busy itself
    match cli.rows() {
        Ok(rows) => {
            let write = |folder| page::write(folder, &typed(), &facts, &rows, &hit_rates::section()?);
            if let Some(folder) = &cli.page
                && let Err(e) = write(folder)
            {
                let _ =
                    writeln!(io::stderr(), "rivals: the page can't be written to {}: {e}", folder.display());
                return ExitCode::from(3);
            }
            let text = if cli.json { json(&rows).unwrap_or_default() } else { table(&rows) };
            printed(text.trim_end())
        }
        Err(e) => refuse(&e),
    }
}

/// The command that makes the page once more.
fn typed() -> String {
    let own = "cargo run --release --manifest-path hosted-tests/rivals/Cargo.toml --".to_owned();
    [own].into_iter().chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

/// Nothing was measured, for this reason.
fn refuse(why: &dyn Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "rivals: {why}");
    ExitCode::from(2)
}

fn printed(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    }
}

impl Cli {
    fn workloads(&self) -> Vec<Workload> {
        use clap::ValueEnum;
        if self.workload.is_empty() { Workload::value_variants().to_vec() } else { self.workload.clone() }
    }

    /// Runs what costs something.
    fn costs(&self, meter: &mut dyn Meter, progress: &mut Progress) {
        let (subjects, workloads) = (subjects(), self.workloads());
        speed::run(&subjects, &workloads, &self.scale, meter, progress);
        if workloads.contains(&Workload::W4) {
            threads::run(&subjects, &self.scale, meter, progress);
        }
        if workloads.contains(&Workload::Evict) {
            evict::run(&self.scale, meter, progress);
        }
        // Valgrind gives no address space of that size, so it is only timed.
        if workloads.contains(&Workload::Add) && meter.durations().is_some() {
            add::run(&self.scale, meter, progress);
        }
    }

    fn rows(&self) -> Result<Vec<Row>, WindowError> {
        let (subjects, workloads) = (subjects(), self.workloads());
        let mut progress = Progress::default();
        let only = self.workload.iter().map(|workload| format!("--workload={}", workload.id()));
        let counts =
            window::count(&self.instructions, self.scale.arguments().into_iter().chain(only), &mut progress)?;
        let mut watch = Stopwatch::new(self.scale.pace());
        self.costs(&mut watch, &mut progress);
        let mut rows: Vec<Row> = watch.durations.rows().into_iter().map(Row::Cost).collect();
        note_heaps(&mut rows, &subjects);
        window::enter(&counts, &mut rows);
        let seeds = self.traces.seeds(&self.scale);
        if workloads.contains(&Workload::W5) {
            rows.extend(frag::w5(&subjects, &self.scale, &seeds, &mut progress).into_iter().map(Row::Share));
        }
        if workloads.contains(&Workload::W9) {
            rows.extend(frag::w9(&self.scale, &seeds, &mut progress).into_iter().map(Row::Share));
        }
        Ok(rows)
    }
}

/// Says of heaps of bytes that they hold less.
fn note_heaps(rows: &mut [Row], subjects: &[Subject]) {
    for row in rows {
        let Row::Cost(row) = row else { continue };
        let is_heap = subjects.iter().any(|one| one.who == row.who && one.kind == Kind::Bytes);
        if is_heap {
            row.note = Some(format!("holds an eighth of the arena, {} blocks at most", Kind::MOST));
        }
    }
}
