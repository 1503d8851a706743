//! Every public type says what it is through `defmt`, and to a debugger: found by reading the sources, as `defmt` can't be
//! linked here.

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
    rest.split(|c: char| !(c.is_alphanumeric() || c == '$')).next()
}

/// Whether the text implements the trait for the type by hand.
fn by_hand(text: &str, of: &str, name: &str) -> bool {
    text.split(of)
        .skip(1)
        .filter_map(|after| after.trim_start().strip_prefix("for ")) // perhaps on the next line
        .any(|after| after.strip_prefix(name).is_some_and(|rest| rest.starts_with(['<', ' '])))
}

/// Types that are `pub` for the signatures of sealed traits, and that no path leads to from outside.
const WITHOUT_A_PATH: [&str; 5] = ["Contents", "Hands", "Held", "Reader", "SideTables"];

/// A public type.
#[derive(PartialEq, Eq, Debug)]
struct Public<'t> {
    /// In a macro it begins with `$`.
    name: &'t str,
    is_format: bool,
    is_debug: bool,
}

/// Public types of a text.
fn types(text: &str) -> Vec<Public<'_>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(name) = declared(line) else { continue };
        let mut attributes = lines[..n].iter().rev().take_while(|above| above.starts_with("#["));
        let derives_debug = |above: &str| above.starts_with("#[derive(") && above.contains("Debug");
        let is_format = attributes.clone().any(|above| *above == DERIVE);
        let is_debug = attributes.any(|above| derives_debug(above));
        found.push(Public {
            name,
            is_format: is_format || by_hand(text, "defmt::Format", name),
            is_debug: is_debug || by_hand(text, "fmt::Debug", name),
        });
    }
    found
}

/// Rule: every public type is `defmt::Format` under the feature, and `Debug`.
#[test]
fn every_public_type_is_format_and_debug() {
    let mut count = 0;
    for part in CRATES {
        let text = source(part);
        let types = types(&text);
        count += types.len();
        let is_complete =
            |of: &Public<'_>| of.is_debug && (of.is_format || WITHOUT_A_PATH.contains(&of.name));
        let missing: Vec<_> = types.iter().filter(|of| !is_complete(of)).collect();
        assert!(missing.is_empty(), "{part}: not everything: {missing:#?}");
    }
    assert!(count > 75, "only {count} types found: what is a declaration?");
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
         impl defmt::Format for Flags {{\nimpl<T> defmt::Format for Barely<T> {{\npub(crate) struct Private;\n    \
             #[derive(Clone, Debug)]\n    pub struct $name<P>(P);\nimpl<T> fmt::Debug for Bare<T> {{\n"
    );
    let public = |name, is_format, is_debug| Public { name, is_format, is_debug };
    let expected = [
        public("Derived", true, false),
        public("Bare", false, true),
        public("Flags", true, false),
        public("$name", false, true),
    ];
    assert_eq!(types(&text), expected);
}

/// Rule: counters read alike wherever they are read: what has a name as text has the same one in `defmt`.
#[test]
fn counters_have_one_name() {
    let text = fs::read_to_string(root().join("core/src/stats/display.rs")).unwrap();
    let names: Vec<&str> = text
        .match_indices("(self.")
        .filter_map(|(at, _)| text[at..].split_once(", ")?.1.strip_prefix('"')?.split('"').next())
        .collect();
    assert!(names.len() >= 13, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("defmt::intern!(\"{name}\")")), "{name} is not told through defmt");
    }
}
