//! The command line, and the progress bar.

use super::files::Input;
use super::options::Options;
use super::report::Report;
use super::roundtrip::{Observer, Phase, roundtrip};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
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

const EXIT: &str =
    "Exit status: 0 if every byte came back and nothing leaked, 1 if not, 2 if it could not begin.";

/// Does what the arguments of the program say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (input, Choices { options, json }) = match cli.command {
        Some(Command::Roundtrip { dir, choices }) => {
            (dir.map_or(Input::Repository, Input::Directory), choices)
        }
        None => (Input::Repository, cli.choices),
    };
    let report = match roundtrip(&input, &options, &mut Bar::default()) {
        Ok(report) => report,
        Err(e) => {
            eprintln!("lab: {e}");
            return ExitCode::from(2);
        }
    };
    tell(&report);
    let text = if json {
        report.json().map(|json| json + "\n").map_err(io::Error::from)
    } else {
        Ok(report.table())
    };
    if let Err(e) = text.and_then(|text| io::stdout().write_all(text.as_bytes())) {
        eprintln!("lab: the report can't be written: {e}");
        return ExitCode::FAILURE;
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is not a figure goes to standard error.
fn tell(report: &Report) {
    for note in &report.notes {
        eprintln!("lab: {note}");
    }
    if report.notes.len() == Report::NOTES {
        eprintln!("lab: and perhaps more such files");
    }
    for wrong in report.failure.iter().chain(&report.disagreements) {
        eprintln!("lab: {wrong}");
    }
}

/// A progress bar on standard error, if that is a terminal.
#[derive(Debug, Default)]
struct Bar(Option<ProgressBar>);

impl Observer for Bar {
    fn begin(&mut self, phase: Phase, bytes: u64) {
        self.end();
        let style = ProgressStyle::with_template(
            "{msg:>12} [{bar:40}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        );
        let bar = ProgressBar::new(bytes).with_message(match phase {
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
