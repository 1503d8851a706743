//! The tools that commands need, and how each one is installed. Nothing is installed here.

use crate::failure::{Failure, Result};
use crate::process::{End, output, program, said};
use std::env;
use std::path::{Path, PathBuf};

/// The machine on which all this runs.
pub(crate) const HOST: &str = "x86_64-unknown-linux-gnu";

/// Debian's compiler. It has no prebuilt library for small machines, but its source.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Something that must be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// Cargo and rustc of rustup's stable toolchain, with their linker.
    Rustup,
    /// The linker of programs for the host.
    Cc,
    /// What libFuzzer is compiled with, and the runtime of a sanitizer is linked with.
    Cxx,
    /// Reads images: `nm`, `size`, `addr2line`.
    Binutils,
    QemuX86,
    QemuArm,
    QemuAarch64,
    QemuRiscv32,
    DebianRustc,
    /// The source of the standard library, for that compiler.
    DebianSource,
    /// The toolchain that the fuzzer needs.
    Nightly,
    CargoFuzz,
}

/// How one gets a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Packages of Debian.
    Packages(&'static [&'static str]),
    /// A command.
    Command(&'static [&'static str]),
    /// People do it.
    ByHand(&'static str),
}

impl Tool {
    /// All that the gate and `tsan` need.
    pub(crate) const ALL: [Tool; 12] = [
        Tool::Rustup,
        Tool::Cc,
        Tool::Cxx,
        Tool::Binutils,
        Tool::QemuX86,
        Tool::QemuArm,
        Tool::QemuAarch64,
        Tool::QemuRiscv32,
        Tool::DebianRustc,
        Tool::DebianSource,
        Tool::Nightly,
        Tool::CargoFuzz,
    ];

    /// What is missing, if it is.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tool::Rustup => "rustup's stable toolchain",
            Tool::Cc => "cc",
            Tool::Cxx => "c++",
            Tool::Binutils => "nm",
            Tool::QemuX86 => "qemu-system-x86_64",
            Tool::QemuArm => "qemu-system-arm",
            Tool::QemuAarch64 => "qemu-system-aarch64",
            Tool::QemuRiscv32 => "qemu-system-riscv32",
            Tool::DebianRustc => DEBIAN_RUSTC,
            Tool::DebianSource => "the source of the standard library",
            Tool::Nightly => "the nightly toolchain",
            Tool::CargoFuzz => "cargo-fuzz",
        }
    }

    pub(crate) fn way(self) -> Way {
        match self {
            Tool::Rustup => Way::ByHand("https://rustup.rs has it"),
            Tool::Cc => Way::Packages(&["gcc", "libc6-dev"]),
            Tool::Cxx => Way::Packages(&["g++"]),
            Tool::Binutils => Way::Packages(&["binutils"]),
            Tool::QemuX86 => Way::Packages(&["qemu-system-x86"]),
            Tool::QemuArm | Tool::QemuAarch64 => Way::Packages(&["qemu-system-arm"]),
            Tool::QemuRiscv32 => Way::Packages(&["qemu-system-misc"]),
            Tool::DebianRustc => Way::Packages(&["rustc-web"]),
            Tool::DebianSource => Way::Packages(&["rust-web-src"]),
            Tool::Nightly => {
                Way::Command(&["rustup", "toolchain", "install", "--profile", "minimal", "nightly"])
            }
            Tool::CargoFuzz => {
                Way::Command(&["cargo", "install", "--locked", "--version", "0.13.2", "cargo-fuzz"])
            }
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Tool::Rustup => on_path("cargo") && on_path("rustc") && lld().is_ok_and(|lld| lld.is_file()),
            Tool::DebianSource => {
                let root = output(program(DEBIAN_RUSTC).args(["--print", "sysroot"]));
                root.is_ok_and(|root| Path::new(root.trim()).join("lib/rustlib/src/rust/library").is_dir())
            }
            Tool::Nightly => {
                let nightly = said(program("rustup").args(["run", "nightly", "rustc", "--version"]));
                nightly.is_ok_and(|said| said.end == End::Status(0))
            }
            other => on_path(other.name()),
        }
    }

    /// One line: its name, and how one gets it.
    fn hint(self) -> String {
        let way = match self.way() {
            Way::Packages(names) => {
                format!("on Debian: apt-get install -y --no-install-recommends {}", names.join(" "))
            }
            Way::Command(words) => words.join(" "),
            Way::ByHand(text) => text.to_owned(),
        };
        format!("  {}: {way}", self.name())
    }
}

/// Those that are missing, in order, each once.
pub(crate) fn missing(tools: &[Tool]) -> Vec<Tool> {
    let mut missing: Vec<Tool> = tools.iter().copied().filter(|tool| !tool.is_installed()).collect();
    missing.sort();
    missing.dedup();
    missing
}

/// Names all of `tools` that are missing, and says how one gets them.
pub(crate) fn need(tools: &[Tool]) -> Result {
    match missing(tools).as_slice() {
        [] => Ok(()),
        missing => Err(Failure::Missing(text(missing))),
    }
}

/// What to say of tools that are missing.
pub(crate) fn text(missing: &[Tool]) -> String {
    let lines: Vec<String> = missing.iter().map(|tool| tool.hint()).collect();
    format!("missing; `cargo xtask setup` installs it:\n{}", lines.join("\n"))
}

/// Whether a program is found; as a shell finds it.
pub(crate) fn on_path(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The linker that rustup's stable toolchain has for all machines.
pub(crate) fn lld() -> Result<PathBuf> {
    Ok(rustlib()?.join("bin/rust-lld"))
}

/// The part of rustup's stable toolchain that is about the host.
pub(crate) fn rustlib() -> Result<PathBuf> {
    let root = output(program("rustc").args(["--print", "sysroot"]))?;
    Ok(Path::new(root.trim()).join("lib/rustlib").join(HOST))
}
