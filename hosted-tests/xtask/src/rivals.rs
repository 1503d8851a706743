//! `rivals`: forebay beside other allocators. They stand in a workspace of their own, so that its lock file and its compiler are
//! not those of the others.

use crate::failure::Result;
use crate::place;
use crate::process::{cargo, cargo_with, run};
use crate::tools::{self, Tool};
use std::process::Command;

/// What is run if nothing is asked for.
const USUAL: &str = "--quick";

/// Checks, tests and runs them with these options. Several minutes if nothing was built before.
pub(crate) fn main(options: &[String]) -> Result {
    tools::need(&[Tool::Rustup, Tool::Cc])?;
    let manifest = place::rivals().join("Cargo.toml");
    let in_place = |mut cargo: Command| {
        cargo.env("CARGO_TARGET_DIR", place::target().join("rivals"));
        cargo
    };
    for words in ["clippy -q --release --all-targets", "test -q"] {
        let mut cargo = in_place(cargo_with(words));
        cargo.arg("--manifest-path").arg(&manifest);
        if words.starts_with("clippy") {
            cargo.args(["--", "-D", "warnings"]);
        }
        run(&mut cargo)?;
    }
    let mut rivals = in_place(cargo());
    rivals.args(["run", "-q", "--release", "--manifest-path"]).arg(&manifest).arg("--");
    if options.is_empty() {
        rivals.arg(USUAL);
    }
    run(rivals.args(options))
}
