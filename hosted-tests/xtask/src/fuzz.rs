//! `fuzz`: the fuzz targets, under AddressSanitizer.
//!
//! People run one for some time, from another seed each time. What it finds stays in `fuzz/found`, which git ignores. The
//! gate runs each in the same way each time: from the committed corpus, with one seed, for a fixed number of runs.

use crate::failure::{OrFailed, Result, failed};
use crate::place;
use crate::process::{End, cargo, ended};
use crate::tools::{self, Tool};
use std::fs;
use std::path::Path;
use std::process;

/// The targets, and for how many runs the gate runs each: some 75 seconds in all on two cores, besides the build.
pub(crate) const TARGETS: [(&str, u32); 5] =
    [("ownership_transfer", 3000), ("panics", 4000), ("lies", 4000), ("nested", 4000), ("lobby", 4000)];

/// What the gate does besides. Nothing that depends on the clock or on addresses may steer it: no look at the folder each
/// second, no numbers out of comparisons, among which are pointers.
const REPEATED: [&str; 4] = ["-seed=1", "-reload=0", "-use_cmp=0", "-use_memmem=0"];

/// For how long people want it, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// One of [`TARGETS`].
    pub(crate) target: String,
    pub(crate) seconds: u32,
    /// `None` lets libFuzzer choose; it prints the seed.
    pub(crate) seed: Option<u32>,
}

/// Runs one for some time. What it finds stays.
pub(crate) fn main(wish: &Wish) -> Result {
    let found = place::fuzz().join("found").join(&wish.target);
    println!("fuzz: new inputs go to {}", found.display());
    let mut options = vec![format!("-max_total_time={}", wish.seconds)];
    options.extend(wish.seed.map(|seed| format!("-seed={seed}")));
    fuzz(&wish.target, &found, &options)
}

/// Runs each as the gate does: the corpus, and then always the same inputs.
pub(crate) fn repeat() -> Result {
    for (target, runs) in TARGETS {
        let found = place::target().join(format!("fuzz-found-{target}-{}", process::id()));
        let mut options = REPEATED.map(str::to_owned).to_vec();
        options.push(format!("-runs={runs}"));
        let end = fuzz(target, &found, &options);
        let _ = fs::remove_dir_all(found);
        end?;
    }
    Ok(())
}

fn fuzz(target: &str, found: &Path, options: &[String]) -> Result {
    tools::need(&[Tool::Rustup, Tool::Cc, Tool::Cxx, Tool::Nightly, Tool::CargoFuzz])?;
    fs::create_dir_all(found).or_failed(found.display())?;
    let corpus = place::fuzz().join("corpus").join(target); // new inputs do not go there
    let mut command = cargo();
    command.env("CARGO_TARGET_DIR", place::target().join("fuzz"));
    command.args(["+nightly", "fuzz", "run", target]).arg(found).arg(&corpus);
    command.args(["--", "-rss_limit_mb=4096", "-print_final_stats=1"]).args(options);
    match ended(&mut command)? {
        End::Status(0) => Ok(()),
        _ => failed(format!(
            "an input fails: copy it from fuzz/artifacts/{target} to {}/regression-WHAT, \
             and run `cargo test -p hosted-tests --test meta corpus`",
            corpus.display()
        )),
    }
}
