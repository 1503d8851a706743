//! The steps of the gate.

use crate::failure::{OrFailed, Result, failed};
use crate::firmware::target::Name;
use crate::process::{cargo, cargo_with, output, program, refused, run};
use crate::{counts, firmware, fuzz, msrv, panic_free, place, sizes};
use std::fs;
use std::path::PathBuf;

/// Something that main must pass.
#[derive(Debug)]
pub(crate) struct Step {
    /// As one types it.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) when: When,
    pub(crate) run: fn() -> Result,
}

/// When a step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// Only if its name is given.
    IfAsked,
}

/// To be changed to `When::Always` when the code builds with the oldest compiler.
const MSRV: When = When::IfAsked;

const fn always(name: &'static str, about: &'static str, run: fn() -> Result) -> Step {
    Step { name, about, when: When::Always, run }
}

/// In this order.
pub(crate) const STEPS: &[Step] = &[
    always("test", "cargo test --workspace", test),
    always("events", "what a logger is told", events),
    always("lint", "format and clippy, of all packages", lint),
    always("features", "each feature alone, and all that go together", features),
    always("panic-free", "no public function may panic", panics),
    always("counts", "what operations cost in instructions", counts::main),
    always("sizes", "text and static memory", sizes::main),
    always("docs", "the documentation of all packages", docs),
    always("examples", "the examples run", examples),
    always("firmware", "the firmware passes on every machine", boots),
    always("fails", "a firmware that fails is seen to fail", firmware::fails),
    always("lab", "real files and traces, with less memory than they want", lab),
    always("fuzz", "the corpus, and so many runs from one seed", fuzz::repeat),
    Step { name: "msrv", about: "the oldest compiler builds and tests it", when: MSRV, run: msrv::main },
];

/// All that goes together but the logger: `defmt` and `log` exclude each other.
const EVERYTHING: &str = "forebay/spin,forebay/critical-section,forebay-backends/shmem";

const LOGGERS: [&str; 2] = ["defmt", "log"];

fn cargos(commands: &[&str]) -> Result {
    commands.iter().try_for_each(|words| run(&mut cargo_with(words)))
}

fn test() -> Result {
    cargos(&["test --workspace"])
}

fn events() -> Result {
    cargos(&["test -p hosted-tests --features log --test events"])
}

fn lint() -> Result {
    let deny = "-- -D warnings";
    cargos(&["fmt --all --check", &format!("clippy -q --workspace --all-targets {deny}")])?;
    for logger in LOGGERS {
        cargos(&[&format!(
            "clippy -q -p forebay -p forebay-backends --features {EVERYTHING},{logger} {deny}"
        )])?;
    }
    cargos(&[
        &format!("clippy -q -p hosted-tests --features log --test events {deny}"),
        &format!("clippy -q --release -p hosted-tests {deny}"),
        "fmt --check --manifest-path fuzz/Cargo.toml",
        "fmt --check --manifest-path hosted-tests/firmware/Cargo.toml",
        "fmt --check --manifest-path hosted-tests/firmware/decode/Cargo.toml",
    ])?;
    let images = "clippy -q --release --target x86_64-unknown-linux-gnu -- -D warnings";
    run(cargo_with(images)
        .current_dir(place::firmware())
        .env("CARGO_TARGET_DIR", firmware::build::folder()))?;
    for words in ["clippy -q --all-targets -- -D warnings", "test -q"] {
        let folder = place::firmware().join("decode");
        run(cargo_with(words).current_dir(folder).env("CARGO_TARGET_DIR", place::target().join("decode")))?;
    }
    Ok(())
}

/// No feature is on by default.
fn features() -> Result {
    let check = |package: &str, features: &str| {
        let mut cargo = cargo_with(&format!("check -q -p {package} --no-default-features"));
        cargo.args(["--features", features]);
        cargo
    };
    let both = ["", "spin", "critical-section", "defmt", "log"];
    let together = ["spin,critical-section,defmt", "spin,critical-section,log"];
    for package in ["forebay", "forebay-backends"] {
        for features in both.iter().chain(&together) {
            run(&mut check(package, features))?;
        }
        refused("forebay tells its events to one logger", &mut check(package, "defmt,log"))?;
    }
    for features in ["shmem", "shmem,defmt", "shmem,log"] {
        run(&mut check("forebay-backends", features))?;
    }
    Ok(())
}

/// Builds core and backends for small machines, too.
fn panics() -> Result {
    panic_free::main(&panic_free::USUAL)
}

fn docs() -> Result {
    let doc = |words: &str| run(cargo_with(words).env("RUSTDOCFLAGS", "-D warnings"));
    for logger in LOGGERS {
        doc(&format!("doc -q --no-deps -p forebay -p forebay-backends --features {EVERYTHING},{logger}"))?;
    }
    doc("doc -q --no-deps -p hosted-tests -p xtask --lib")
}

fn examples() -> Result {
    cargos(&[
        "run -q -p hosted-tests --example kernel",
        "run -q -p hosted-tests --example vmm",
        "run -q --release -p hosted-tests --example shmem_costs",
    ])
}

fn boots() -> Result {
    firmware::run(&Name::all(), &[])?.end()
}

/// The main job, on the repository's own files and on more data than fits; and what real programs did.
fn lab() -> Result {
    let lab = |words: &str| {
        let mut cargo = cargo();
        cargo.args(["run", "-q", "--release", "--"]).args(words.split_whitespace());
        cargo
    };
    run(&mut lab(""))?;
    let sysroot = output(program("rustc").current_dir(place::root()).args(["--print", "sysroot"]))?;
    let files = PathBuf::from(sysroot.trim()).join("lib/rustlib");
    let traces = traces()?;
    for store in ["ram", "shmem"] {
        for how in ["transfer", "copy", "split"] {
            let options = format!("--store {store} --evict {how}");
            run(lab("roundtrip").arg(&files).args(format!("--budget 16MiB {options}").split(' ')))?;
            for trace in &traces {
                run(lab("replay").arg(trace).args(options.split(' ')))?;
            }
        }
    }
    traces.iter().try_for_each(|trace| run(lab("plan").arg(trace)))
}

fn traces() -> Result<Vec<PathBuf>> {
    let folder = place::root().join("hosted-tests/traces");
    let entries = fs::read_dir(&folder).or_failed(folder.display())?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut traces: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "trace")).collect();
    traces.sort();
    if traces.is_empty() {
        return failed(format!("{} has no traces", folder.display()));
    }
    Ok(traces)
}
