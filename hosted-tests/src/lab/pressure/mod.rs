//! What the kernel swaps when memory is short: pools in a control group with a limit, on swap of their own. Linux, as root.
//!
//! [`pressure()`] runs each [`Case`] in a process and a control group of its own, since the kernel may kill it. What is changed on
//! the machine is changed by one process more, the keeper, which undoes everything when the run ends, also by a signal; what is
//! left when both were killed is undone by the next run.
//!
//! | | |
//! | --- | --- |
//! | [`case`] | how blocks leave, whether the others are used, whether there is swap |
//! | [`outcome`] | what a case tells, line by line |
//! | `group` | control groups of either version |
//! | [`options`] | what may be chosen, and the parts that processes of a run play |
//! | `swap` `undo` `journal` `change` | changes of the machine, how they are noted and taken back |
//! | `keeper` `interrupt` | who makes and undoes them, and when |
//! | `pool` `buffers` `copies` | the pool of a case: by forebay's buffers, or copied by hand |
//! | `counters` `running` | a case in its process |
//! | [`report`] `table` `timeline` | the figures, whether they are as promised, as tables and as a picture |
//! | [`runs`] | all of it |
//!
//! All of it together:
//!
//! 1. A pool of 128 blocks of 2 MiB has contents. The limit of its group is set to what it takes and 256 KiB.
//! 2. Every other block leaves. Peak, limit hits and kernel memory are those of this call.
//! 3. Swap is permitted, and the limit falls by 64 MiB: which pages are not in memory now?
//! 4. Without a limit everything comes back, and every byte is compared.

mod buffers;
pub mod case;
mod change;
mod copies;
mod counters;
pub mod group;
mod interrupt;
mod journal;
mod keeper;
pub mod options;
pub mod outcome;
mod pool;
pub mod report;
mod running;
pub mod runs;
pub mod settings;
mod swap;
mod table;
mod timeline;
mod undo;

pub use case::Case;
pub use options::{PressureOptions, Role, SwapKind};
pub use report::PressureReport;
pub use runs::{PressureError, pressure};

use std::process::ExitCode;

/// Plays a part of a run, in a process that the run has started.
pub fn play(role: &Role) -> ExitCode {
    match role {
        Role::Keeper => keeper::main(),
        Role::Case { case, group } => running::main(*case, group),
    }
}
