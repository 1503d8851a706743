//! The subcommands of `lab bench`.

use crate::bench::meter::{Meter, Pace, Stopwatch};
use crate::bench::options::{Instructions, Scale, Traces, Workload};
use crate::bench::progress::Progress;
use crate::bench::row::{Row, json};
use crate::bench::subject::Subject;
use crate::bench::table::table;
use crate::bench::window::{self, WindowError, Windows};
use crate::bench::{evict, forebay, frag, reclaim, reclaim::ReclaimOptions, speed, threads};
use clap::{Args, Subcommand};

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// Allocations and frees of a pool: W1 to W4
    Pool(Counted<Scale>),
    /// The same of the source alone
    Source(Counted<Scale>),
    /// How much of the free memory a mix of orders leaves in large blocks: W5, and W9 after evictions
    Frag(FragOptions),
    /// Evictions into a store of RAM by each method, and writing out, beside memcpy; an operation is a block
    Evict(Counted<Scale>),
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

const POOL: [Subject; 2] = [forebay::POOL, forebay::POOL_UNLOCKED];
const SOURCE: [Subject; 2] = [forebay::SOURCE, forebay::SOURCE_UNLOCKED];

/// What a bench prints.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured(pub String, pub String);

impl Bench {
    /// Measures; gives all of it as JSON, and as a table.
    ///
    /// # Errors
    /// [`WindowError`].
    pub fn run(&self) -> Result<Measured, WindowError> {
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
                options.measured("evict", scale.arguments(), scale.pace(), &|meter, progress| {
                    evict::run(scale, meter, progress);
                })
            }
            Bench::Reclaim(options @ Counted { what, .. }) => {
                options.measured("reclaim", what.arguments(), what.pace(), &|meter, progress| {
                    reclaim::run(what, meter, progress);
                })
            }
        }
    }
}

impl Measured {
    fn of(rows: &[Row]) -> Measured {
        Measured(json(rows).unwrap_or_default(), table(rows))
    }
}

impl Counted<Scale> {
    fn speed(&self, bench: &str, subjects: &[Subject]) -> Result<Measured, WindowError> {
        let scale = &self.what;
        self.measured(bench, scale.arguments(), scale.pace(), &|meter, progress| {
            speed::run(subjects, &Workload::SPEED, scale, meter, progress);
            threads::run(subjects, scale, meter, progress);
        })
    }
}

impl<T: Args> Counted<T> {
    /// Counts if that is wanted, and measures the time. As the process that is counted it only runs it, and says what it ran.
    fn measured(
        &self,
        bench: &str,
        arguments: impl IntoIterator<Item = String>,
        pace: Pace,
        run: &dyn Fn(&mut dyn Meter, &mut Progress),
    ) -> Result<Measured, WindowError> {
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
        Ok(Measured::of(&rows))
    }
}
