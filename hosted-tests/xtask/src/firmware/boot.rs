//! Booting an image in QEMU.

use super::image::Image;
use super::target::Machine;
use crate::failure::Result;
use crate::process::{End, ended, program, within};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// No machine needs more.
const LIMIT: Duration = Duration::from_secs(60);

/// The status with which QEMU ends when the processor locked up.
const ABORTED: i32 = 6;

/// The serial ports of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Serial {
    /// What comes from it is printed.
    One,
    /// What comes from a second one is written to this file.
    Second(PathBuf),
}

/// How the firmware ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    ReportedFailure,
    Panicked,
    Fault,
    LockedUp,
    NoEnd,
    Stopped(i32),
    Other(End),
    /// It passed, but it told something else than what must happen.
    OtherLog,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Passed => f.write_str("the program passed"),
            Ending::ReportedFailure => f.write_str("the program reported a failure"),
            Ending::Panicked => f.write_str("the program panicked"),
            Ending::Fault => f.write_str("the processor reported a fault"),
            Ending::LockedUp => {
                f.write_str("the processor locked up: a fault within a fault, as when the stack is overrun")
            }
            Ending::NoEnd => write!(f, "no end after {} seconds", LIMIT.as_secs()),
            Ending::Stopped(status) => {
                write!(f, "the machine stopped by itself, or QEMU failed (its status {status})")
            }
            Ending::Other(end) => write!(f, "QEMU ended with {end:?}"),
            Ending::OtherLog => f.write_str("the log is not what must happen"),
        }
    }
}

/// Boots it, prints what it says, and reads its verdict from QEMU's status.
pub(crate) fn boot(image: &Image, machine: Machine, serial: &Serial) -> Result<Ending> {
    let mut qemu = program(machine.tool.name());
    qemu.args(machine.options.split_whitespace());
    qemu.args("-display none -monitor none -no-reboot -serial stdio".split_whitespace());
    if let Serial::Second(file) = serial {
        qemu.arg("-serial").arg(format!("file:{}", file.display()));
    }
    qemu.arg("-kernel").arg(image.path());
    Ok(match ended(&mut within(LIMIT, &qemu))? {
        End::Status(33) => Ending::Passed,
        End::Status(3) => Ending::ReportedFailure,
        End::Status(5) => Ending::Panicked,
        End::Status(7) => Ending::Fault,
        End::Signal(ABORTED) => Ending::LockedUp,
        End::TooLong => Ending::NoEnd,
        End::Status(status @ (0 | 1)) => Ending::Stopped(status),
        other => Ending::Other(other),
    })
}
