//! The firmware: it is built for some machines, booted in QEMU, and says of itself whether it works.

mod boot;
pub(crate) mod build;
pub(crate) mod image;
pub(crate) mod target;

use crate::failure::Result;
use crate::process::{End, cargo, ended};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use crate::{failure, place};
use boot::{Ending, Serial};
use image::Image;
use std::fs;
use target::{Name, Target};

/// Builds and boots all of `names`. Prints how each one ended, and counts them.
///
/// # Errors
/// A tool is missing: then nothing was built.
pub(crate) fn run(names: &[Name], options: &[String]) -> Result<Tally> {
    need(names)?;
    let mut tally = Tally::default();
    for name in names {
        match one(*name, options) {
            Ok(Ending::Passed) => tally.pass(),
            Ok(other) => {
                println!("{other}");
                println!("firmware: {name} failed");
                tally.fail();
            }
            Err(failure) => {
                println!("{}", failure.text());
                println!("firmware: {name} failed");
                tally.fail();
            }
        }
    }
    Ok(tally)
}

/// Builds the firmware so that its verdict is turned round. It must boot, and say that it failed.
pub(crate) fn fails() -> Result {
    let name = Name::Machine(Target::X86_64);
    need(&[name])?;
    match one(name, &["--features".to_owned(), "fail".to_owned()])? {
        Ending::ReportedFailure => Ok(()),
        other => failure::failed(format!("the firmware should have reported a failure, but {other}")),
    }
}

fn need(names: &[Name]) -> Result {
    let mut tools = vec![Tool::Rustup, Tool::Binutils];
    for name in names {
        tools.extend(build::tools(name.target()));
        tools.extend(name.target().machine().map(|machine| machine.tool));
        if *name == Name::Log {
            tools.push(Tool::Cc); // the decoder runs here
        }
    }
    tools::need(&tools)
}

/// The program of the firmware, without an allocator in it.
fn built(target: Target, options: &[String]) -> Result<Image> {
    let mut command = build::cargo_for(target, "build")?;
    command.args(["--release", "--bin", "forebay-firmware"]).args(options);
    let image = build::image(target, "release", "forebay-firmware", &mut command)?;
    image.has_no_allocator()?;
    Ok(image)
}

fn one(name: Name, options: &[String]) -> Result<Ending> {
    let target = name.target();
    match target.machine() {
        Some(machine) => println!("--- {}: {} {}", target.triple(), machine.tool.name(), machine.options),
        None => println!("--- {}: built only", target.triple()),
    }
    match name {
        Name::Machine(target) => {
            let image = built(target, options)?;
            target.machine().map_or(Ok(Ending::Passed), |machine| boot::boot(&image, machine, &Serial::One))
        }
        Name::Log => logged(target, options),
    }
}

/// The firmware with a log of what happens. The log is decoded, and compared with what must happen.
fn logged(target: Target, options: &[String]) -> Result<Ending> {
    let Some(machine) = target.machine() else { return failure::failed("this machine is not booted") };
    let with_log = ["--features".to_owned(), "defmt".to_owned()];
    let image = built(target, &[&with_log[..], options].concat())?;
    let frames = image.path().with_extension("frames");
    let ending = boot::boot(&image, machine, &Serial::Second(frames.clone()))?;
    if ending != Ending::Passed {
        return Ok(ending);
    }
    let mut decode = cargo();
    decode
        .current_dir(place::firmware().join("decode"))
        .env("CARGO_TARGET_DIR", place::target().join("decode"));
    decode.args(["run", "-q", "--"]).arg(image.path()).arg(&frames);
    let end = ended(&mut decode);
    let _ = fs::remove_file(frames);
    Ok(if end? == End::Status(0) { Ending::Passed } else { Ending::OtherLog })
}
