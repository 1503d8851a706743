//! `msrv`: builds and tests the two published packages with the oldest compiler that they promise to work with.
//!
//! Debian's packages of that compiler are downloaded and unpacked below the target folder. Nothing is installed.

use crate::failure::{Failure, OrFailed, Result, failed};
use crate::place;
use crate::process::{End, ended, output, program, run, said};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest compiler.
const VERSION: &str = "1.85.0";

/// The compiler, its library for the host, and the library for programs that load it. Debian numbers them alike.
const COMPILER: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-1.85"];
/// The compiler's code generator.
const LLVM: &str = "libllvm19";

const PACKAGES: &str = "-p forebay -p forebay-backends";

/// Commands of cargo and sets of features. Each logger is by itself: they exclude each other.
const RUNS: [&str; 3] = [
    "check",
    "check --features forebay/embassy-sync,forebay-backends/defmt",
    "test --features forebay/alloc,forebay/spin,forebay/critical-section,forebay/mutex-traits,forebay-backends/heap,forebay-backends/shmem,forebay-backends/log",
];

pub(crate) fn main() -> Result {
    tools::need(&[Tool::Rustup, Tool::Cc])?;
    let compiler = Compiler::unpacked()?;
    println!("msrv: {}", output(compiler.program("rustc").arg("-V"))?.trim());
    let mut tally = Tally::default();
    match declared(&compiler)? {
        Declared::Enough => tally.pass(),
        Declared::More(text) => {
            tally.fail();
            println!("{text}");
        }
    }
    for words in RUNS {
        println!("=== cargo {words}");
        // All errors are shown, also those of packages that say themselves that they want more.
        let on = if words.starts_with("test") { "--no-fail-fast" } else { "--keep-going" };
        let mut cargo = compiler.cargo(&format!("{words} {PACKAGES} --ignore-rust-version {on}"));
        match ended(&mut cargo)? {
            End::Status(0) => tally.pass(),
            _ => tally.fail(),
        }
    }
    tally.end()
}

/// What the packages say that they need.
enum Declared {
    Enough,
    More(String),
}

/// Cargo compares `rust-version` of all packages with the compiler's, before it builds.
fn declared(compiler: &Compiler) -> Result<Declared> {
    let said = said(&mut compiler.cargo(&format!("check -q {PACKAGES}")))?;
    let refused = said.err.contains("is not supported by the following package");
    Ok(if refused { Declared::More(said.err) } else { Declared::Enough })
}

/// An unpacked compiler.
struct Compiler {
    folder: PathBuf,
}

impl Compiler {
    /// Downloads and unpacks it, if that was not done before.
    fn unpacked() -> Result<Compiler> {
        let folder = place::target().join("msrv").join(VERSION);
        let compiler = Compiler { folder };
        if compiler.folder.is_dir() {
            return Ok(compiler);
        }
        for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
            if !tools::on_path(tool) {
                return Err(Failure::Missing(format!("missing: {tool}; this command is for Debian")));
            }
        }
        // It gets its name when it is complete, so another process never finds a part of it.
        let making = place::target().join("msrv").join(format!("making-{}", std::process::id()));
        let root = making.join("root");
        fs::create_dir_all(&root).or_failed(root.display())?;
        let end = download(&making).and_then(|()| unpack(&making, &root));
        let end = end.and_then(|()| match fs::rename(&root, &compiler.folder) {
            Err(_) if compiler.folder.is_dir() => Ok(()),
            end => end.or_failed(compiler.folder.display()),
        });
        let _ = fs::remove_dir_all(making);
        end.map(|()| compiler)
    }

    fn libraries(&self) -> PathBuf {
        self.folder.join("usr/lib/x86_64-linux-gnu")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = program(&self.folder.join("usr/bin").join(name).to_string_lossy());
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }

    /// The machine's cargo with this compiler.
    fn cargo(&self, words: &str) -> Command {
        let mut cargo = crate::process::cargo_with(words);
        let bin = self.folder.join("usr/bin");
        cargo.env("RUSTC", bin.join("rustc")).env("RUSTDOC", bin.join("rustdoc"));
        cargo.env("LD_LIBRARY_PATH", self.libraries());
        cargo.env("CARGO_TARGET_DIR", place::target().join("msrv/target"));
        cargo
    }
}

/// Debian's number of the compiler's version, such as `1.85.0+dfsg3-1~deb12u3`.
fn number() -> Result<String> {
    let said = output(program("apt-cache").args(["madison", COMPILER[0]]))?;
    let mut numbers = said.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
    let found = numbers.find(|number| number.starts_with(&format!("{VERSION}+")));
    found.map_or_else(
        || {
            let known = "it is in Debian 12; `apt-get update` reads what there is";
            Err(Failure::Missing(format!("missing: {}={VERSION}*: {known}", COMPILER[0])))
        },
        |number| Ok(number.to_owned()),
    )
}

fn download(to: &Path) -> Result {
    let number = number()?;
    let mut get = program("apt-get");
    get.current_dir(to).args(["download", "-q", "-o", "APT::Sandbox::User=root"]);
    run(get.args(COMPILER.map(|name| format!("{name}={number}"))).arg(LLVM))
}

fn unpack(from: &Path, to: &Path) -> Result {
    let files = fs::read_dir(from).or_failed(from.display())?;
    let packages: Vec<PathBuf> = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    if packages.len() != COMPILER.len() + 1 {
        return failed(format!("{} packages were downloaded", packages.len()));
    }
    packages.iter().try_for_each(|package| run(program("dpkg-deb").arg("-x").arg(package).arg(to)))
}
