//! `mutants`: breaks core and backends in one place after the other, and names what no test notices.
//!
//! All mutants are built at once, in a copy of the workspace, each behind a switch. A variable of the environment switches
//! one on. One run without any tells which program of tests comes to which mutant: only those run with it, until the first
//! failure. To repeat one by hand, run such a program (in `mutants/target` of the target folder) with `FOREBAY_MUTANT` set
//! to its number, which changes when the sources do. `survivors.txt` has the mutants that mean the same as the original, or
//! that every test notices only by hanging, each with the reason.

mod copy;
mod find;
mod suite;

use crate::failure::{OrFailed, Result, failed};
use crate::{place, sources};
use find::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use suite::{Tests, Verdict};

/// Where mutants are made.
const FOLDERS: [&str; 2] = ["core/src", "backends/src"];

/// Files that are tests, or that tests alone use.
const TESTS: [&str; 2] = ["/tests.rs", "/fake.rs"];

/// It is read when the command runs: a new explanation builds nothing again.
const EXPLAINED: &str = "hosted-tests/xtask/src/mutants/survivors.txt";

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) count: usize,
    pub(crate) seed: u64,
    /// Each has one of these in its name. All, if it is empty.
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    killed: usize,
    survived: usize,
    hung: usize,
    explained: usize,
}

pub(crate) fn main(wish: &Wish) -> Result {
    let root = place::root();
    let explained = explained(&fs::read_to_string(root.join(EXPLAINED)).or_failed(EXPLAINED)?)?;
    let folder = place::target().join("mutants");
    let workspace = folder.join("workspace");
    let (sources, broken) = prepare(&root, &folder.join("trial"), &workspace)?;
    let names: Vec<&str> =
        sources.iter().flat_map(|source| &source.mutants).map(|mutant| &*mutant.name).collect();
    println!("mutants: {} in {} files, {} did not build", names.len(), sources.len(), broken.len());
    if let Some(gone) = explained.keys().find(|name| !names.contains(&name.as_str())) {
        return failed(format!("survivors.txt explains what is no mutant: {gone}"));
    }
    let suite = without(suite::build(&workspace)?, &workspace, &folder.join("reached"), names.len())?;
    let sample = sample(&names, wish);
    let mut counts = Counts::default();
    let mut open = Vec::new();
    for (at, number) in sample.iter().copied().enumerate() {
        let name = names[number];
        let verdict = judge(&suite, &workspace, number)?;
        let said = match verdict {
            Verdict::Failed(test) => {
                counts.killed += 1;
                format!("killed by {test}")
            }
            Verdict::Hung if explained.contains_key(name) => {
                counts.explained += 1;
                "hung, explained".to_owned()
            }
            Verdict::Passed if explained.contains_key(name) => {
                counts.explained += 1;
                "survived, explained".to_owned()
            }
            Verdict::Hung => {
                counts.hung += 1;
                open.push(name);
                "HUNG".to_owned()
            }
            Verdict::Passed => {
                counts.survived += 1;
                open.push(name);
                let seen = suite.iter().any(|tests| tests.comes_to(number));
                if seen { "SURVIVED" } else { "SURVIVED: no test comes there" }.to_owned()
            }
        };
        println!("{}/{} #{number} {name}: {said}", at + 1, sample.len());
    }
    let Counts { killed, survived, hung, explained } = counts;
    println!("{killed} killed, {explained} explained, {survived} survived, {hung} hung");
    if open.is_empty() {
        return Ok(());
    }
    failed(format!("no test notices:\n{}", open.join("\n")))
}

/// Makes the copy. Mutants that do not compile are left out: the compiler names their lines, and looks again. That is tried in
/// another copy: the first one changes only if the sources do, and what was built of it stays.
fn prepare(root: &Path, trial: &Path, workspace: &Path) -> Result<(Vec<Source>, BTreeSet<String>)> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        for path in sources::files(&root.join(folder)).or_failed(folder)? {
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if !TESTS.iter().any(|end| file.ends_with(end)) {
                files.push((file, fs::read_to_string(&path).or_failed(path.display())?));
            }
        }
    }
    let mut broken = BTreeSet::new();
    loop {
        let read = |(file, text): &(String, String)| Source::read(file, text.clone(), &broken);
        let sources = files.iter().map(read).collect::<Result<Vec<Source>>>()?;
        let texts = copy::texts(root, &sources)?;
        copy::copy(root, trial, &texts)?;
        let more = suite::broken(trial, &sources)?;
        if more.is_empty() {
            copy::copy(root, workspace, &texts)?;
            return Ok((sources, broken));
        }
        println!("mutants: do not compile:\n{}", more.iter().cloned().collect::<Vec<_>>().join("\n"));
        broken.extend(more);
    }
}

/// Runs all tests without a mutant: which mutants each program comes to, and how long it may take. The quick ones are first then.
fn without(suite: Vec<Tests>, workspace: &Path, file: &Path, mutants: usize) -> Result<Vec<Tests>> {
    let mut timed = Vec::new();
    for mut tests in suite {
        fs::write(file, vec![0; mutants]).or_failed(file.display())?;
        let start = Instant::now();
        match tests.run(workspace, "FOREBAY_MUTANTS_REACHED", &file.to_string_lossy())? {
            Verdict::Passed => {}
            Verdict::Failed(test) => return failed(format!("{}: {test} fails without a mutant", tests.name)),
            Verdict::Hung => return failed(format!("{} hangs without a mutant", tests.name)),
        }
        let took = start.elapsed();
        tests.limit = took * 8 + Duration::from_secs(20);
        tests.reached = fs::read(file).or_failed(file.display())?;
        let count = tests.reached.iter().filter(|byte| **byte != 0).count();
        println!("mutants: {} comes to {count} of them in {:.1} s", tests.name, took.as_secs_f32());
        timed.push((took, tests));
    }
    timed.sort_by_key(|(took, _)| *took);
    Ok(timed.into_iter().map(|(_, tests)| tests).collect())
}

/// Runs the programs that come to a mutant, until one fails. Where one hangs, another may still fail.
fn judge(suite: &[Tests], workspace: &Path, number: usize) -> Result<Verdict> {
    let mut verdict = Verdict::Passed;
    for tests in suite.iter().filter(|tests| tests.comes_to(number)) {
        match tests.run(workspace, "FOREBAY_MUTANT", &number.to_string())? {
            Verdict::Passed => {}
            Verdict::Failed(test) => return Ok(Verdict::Failed(format!("{}: {test}", tests.name))),
            Verdict::Hung => verdict = Verdict::Hung,
        }
    }
    Ok(verdict)
}

/// The numbers of some mutants, always the same ones for one seed.
fn sample(names: &[&str], wish: &Wish) -> Vec<usize> {
    let fits = |name: &str| wish.names.is_empty() || wish.names.iter().any(|part| name.contains(part));
    let mut numbers: Vec<usize> = (0..names.len()).filter(|number| fits(names[*number])).collect();
    let mut state = wish.seed;
    for at in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = (state >> 33) % (at as u64 + 1);
        numbers.swap(at, usize::try_from(other).unwrap_or_default());
    }
    numbers.truncate(wish.count);
    numbers
}

/// Two lines for each: the name of a mutant, and the reason why it stays. Empty lines and `#` are skipped.
fn explained(text: &str) -> Result<BTreeMap<String, String>> {
    let mut explained = BTreeMap::new();
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    while let Some(name) = lines.next() {
        match lines.next().and_then(|line| line.strip_prefix("    ")) {
            Some(reason) => explained.insert(name.to_owned(), reason.to_owned()),
            None => return failed(format!("survivors.txt has no reason for {name}")),
        };
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(count: usize, seed: u64, names: &[&str]) -> Wish {
        Wish { count, seed, names: names.iter().map(|part| (*part).to_owned()).collect() }
    }

    /// Rule: a seed chooses always the same mutants, another one others, none twice, and only with the names that are wanted.
    #[test]
    fn samples() {
        let names: Vec<String> = (0..100).map(|n| format!("core/src/{}.rs f: {n}", n % 2)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let first = sample(&names, &wish(40, 1, &[]));
        assert_eq!(first, sample(&names, &wish(40, 1, &[])));
        assert_ne!(first, sample(&names, &wish(40, 2, &[])));
        assert_eq!(BTreeSet::from_iter(&first).len(), 40);
        let odd = sample(&names, &wish(100, 1, &["src/1", "no such"]));
        assert_eq!((odd.len(), odd.iter().all(|number| number % 2 == 1)), (50, true));
    }

    /// Rule: each explained mutant has its reason below it.
    #[test]
    fn explanations() {
        let parsed = explained("# A comment.\n\na b: c\n    It is the same.\n").expect("it has a reason");
        assert_eq!(parsed, BTreeMap::from([("a b: c".to_owned(), "It is the same.".to_owned())]));
        assert!(explained("a b: c\nd e: f\n").is_err());
        assert!(explained(include_str!("survivors.txt")).is_ok());
    }
}
