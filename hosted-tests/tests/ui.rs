//! What must not compile does not: one file for each promise of the API. The first line of each names the
//! error and the reason; `TRYBUILD=overwrite cargo test -p hosted-tests --test ui` writes down what the
//! compiler says.

use std::fs;
use std::path::PathBuf;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui");

/// The programs, sorted, with their first lines.
fn programs() -> Vec<(PathBuf, String)> {
    let mut all: Vec<_> = fs::read_dir(DIR)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .map(|p| (p.clone(), fs::read_to_string(p).unwrap().lines().next().unwrap_or_default().to_owned()))
        .collect();
    all.sort();
    all
}

/// Rule: misuse is a compile error, and a program that does everything right is none.
#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    for (path, first) in programs() {
        // Relative, as it is to be read on any machine.
        let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned();
        if first.starts_with("//! Compiles:") {
            cases.pass(path);
        } else {
            cases.compile_fail(path);
        }
    }
}

/// Rule: each program fails for the reason that it names, and for no other.
#[test]
fn each_program_fails_for_its_own_reason() {
    let all = programs();
    assert!(all.len() > 20);
    for (path, first) in all {
        let Some(code) = first.strip_prefix("//! E").and_then(|l| l.get(..4)) else {
            assert!(first.starts_with("//! Compiles:"), "{}: {first}", path.display());
            continue;
        };
        let said = fs::read_to_string(path.with_extension("stderr")).unwrap();
        let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error")).collect();
        let expected = format!("error[E{code}]");
        assert!(
            matches!(errors[..], [one] if one.starts_with(&expected)),
            "{}: expected one {expected}, found {errors:?}",
            path.display()
        );
    }
}
