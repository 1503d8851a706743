//! How names, numbers and sizes are written for people.

use std::ffi::OsStr;
use std::fmt::Write as _;

/// A name that can't do anything to a terminal: what is no text is replaced, what does not print is escaped.
pub fn shown(name: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for c in name.as_ref().to_string_lossy().chars() {
        let breaks_lines_or_turns_them =
            matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        if c.is_control() || breaks_lines_or_turns_them {
            let _ = write!(text, "{}", c.escape_default()); // to a string, nothing fails
        } else {
            text.push(c);
        }
    }
    text
}

/// `1.5 MiB`
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12,345`
pub fn group(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `12,345 files`
pub fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", group(number), if number == 1 { "" } else { "s" })
}

/// `95 %`, `98.5 %`, `98.51 %`
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: numbers are written for people.
    #[test]
    fn numbers() {
        assert_eq!([human(0), human(1023), human(1024)], ["0 B", "1023 B", "1.0 KiB"]);
        assert_eq!([human(1536 << 10), human(4096), human(u64::MAX)], ["1.5 MiB", "4.0 KiB", "16384.0 PiB"]);
        assert_eq!([group(0), group(999), group(1000), group(1234567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 1000].map(|n| count(n, "file")), ["0 files", "1 file", "1,000 files"]);
    }

    /// Rule: shares are told to a hundredth of a per cent.
    #[test]
    fn shares() {
        assert_eq!([0.0, 0.9, 0.98506, 1.0].map(percent), ["0 %", "90 %", "98.51 %", "100 %"]);
    }

    /// Rule: no name moves the cursor, or ends the line.
    #[test]
    fn names() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{9b}\u{202e}é\\"), "a\\u{1b}[2Jb\\nc\\u{9b}\\u{202e}é\\");
    }
}
