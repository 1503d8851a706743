//! `fuzz`: the fuzz target, under AddressSanitizer.
//!
//! People run it for some time, from another seed each time. What it finds stays in `fuzz/found`, which git ignores. The
//! gate runs it in the same way each time: from the committed corpus, with one seed, for a fixed number of runs.

use crate::failure::{OrFailed, Result, failed};
use crate::place;
use crate::process::{End, cargo, ended};
use crate::tools::{self, Tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

const TARGET: &str = "ownership_transfer";

/// What the gate does: about 45 seconds on two cores. Nothing that depends on the clock or on addresses may steer it: no
/// look at the folder each second, no numbers out of comparisons, among which are pointers.
const REPEATED: [&str; 5] = ["-seed=1", "-runs=4000", "-reload=0", "-use_cmp=0", "-use_memmem=0"];

/// For how long people want it, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) seconds: u32,
    /// `None` lets libFuzzer choose; it prints the seed.
    pub(crate) seed: Option<u32>,
}

/// Runs it for some time. What it finds stays.
pub(crate) fn main(wish: Wish) -> Result {
    let found = place::fuzz().join("found").join(TARGET);
    println!("fuzz: new inputs go to {}", found.display());
    let mut options = vec![format!("-max_total_time={}", wish.seconds)];
    options.extend(wish.seed.map(|seed| format!("-seed={seed}")));
    fuzz(&found, &options)
}

/// Runs it as the gate does: the corpus, and then always the same inputs.
pub(crate) fn repeat() -> Result {
    let found = place::target().join(format!("fuzz-found-{}", process::id()));
    let end = fuzz(&found, &REPEATED.map(str::to_owned));
    let _ = fs::remove_dir_all(found);
    end
}

fn fuzz(found: &Path, options: &[String]) -> Result {
    tools::need(&[Tool::Rustup, Tool::Cc, Tool::Cxx, Tool::Nightly, Tool::CargoFuzz])?;
    fs::create_dir_all(found).or_failed(found.display())?;
    let mut command = cargo();
    command.env("CARGO_TARGET_DIR", place::target().join("fuzz"));
    command.args(["+nightly", "fuzz", "run", TARGET]).arg(found).arg(corpus());
    command.args(["--", "-rss_limit_mb=4096", "-print_final_stats=1"]).args(options);
    match ended(&mut command)? {
        End::Status(0) => Ok(()),
        _ => failed(format!(
            "an input fails: copy it from fuzz/artifacts/{TARGET} to {}/regression-WHAT, \
             and run `cargo test -p hosted-tests --test meta corpus`",
            place::fuzz().join("corpus").join(TARGET).display()
        )),
    }
}

/// The committed inputs. New ones do not go there.
fn corpus() -> PathBuf {
    place::fuzz().join("corpus").join(TARGET)
}
