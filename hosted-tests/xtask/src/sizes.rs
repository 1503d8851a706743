//! `sizes`: how much text and static memory Forebay takes on thumbv7em. The images are built as a firmware is (opt-level
//! "s", LTO).
//!
//! - `whole`: everything that core and the region over plain RAM can do, as one program calls it.
//! - `program`: the firmware of the README; less `plain`, the same without Forebay.
//!
//! Text is code and constants. Static memory is `.data` and `.bss`; it must be what the `const fn`s promise, to the byte.
//! Nothing may panic.

use crate::failure::{Result, failed};
use crate::firmware::build;
use crate::firmware::image::Image;
use crate::firmware::target::Target;
use crate::process::{output, program, run};
use crate::tally::{Tally, Verdict};
use crate::tools::{self, Tool};
use std::collections::BTreeMap;

const TARGET: Target = Target::Thumbv7em;

/// A limit in bytes, and what was meant to be. To miss the latter is said, and is no failure.
struct Limit {
    most: u64,
    wanted: u64,
}

const WHOLE: Limit = Limit { most: 27_050, wanted: 12 * 1024 };
const PROGRAM: Limit = Limit { most: 10_200, wanted: 6 * 1024 };
/// Static memory of the program that is not zero at first: 64 tiles, each of which names its forebay and its size. The rest is
/// `.bss`, which takes no flash.
const MOST_DATA: u64 = 64 * 36 + 16;

pub(crate) fn main() -> Result {
    tools::need(&[&build::tools(TARGET)[..], &[Tool::Binutils]].concat())?;
    println!("sizes: built by {}\n", build::compiler_name(TARGET)?);
    let mut tally = Tally::default();
    let end = measure(&mut tally);
    tally.end_with(end)
}

fn measure(tally: &mut Tally) -> Result {
    println!("| `whole`, with | text | a `RamForebay` | a `RamBuffer` |");
    println!("| --- | --- | --- | --- |");
    for lock in ["no-lock", "spin-lock"] {
        let [image] = built(&format!("sizes,{lock}"), ["whole"])?;
        row(lock, &image)?;
    }
    let [image] = built("sizes,defmt", ["whole"])?;
    row("critical-section, and every event told to `defmt`", &image)?;
    let [whole, program, plain] = built("sizes", ["whole", "program", "plain"])?;
    row("critical-section", &whole)?;

    let (size, without) = (program.size()?, plain.size()?);
    let more = size.text.saturating_sub(without.text);
    println!("\n| | text | static memory |\n| --- | --- | --- |");
    println!("| `program` | {} | {} |", size.text, size.statics);
    println!("| `plain` | {} | {} |", without.text, without.statics);
    println!("| Forebay in `program` | {more} | |\n");
    for (name, image) in [("whole", &whole), ("program", &program)] {
        println!("| `{name}`, by area | text |\n| --- | --- |");
        by_area(image)?.iter().for_each(|(area, bytes)| println!("| {area} | {bytes} |"));
        println!();
    }

    let all = whole.size()?.text;
    let as_whole = format!("whole: {all} of {} bytes of text", WHOLE.most);
    tally.check(Verdict::at_most(WHOLE.most, all), &as_whole);
    let on_top =
        format!("program: {more} of {} bytes of text on top of the same without Forebay", PROGRAM.most);
    tally.check(Verdict::at_most(PROGRAM.most, more), &on_top);
    for (name, bytes, limit) in [("whole", all, WHOLE), ("program", more, PROGRAM)] {
        if bytes > limit.wanted {
            println!("missed: {name}: {bytes} bytes of text, {} were wanted", limit.wanted);
        }
    }
    let promised = program.value("promised_bytes")?;
    let kept = format!("program: {} bytes of static memory, {promised} promised", size.statics);
    tally.check(Verdict::equal(size.statics, promised), &kept);
    let data = format!("program: {} of {MOST_DATA} bytes of static memory are not zero at first", size.data);
    tally.check(Verdict::at_most(MOST_DATA, size.data), &data);
    for (name, image) in [("whole", &whole), ("program", &program)] {
        tally.check(Verdict::equal(image.panics()?.len() as u64, 0), &format!("{name}: no panics"));
    }
    Ok(())
}

fn built<const N: usize>(features: &str, names: [&str; N]) -> Result<[Image; N]> {
    let mut command = build::cargo_for(TARGET, "build")?;
    command.args(["-q", "--release", "--features", features]).env("DEFMT_LOG", "trace");
    names.iter().for_each(|name| _ = command.args(["--bin", name]));
    run(&mut command)?;
    let images: Vec<Image> =
        names.iter().map(|name| build::taken(TARGET, "release", name)).collect::<Result<_>>()?;
    images.try_into().or_else(|_| failed("each name is an image"))
}

fn row(what: &str, image: &Image) -> Result {
    let (home, buffer) = (image.value("home_bytes")?, image.value("buffer_bytes")?);
    println!("| {what} | {} | {home} | {buffer} |", image.size()?.text);
    Ok(())
}

/// By the module that a function is of, the largest first. What was inlined counts where it went.
fn by_area(image: &Image) -> Result<Vec<(String, u64)>> {
    let said = output(program("nm").args(["-S", "--radix=d", "-C"]).arg(image.path()))?;
    let mut areas = BTreeMap::<String, u64>::new();
    for line in said.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some(_), Some(bytes), Some(kind), Some(name)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        if ["t", "T", "r", "R"].contains(&kind)
            && let Ok(bytes) = bytes.parse::<u64>()
        {
            *areas.entry(area(name)).or_default() += bytes;
        }
    }
    let mut areas: Vec<_> = areas.into_iter().collect();
    areas.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(areas)
}

/// The module of a function: of Forebay two levels of it.
fn area(function: &str) -> String {
    if let Some(module) = module(function) {
        return module.to_owned();
    }
    if function.contains("compiler_builtins") || function.contains("__aeabi") {
        return "compiler_builtins".to_owned();
    }
    if ["_start", "whole::", "program::", "plain::"].iter().any(|start| function.starts_with(start)) {
        return "the program, and what was inlined into it".to_owned();
    }
    "others".to_owned()
}

/// The first module of Forebay that a name mentions.
fn module(function: &str) -> Option<&str> {
    function.match_indices("forebay").find_map(|(at, _)| {
        let name = &function[at..];
        let of_crate = if name.starts_with("forebay_backends") { "forebay_backends" } else { "forebay" };
        let mut end = of_crate.len();
        for _ in 0..2 {
            let rest = name[end..].strip_prefix("::").unwrap_or_default();
            let long = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
            if long == 0 {
                break;
            }
            end += 2 + long;
        }
        (end > of_crate.len()).then(|| &name[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a function counts for the first module of Forebay in its name, two levels deep; else for its crate.
    #[test]
    fn areas() {
        for (name, expected) in [
            ("forebay::buffer::Buffer<P>::evict", "forebay::buffer"),
            (
                "<forebay_backends::ram::source::Ram as forebay::platform::Platform>::x",
                "forebay_backends::ram::source",
            ),
            ("<T as forebay::Trait>::x", "others"),
            ("compiler_builtins::mem::memcpy", "compiler_builtins"),
            ("_start", "the program, and what was inlined into it"),
        ] {
            assert_eq!(area(name), expected);
        }
    }
}
