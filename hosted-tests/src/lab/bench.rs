//! The subcommands of `lab bench`.

use crate::bench::meter::{Meter, Stopwatch};
use crate::bench::options::{Scale, Traces, Workload};
use crate::bench::progress::Progress;
use crate::bench::row::{Row, json};
#[cfg(target_os = "linux")]
use crate::bench::shmem::{self, Amount, Way};
use crate::bench::subject::Subject;
use crate::bench::table::table;
use crate::bench::window::{self, Count, WindowError, Windows};
use crate::bench::{evict, forebay, frag, reclaim, reclaim::ReclaimOptions, speed, threads};
use clap::{Args, Subcommand};
use std::fmt;
use std::io;

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// Allocations and frees of a pool: W1 to W4
    Pool(SpeedOptions),
    /// The same of the source alone
    Source(SpeedOptions),
    /// How much of the free memory a mix of orders leaves in large blocks: W5, and W9 after evictions
    Frag(FragOptions),
    /// Evictions into a store of RAM by each method, and writing out, beside memcpy; then of shmem. An operation is a block
    Evict(Scale),
    /// Shmem: taking blocks back beside copying them back
    #[cfg(target_os = "linux")]
    Restore(ShmemOptions),
    /// Shmem: dropping blocks beside punching holes
    #[cfg(target_os = "linux")]
    Drop(ShmemOptions),
    /// Reclaims of one page among very many buffers: of one that is like all, and of the one that is not needed
    Reclaim(ReclaimOptions),
}

/// Of what is timed.
#[derive(Clone, Debug, Args)]
pub struct SpeedOptions {
    #[command(flatten)]
    scale: Scale,

    /// Also count instructions, with valgrind: a minute or two
    #[arg(long)]
    instructions: bool,

    /// Only runs what is counted, and says what it was; for a process under valgrind
    #[arg(long, hide = true)]
    windows: bool,
}

/// Of what fragments.
#[derive(Clone, Debug, Args)]
pub struct FragOptions {
    #[command(flatten)]
    scale: Scale,
    #[command(flatten)]
    traces: Traces,
}

/// Of shmem.
#[derive(Clone, Copy, Debug, Args)]
pub struct ShmemOptions {
    /// Much less of everything: some seconds, and figures of little worth
    #[arg(long)]
    quick: bool,
}

const POOL: [Subject; 2] = [forebay::POOL, forebay::POOL_UNLOCKED];
const SOURCE: [Subject; 2] = [forebay::SOURCE, forebay::SOURCE_UNLOCKED];

/// Why a bench measured nothing.
#[derive(Debug)]
pub enum BenchError {
    /// No instructions could be counted.
    Window(WindowError),
    /// The system refused something.
    System(io::Error),
}

impl From<WindowError> for BenchError {
    fn from(why: WindowError) -> Self {
        BenchError::Window(why)
    }
}

impl From<io::Error> for BenchError {
    fn from(why: io::Error) -> Self {
        BenchError::System(why)
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Window(why) => why.fmt(f),
            BenchError::System(why) => write!(f, "the system refused something that the bench needs: {why}"),
        }
    }
}

impl std::error::Error for BenchError {}

/// What a bench prints.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured(pub String, pub String);

impl Bench {
    /// Measures; gives all of it as JSON, and as a table.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn run(&self) -> Result<Measured, BenchError> {
        let mut progress = Progress::default();
        let rows = match self {
            Bench::Pool(options) if options.windows => return Ok(options.windows(&POOL)),
            Bench::Source(options) if options.windows => return Ok(options.windows(&SOURCE)),
            Bench::Pool(options) => options.rows("pool", &POOL, &mut progress)?,
            Bench::Source(options) => options.rows("source", &SOURCE, &mut progress)?,
            Bench::Frag(FragOptions { scale, traces }) => {
                let seeds = traces.seeds(scale);
                let w5 = frag::w5(&[forebay::POOL, forebay::SOURCE], scale, &seeds, &mut progress);
                let w9 = frag::w9(scale, &seeds, &mut progress);
                w5.into_iter().chain(w9).map(Row::Share).collect()
            }
            Bench::Evict(scale) => {
                let mut watch = Stopwatch::new(scale.pace());
                evict::run(scale, &mut watch.durations, &mut progress);
                let mut rows: Vec<Row> = watch.durations.rows().into_iter().map(Row::Cost).collect();
                #[cfg(target_os = "linux")]
                rows.extend(shmem_rows(Way::Evict, ShmemOptions { quick: scale.quick }, &mut progress)?);
                rows
            }
            #[cfg(target_os = "linux")]
            Bench::Restore(options) => shmem_rows(Way::Restore, *options, &mut progress)?,
            #[cfg(target_os = "linux")]
            Bench::Drop(options) => shmem_rows(Way::Drop, *options, &mut progress)?,
            Bench::Reclaim(options) => {
                reclaim::run(options, &mut progress).into_iter().map(Row::Cost).collect()
            }
        };
        Ok(Measured(json(&rows).unwrap_or_default(), table(&rows)))
    }
}

#[cfg(target_os = "linux")]
fn shmem_rows(way: Way, options: ShmemOptions, progress: &mut Progress) -> io::Result<Vec<Row>> {
    let amount = if options.quick { Amount::QUICK } else { Amount::USUAL };
    Ok(shmem::run(way, amount, progress)?.into_iter().map(Row::Block).collect())
}

impl SpeedOptions {
    fn rows(
        &self,
        bench: &str,
        subjects: &[Subject],
        progress: &mut Progress,
    ) -> Result<Vec<Row>, WindowError> {
        let counts = self.counts(bench, progress)?;
        let mut watch = Stopwatch::new(self.scale.pace());
        self.speed(subjects, &mut watch, progress);
        threads::run(subjects, &self.scale, &mut watch.durations, progress);
        let mut rows: Vec<Row> = watch.durations.rows().into_iter().map(Row::Cost).collect();
        window::enter(&counts, &mut rows);
        Ok(rows)
    }

    /// Before anything is timed: it fails at once if valgrind is missing. Empty if it is not wanted.
    fn counts(&self, bench: &str, progress: &mut Progress) -> Result<Vec<Count>, WindowError> {
        if !self.instructions {
            return Ok(vec![]);
        }
        progress.begin("instructions", 1);
        let mut arguments = vec!["bench".into(), bench.into(), "--windows".into()];
        arguments.extend(self.scale.arguments());
        let counts = window::count(&arguments);
        progress.end();
        counts
    }

    fn speed(&self, subjects: &[Subject], meter: &mut dyn Meter, progress: &mut Progress) {
        speed::run(subjects, &Workload::SPEED, &self.scale, meter, progress);
    }

    fn windows(&self, subjects: &[Subject]) -> Measured {
        let subjects = [&[Subject::NOTHING], subjects].concat();
        let mut windows = Windows::default();
        self.speed(&subjects, &mut windows, &mut Progress::default());
        let text = windows.json();
        Measured(text.clone(), text)
    }
}
