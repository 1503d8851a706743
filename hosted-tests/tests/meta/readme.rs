//! What the README shows is what is compiled and run. `UPDATE_README=1` writes it anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The part of a file between `// README: name` and `// README: end`, or all of it.
fn excerpt(spec: &str) -> String {
    let (path, part) = spec.split_once(": ").map_or((spec, None), |(path, part)| (path, Some(part)));
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let Some(part) = part else { return text };
    let begin = format!("// README: {part}\n");
    let from = text.find(&begin).unwrap_or_else(|| panic!("{path} has no part {part}")) + begin.len();
    let to = text[from..].find("// README: end").unwrap_or_else(|| panic!("{path}: no end of {part}"));
    text[from..from + to].trim_end().to_owned() + "\n"
}

fn expected(readme: &str) -> String {
    let mut out = String::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        writeln!(out, "{line}").unwrap();
        if let Some(spec) = line.strip_prefix("<!-- file: ").and_then(|l| l.strip_suffix(" -->")) {
            writeln!(out, "{}", lines.next().expect("an opening fence")).unwrap();
            out += &excerpt(spec);
            writeln!(out, "{}", lines.find(|l| *l == "```").expect("a closing fence")).unwrap();
        }
        if line == "<!-- unsafe files -->" {
            for file in unsafe_files() {
                writeln!(out, "- `{file}`").unwrap();
            }
            writeln!(out, "{}", lines.find(|l| *l == "<!-- end -->").expect("an end")).unwrap();
        }
    }
    out
}

/// Files of the two crates that opt out of `deny(unsafe_code)`.
fn unsafe_files() -> Vec<String> {
    let mut found = Vec::new();
    for part in ["core/src", "backends/src"] {
        let mut here: Vec<_> = walkdir::WalkDir::new(root().join(part))
            .into_iter()
            .map(|e| e.unwrap().into_path())
            .filter(|p| p.is_file() && fs::read_to_string(p).unwrap().contains("allow(unsafe_code)"))
            .map(|p| p.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
            .collect();
        here.sort();
        found.append(&mut here);
    }
    found
}

#[test]
fn readme_shows_the_real_files() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let expected = expected(&readme);
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            readme == expected,
            "README.md is behind the files it shows: UPDATE_README=1 cargo test --test meta readme"
        );
    }
}

/// Rule: the firmware names at most 8 forebay types, implements no trait, has no unsafe.
#[test]
fn the_firmware_is_as_simple_as_promised() {
    let text = excerpt("hosted-tests/firmware/src/app.rs");
    let named: Vec<&str> = text
        .lines()
        .filter_map(|l| l.strip_prefix("use forebay")?.split_once("::"))
        .flat_map(|(_, names)| names.trim_matches(['{', '}', ';']).split(", "))
        .collect();
    assert!((1..=8).contains(&named.len()), "{named:?}");
    assert!(!text.contains("unsafe") && !text.contains("impl "));
}
