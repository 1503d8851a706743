//! The subcommands of `lab bench`.

use crate::bench::meter::{Meter, Pace, Stopwatch};
use crate::bench::options::{Instructions, Scale, Traces, Workload};
use crate::bench::progress::Progress;
use crate::bench::row::{Row, json};
#[cfg(target_os = "linux")]
use crate::bench::shmem::{self, Amount, Way};
use crate::bench::subject::Subject;
use crate::bench::table::table;
use crate::bench::window::{self, WindowError, Windows};
use crate::bench::{evict, forebay, frag, reclaim, reclaim::ReclaimOptions, speed, threads};
#[cfg(target_os = "linux")]
use crate::lab::pressure::settings::under_each_setting;
use clap::{Args, Subcommand};
use std::fmt;
use std::io;

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// Allocations and frees of a pool: W1 to W4
    Pool(Counted<Scale>),
    /// The same of the source alone
    Source(Counted<Scale>),
    /// How much of the free memory a mix of orders leaves in large blocks: W5, and W9 after evictions
    Frag(FragOptions),
    /// Evictions into a store of RAM by each method, and writing out, beside memcpy; then of shmem. An operation is a block
    Evict(Counted<Scale>),
    /// Shmem: taking blocks back beside copying them back
    #[cfg(target_os = "linux")]
    Restore(ShmemOptions),
    /// Shmem: dropping blocks beside punching holes
    #[cfg(target_os = "linux")]
    Drop(ShmemOptions),
    /// Reclaims of one page among very many buffers: of one that is like all, and of the one that is not needed
    Reclaim(Counted<ReclaimOptions>),
}

/// Of what is timed, and can be counted.
#[derive(Clone, Debug, Args)]
pub struct Counted<T: Args> {
    #[command(flatten)]
    what: T,
    #[command(flatten)]
    instructions: Instructions,
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
    /// Much less of everything: some seconds, and figures of little worth. As root, without this option, shmem is measured with huge
    /// pages and without: the setting (shmem_enabled) is as before afterwards
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
        match self {
            Bench::Pool(options) => options.speed("pool", &POOL),
            Bench::Source(options) => options.speed("source", &SOURCE),
            Bench::Frag(FragOptions { scale, traces }) => {
                let (seeds, mut progress) = (traces.seeds(scale), Progress::default());
                let w5 = frag::w5(&[forebay::POOL, forebay::SOURCE], scale, &seeds, &mut progress);
                let w9 = frag::w9(scale, &seeds, &mut progress);
                Ok(Measured::of(&w5.into_iter().chain(w9).map(Row::Share).collect::<Vec<_>>()))
            }
            Bench::Evict(options @ Counted { what: scale, .. }) => {
                let run = |meter: &mut dyn Meter, progress: &mut Progress| evict::run(scale, meter, progress);
                #[cfg(target_os = "linux")]
                let more = |progress: &mut Progress| {
                    shmem_rows(Way::Evict, ShmemOptions { quick: scale.quick }, progress)
                };
                #[cfg(not(target_os = "linux"))]
                let more = no_more;
                options.measured("evict", scale.arguments(), scale.pace(), &run, &more)
            }
            #[cfg(target_os = "linux")]
            Bench::Restore(options) => {
                Ok(Measured::of(&shmem_rows(Way::Restore, *options, &mut Progress::default())?))
            }
            #[cfg(target_os = "linux")]
            Bench::Drop(options) => {
                Ok(Measured::of(&shmem_rows(Way::Drop, *options, &mut Progress::default())?))
            }
            Bench::Reclaim(options @ Counted { what, .. }) => {
                let run =
                    |meter: &mut dyn Meter, progress: &mut Progress| reclaim::run(what, meter, progress);
                options.measured("reclaim", what.arguments(), what.pace(), &run, &no_more)
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn shmem_rows(way: Way, options: ShmemOptions, progress: &mut Progress) -> io::Result<Vec<Row>> {
    let rows = if options.quick {
        shmem::run(way, Amount::QUICK, progress)?
    } else {
        under_each_setting(&["never", "advise"], || shmem::run(way, Amount::USUAL, progress))?
    };
    Ok(rows.into_iter().map(Row::Block).collect())
}

fn no_more(_: &mut Progress) -> io::Result<Vec<Row>> {
    Ok(vec![])
}

impl Measured {
    fn of(rows: &[Row]) -> Measured {
        Measured(json(rows).unwrap_or_default(), table(rows))
    }
}

impl Counted<Scale> {
    fn speed(&self, bench: &str, subjects: &[Subject]) -> Result<Measured, BenchError> {
        let scale = &self.what;
        let run = |meter: &mut dyn Meter, progress: &mut Progress| {
            speed::run(subjects, &Workload::SPEED, scale, meter, progress);
            threads::run(subjects, scale, meter, progress);
        };
        self.measured(bench, scale.arguments(), scale.pace(), &run, &no_more)
    }
}

impl<T: Args> Counted<T> {
    /// Counts if that is wanted, and measures the time; `more` measures what is only timed. As the process that is counted it only runs
    /// what is counted, and says what it ran.
    fn measured(
        &self,
        bench: &str,
        arguments: impl IntoIterator<Item = String>,
        pace: Pace,
        run: &dyn Fn(&mut dyn Meter, &mut Progress),
        more: &dyn Fn(&mut Progress) -> io::Result<Vec<Row>>,
    ) -> Result<Measured, BenchError> {
        let mut progress = Progress::default();
        if self.instructions.windows {
            let mut windows = Windows::default();
            run(&mut windows, &mut progress);
            return Ok(Measured(windows.json(), windows.json()));
        }
        let words = ["bench", bench].map(str::to_owned).into_iter().chain(arguments);
        let counts = window::count(&self.instructions, words, &mut progress)?;
        let mut watch = Stopwatch::new(pace);
        run(&mut watch, &mut progress);
        let mut rows: Vec<Row> = watch.durations.rows().into_iter().map(Row::Cost).collect();
        window::enter(&counts, &mut rows);
        rows.extend(more(&mut progress)?);
        Ok(Measured::of(&rows))
    }
}
