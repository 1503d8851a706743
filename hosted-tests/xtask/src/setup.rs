//! `setup`: installs what the other commands need. No other command installs anything.

use crate::failure::{Failure, Result};
use crate::process::{program, run};
use crate::tools::{self, Tool, Way};

/// What to do about tools that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Install,
    /// Names them, and fails if there are some.
    Check,
}

pub(crate) fn main(mode: Mode) -> Result {
    let missing = tools::missing(&Tool::ALL);
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(());
    }
    if mode == Mode::Check {
        return Err(Failure::Missing(tools::text(&missing)));
    }
    let by_hand = |tool: &&Tool| matches!(tool.way(), Way::ByHand(_));
    if let Some(tool) = missing.iter().find(by_hand) {
        return Err(Failure::Missing(tools::text(&[*tool])));
    }
    packages(&missing)?;
    for tool in &missing {
        if let Way::Command([name, arguments @ ..]) = tool.way() {
            println!("setup: {}", tool.name());
            run(program(name).args(arguments))?;
        }
    }
    // Some package may have brought less than it should.
    tools::need(&Tool::ALL)?;
    println!("setup: nothing is missing any more");
    Ok(())
}

/// Installs all packages at once.
fn packages(missing: &[Tool]) -> Result {
    let mut names: Vec<&str> = Vec::new();
    for tool in missing {
        if let Way::Packages(packages) = tool.way() {
            names.extend(packages);
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    if !tools::on_path("apt-get") {
        return Err(Failure::Missing(format!(
            "missing: apt-get; on another system than Debian, install what these packages have: {}",
            names.join(" ")
        )));
    }
    println!("setup: {}", names.join(" "));
    run(program("apt-get").args(["update", "-qq"]))?;
    let mut install = program("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(names))
}
