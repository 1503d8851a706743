//! Words that are no more: names of types and functions that were renamed, and words for which the field has a term.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Identifiers that were renamed, as whole identifiers: in code, and in code inside of text.
const IDENTIFIERS: [&str; 36] = [
    "PinError",
    "RawLock",
    "Locked",
    "CriticalSection",
    "NoLock",
    "OutOfFrames",
    "TakeError",
    "Ask",
    "Effort",
    "Place",
    "Shelf",
    "Roster",
    "Listed",
    "NoSeat",
    "Berth",
    "Guest",
    "LADDER",
    "climb_down",
    "StayReason",
    "BornError",
    "begin_stored",
    "Want",
    "Shortage",
    "Retained",
    "Keep",
    "Wiped",
    "OtherWay",
    "Parts",
    "holding",
    "copy_in",
    "copy_out",
    "evict_now",
    "PLAIN",
    "Surroundings",
    "hand_over",
    "as_forebay",
];

/// Words of text (comments, messages, documents), in any case. A word that ends with `*` is the beginning of others too.
const WORDS: [&str; 27] = [
    "ladder*",
    "rung*",
    "shelf",
    "shelves",
    "shelve*",
    "roster*",
    "berth*",
    "seat",
    "seats",
    "stranded",
    "hand over",
    "hands over",
    "handed over",
    "handing over",
    "goes home",
    "go home",
    "comes home",
    "come home",
    "came home",
    "sent home",
    "sends home",
    "whoever",
    "somebody*",
    "nobody*",
    "in vain",
    "turned away",
    "he who",
];

/// Identifiers that mean something else under that path: the monitor's guest is a virtual machine.
const OTHERS: [(&str, &str); 1] = [("hosted-tests/examples/vmm", "Guest")];

/// Where identifiers and words are read, in Rust.
const FOLDERS: [&str; 6] = [
    "core/src",
    "core/examples",
    "backends/src",
    "backends/examples",
    "hosted-tests/examples",
    "fuzz/fuzz_targets",
];
/// Where only comments and strings are read: the code of tests has names of its own.
const TEXTS: [&str; 2] = ["hosted-tests", "fuzz"];
/// This file has the words.
const ITSELF: &str = "hosted-tests/tests/meta/words.rs";
/// Folders with documents.
const DOCUMENTS: [&str; 5] = [".", "core", "backends", "hosted-tests", "fuzz"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file: its code, and its text.
#[derive(Default)]
pub(crate) struct Split {
    pub(crate) code: String,
    text: String,
}

impl Split {
    /// Code in backquotes is code too; what is fenced is both.
    fn document(text: &str) -> Split {
        let code = text.split('`').skip(1).step_by(2).collect::<Vec<_>>().join("\n");
        Split { code, text: text.to_owned() }
    }

    /// Comments and strings are text.
    pub(crate) fn rust(source: &str) -> Split {
        let mut split = Split::default();
        let mut rest = source;
        while let Some(c) = rest.chars().next() {
            let end = |from: usize, end: &str| {
                rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
            };
            let is_text = match c {
                '/' if rest.starts_with("//") => Some(end(2, "\n")),
                '/' if rest.starts_with("/*") => Some(end(2, "*/")),
                '"' => Some(string(rest)),
                '\'' if rest.starts_with("'\"'") => Some(3),
                _ => None,
            };
            let taken = is_text.unwrap_or(c.len_utf8());
            let to = if is_text.is_some() { &mut split.text } else { &mut split.code };
            to.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
        let spans = Split::document(&split.text).code;
        split.code.push_str(&spans);
        split
    }

    /// Comments and strings, with the code in them.
    fn text_of_rust(source: &str) -> Split {
        Split::document(&Split::rust(source).text)
    }

    /// Identifiers and words that are no more, with how often each is there.
    fn retired(&self) -> BTreeMap<&'static str, usize> {
        let mut found = BTreeMap::new();
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        for name in self.code.split(|c| !is_name(c)) {
            if let Some(retired) = IDENTIFIERS.iter().find(|retired| **retired == name) {
                *found.entry(*retired).or_default() += 1;
            }
        }
        // Lines of a comment are one text.
        let words = self.text.to_lowercase();
        let words: Vec<_> =
            words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        for retired in WORDS {
            let parts: Vec<_> = retired.split(' ').collect();
            let is = |(word, part): (&&str, &&str)| match part.strip_suffix('*') {
                Some(beginning) => word.starts_with(beginning),
                None => word == part,
            };
            let times = words.windows(parts.len()).filter(|window| window.iter().zip(&parts).all(is)).count();
            if times > 0 {
                found.insert(retired, times);
            }
        }
        found
    }
}

/// The length of a string literal without a prefix, with its quotes.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            c => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

/// Every file, with what it is.
fn files() -> Vec<(PathBuf, Split)> {
    let mut found = Vec::new();
    let whole = FOLDERS.map(|folder| (folder, Split::rust as fn(&str) -> Split));
    let texts = TEXTS.map(|folder| (folder, Split::text_of_rust as fn(&str) -> Split));
    for (folder, read) in whole.into_iter().chain(texts) {
        let is_source = |entry: &walkdir::DirEntry| entry.file_name() != "target";
        let walk = walkdir::WalkDir::new(root().join(folder)).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(is_source) {
            let path = entry.unwrap().into_path();
            if path.extension() == Some("rs".as_ref()) && !path.ends_with(ITSELF) {
                let split = read(&fs::read_to_string(&path).unwrap());
                found.push((path, split));
            }
        }
    }
    for folder in DOCUMENTS {
        for entry in walkdir::WalkDir::new(root().join(folder)).max_depth(1).sort_by_file_name() {
            let path = entry.unwrap().into_path();
            if path.extension() == Some("md".as_ref()) {
                let split = Split::document(&fs::read_to_string(&path).unwrap());
                found.push((path, split));
            }
        }
    }
    found
}

/// Rule: what was renamed is nowhere under its old name, neither in code nor in what is said about it.
#[test]
fn retired_words_are_nowhere() {
    let files = files();
    assert!(files.len() > 500, "only {} files", files.len());
    let found: Vec<_> = files
        .iter()
        .map(|(path, split)| (path.strip_prefix(root()).unwrap(), split.retired()))
        .map(|(path, mut retired)| {
            retired.retain(|word, _| !OTHERS.iter().any(|(at, other)| path.starts_with(at) && word == other));
            (path, retired)
        })
        .filter(|(_, retired)| !retired.is_empty())
        .map(|(path, retired)| format!("{}: {retired:?}", path.display()))
        .collect();
    assert!(found.is_empty(), "in {} files:\n{}", found.len(), found.join("\n"));
}

/// Rule: this test sees what it should, and takes no word for an identifier.
#[test]
fn a_retired_word_is_seen() {
    let source = "
        // Keep it: the Berth of `Place`, which goes
        // home; nobody's shelf.
        fn holding(guest: Guests, c: char) { say(\"handed \\\" over to somebody\"); let _ = '\"'; copy_in() }
    ";
    let found: Vec<_> = Split::rust(source).retired().into_iter().collect();
    let expected = [
        ("Place", 1),
        ("berth*", 1),
        ("copy_in", 1),
        ("goes home", 1),
        ("handed over", 1),
        ("holding", 1),
        ("nobody*", 1),
        ("shelf", 1),
        ("somebody*", 1),
    ];
    assert_eq!(found, expected);
    let found: Vec<_> = Split::text_of_rust(source).retired().into_iter().collect();
    assert_eq!(found.len(), expected.len() - 2, "without the code: {found:?}");
    assert!(Split::document("Keep the key, in any case. `Placed`; a handle over there").retired().is_empty());
}
