//! `panic-free`: links every public function of core and of the backends over plain RAM. It fails if one of them may
//! panic. It prints how much text that is. Sizes that the sources assert are so for 32 bits, too.
//!
//! Each machine has two profiles, as users have them: `release`, a firmware's (opt-level "s", LTO), and `plain`, what
//! cargo does if nothing is said (opt-level 3, no LTO). Neither takes panics away: no `panic_immediate_abort`, nor `-Z` of
//! that kind. (panic = "abort" only says what a panic does.)

use crate::failure::{Result, failed};
use crate::firmware::build;
use crate::firmware::target::Target;
use crate::process::{End, said};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use std::process::Command;

/// What the panic handler of the image calls. It is not defined, so an image that reaches it does not link.
const CULPRIT: &str = "a_public_function_of_forebay_may_panic";

/// If none are named. The first needs no compiler but the host's.
pub(crate) const USUAL: [Target; 3] = [Target::X86_64, Target::Thumbv7em, Target::Riscv32imac];

/// One way to build.
const WAYS: [(&str, &[&str]); 3] =
    [("plain", &[]), ("release", &[]), ("release", &["--features", "smallest"])];

pub(crate) fn main(targets: &[Target]) -> Result {
    let mut tools = vec![Tool::Binutils];
    targets.iter().for_each(|target| tools.extend(build::tools(*target)));
    tools::need(&tools)?;
    let mut tally = Tally::default();
    let end = targets.iter().try_for_each(|target| {
        WAYS.iter().try_for_each(|(profile, options)| {
            image(*target, profile, options)?;
            tally.pass();
            Ok(())
        })
    });
    tally.end_with(end)
}

fn every(target: Target, command: &str, profile: &str, options: &[&str]) -> Result<Command> {
    let mut cargo = build::cargo_for(target, command)?;
    cargo.args(["-q", "--bin", "every", "--profile", profile]).args(options);
    Ok(cargo)
}

fn image(target: Target, profile: &str, options: &[&str]) -> Result {
    let what = [&[target.triple(), profile][..], options].concat().join(" ");
    let said = said(&mut every(target, "build", profile, options)?)?;
    if said.end != End::Status(0) {
        if said.all().contains(CULPRIT) {
            say_who(target, profile, options)?;
        } else {
            println!("{}", said.all());
        }
        return failed(format!("{what}: it does not link"));
    }
    let image = build::taken(target, profile, "every")?;
    let panics = image.panics()?;
    if !panics.is_empty() {
        return failed(format!("{what}: the image has panics: {}", panics.join(" ")));
    }
    println!("panic-free: {what}: {} bytes of text", image.size()?.text);
    Ok(())
}

/// Links it nevertheless, and asks the linker for the way from the start of the image to the panic handler.
fn say_who(target: Target, profile: &str, options: &[&str]) -> Result {
    // For the host the linker is called by `cc`.
    let before = if target == Target::X86_64 { "-Wl," } else { "" };
    println!("panic-free: what refers to the panic handler, from the handler to the start:");
    let mut cargo = every(target, "rustc", profile, options)?;
    cargo.args(["--", "-W", "linker-messages"]);
    cargo.args(["-C", &format!("link-arg={before}--defsym={CULPRIT}=0")]);
    cargo.args(["-C", &format!("link-arg={before}--why-live=*rust_begin_unwind*")]);
    let said = said(&mut cargo)?.all();
    for line in said.lines().filter_map(|line| line.split_once("referenced by: ")) {
        println!("    ({}", line.1.rsplit_once(":(").map_or(line.1, |(_, function)| function));
    }
    Ok(())
}
