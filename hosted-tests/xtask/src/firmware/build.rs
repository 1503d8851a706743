//! Building images for small machines. All commands build in the same way, so that core is built once for each machine
//! and profile.

use super::image::Image;
use super::target::Target;
use crate::failure::Result;
use crate::place;
use crate::process::{output, program, run};
use crate::tools::{self, DEBIAN_RUSTC, Tool};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who compiles for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compiler {
    /// Rustup's stable toolchain: it has the machine's library.
    Rustup,
    /// Debian's. It builds the library from its own source.
    Debian,
}

/// Rustup's, where the machine's library is installed (`rustup target add`).
fn compiler(target: Target) -> Compiler {
    let library = program("rustc")
        .current_dir(place::root())
        .args(["--print", "target-libdir", "--target", target.triple()])
        .output()
        .is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_dir());
    if library { Compiler::Rustup } else { Compiler::Debian }
}

/// What is needed to build for a machine.
pub(crate) fn tools(target: Target) -> Vec<Tool> {
    match (target, compiler(target)) {
        (Target::X86_64, _) => vec![Tool::Rustup, Tool::Cc],
        (_, Compiler::Rustup) => vec![Tool::Rustup],
        (_, Compiler::Debian) => vec![Tool::Rustup, Tool::DebianRustc, Tool::DebianSource],
    }
}

/// Where images are built.
pub(crate) fn folder() -> PathBuf {
    place::target().join("firmware")
}

/// A command of cargo for a machine, in the package of the images. Options may follow.
pub(crate) fn cargo_for(target: Target, command: &str) -> Result<Command> {
    Ok(cargo_by(compiler(target), &tools::lld()?, target, command))
}

fn cargo_by(compiler: Compiler, lld: &Path, target: Target, command: &str) -> Command {
    let mut cargo = program("cargo");
    cargo.current_dir(place::firmware()).env("CARGO_TARGET_DIR", folder());
    match compiler {
        Compiler::Rustup => {
            cargo.arg(command);
        }
        Compiler::Debian => {
            let linker = format!("target.{}.linker='{}'", target.triple(), lld.display());
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["--config", &linker, command, "-Zbuild-std=core"]);
        }
    }
    cargo.args(["--target", target.triple()]);
    cargo
}

/// Builds, and takes the image `name`.
pub(crate) fn image(target: Target, profile: &str, name: &str, command: &mut Command) -> Result<Image> {
    // All events are told, in images that tell any.
    run(command.env("DEFMT_LOG", "trace"))?;
    taken(target, profile, name)
}

/// Takes the image `name`, which has just been built.
pub(crate) fn taken(target: Target, profile: &str, name: &str) -> Result<Image> {
    Image::take(&folder().join(target.triple()).join(profile).join(name))
}

/// Which compiler builds for a machine: name and version.
pub(crate) fn compiler_name(target: Target) -> Result<String> {
    let rustc = match compiler(target) {
        Compiler::Rustup => "rustc",
        Compiler::Debian => DEBIAN_RUSTC,
    };
    Ok(output(program(rustc).current_dir(place::root()).arg("-V"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::typed;

    /// Rule: where rustup has the machine's library it compiles; else Debian's compiler does, with core from source.
    #[test]
    fn rustup_comes_first() {
        let words = |compiler| typed(&cargo_by(compiler, Path::new("/lld"), Target::Aarch64, "build"));
        assert_eq!(words(Compiler::Rustup), "cargo build --target aarch64-unknown-none");
        assert_eq!(
            words(Compiler::Debian),
            "cargo --config target.aarch64-unknown-none.linker='/lld' build -Zbuild-std=core --target \
             aarch64-unknown-none"
        );
    }
}
