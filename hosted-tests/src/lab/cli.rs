//! The command line, and the progress bar.

use super::bench::{Bench, Measured};
use super::files::Input;
use super::options::Options;
use super::plan::{Plan, PlanOptions, plan};
use super::policies::{Policies, PoliciesOptions, policies};
#[cfg(target_os = "linux")]
use super::pressure::{PressureOptions, PressureReport, play, pressure};
use super::replay::{ReplayOptions, ReplayReport, replay};
use super::report::Report;
use super::roundtrip::{LabError, roundtrip};
use super::run::{Observer, Phase};
use super::text::shown;
use super::trace::Trace;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Takes real files through forebay's buffers and back, under a memory budget far smaller than they are, and
/// compares every byte.
///
/// Without a subcommand: the files that git tracks in this repository.
#[derive(Parser, Debug)]
#[command(name = "lab", version, args_conflicts_with_subcommands = true, after_help = EXIT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    choices: Choices,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Load every regular file under DIR, read all back in another order, compare each byte with the disk
    #[command(after_help = EXIT)]
    Roundtrip {
        /// The files; those of this repository if left out. Symbolic links are not followed
        dir: Option<PathBuf>,
        #[command(flatten)]
        choices: Choices,
    },
    /// Say how much memory a trace of page accesses needs for a hit rate, with exact LRU and at the very least
    #[command(after_help = FORMAT)]
    Plan {
        /// The trace; - for standard input
        trace: PathBuf,
        #[command(flatten)]
        options: PlanOptions,
        #[command(flatten)]
        form: Form,
    },
    /// Compare which pages leave: hit rates of both policies of forebay on real buffers, of exact LRU, of ARC, of SIEVE and of the ideal
    #[command(after_help = FORMAT)]
    Policies {
        /// The trace; - for standard input
        trace: PathBuf,
        #[command(flatten)]
        options: PoliciesOptions,
        #[command(flatten)]
        form: Form,
    },
    /// Replay a trace of page accesses through buffers that have a quarter of the memory it wants, compare every byte
    #[command(after_help = FORMAT)]
    Replay {
        /// The trace; - for standard input
        trace: PathBuf,
        #[command(flatten)]
        options: ReplayOptions,
        #[command(flatten)]
        form: Form,
    },
    /// Run pools in a control group that is full, and say which pages the kernel swaps out. Takes root, and half a minute
    ///
    /// Makes control groups and swap of its own, and sets shmem_enabled to advise. All of it is taken back at the end, also after
    /// an interrupt; if every process of a run was killed, the next run does it.
    #[cfg(target_os = "linux")]
    #[command(after_help = PROMISED)]
    Pressure {
        #[command(flatten)]
        options: PressureOptions,
        #[command(flatten)]
        form: Form,
    },
    /// Measure forebay by itself; `hosted-tests/rivals` measures it beside other allocators
    #[command(after_help = DONE)]
    Bench {
        #[command(subcommand)]
        bench: Bench,
        #[command(flatten)]
        form: ArrayForm,
    },
}

#[derive(Args, Debug)]
struct Choices {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    form: Form,
}

/// How figures are printed.
#[derive(Args, Clone, Copy, Debug)]
struct Form {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How rows are printed.
#[derive(Args, Clone, Copy, Debug)]
struct ArrayForm {
    /// Print one JSON array of rows instead of a table
    #[arg(long, global = true)]
    json: bool,
}

const DONE: &str =
    "Exit status: 0 if all was measured, 2 if nothing was, 3 if all was but the report could not be written.";

#[cfg(target_os = "linux")]
const PROMISED: &str = "Exit status: 0 if all is as promised, 1 if not, or if something is left on the machine, 2 if nothing was \
                        measured, 3 if all is as promised but the report could not be written.";

const EXIT: &str = "Exit status: 0 if every byte came back and nothing leaked, 1 if not, 2 if nothing was compared, \
                    3 if all is good but the report could not be written.";

const FORMAT: &str = "A trace is text: 12 is a read of page 12, w12 a write, 12-15 and w12-15 are rows of pages, and # begins a \
                      comment.\n\nExit status: 0 if all is good, 1 if a byte was wrong or memory leaked, 2 if nothing was \
                      done, 3 if all is good but the report could not be written.";

/// Does what the arguments of the program say.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|e| advise(e).exit());
    match cli.command {
        Some(Command::Roundtrip { dir, choices }) => {
            travel(&dir.map_or(Input::Repository, Input::Directory), &choices)
        }
        Some(Command::Plan { trace, options, form }) => match Trace::load(&trace) {
            Ok(trace) => tell(&plan(&trace, &options), form),
            Err(e) => refuse(&e),
        },
        Some(Command::Policies { trace, options, form }) => {
            match Trace::load(&trace).map(|trace| policies(&trace, &options)) {
                Ok(Ok(told)) => tell(&told, form),
                Ok(Err(e)) => refuse(&e),
                Err(e) => refuse(&e),
            }
        }
        Some(Command::Replay { trace, options, form }) => {
            let report = match Trace::load(&trace).map(|trace| replay(&trace, &options)) {
                Ok(Ok(report)) => report,
                Ok(Err(e)) => return refuse(&e),
                Err(e) => return refuse(&e),
            };
            for wrong in report.failure.iter().chain(&report.first_mismatch).chain(&report.disagreements) {
                say(wrong);
            }
            tell(&report, form)
        }
        #[cfg(target_os = "linux")]
        Some(Command::Pressure { options: PressureOptions { role: Some(role), .. }, .. }) => play(&role),
        #[cfg(target_os = "linux")]
        Some(Command::Pressure { options, form }) => match pressure(&options) {
            Ok(report) => tell(&report, form),
            Err(e) => refuse(&e),
        },
        Some(Command::Bench { bench, form }) => match bench.run() {
            Ok(measured) => tell(&measured, Form { json: form.json }),
            Err(e) => refuse(&e),
        },
        None => travel(&Input::Repository, &cli.choices),
    }
}

fn travel(input: &Input, Choices { options, form }: &Choices) -> ExitCode {
    let report = match roundtrip(input, options, &mut Bar::default()) {
        Ok(report) => report,
        Err(e) => {
            if let LabError::NothingLoaded { notes, .. } = &e {
                tell_notes(notes);
            }
            return refuse(&e);
        }
    };
    tell_notes(&report.notes);
    for wrong in report.failure.iter().chain(&report.disagreements) {
        say(wrong);
    }
    tell(&report, *form)
}

/// Nothing was done, for this reason.
fn refuse(why: &dyn Error) -> ExitCode {
    say(&why.to_string());
    ExitCode::from(2)
}

/// A name that is no subcommand may be a directory for a round trip.
fn advise(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand)
        && Cli::command().find_subcommand(name).is_none()
    {
        let tip = format!("to load the files of a directory: lab roundtrip {}", shown(name));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Figures that can be printed.
trait Figures {
    fn is_good(&self) -> bool;
    fn json(&self) -> io::Result<String>;
    fn table(&self) -> String;
}

impl Figures for Report {
    fn is_good(&self) -> bool {
        Report::is_good(self)
    }
    fn json(&self) -> io::Result<String> {
        Ok(Report::json(self)?)
    }
    fn table(&self) -> String {
        Report::table(self)
    }
}

impl Figures for Plan {
    fn is_good(&self) -> bool {
        true
    }
    fn json(&self) -> io::Result<String> {
        Ok(Plan::json(self)?)
    }
    fn table(&self) -> String {
        Plan::table(self)
    }
}

impl Figures for Policies {
    fn is_good(&self) -> bool {
        self.good
    }
    fn json(&self) -> io::Result<String> {
        Ok(Policies::json(self)?)
    }
    fn table(&self) -> String {
        Policies::table(self)
    }
}

impl Figures for ReplayReport {
    fn is_good(&self) -> bool {
        ReplayReport::is_good(self)
    }
    fn json(&self) -> io::Result<String> {
        Ok(ReplayReport::json(self)?)
    }
    fn table(&self) -> String {
        ReplayReport::table(self)
    }
}

#[cfg(target_os = "linux")]
impl Figures for PressureReport {
    fn is_good(&self) -> bool {
        PressureReport::is_good(self)
    }
    fn json(&self) -> io::Result<String> {
        Ok(PressureReport::json(self)?)
    }
    fn table(&self) -> String {
        PressureReport::table(self)
    }
}

impl Figures for Measured {
    fn is_good(&self) -> bool {
        true
    }
    fn json(&self) -> io::Result<String> {
        Ok(self.0.clone())
    }
    fn table(&self) -> String {
        self.1.clone()
    }
}

/// Prints figures; gives the status of the program.
fn tell(figures: &dyn Figures, form: Form) -> ExitCode {
    let written = print(figures, form);
    if let Err(e) = &written
        && e.kind() != io::ErrorKind::BrokenPipe
    {
        say(&format!("the report can't be written: {e}"));
    }
    match (figures.is_good(), written) {
        (false, _) => ExitCode::FAILURE,
        (true, Err(_)) => ExitCode::from(3),
        (true, Ok(())) => ExitCode::SUCCESS,
    }
}

fn print(figures: &dyn Figures, form: Form) -> io::Result<()> {
    let text = if form.json { figures.json()? + "\n" } else { figures.table() };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What is not a figure goes to standard error. If that is closed, the text is lost.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "lab: {text}");
}

fn tell_notes(notes: &[String]) {
    for note in notes {
        say(note);
    }
    if notes.len() == Report::NOTES {
        say("and perhaps more such files");
    }
}

/// A progress bar on standard error, if that is a terminal.
#[derive(Debug, Default)]
struct Bar(Option<ProgressBar>);

impl Observer for Bar {
    fn begin(&mut self, phase: Phase, bytes: u64) {
        self.end();
        let style = ProgressStyle::with_template(
            "{msg:>12} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        );
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(bytes), target).with_message(match phase {
            Phase::Loading => "loading",
            Phase::ReadingBack => "reading back",
        });
        self.0 = Some(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        });
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
