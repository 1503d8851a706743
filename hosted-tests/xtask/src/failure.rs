//! How a command ends when it does not pass.

use std::fmt::Display;
use std::process::ExitCode;

/// Why a command stopped. The text is for people, and is printed once, at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A tool is missing. Nothing was done.
    Missing(String),
    /// What is checked is not so, or a program failed.
    Failed(String),
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn text(&self) -> &str {
        match self {
            Failure::Missing(text) | Failure::Failed(text) => text,
        }
    }

    /// The status of the process: 2 if a tool is missing, 1 for every other failure.
    pub(crate) fn status(&self) -> ExitCode {
        match self {
            Failure::Missing(_) => ExitCode::from(2),
            Failure::Failed(_) => ExitCode::from(1),
        }
    }
}

/// A failure with this text.
pub(crate) fn failed<T>(text: impl Into<String>) -> Result<T> {
    Err(Failure::Failed(text.into()))
}

/// What to say if the operating system refuses something.
pub(crate) trait OrFailed<T> {
    /// `what` is the file or the program.
    fn or_failed(self, what: impl Display) -> Result<T>;
}

impl<T, E: Display> OrFailed<T> for std::result::Result<T, E> {
    fn or_failed(self, what: impl Display) -> Result<T> {
        self.map_err(|error| Failure::Failed(format!("{what}: {error}")))
    }
}
