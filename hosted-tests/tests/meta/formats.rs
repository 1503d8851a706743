//! Every public type says what it is through `defmt`: found by reading the source, as `defmt` can't be linked here.

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 2] = ["core/src", "backends/src"];
const DERIVE: &str = "#[cfg_attr(feature = \"defmt\", derive(defmt::Format))]";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All source files of a crate in one.
fn source(part: &str) -> String {
    let files = walkdir::WalkDir::new(root().join(part)).sort_by_file_name();
    let paths =
        files.into_iter().map(|e| e.unwrap().into_path()).filter(|p| p.extension() == Some("rs".as_ref()));
    paths.map(|p| fs::read_to_string(p).unwrap()).collect()
}

/// The name of the type that a line declares, also inside `bitflags!`. What is `pub` can be reached from outside: the
/// lint `unreachable_pub` sees to that.
fn declared(line: &str) -> Option<&str> {
    let rest =
        ["pub struct ", "pub enum ", "pub union "].iter().find_map(|kind| line.trim().strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric()).next()
}

/// Whether the text implements `defmt::Format` for the type by hand.
fn by_hand(text: &str, name: &str) -> bool {
    text.split("defmt::Format for ")
        .skip(1)
        .any(|after| after.strip_prefix(name).is_some_and(|rest| rest.starts_with(['<', ' '])))
}

/// Public types of a text, with whether each is `defmt::Format`.
fn types(text: &str) -> Vec<(&str, bool)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(name) = declared(line) else { continue };
        let attributes = lines[..n].iter().rev().take_while(|above| above.starts_with("#["));
        let derived = attributes.into_iter().any(|above| *above == DERIVE);
        found.push((name, derived || by_hand(text, name)));
    }
    found
}

/// Rule: every public type is `defmt::Format` under the feature.
#[test]
fn every_public_type_is_format() {
    let mut count = 0;
    for part in CRATES {
        let text = source(part);
        let types = types(&text);
        count += types.len();
        let missing: Vec<_> =
            types.iter().filter(|(_, is_format)| !is_format).map(|(name, _)| name).collect();
        assert!(missing.is_empty(), "{part}: not `defmt::Format`: {missing:?}");
    }
    assert!(count > 65, "only {count} types found: what is a declaration?");
}

/// Types of a text whose `Format` is derived though they have bytes: it would print each.
fn printing_bytes(text: &str) -> Vec<&str> {
    let derived = text.split(DERIVE).skip(1).map(|after| {
        let ends = [";\n", "\n}"].into_iter().filter_map(|end| after.find(end));
        &after[..ends.min().unwrap_or(after.len())] // a declaration in one line ends with it
    });
    derived.filter(|body| body.contains("[u8]")).filter_map(|body| body.lines().find_map(declared)).collect()
}

/// Rule: nothing prints all memory, inside the logger, with interrupts off.
#[test]
fn no_derived_format_prints_memory() {
    for part in CRATES {
        assert_eq!(printing_bytes(&source(part)), [""; 0], "{part}");
    }
    let text = format!(
        "{DERIVE}\npub struct Flash<'m> {{\n    bytes: &'m [u8],\n}}\n\npub struct Other([u8]);\n\
         {DERIVE}\npub struct Line([u8]);\n{DERIVE}\npub struct Id(usize);\n\npub trait T {{\n    fn f() -> [u8];\n}}\n"
    );
    assert_eq!(printing_bytes(&text), ["Flash", "Line"]);
}

/// Rule: the test for what is missing sees what it should.
#[test]
fn a_missing_one_is_seen() {
    let text = format!(
        "{DERIVE}\n#[non_exhaustive]\npub enum Derived {{\n}}\n\npub struct Bare<T>(T);\n\n    pub struct Flags: u8 {{\n\
         impl defmt::Format for Flags {{\nimpl<T> defmt::Format for Barely<T> {{\npub(crate) struct Private;\n"
    );
    assert_eq!(types(&text), [("Derived", true), ("Bare", false), ("Flags", true)]);
}

/// Rule: counters read alike wherever they are read: what has a name as text has the same one in `defmt`.
#[test]
fn counters_have_one_name() {
    let text = fs::read_to_string(root().join("core/src/show.rs")).unwrap();
    let names: Vec<&str> = text
        .match_indices("(self.")
        .filter_map(|(at, _)| text[at..].split_once(", ")?.1.strip_prefix('"')?.split('"').next())
        .collect();
    assert!(names.len() >= 13, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("defmt::intern!(\"{name}\")")), "{name} is not told through defmt");
    }
}
