//! Traces: which pages a program read and wrote, one after the other.
//!
//! The format is text, so that a few lines of awk can write it. Accesses stand one behind the other, between blanks or
//! ends of lines:
//!
//! | | |
//! | --- | --- |
//! | `12` | page 12 is read |
//! | `w12` | page 12 is written |
//! | `12-15` | pages 12, 13, 14 and 15 are read, each once |
//! | `w12-15` | the same, written |
//! | `# text` | not looked at, to the end of the line |
//!
//! Numbers are decimal, from 0. How large a page is, and what is between the numbers, means nothing here: pages that no
//! access names do not count. A page that is read before it was written held something before the trace began.
//!
//! From lines such as `R 81920` and `W 4096`, an offset in bytes each:
//!
//! ```text
//! awk '{ print ($1 == "W" ? "w" : "") int($2 / 4096) }' offsets > mine.trace
//! ```

use super::text::shown;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Accesses of a trace, at most: what fits into memory, four times over.
const MOST: usize = 1 << 27;

/// What an access does to its page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// It only looks.
    Read,
    /// It changes it.
    Write,
}

/// One page is touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// The page: the pages that a trace names are numbered from 0, in the order of their numbers there.
    pub page: u32,
    /// In which way.
    pub touch: Touch,
}

/// What a program did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    accesses: Vec<Access>,
    pages: usize,
}

impl Trace {
    /// From a file, or from standard input if it is called `-`.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn load(path: &Path) -> Result<Trace, TraceError> {
        let mut bytes = vec![];
        let read = if path.as_os_str() == "-" {
            io::stdin().lock().read_to_end(&mut bytes).map(drop)
        } else {
            fs::read(path).map(|all| bytes = all)
        };
        read.map_err(|e| TraceError::Io(path.to_owned(), e))?;
        Trace::parse(&bytes)
    }

    /// From the text of a trace.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn parse(text: &[u8]) -> Result<Trace, TraceError> {
        let mut touched: Vec<(u64, Touch)> = vec![];
        for (text, line) in text.split(|byte| *byte == b'\n').zip(1..) {
            let text = text.split(|byte| *byte == b'#').next().unwrap_or_default();
            for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                let wrong =
                    |why| TraceError::Word { line, word: shown(&*String::from_utf8_lossy(word)), why };
                let (first, last, touch) = access(word).map_err(wrong)?;
                let room = (MOST - touched.len()) as u64;
                if last - first >= room {
                    return Err(TraceError::TooLong { line });
                }
                touched.extend((first..=last).map(|page| (page, touch)));
            }
        }
        if touched.is_empty() {
            return Err(TraceError::Empty);
        }
        let mut pages: Vec<u64> = touched.iter().map(|(page, _)| *page).collect();
        pages.sort_unstable();
        pages.dedup();
        let accesses = touched.into_iter().map(|(page, touch)| {
            let page = pages.partition_point(|other| *other < page);
            Access { page: page as u32, touch } // there are fewer than `MOST`
        });
        Ok(Trace { accesses: accesses.collect(), pages: pages.len() })
    }

    /// All accesses, in their order.
    pub fn accesses(&self) -> &[Access] {
        &self.accesses
    }

    /// How many accesses there are: one at least.
    pub fn len(&self) -> usize {
        self.accesses.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.accesses.is_empty()
    }

    /// How many pages are touched. The first access of each finds it in no memory, however large.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// How many accesses write.
    pub fn writes(&self) -> usize {
        self.accesses.iter().filter(|access| access.touch == Touch::Write).count()
    }

    /// The highest hit rate that any memory can have.
    pub fn highest_rate(&self) -> f64 {
        (self.len() - self.pages) as f64 / self.len() as f64
    }
}

/// First page, last page, and what is done to each.
fn access(word: &[u8]) -> Result<(u64, u64, Touch), WordError> {
    let (touch, pages) = match word.strip_prefix(b"w") {
        Some(pages) => (Touch::Write, pages),
        None => (Touch::Read, word),
    };
    let mut ends = pages.splitn(2, |byte| *byte == b'-');
    let first = number(ends.next().unwrap_or_default())?;
    let last = ends.next().map_or(Ok(first), number)?;
    if last < first { Err(WordError::Backwards) } else { Ok((first, last, touch)) }
}

fn number(digits: &[u8]) -> Result<u64, WordError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(WordError::NoPage);
    }
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(WordError::TooLarge)
}

/// Why a word is no access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WordError {
    /// It is no page number where one should be.
    NoPage,
    /// The last page is before the first.
    Backwards,
    /// The number does not fit into 64 bits.
    TooLarge,
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WordError::NoPage => {
                "is no access: write a page number such as 12 for a read, w12 for a write, 12-15 for a row of pages"
            }
            WordError::Backwards => "goes backwards: write the lower page first, or one access for each page",
            WordError::TooLarge => "is too large for a page number: divide the address by the size of a page",
        })
    }
}

/// Why there is no trace.
#[derive(Debug)]
pub enum TraceError {
    /// The file can't be read.
    Io(PathBuf, io::Error),
    /// A word in it is no access.
    Word {
        /// Its line, from 1.
        line: usize,
        /// What stands there.
        word: String,
        /// What is wrong with it.
        why: WordError,
    },
    /// There are more accesses than the lab can hold.
    TooLong {
        /// The line in which they become too many.
        line: usize,
    },
    /// There is no access in it.
    Empty,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::Io(path, e) => {
                let advice = match e.kind() {
                    ErrorKind::NotFound => "name a file with a trace, or - for standard input",
                    ErrorKind::IsADirectory => "name a file in it",
                    _ => "name a file that you may read",
                };
                write!(f, "{} can't be read ({e}): {advice}", shown(path))
            }
            TraceError::Word { line, word, why } => write!(f, "line {line} of the trace: {word:?} {why}"),
            TraceError::TooLong { line } => {
                write!(f, "line {line} of the trace: more than {MOST} accesses. Take a part of it")
            }
            TraceError::Empty => f.write_str(
                "no access in the trace: write a page number for each read, and one behind a w for each write",
            ),
        }
    }
}

impl std::error::Error for TraceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(u32, Touch)> {
        Trace::parse(text.as_bytes()).unwrap().accesses.iter().map(|a| (a.page, a.touch)).collect()
    }

    /// Rule: reads, writes and rows of pages, wherever lines end; pages are numbered without holes, in their order.
    #[test]
    fn accesses() {
        use Touch::{Read, Write};
        assert_eq!(parsed("7"), [(0, Read)]);
        assert_eq!(parsed("# what\r\n 7 w900\t7-8#9\r\n\nw8-9"), {
            [(0, Read), (3, Write), (0, Read), (1, Read), (1, Write), (2, Write)]
        });
        assert_eq!(parsed("18446744073709551615 0 # é\n"), [(1, Read), (0, Read)]);
        let trace = Trace::parse(b"w1-4 1-4").unwrap();
        assert_eq!((trace.len(), trace.pages(), trace.writes(), trace.highest_rate()), (8, 4, 4, 0.5));
    }

    /// Rule: what is no trace names its line, what stands there, and what to write instead.
    #[test]
    fn no_traces() {
        for (text, says) in [
            (&b""[..], "no access in the trace: write"),
            (b"# 1\n\n", "no access"),
            (b"1 2\n3 x4", "line 2 of the trace: \"x4\" is no access: write"),
            (b"w", "line 1 of the trace: \"w\" is no access"),
            (b"W1", "\"W1\" is no access"),
            (b"ww1", "\"ww1\" is no access"),
            (b"-5", "\"-5\" is no access"),
            (b"5-", "\"5-\" is no access"),
            (b"1-2-3", "\"1-2-3\" is no access"),
            (b"+1", "\"+1\" is no access"),
            (b"1.5", "\"1.5\" is no access"),
            (b"\xff\x1b[2J", "line 1 of the trace: \"\u{fffd}\\\\u{1b}[2J\" is no access"),
            (b"3-1", "\"3-1\" goes backwards"),
            (b"\n\n\n18446744073709551616", "line 4 of the trace: \"18446744073709551616\" is too large"),
            (b"0\n0-18446744073709551615", "line 2 of the trace: more than"),
        ] {
            let said = Trace::parse(text).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
        let said = Trace::load(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(said.contains("/nonexistent can't be read") && said.contains("name a file"), "{said}");
    }
}
