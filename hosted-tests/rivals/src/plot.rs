//! Plots: clusters of bars, as SVG.

use std::fmt::Write as _;

/// How long a bar is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Axis {
    /// Each power of ten is as wide.
    Logarithmic,
    /// From zero.
    Linear,
}

/// Bars that belong together, such as those of one order.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    pub label: String,
    /// A name, its value, and that as text.
    pub bars: Vec<(String, f64, String)>,
}

const WIDTH: f64 = 760.0;
/// Where bars begin, and where the longest one ends.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 670.0;
const BAR: f64 = 13.0;
const TOP: f64 = 34.0;

/// Those of forebay stand out.
fn colour(who: &str) -> &'static str {
    match who {
        "forebay" => "#1f6fb4",
        who if who.starts_with("forebay") => "#7fb2dc",
        _ => "#b9b9b9",
    }
}

/// A picture with a title. Values are above zero.
pub fn bars(title: &str, axis: Axis, clusters: &[Cluster]) -> String {
    let values = || clusters.iter().flat_map(|cluster| cluster.bars.iter().map(|(_, value, _)| *value));
    let most = values().fold(f64::MIN_POSITIVE, f64::max);
    let least = 10f64.powf(values().fold(most, f64::min).log10().floor());
    let length = |value: f64| match axis {
        Axis::Linear => (RIGHT - LEFT) * value / most,
        Axis::Logarithmic => {
            let decades = (most / least).log10().max(0.1);
            1.0 + (RIGHT - LEFT - 1.0) * (value / least).log10().max(0.0) / decades
        }
    };
    let mut body = String::new();
    let mut y = TOP;
    for Cluster { label, bars } in clusters {
        let _ =
            writeln!(body, r##"<text x="8" y="{:.0}" font-weight="bold">{}</text>"##, y + 10.0, text(label));
        for (who, value, shown) in bars {
            let (fill, end) = (colour(who), LEFT + length(*value));
            let _ = writeln!(
                body,
                r##"<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><rect x="{LEFT}" y="{y:.0}" width="{:.1}" height="{}" fill="{fill}"/><text x="{:.1}" y="{:.0}">{}</text>"##,
                LEFT - 6.0,
                y + 10.0,
                text(who),
                end - LEFT,
                BAR - 2.0,
                end + 5.0,
                y + 10.0,
                text(shown),
            );
            y += BAR;
        }
        y += 9.0;
    }
    let title = text(title);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" font-family="sans-serif" font-size="11">
<title>{title}</title><rect width="{WIDTH}" height="{y:.0}" fill="#ffffff"/>
<text x="8" y="18" font-size="13">{title}</text>
{body}</svg>
"##
    )
}

/// What means something in XML is written in another way.
fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a longer bar is a larger value, on both axes; and a name breaks no picture.
    #[test]
    fn longer_is_more() {
        let bar = |value: f64| ("a<b".to_owned(), value, value.to_string());
        let cluster = Cluster { label: "order 0".into(), bars: vec![bar(1.5), bar(20.0), bar(900.0)] };
        for axis in [Axis::Linear, Axis::Logarithmic] {
            let svg = bars("W1", axis, std::slice::from_ref(&cluster));
            let widths: Vec<f64> = svg
                .split(r#"width=""#)
                .skip(2)
                .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
                .collect();
            assert_eq!(widths.len(), 3);
            assert!(widths.is_sorted() && widths[0] > 0.0 && widths[2] == RIGHT - LEFT, "{widths:?}");
            assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        }
    }
}
