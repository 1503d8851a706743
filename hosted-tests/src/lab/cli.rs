//! The command line, and the progress bar.

use super::files::Input;
use super::options::Options;
use super::report::Report;
use super::roundtrip::{LabError, roundtrip};
use super::run::{Observer, Phase};
use super::text::shown;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
}

#[derive(Args, Debug)]
struct Choices {
    #[command(flatten)]
    options: Options,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

const EXIT: &str = "Exit status: 0 if every byte came back and nothing leaked, 1 if not, 2 if nothing was compared, \
                    3 if all is good but the report could not be written.";

/// Does what the arguments of the program say.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|e| advise(e).exit());
    let (input, Choices { options, json }) = match cli.command {
        Some(Command::Roundtrip { dir, choices }) => {
            (dir.map_or(Input::Repository, Input::Directory), choices)
        }
        None => (Input::Repository, cli.choices),
    };
    let report = match roundtrip(&input, &options, &mut Bar::default()) {
        Ok(report) => report,
        Err(e) => {
            if let LabError::NothingLoaded { notes, .. } = &e {
                tell_notes(notes);
            }
            say(&e.to_string());
            return ExitCode::from(2);
        }
    };
    tell_notes(&report.notes);
    for wrong in report.failure.iter().chain(&report.disagreements) {
        say(wrong);
    }
    let written = print(&report, json);
    if let Err(e) = &written
        && e.kind() != io::ErrorKind::BrokenPipe
    {
        say(&format!("the report can't be written: {e}"));
    }
    match (report.is_good(), written) {
        (false, _) => ExitCode::FAILURE,
        (true, Err(_)) => ExitCode::from(3),
        (true, Ok(())) => ExitCode::SUCCESS,
    }
}

/// Whoever names a directory at once may mean a round trip.
fn advise(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand)
        && name != "roundtrip"
    {
        let tip = format!("to load the files of a directory: lab roundtrip {}", shown(name));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let text = if json { report.json()? + "\n" } else { report.table() };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What is not a figure goes to standard error. Should nobody read that, there is nobody to tell.
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
