//! Reads the log that the firmware wrote with `defmt`, and compares it with what the firmware does: `decode IMAGE FRAMES`.
//!
//! `story` has what must be in it, in that order; more may be between. No frame may be malformed, and no line a warning or
//! an error: the firmware loses nothing.

use anyhow::{Context, Result, bail, ensure};
use defmt_decoder::{DecodeError, Table};
use std::{env, fs};

const STORY: &str = include_str!("../story");

fn main() -> Result<()> {
    let [_, image, frames] = &env::args().collect::<Vec<_>>()[..] else {
        bail!("usage: decode IMAGE FRAMES")
    };
    let image = fs::read(image).context("the image")?;
    let lines = lines(&image, &fs::read(frames).context("the frames")?)?;
    let bad = lines.iter().find(|line| line.starts_with("warn") || line.starts_with("error"));
    ensure!(bad.is_none(), "the log has bad news: {bad:?}");
    let folded = folded(&lines);
    follow(&folded, STORY.lines())?;
    println!(
        "log: {} lines of forebay's and the steps', {} of them expected in that order",
        lines.len(),
        STORY.lines().count()
    );
    Ok(())
}

/// All of the log, a line for a frame.
fn lines(image: &[u8], frames: &[u8]) -> Result<Vec<String>> {
    let table = Table::parse(image)?.context("the image has no table of messages")?;
    ensure!(frames.ends_with(&[0]), "the log does not end with a frame");
    let mut decoder = table.new_stream_decoder();
    decoder.received(frames);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let level = frame.level().context("a line has no level")?;
                lines.push(format!("{} {}", level.as_str(), frame.display_message()));
            }
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) => bail!("a frame is malformed, after {:?}", lines.last()),
        }
    }
}

/// Equal lines after each other are one, with their number before it.
fn folded(lines: &[String]) -> Vec<String> {
    let runs = lines.chunk_by(|a, b| a == b);
    runs.map(|run| if run.len() == 1 { run[0].clone() } else { format!("{} times {}", run.len(), run[0]) })
        .collect()
}

/// Whether each line of a story is there, after the one before.
fn follow<'s>(lines: &[String], story: impl Iterator<Item = &'s str>) -> Result<()> {
    let mut rest = lines;
    for wanted in story {
        let Some(at) = rest.iter().position(|line| line == wanted) else {
            let next = &rest[..rest.len().min(20)];
            bail!(
                "the log does not say, at this place or later: {wanted}\nit goes on with:\n{}",
                next.join("\n")
            );
        };
        rest = &rest[at + 1..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{folded, follow};

    fn log() -> Vec<String> {
        ["a", "b", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn in_order_or_not() {
        assert!(follow(&folded(&log()), ["a", "2 times b", "c"].into_iter()).is_ok());
        for wrong in [["a", "b"], ["c", "a"], ["a", "a"], ["a", "3 times b"]] {
            assert!(follow(&folded(&log()), wrong.into_iter()).is_err(), "{wrong:?}");
        }
    }
}
