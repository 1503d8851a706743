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
    pub(crate) run: fn() -> Result,
}

const fn step(name: &'static str, about: &'static str, run: fn() -> Result) -> Step {
    Step { name, about, run }
}

/// In this order.
pub(crate) const STEPS: &[Step] = &[
    step("test", "cargo test --workspace", test),
    step("events", "what a logger is told", events),
    step("lint", "format and clippy, of all packages", lint),
    step("features", "each feature alone, and all that go together", features),
    step("panic-free", "no public function may panic", panics),
    step("counts", "what operations cost in instructions", counts::main),
    step("sizes", "text and static memory", sizes::main),
    step("docs", "the documentation of all packages", docs),
    step("examples", "the examples run", examples),
    step("firmware", "the firmware passes on every machine", boots),
    step("fails", "a firmware that fails is seen to fail", firmware::fails),
    step("lab", "real files and traces, with less memory than they want", lab),
    step("fuzz", "of each target the corpus, and a fixed number of runs from one seed", fuzz::repeat),
    step("msrv", "the oldest compiler builds and tests it", msrv::main),
];

/// All that goes together but the logger: `defmt` and `log` exclude each other.
const EVERYTHING: &str = "forebay/alloc,forebay/spin,forebay/critical-section,forebay/embassy-sync,forebay/mutex-traits,\
     forebay-backends/heap,forebay-backends/shmem";

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
        "fmt --check --manifest-path hosted-tests/rivals/Cargo.toml",
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
    let core = ["embassy-sync", "mutex-traits"];
    let both = ["", "alloc", "spin", "critical-section", "defmt", "log"];
    let backends = ["heap", "shmem", "heap,shmem,defmt", "heap,shmem,log"];
    for (package, own) in [("forebay", &core[..]), ("forebay-backends", &backends)] {
        for features in both.iter().chain(own) {
            run(&mut check(package, features))?;
        }
        refused("forebay tells its events to one logger", &mut check(package, "defmt,log"))?;
    }
    Ok(())
}

/// Builds core and backends for small machines, too.
fn panics() -> Result {
    panic_free::main(&panic_free::USUAL)
}

fn docs() -> Result {
    let doc = |words: &str| run(cargo_with(words).env("RUSTDOCFLAGS", "-D warnings"));
    doc(&format!("doc -q --no-deps -p forebay -p forebay-backends --features {EVERYTHING},defmt"))?;
    doc("doc -q --no-deps -p forebay -p forebay-backends")?;
    doc("docs -q")?; // as the README says, with the other logger
    doc("doc -q --no-deps -p hosted-tests -p xtask --lib")
}

fn examples() -> Result {
    cargos(&[
        "run -q -p forebay --features alloc,spin --example own_frames",
        "run -q -p forebay-backends --example dma",
        "run -q -p forebay-backends --example many_buffers",
        "run -q -p forebay-backends --features spin --example firmware",
        "run -q -p forebay-backends --features shmem --example monitor",
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
