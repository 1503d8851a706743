//! What a case expects, what the compiler reports, and how they differ.

use std::fmt;

/// Begins the comment that says what is expected.
const MARK: &str = "//~";

/// An error that a case says it has.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Expected {
    /// The first line is 1.
    pub(crate) line: usize,
    /// Such as `E0382`.
    pub(crate) code: String,
    /// A part of what the compiler says.
    pub(crate) text: String,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.code, self.text)
    }
}

/// An error that the compiler reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// `None` if it is about no line of the case.
    pub(crate) line: Option<usize>,
    /// `error` if it has none.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Labels at that line, and notes.
    pub(crate) more: Vec<String>,
    /// All of it, as people see it.
    pub(crate) rendered: String,
}

impl Found {
    fn is(&self, expected: &Expected) -> bool {
        self.line == Some(expected.line) && self.code == expected.code && self.says(&expected.text)
    }

    fn says(&self, text: &str) -> bool {
        self.message.contains(text) || self.more.iter().any(|more| more.contains(text))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: ")?,
            None => write!(f, "no line of the case: ")?,
        }
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// What the comments of a case say. The error says which one says nothing.
pub(crate) fn annotations(text: &str) -> Result<Vec<Expected>, String> {
    let mut all = Vec::new();
    for (line, said) in (1..).zip(text.lines()) {
        if let Some((_, comment)) = said.split_once(MARK) {
            let expected = annotation(line, comment);
            all.push(expected.ok_or_else(|| {
                format!("line {line}: write `{MARK} CODE: a part of the message`, not `{MARK}{comment}`")
            })?);
        }
    }
    Ok(all)
}

/// From what stands behind the mark.
fn annotation(line: usize, comment: &str) -> Option<Expected> {
    let words = comment.trim_start_matches('^');
    let (code, text) = words.strip_prefix(' ')?.split_once(": ")?;
    let is_code = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (code, text) = (code.trim(), text.trim());
    if code.is_empty() || !code.chars().all(is_code) || text.is_empty() {
        return None;
    }
    let line = line.checked_sub(comment.len() - words.len()).filter(|line| *line > 0)?;
    Some(Expected { line, code: code.to_owned(), text: text.to_owned() })
}

/// Each error that is expected and missing, and each that is reported and not expected. None: the case passes.
pub(crate) fn differences(expected: &[Expected], found: &[Found]) -> Vec<String> {
    let mut rest: Vec<&Found> = found.iter().collect();
    let mut all = Vec::new();
    for expected in expected {
        match rest.iter().position(|found| found.is(expected)) {
            Some(at) => drop(rest.remove(at)),
            None => all.push(format!("expected, but not reported: {expected}")),
        }
    }
    all.extend(rest.iter().map(|found| format!("reported, but not expected: {found}\n{}", found.rendered)));
    all
}
