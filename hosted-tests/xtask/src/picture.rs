//! The picture of the README: where blocks and contents move. It is drawn from a few tables.

use crate::failure::{OrFailed, Result};
use crate::place;
use std::fmt::Write;
use std::fs;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 330;

/// A box with a title and lines of text below it.
struct Room {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    fill: &'static str,
    title: &'static str,
    lines: &'static [&'static str],
}

/// A straight arrow with a label at its middle, moved by `dx` and `dy`.
struct Arrow {
    from: (u32, u32),
    to: (u32, u32),
    colour: &'static str,
    label: &'static str,
    dx: i32,
    dy: i32,
}

const BLOCK: &str = "#1a7f37";
const BYTES: &str = "#0969da";

const ROOMS: [Room; 4] = [
    Room {
        x: 20,
        y: 120,
        width: 150,
        height: 90,
        fill: "#f6f8fa",
        title: "source",
        lines: &["RAM, frames, memfd"],
    },
    Room {
        x: 20,
        y: 20,
        width: 150,
        height: 60,
        fill: "#f6f8fa",
        title: "free lists",
        lines: &["by order and mode"],
    },
    Room {
        x: 330,
        y: 60,
        width: 190,
        height: 150,
        fill: "#ddf4ff",
        title: "buffers",
        lines: &["slots: empty,", "resident, stored, clean", "read and write guards"],
    },
    Room {
        x: 680,
        y: 60,
        width: 160,
        height: 150,
        fill: "#dafbe1",
        title: "backing store",
        lines: &["slow RAM, shmem,", "flash, tiers", "pending, freed"],
    },
];

const ARROWS: [Arrow; 8] = [
    Arrow { from: (170, 42), to: (330, 90), colour: BLOCK, label: "take", dx: 0, dy: -8 },
    Arrow { from: (330, 108), to: (170, 62), colour: BLOCK, label: "put", dx: -6, dy: 16 },
    Arrow { from: (170, 150), to: (330, 150), colour: BLOCK, label: "allocate", dx: 0, dy: -6 },
    Arrow { from: (330, 180), to: (170, 180), colour: BLOCK, label: "free", dx: 0, dy: 16 },
    Arrow { from: (520, 90), to: (680, 90), colour: BLOCK, label: "1 transfer", dx: 0, dy: -6 },
    Arrow { from: (680, 115), to: (520, 115), colour: BLOCK, label: "take back", dx: 0, dy: 16 },
    Arrow { from: (520, 165), to: (680, 165), colour: BYTES, label: "2 copy, 3 split", dx: 0, dy: -6 },
    Arrow { from: (680, 190), to: (520, 190), colour: BYTES, label: "load", dx: 0, dy: 16 },
];

/// Writes the picture to core/forebay.svg.
pub(crate) fn main() -> Result {
    let path = place::root().join("core/forebay.svg");
    fs::write(&path, svg()).or_failed(path.display())
}

/// The picture as text.
fn svg() -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">"
    ));
    line("<title>Blocks move between source, pool, buffers and store</title>".to_owned());
    line("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>".to_owned());
    for (name, colour) in [("block", BLOCK), ("bytes", BYTES)] {
        line(format!(
            "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"{colour}\"/></marker>"
        ));
    }
    for room in &ROOMS {
        line(room.svg());
    }
    for arrow in &ARROWS {
        line(arrow.svg());
    }
    // A transferred block that is written out returns to its source, below the buffers.
    line(format!(
        "<path d=\"M760 210 V265 H95 V210\" fill=\"none\" stroke=\"{BLOCK}\" stroke-width=\"1.6\" marker-end=\"url(#block)\"/>"
    ));
    line(text(430, 258, BLOCK, "settle: written out, the frames are free again"));
    line(text(430, 300, BLOCK, "green: the block itself moves, nothing is copied"));
    line(text(430, 318, BYTES, "blue: bytes are copied"));
    out.push_str("</svg>\n");
    out
}

impl Room {
    fn svg(&self) -> String {
        let Room { x, y, width, height, fill, title, lines } = self;
        let mut out = format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{fill}\" stroke=\"#57606a\"/>"
        );
        let middle = x + width / 2;
        let _ = write!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"bold\" font-size=\"15\">{title}</text>",
            y + 26
        );
        for (line, y) in lines.iter().zip((y + 46..).step_by(18)) {
            let _ = write!(out, "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{line}</text>");
        }
        out
    }
}

impl Arrow {
    fn svg(&self) -> String {
        let ((x1, y1), (x2, y2)) = (self.from, self.to);
        let name = if self.colour == BLOCK { "block" } else { "bytes" };
        let middle = |a: u32, b: u32, by: i32| (a.midpoint(b)).saturating_add_signed(by);
        let label = text(middle(x1, x2, self.dx), middle(y1, y2, self.dy), self.colour, self.label);
        format!(
            "<path d=\"M{x1} {y1} {x2} {y2}\" stroke=\"{}\" stroke-width=\"1.6\" marker-end=\"url(#{name})\"/>{label}",
            self.colour
        )
    }
}

fn text(x: u32, y: u32, colour: &str, text: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"{colour}\">{text}</text>")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the picture in the repository is the one that is drawn.
    #[test]
    fn the_picture_is_drawn() {
        let there = fs::read_to_string(place::root().join("core/forebay.svg")).unwrap_or_default();
        assert_eq!(there, svg(), "draw it again: cargo xtask picture");
    }
}
