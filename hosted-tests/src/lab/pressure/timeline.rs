//! Where the pages of each case were, step by step, as a picture.

use super::outcome::{Ending, Outcome, Phase, Sample};
use std::fmt::Write as _;

/// The size of a panel, of what is around it, and of the legend.
const WIDTH: usize = 460;
const HEIGHT: usize = 120;
const MARGIN: usize = 40;
const LEGEND: usize = 50;

/// A kind of pages: name, colour, and how many.
type Kind = (&'static str, &'static str, fn(&Sample) -> usize);

const KINDS: [Kind; 5] = [
    ("resident", "#4e79a7", |it| it.resident),
    ("pending", "#edc948", |it| it.pending),
    ("reclaimable", "#59a14f", |it| it.reclaimable),
    ("swapped, had left the pool", "#bab0ac", |it| it.swapped_stored),
    ("swapped, kept by the pool", "#e15759", |it| it.swapped_kept),
];

/// A panel for each case that looked at its pages: a bar for each look.
pub(super) fn svg(cases: &[Outcome]) -> String {
    let cases: Vec<_> = cases.iter().filter(|case| !case.samples.is_empty()).collect();
    let (wide, high) =
        (2 * (WIDTH + MARGIN) + MARGIN, cases.len().div_ceil(2) * (HEIGHT + 2 * MARGIN) + LEGEND);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{wide}\" height=\"{high}\" fill=\"white\"/>\n"
    );
    for (n, (name, colour, _)) in KINDS.iter().enumerate() {
        let x = MARGIN + n * 195;
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"18\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"29\">{name}</text>", x + 18);
    }
    for (n, case) in cases.iter().enumerate() {
        let (x, y) = (MARGIN + n % 2 * (WIDTH + MARGIN), LEGEND + n / 2 * (HEIGHT + 2 * MARGIN) + MARGIN);
        panel(&mut svg, case, x, y);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, case: &Outcome, left: usize, top: usize) {
    let samples = &case.samples;
    let bar = WIDTH as f64 / samples.len() as f64;
    let pages = |sample: &Sample| KINDS.iter().map(|(_, _, count)| count(sample)).sum::<usize>();
    let most = samples.iter().map(pages).max().unwrap_or(0).max(1) as f64;
    let ended = match (&case.ending, &case.refused) {
        (Ending::Complete, None) => "",
        (Ending::Complete, Some(_)) => ": refused",
        (Ending::Killed, _) => ": killed by the kernel",
        (Ending::Failed(_), _) => ": failed",
    };
    let title = format!("{}{ended}", case.name);
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 8);
    let mut phase = None;
    for (n, sample) in samples.iter().enumerate() {
        let x = left as f64 + n as f64 * bar;
        let mut y = (top + HEIGHT) as f64;
        for (_, colour, count) in KINDS {
            let height = count(sample) as f64 / most * HEIGHT as f64;
            y -= height;
            if height > 0.0 {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
                );
            }
        }
        if phase != Some(sample.phase) {
            phase = Some(sample.phase);
            let end = top + HEIGHT;
            let _ = writeln!(svg, "<path d=\"M{x:.1} {top}V{}\" stroke=\"black\"/>", end + 14);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" font-size=\"10\">{}</text>",
                x + 3.0,
                end + 13,
                named(sample.phase)
            );
        }
    }
}

fn named(phase: Phase) -> &'static str {
    match phase {
        Phase::Filled => "", // one bar wide
        Phase::Shrinking => "shrink",
        Phase::Lowering => "the limit falls by 64 MiB",
        Phase::Restoring => "back",
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::Case;
    use super::*;

    /// Rule: each case that has looked has a panel, and each kind of pages that there is has a bar as high as its share.
    #[test]
    fn bars() {
        let mut seen = Outcome::new(Case::ALL[0]);
        let (resident, swapped_kept) = (3, 1);
        seen.samples = vec![Sample { resident, swapped_kept, ..Sample::default() }];
        seen.ending = Ending::Killed;
        let text = svg(&[seen, Outcome::new(Case::ALL[1])]);
        assert!(text.contains("transfer, pinned, kept idle: killed") && !text.contains("kept hot"), "{text}");
        for (colour, height) in [("#4e79a7", "90.0"), ("#e15759", "30.0")] {
            assert!(text.contains(&format!("height=\"{height}\" fill=\"{colour}\"")), "{text}");
        }
        let of = |text: &str| text.matches("<rect").count();
        assert_eq!(of(&text), 1 + KINDS.len() + 2, "{text}");
    }
}
