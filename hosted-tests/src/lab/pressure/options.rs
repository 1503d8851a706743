//! What may be chosen about a run under pressure, and the parts that processes of it play.

use super::case::Case;
use super::group::Group;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the kernel swaps to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwapKind {
    /// Compressed memory.
    Zram,
    /// A file in /var/tmp behind a loop device.
    Loop,
}

/// What may be chosen.
#[derive(Clone, Debug, Default, Args)]
pub struct PressureOptions {
    /// What the kernel swaps to; zram if the kernel has it, else loop, if left out
    #[arg(long, value_enum)]
    pub swap: Option<SwapKind>,

    /// Draw where the pages of each case were at each step, as SVG, into this new file
    #[arg(long, value_name = "NEWFILE")]
    pub timeline: Option<PathBuf>,

    /// What this process does for another one of a run; for the program itself
    #[arg(long, hide = true, value_name = "JSON", value_parser = Role::parse)]
    pub role: Option<Role>,
}

/// What a process does for the one that was started by the user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Makes all changes of the machine, and takes them back when standard input ends.
    Keeper,
    /// Runs one case inside of a control group. Prints a line for each thing that happens.
    Case {
        /// Which one.
        case: Case,
        /// The control group.
        group: Group,
    },
}

impl Role {
    fn parse(text: &str) -> Result<Role, String> {
        serde_json::from_str(text).map_err(|why| why.to_string())
    }

    /// For the command line of a process.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
