//! Running other programs.

use crate::failure::{OrFailed, Result, failed};
use crate::place;
use std::env;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A program. What cargo told this process about its own package is not handed on.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO" {
            command.env_remove(&name);
        }
    }
    command
}

/// Cargo, in the folder of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = program("cargo");
    command.current_dir(place::root()).env("CARGO_TARGET_DIR", place::target());
    command
}

/// Cargo with these words as its arguments.
pub(crate) fn cargo_with(words: &str) -> Command {
    let mut command = cargo();
    command.args(words.split_whitespace());
    command
}

/// The command as one would type it.
pub(crate) fn typed(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this status.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// It ran for too long, and was ended.
    TooLong,
}

impl End {
    fn of(status: ExitStatus) -> End {
        match (status.code(), status.signal()) {
            (Some(124), _) => End::TooLong,
            // So says a shell, or `timeout`, of a program that was ended by a signal.
            (Some(code @ 129..=159), _) => End::Signal(code - 128),
            (Some(code), _) => End::Status(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        }
    }
}

/// The same command with a limit of time. Its end is [`End::TooLong`] if the limit is reached.
pub(crate) fn within(limit: Duration, command: &Command) -> Command {
    let mut limited = program("timeout");
    limited
        .args(["-k", "5", &limit.as_secs().to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited.stdin(Stdio::null());
    limited
}

/// Prints a long text. The reader may stop before its end, as `head` does.
pub(crate) fn print(text: &str) -> Result {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        end => end.or_failed("stdout"),
    }
}

/// Runs it. What it prints is seen at once.
pub(crate) fn ended(command: &mut Command) -> Result<End> {
    io::stdout().flush().or_failed("stdout")?;
    let status = command.status().or_failed(typed(command))?;
    Ok(End::of(status))
}

/// Runs it, and it must end with status 0.
pub(crate) fn run(command: &mut Command) -> Result {
    match ended(command)? {
        End::Status(0) => Ok(()),
        end => failed(format!("{}: {end:?}", typed(command))),
    }
}

/// What a program printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) end: End,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Both streams, the errors first.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.err, self.out)
    }
}

/// Runs it to its end, and keeps what it prints.
pub(crate) fn said(command: &mut Command) -> Result<Said> {
    let output = command.stdin(Stdio::null()).output().or_failed(typed(command))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { end: End::of(output.status), out: text(&output.stdout), err: text(&output.stderr) })
}

/// What it prints on its standard output. It must end with status 0.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let said = said(command)?;
    match said.end {
        End::Status(0) => Ok(said.out),
        end => failed(format!("{}: {end:?}\n{}", typed(command), said.err)),
    }
}

/// Runs it, and it must fail with this text among what it prints.
pub(crate) fn refused(text: &str, command: &mut Command) -> Result {
    let said = said(command)?;
    match said.end {
        End::Status(0) => failed(format!("not refused: {}", typed(command))),
        _ if said.all().contains(text) => Ok(()),
        _ => failed(format!("{}: it fails, but does not say \"{text}\":\n{}", typed(command), said.all())),
    }
}
