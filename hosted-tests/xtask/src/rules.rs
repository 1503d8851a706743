//! `rules`: a table of all tests, each with the rule that it guards. A table from before shows what was lost since.
//!
//! A rule is the first paragraph of a test's comment, without the word `Rule:`. Tests are functions with `#[test]` (also in
//! a macro), the programs of `tests/ui/cases`, and what `Case::new` names.

use crate::failure::{OrFailed, Result, failed};
use crate::place;
use crate::process;
use crate::sources;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Where tests are.
const FOLDERS: [&str; 3] = ["core", "backends", "hosted-tests"];

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    /// The file, from the folder of the workspace.
    file: String,
    name: String,
    rule: String,
}

/// Prints the table, or what was lost since `against`.
pub(crate) fn main(against: Option<&Path>) -> Result {
    let now = tests(&place::root())?;
    let Some(against) = against else {
        return process::print(&table(&now));
    };
    let before = fs::read_to_string(against).or_failed(against.display())?;
    let lost = lost(&parsed(&before)?, &now);
    lost.iter().for_each(|line| println!("{line}"));
    println!("{} lost, {} tests now", lost.len(), now.len());
    if lost.is_empty() { Ok(()) } else { failed(format!("{} tests or rules were lost", lost.len())) }
}

fn table(tests: &[Test]) -> String {
    tests.iter().fold(String::new(), |mut table, test| {
        _ = writeln!(table, "{}\t{}\t{}", test.name, test.rule, test.file);
        table
    })
}

fn parsed(table: &str) -> Result<Vec<Test>> {
    let test = |line: &str| {
        let words: Vec<&str> = line.split('\t').collect();
        let [name, rule, file] = words[..] else {
            return failed(format!("this is not of such a table: {line}"));
        };
        Ok(Test { file: file.to_owned(), name: name.to_owned(), rule: rule.to_owned() })
    };
    table.lines().map(test).collect()
}

/// What was there before. A test may move to another file. A name may change while the rule stays, and the words of a rule
/// while the name stays. If neither is there any more, the test is lost.
fn lost(before: &[Test], now: &[Test]) -> Vec<String> {
    let rules: BTreeSet<&str> = now.iter().map(|test| &*test.rule).filter(|rule| !rule.is_empty()).collect();
    let mut names = BTreeMap::<&str, usize>::new();
    now.iter().for_each(|test| *names.entry(&test.name).or_default() += 1);
    let mut lost = Vec::new();
    for test in before {
        // Tests of one name are in several files: each stands for one.
        let same_name = match names.get_mut(&*test.name) {
            Some(left @ 1..) => {
                *left -= 1;
                true
            }
            _ => false,
        };
        let same_rule = rules.contains(&*test.rule);
        match (same_name, same_rule || test.rule.is_empty()) {
            (true, true) => {}
            (true, false) => lost.push(format!("rule of {} ({}): {}", test.name, test.file, test.rule)),
            (false, _) if same_rule => {}
            (false, _) => lost.push(format!("test {} ({}): {}", test.name, test.file, test.rule)),
        }
    }
    lost
}

/// All tests of the repository, sorted by their names.
fn tests(root: &Path) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for folder in FOLDERS {
        for path in sources::files(&root.join(folder)).or_failed(folder)? {
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).or_failed(&file)?;
            let found = if file.contains("/tests/ui/cases/") {
                program(&path, &text)
            } else {
                functions(&file, &text)?
            };
            tests.extend(found.into_iter().map(|(name, rule)| Test { file: file.clone(), name, rule }));
        }
    }
    tests.sort_by(|a, b| (&a.name, &a.rule, &a.file).cmp(&(&b.name, &b.rule, &b.file)));
    Ok(tests)
}

type Found = Vec<(String, String)>;

/// A program that does not compile says in its first line why.
fn program(path: &Path, text: &str) -> Found {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let comment = text.lines().map_while(|line| line.strip_prefix("//!"));
    vec![(name, rule(comment))]
}

/// The tests of a file. Those of another program (`Case::new`) have the rule of the function that they call.
fn functions(file: &str, text: &str) -> Result<Found> {
    let tokens: TokenStream = text.parse().or_failed(file)?;
    let mut reader = Reader::default();
    reader.read(tokens);
    let Reader { mut tests, cases, functions } = reader;
    for case in cases {
        let called = case.words.iter().rev().find_map(|word| functions.get(word));
        tests.push((case.name, called.cloned().unwrap_or_default()));
    }
    Ok(tests)
}

/// What `Case::new` names, and the words of its arguments.
struct Case {
    name: String,
    words: Vec<String>,
}

#[derive(Default)]
struct Reader {
    tests: Found,
    cases: Vec<Case>,
    /// All functions with their rules.
    functions: BTreeMap<String, String>,
}

impl Reader {
    /// Reads tokens and all groups of them. Attributes stand before `fn`, with few words between.
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut attributes: Vec<Group> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let before =
                |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at)).map(TokenTree::to_string);
            match token {
                TokenTree::Group(group)
                    if group.delimiter() == Delimiter::Bracket && before(1).as_deref() == Some("#") =>
                {
                    attributes.push(group.clone());
                }
                TokenTree::Group(group) => {
                    let path: Vec<String> = (1..=4).rev().filter_map(before).collect();
                    if path == ["Case", ":", ":", "new"] {
                        self.case(group);
                    }
                    self.read(group.stream());
                    if group.delimiter() == Delimiter::Brace {
                        attributes.clear();
                    }
                }
                TokenTree::Ident(word) if before(1).as_deref() == Some("fn") => {
                    self.function(word.to_string(), &attributes);
                    attributes.clear();
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => attributes.clear(),
                _ => {}
            }
        }
    }

    fn function(&mut self, name: String, attributes: &[Group]) {
        let comment: Vec<String> = attributes.iter().filter_map(comment).collect();
        let rule = rule(comment.iter().map(String::as_str));
        if attributes.iter().any(|attribute| attribute.stream().to_string() == "test") {
            self.tests.push((name, rule));
        } else {
            self.functions.insert(name, rule);
        }
    }

    fn case(&mut self, arguments: &Group) {
        let mut tokens = arguments.stream().into_iter();
        let Some(TokenTree::Literal(name)) = tokens.next() else { return };
        let name = name.to_string().trim_matches('"').to_owned();
        let mut words = Vec::new();
        identifiers(tokens.collect(), &mut words);
        self.cases.push(Case { name, words });
    }
}

fn identifiers(tokens: TokenStream, words: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(group) => identifiers(group.stream(), words),
            _ => {}
        }
    }
}

/// The text of `#[doc = "…"]`: so the compiler sees a comment with three slashes.
fn comment(attribute: &Group) -> Option<String> {
    let mut tokens = attribute.stream().into_iter();
    let is_doc = tokens.next()?.to_string() == "doc";
    let text = tokens.nth(1)?.to_string();
    is_doc.then(|| syn::parse_str::<syn::LitStr>(&text).map(|text| text.value()).ok())?
}

/// The first paragraph, in one line.
fn rule<'a>(comment: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<&str> = comment.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    text.strip_prefix("Rule: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, rule: &str) -> Test {
        Test { file: "f.rs".to_owned(), name: name.to_owned(), rule: rule.to_owned() }
    }

    /// Rule: a test is found in a module, in a macro, and as a case; its rule is the first paragraph, in one line.
    #[test]
    fn tests_have_rules() {
        let text = r#"
            /// Not a test.
            fn helper() {}
            mod inner {
                /// Rule: one
                /// and the same.
                ///
                /// More.
                #[test]
                #[should_panic]
                fn first() { let _ = [1; 2]; }
            }
            proptest! {
                /// Rule: two.
                #[test]
                fn second(a in 0..1) {}
            }
            const CASES: &[Case] = &[Case::new("third", Place::Here, || helper())];
            #[test]
            fn without() {}
        "#;
        let found = functions("f.rs", text).expect("it is Rust");
        let expected =
            [("first", "one and the same."), ("second", "two."), ("without", ""), ("third", "Not a test.")];
        assert_eq!(found, expected.map(|(name, rule)| (name.to_owned(), rule.to_owned())));
    }

    /// Rule: a test may move and may change its name or its words, not all of them; and of two with one name none is lost.
    #[test]
    fn what_is_lost() {
        let before = [test("a", "A"), test("a", "B"), test("b", "C"), test("c", ""), test("d", "D")];
        assert_eq!(parsed(&table(&before)).expect("it is a table"), before);
        assert_eq!(lost(&before, &before), Vec::<String>::new());
        let now = [test("a", "A"), test("b", "other words"), test("e", "D")];
        let expected = ["test a (f.rs): B", "rule of b (f.rs): C", "test c (f.rs): "];
        assert_eq!(lost(&before, &now), expected);
    }
}
