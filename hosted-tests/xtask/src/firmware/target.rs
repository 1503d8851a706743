//! The small machines: how they are named, and what boots them.

use crate::tools::{HOST, Tool};
use std::fmt;
use std::str::FromStr;

/// A machine for which images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Thumbv7em,
    Thumbv6m,
    Riscv32imac,
    Riscv32imc,
    Aarch64,
    X86_64,
}

/// What boots an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) tool: Tool,
    /// Separated by spaces.
    pub(crate) options: &'static str,
}

impl Target {
    pub(crate) const ALL: [Target; 6] = [
        Target::Thumbv7em,
        Target::Thumbv6m,
        Target::Riscv32imac,
        Target::Riscv32imc,
        Target::Aarch64,
        Target::X86_64,
    ];

    /// As one types it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Thumbv7em => "thumbv7em",
            Target::Thumbv6m => "thumbv6m",
            Target::Riscv32imac => "riscv32imac",
            Target::Riscv32imc => "riscv32imc",
            Target::Aarch64 => "aarch64",
            Target::X86_64 => "x86_64",
        }
    }

    /// As the compiler names it.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Target::Thumbv7em => "thumbv7em-none-eabihf",
            Target::Thumbv6m => "thumbv6m-none-eabi",
            Target::Riscv32imac => "riscv32imac-unknown-none-elf",
            Target::Riscv32imc => "riscv32imc-unknown-none-elf",
            Target::Aarch64 => "aarch64-unknown-none",
            Target::X86_64 => HOST,
        }
    }

    /// `None` where the image is built and not booted.
    pub(crate) fn machine(self) -> Option<Machine> {
        let (tool, options) = match self {
            Target::Thumbv7em => (Tool::QemuArm, "-M mps2-an386 -semihosting-config enable=on,target=native"),
            Target::Thumbv6m => (Tool::QemuArm, "-M microbit -semihosting-config enable=on,target=native"),
            Target::Riscv32imac => (Tool::QemuRiscv32, "-M virt -bios none -m 16"),
            Target::Riscv32imc => return None,
            Target::Aarch64 => (
                Tool::QemuAarch64,
                "-M virt -cpu cortex-a53 -smp 2 -m 128 -semihosting-config enable=on,target=native",
            ),
            Target::X86_64 => (Tool::QemuX86, "-m 64 -device isa-debug-exit,iobase=0xf4,iosize=4"),
        };
        Some(Machine { tool, options })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Target, String> {
        let found = Target::ALL.into_iter().find(|target| text == target.name() || text == target.triple());
        found.ok_or_else(|| format!("there is no target {text}"))
    }
}

/// What `firmware` builds: the firmware for a machine, or the firmware that tells what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Machine(Target),
    /// For thumbv7em.
    Log,
}

impl Name {
    pub(crate) fn all() -> Vec<Name> {
        Target::ALL.into_iter().map(Name::Machine).chain([Name::Log]).collect()
    }

    /// What a word on the command line stands for.
    pub(crate) fn of(word: &str) -> Result<Vec<Name>, String> {
        match word {
            "all" => Ok(Name::all()),
            "defmt" => Ok(vec![Name::Log]),
            other => Ok(vec![Name::Machine(other.parse()?)]),
        }
    }

    pub(crate) fn target(self) -> Target {
        match self {
            Name::Machine(target) => target,
            Name::Log => Target::Thumbv7em,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Machine(target) => target.fmt(f),
            Name::Log => f.write_str("defmt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a machine is named by its short name or by the compiler's, `all` is everything, and other words are refused.
    #[test]
    fn words_name_machines() {
        for target in Target::ALL {
            assert_eq!(Name::of(target.name()), Ok(vec![Name::Machine(target)]));
            assert_eq!(Name::of(target.triple()), Ok(vec![Name::Machine(target)]));
        }
        assert_eq!(Name::of("all").map(|all| all.len()), Ok(7));
        assert_eq!(Name::of("thumbv8"), Err("there is no target thumbv8".to_owned()));
    }
}
