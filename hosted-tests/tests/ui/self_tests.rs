//! The runner can fail: each way in which a case may differ from what it expects, on texts.

use crate::case::Case;
use crate::expected::{Expected, Found, annotations, differences};
use libtest_mimic::{Failed, Trial};

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let all: [(&str, fn()); 10] = [
        ("there_are_cases", there_are_cases),
        ("the_right_error_passes", right),
        ("a_wrong_code_fails", wrong_code),
        ("a_wrong_message_fails", wrong_message),
        ("a_wrong_line_fails", wrong_line),
        ("a_missing_error_fails", missing),
        ("an_error_too_many_fails", too_many),
        ("an_error_in_no_line_of_the_case_fails", elsewhere),
        ("arrows_count_lines", arrows),
        ("a_comment_that_says_nothing_is_refused", refused),
    ];
    let trial = |(name, run): (&str, fn())| {
        Trial::test(format!("runner::{name}"), move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    all.into_iter().map(trial)
}

const TEXT: &str = "//! A promise.\nfn main() {\n    f(a, a); //~ E0382: moved value: `a`\n}\n";

fn found(line: usize, code: &str, message: &str) -> Found {
    Found {
        line: Some(line),
        code: code.to_owned(),
        message: message.to_owned(),
        more: vec!["value used here after move".to_owned()],
        rendered: "all of it".to_owned(),
    }
}

fn usual() -> Found {
    found(3, "E0382", "use of moved value: `a`")
}

/// Rule: the text with these errors differs in just these ways.
#[track_caller]
fn differs(text: &str, errors: &[Found], ways: &[&str]) {
    let told = differences(&annotations(text).expect("good comments"), errors);
    assert_eq!(told.len(), ways.len(), "{told:?}");
    for (told, way) in told.iter().zip(ways) {
        assert!(told.starts_with(way), "{told}");
    }
}

const NOT_REPORTED: &str = "expected, but not reported: line 3: E0382: moved value: `a`";

fn there_are_cases() {
    let cases = Case::all();
    assert!(cases.len() > 20);
    for Case { name, text, .. } in &cases {
        assert!(text.starts_with("//! "), "{name} says no promise in its first line");
    }
}

fn right() {
    differs(TEXT, &[usual()], &[]);
    differs("fn main() {}", &[], &[]);
    // The label is as good as the message.
    differs(&TEXT.replace("moved value: `a`", "after move"), &[usual()], &[]);
    // Two of a kind in one line are two.
    let two = TEXT.replace('}', "//~^ E0382: moved value: `a`\n}");
    differs(&two, &[usual(), usual()], &[]);
    differs(&two, &[usual()], &[NOT_REPORTED]);
}

fn wrong_code() {
    differs(
        TEXT,
        &[found(3, "E0505", "use of moved value: `a`")],
        &[NOT_REPORTED, "reported, but not expected: line 3: E0505: use of moved value: `a`\nall of it"],
    );
    differs(TEXT, &[found(3, "error", "use of moved value: `a`")], &[NOT_REPORTED, "reported"]);
}

fn wrong_message() {
    differs(
        TEXT,
        &[found(3, "E0382", "use of moved value: `b`")],
        &[NOT_REPORTED, "reported, but not expected: line 3: E0382: use of moved value: `b`"],
    );
}

fn wrong_line() {
    for line in [2, 4] {
        let reported = format!("reported, but not expected: line {line}: E0382");
        differs(TEXT, &[found(line, "E0382", "use of moved value: `a`")], &[NOT_REPORTED, &reported]);
    }
}

fn missing() {
    differs(TEXT, &[], &[NOT_REPORTED]);
}

fn too_many() {
    let other = found(4, "E0308", "mismatched types");
    let reported = "reported, but not expected: line 4: E0308: mismatched types";
    differs(TEXT, &[usual(), other.clone()], &[reported]);
    differs(TEXT, &[other.clone(), usual()], &[reported]);
    differs(TEXT, &[usual(), usual()], &["reported, but not expected: line 3: E0382"]);
    differs("fn main() {}", &[other], &[reported]);
}

fn elsewhere() {
    let nowhere = Found { line: None, ..usual() };
    differs(TEXT, &[nowhere], &[NOT_REPORTED, "reported, but not expected: no line of the case: E0382"]);
}

fn arrows() {
    let all =
        annotations("a\nb\n//~^ E0001: x\n//~^^^ E0002: y: z\n//~ some_lint: w").expect("good comments");
    let expected =
        |line, code: &str, text: &str| Expected { line, code: code.to_owned(), text: text.to_owned() };
    assert_eq!(all, [expected(2, "E0001", "x"), expected(1, "E0002", "y: z"), expected(5, "some_lint", "w")]);
}

fn refused() {
    for comment in [
        "//~",
        "//~ ",
        "//~ E0382",
        "//~ E0382:",
        "//~ E0382: ",
        "//~E0382: moved",
        "//~ moved value: `a`",
        "//~^ E0382: above the first line",
        "//~v E0382: below",
    ] {
        let why = annotations(comment).expect_err(comment);
        assert!(why.starts_with("line 1: write `//~ CODE: a part of the message`"), "{why}");
    }
}
