//! The command line.

use crate::failure::{Failure, Result};
use crate::firmware::target::{Name, Target};
use crate::tsan::What;
use crate::{
    counts, firmware, fuzz, gate, msrv, mutants, panic_free, picture, place, process, reclaims, rivals,
    rules, setup, sizes, surface, traces, tsan,
};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const STATUS: &str =
    "Status 0: passed. 1: failed. 2: a tool is missing, or the command line is wrong; nothing was done.";

/// The commands for those who work on forebay
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Installs what the other commands need and is missing (on Debian, as root)
    Setup(Setup),
    /// Runs everything that main must pass, and stops at the first failure
    Gate(Gate),
    /// Builds the firmware for some machines, boots it in QEMU, and reports what it said of itself
    #[command(after_help = STATUS)]
    Firmware(Firmware),
    /// Counts in instructions what operations cost, and how long they keep interrupts masked, on riscv32imac in QEMU
    #[command(after_help = STATUS)]
    Counts,
    /// Measures text and static memory on thumbv7em, and says which limits are kept
    #[command(after_help = STATUS)]
    Sizes,
    /// Counts with callgrind what a reclaim of one page costs among many buffers, over a slice and over an index
    #[command(after_help = STATUS)]
    Reclaims,
    /// Links every public function, which fails if one may panic
    #[command(after_help = STATUS)]
    PanicFree(PanicFree),
    /// Runs the tests about threads under ThreadSanitizer, with the standard library instrumented too
    #[command(after_help = STATUS)]
    Tsan(Tsan),
    /// Fuzzes for some time; what it finds stays in fuzz/found
    #[command(after_help = STATUS)]
    Fuzz(Fuzz),
    /// Builds and tests the two published packages with the oldest compiler that they promise to work with
    #[command(after_help = STATUS)]
    Msrv,
    /// Measures forebay beside other allocators; builds them first, which takes some minutes
    Rivals(Rivals),
    /// Counts the public surface of core: names, what can be called, methods of each trait
    Surface(Surface),
    /// Prints all tests with the rules that they guard, or what was lost since another such table
    Rules(Rules),
    /// Breaks core and backends in many places, one at a time, and names what no test notices
    #[command(after_help = STATUS)]
    Mutants(Mutants),
    /// Records the traces of hosted-tests/traces anew: which pages of their files SQLite and a linker touch
    Traces(Traces),
    /// Draws core/forebay.svg, the picture of the README
    Picture,
}

#[derive(Args, Debug)]
struct Setup {
    /// Only names what is missing; status 2 if something is
    #[arg(long)]
    check: bool,
}

#[derive(Args, Debug)]
#[command(after_help = STATUS)]
struct Gate {
    /// Only this step; may be given several times
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(gate::STEPS.iter().map(|step| step.name)))]
    only: Vec<String>,
    /// Lists the steps, and runs none
    #[arg(long)]
    list: bool,
}

#[derive(Args, Debug)]
struct Firmware {
    /// The machines, by these names or by the compiler's:
    ///
    ///   thumbv7em    Cortex-M4, mps2-an386: 96 KiB of SRAM in two pieces, 16 MiB of PSRAM
    ///   thumbv6m     Cortex-M0, microbit: 16 KiB of RAM
    ///   riscv32imac  virt, without firmware
    ///   riscv32imc   no atomics: is built, not booted
    ///   aarch64      virt, two cores
    ///   x86_64       pc
    ///   defmt        thumbv7em again, with a log of what happens, which is decoded and compared
    ///   all          all of them
    #[arg(value_name = "TARGET", required = true, verbatim_doc_comment, value_parser = Name::of)]
    targets: Vec<Vec<Name>>,
    /// Of cargo build, such as `--features fail`, which must fail
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Args, Debug)]
struct PanicFree {
    /// The machines, by the names that `firmware` has; three of them if none is named. x86_64 needs no other compiler than the host's
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
}

#[derive(Args, Debug)]
struct Tsan {
    /// Only shows that it would notice
    #[arg(long, conflicts_with = "arguments")]
    self_test: bool,
    /// What `cargo test` is given instead, such as `-- -p hosted-tests --test sweeps looking`
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

#[derive(Args, Debug)]
struct Fuzz {
    /// Which target
    #[arg(long, value_name = "NAME", default_value = fuzz::TARGETS[0].0, value_parser = PossibleValuesParser::new(fuzz::TARGETS.map(|(name, _)| name)))]
    target: String,
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// From where; another one each time if left out
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
}

#[derive(Args, Debug)]
#[command(after_help = STATUS)]
struct Rivals {
    /// Of the program, such as `-- --workload W1 --instructions`; `--quick` if left out. `-- --help` lists them
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Args, Debug)]
struct Surface {
    /// Lists all names and all that can be called, too
    #[arg(long)]
    list: bool,
    /// Counts and lists, for programs
    #[arg(long, conflicts_with = "list")]
    json: bool,
}

#[derive(Args, Debug)]
struct Rules {
    /// A table that this command has printed before
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Mutants {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 200)]
    count: usize,
    /// Which ones: another seed chooses others
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only mutants whose name contains this, such as core/src/reclaim or a whole name; may be given several times
    #[arg(long = "name", value_name = "PART")]
    names: Vec<String>,
}

#[derive(Args, Debug)]
struct Traces {
    /// Where they are written to; hosted-tests/traces if left out
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Runs the command that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.text());
            failure.status()
        }
    }
}

fn run(command: Command) -> Result {
    match command {
        Command::Setup(Setup { check: true }) => setup::main(setup::Mode::Check),
        Command::Setup(_) => setup::main(setup::Mode::Install),
        Command::Gate(Gate { list: true, .. }) => process::print(&gate::list()),
        Command::Gate(Gate { only, .. }) => gate::main(&only),
        Command::Firmware(Firmware { targets, options }) => firmware::run(&targets.concat(), &options)?.end(),
        Command::Counts => counts::main(),
        Command::Sizes => sizes::main(),
        Command::PanicFree(PanicFree { targets }) if targets.is_empty() => {
            panic_free::main(&panic_free::USUAL)
        }
        Command::PanicFree(PanicFree { targets }) => panic_free::main(&targets),
        Command::Tsan(Tsan { self_test: true, .. }) => tsan::main(&What::SelfTest),
        Command::Tsan(Tsan { arguments, .. }) if arguments.is_empty() => tsan::main(&What::All),
        Command::Tsan(Tsan { arguments, .. }) => tsan::main(&What::These(arguments)),
        Command::Fuzz(Fuzz { target, seconds, seed }) => fuzz::main(&fuzz::Wish { target, seconds, seed }),
        Command::Msrv => msrv::main(),
        Command::Rivals(Rivals { options }) => rivals::main(&options),
        Command::Surface(wish) => print_surface(&wish),
        Command::Rules(Rules { against }) => rules::main(against.as_deref()),
        Command::Mutants(Mutants { count, seed, names }) => {
            mutants::main(&mutants::Wish { count, seed, names })
        }
        Command::Reclaims => reclaims::main(),
        Command::Traces(Traces { folder }) => traces::main(folder.as_deref()),
        Command::Picture => picture::main(),
    }
}

fn print_surface(wish: &Surface) -> Result {
    let surface = surface::read(&place::root().join("core")).map_err(Failure::Failed)?;
    if wish.json {
        return process::print(&format!("{}\n", surface.json()));
    }
    let list = if wish.list { format!("\n{}", surface.list()) } else { String::new() };
    process::print(&format!("{surface}{list}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Rule: the command line is consistent, and each command says in a sentence what it does.
    #[test]
    fn each_command_says_what_it_does() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }

    /// Rule: what follows `--` goes to cargo, and what stands before names machines.
    #[test]
    fn options_of_cargo_follow_two_dashes() {
        let words = ["xtask", "firmware", "x86_64", "defmt", "--", "--features", "fail"];
        let Ok(Cli { command: Command::Firmware(firmware) }) = Cli::try_parse_from(words) else {
            panic!("it is a command")
        };
        assert_eq!(firmware.targets.concat(), [Name::Machine(Target::X86_64), Name::Log]);
        assert_eq!(firmware.options, ["--features", "fail"]);
        assert!(Cli::try_parse_from(["xtask", "firmware"]).is_err());
    }
}
