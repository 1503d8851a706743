//! `counts`: what operations cost in instructions, and how long they keep interrupts masked. Two images count that on
//! riscv32imac in QEMU. They print tables, and say which limits are kept.
//!
//! Each image runs twice at once, so that one is a load for the other. Both must count the same.

use crate::failure::{Failure, Result, failed};
use crate::firmware::build;
use crate::firmware::image::Image;
use crate::firmware::target::Target;
use crate::process::{End, Said, program, run, said, within};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use std::thread;
use std::time::Duration;

const TARGET: Target = Target::Riscv32imac;
const LIMIT: Duration = Duration::from_secs(120);
const MACHINE: &str =
    "-M virt -m 1024 -bios none -icount shift=0 -display none -serial stdio -monitor none -kernel";

pub(crate) fn main() -> Result {
    tools::need(&[&build::tools(TARGET)[..], &[Tool::QemuRiscv32]].concat())?;
    println!("counts: built by {}\n", build::compiler_name(TARGET)?);
    let mut tally = Tally::default();
    let end = measure(&mut tally);
    tally.end_with(end)
}

fn measure(tally: &mut Tally) -> Result {
    let mut command = build::cargo_for(TARGET, "build")?;
    command.args("-q --release --bin costs --bin masked --features counts".split_whitespace());
    run(&mut command)?;
    for name in ["costs", "masked"] {
        let image = build::taken(TARGET, "release", name)?;
        let (first, second) = thread::scope(|scope| {
            let other = scope.spawn(|| counted(&image));
            (counted(&image), other.join())
        });
        let (first, second) = (first?, second.unwrap_or_else(|_| failed("the second run was not started"))?);
        println!("{}", first.out);
        eprint!("{}", first.err);
        came_to_its_end(name, first.end)?;
        for line in first.out.lines() {
            match line {
                line if line.starts_with("passed: ") => tally.pass(),
                line if line.starts_with("failed: ") => tally.fail(),
                _ => {}
            }
        }
        if first.out != second.out {
            return failed(format!("{name}: a second run counted something else"));
        }
    }
    Ok(())
}

fn counted(image: &Image) -> Result<Said> {
    let mut qemu = program(Tool::QemuRiscv32.name());
    qemu.args(MACHINE.split_whitespace()).arg(image.path());
    said(&mut within(LIMIT, &qemu))
}

/// Status 0: all limits are kept. 2: one is not.
fn came_to_its_end(name: &str, end: End) -> Result {
    let why = match end {
        End::Status(0 | 2) => return Ok(()),
        End::Status(3) => "it panicked (QEMU's status 3)".to_owned(),
        End::Status(4) => "the processor reported a fault (QEMU's status 4)".to_owned(),
        End::TooLong => format!("no end after {} seconds", LIMIT.as_secs()),
        other => format!("QEMU ended with {other:?}"),
    };
    Err(Failure::Failed(format!("{name}: {why}")))
}
