//! The fuzzer's harness is compared with the public surface: what it never calls, it never tests.
//!
//! The sources of the harness are read as text, so that calls inside of `assert!` count. A call counts for a function if a path
//! names it (`Type::function`), or if it calls a method of that name that the standard library does not have too. So a name that
//! several public types have counts for all of them: the test finds functions that are new, not each that is old. A method of a
//! port counts also where the harness implements it, since forebay calls it there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The harness, and the oracle around it.
const HARNESS: [&str; 3] = ["src/fuzzing", "src/world.rs", "src/world/watched.rs"];

/// The types of the backends whose functions it calls.
const OF_BACKENDS: [&str; 9] = [
    "Faulty",
    "HeapSource",
    "Job",
    "Ram",
    "Region",
    "Rom",
    "shmem::Arena",
    "shmem::Builder",
    "shmem::Copies",
];

/// What it does not call, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("Buffer::touch", "no buffer here is followed by a policy: `reclaim/policy.rs`"),
    ("Faulty::calls", "for sweeps: how many calls there were"),
    ("Faulty::fail_with", "a failing call has one error here"),
    ("FrameSource::allocate_more", "for lists of each core: `pool/per_core.rs`"),
    ("Job::to", "where `copy` writes to"),
    ("OwnedBlock::zero", "the pool calls it, as it is provided"),
    ("Ram::add_piece", "a source has one slice: `pool/sources.rs`"),
    ("Ram::add_span", "a source has one slice: `pool/sources.rs`"),
    ("Ram::largest_free", "one of the sources has it: `liveness/starve.rs`"),
    ("Ram::lowest_unused", "one of the sources has it: `liveness/starve.rs`"),
    ("Ram::span_words", "a source has one slice: `pool/sources.rs`"),
    ("Region::engine_was_reset", "no engine here loses a job: `region/reset.rs`"),
    ("Region::init_within", "the memory of a region is another's next time, with words of their own"),
    ("Region::lowest_space", "regions are used by several runs: `liveness/starve.rs`"),
    ("Region::lost", "no engine here loses a job"),
    ("pool::CurrentCore::current", "for lists of each core: `pool/per_core.rs`"),
    ("pool::PerCore::new", "for lists of each core: `pool/per_core.rs`"),
    ("pool::Pool::new", "a forebay makes it"),
    ("port::EvictionPolicy::accessed", "a policy has a suite and a model: `reclaim/policy.rs`"),
    ("port::EvictionPolicy::add", "a policy has a suite and a model: `reclaim/policy.rs`"),
    ("port::EvictionPolicy::select", "a policy has a suite and a model: `reclaim/policy.rs`"),
    ("reclaim::ByPolicy::new", "a policy has a suite and a model: `reclaim/policy.rs`"),
    ("reclaim::Follow::new", "a policy has a suite and a model: `reclaim/policy.rs`"),
    ("reclaim::S3Fifo::new", "a policy has a suite and a model: `reclaim/policy.rs`"),
    ("pool::Pool::take_unzeroed", "a buffer needs zeros: `pool/per_core.rs`"),
    ("port::FreeLists::batch", "for lists of each core: `pool/per_core.rs`"),
    ("shmem::Arena::allocate_at", "buffers do not ask for a place: `shmem/placing.rs`"),
    ("shmem::Arena::set_limit", "a machine has one limit: `shmem/placing.rs`"),
    ("shmem::Arena::unexport", "what is shown stays shown: `shmem/placing.rs`"),
    ("shmem::Builder::adopt", "it needs a file of the caller"),
    ("shmem::Copies::settling", "a harness has one arena: `shmem/counts.rs`"),
    ("shmem::Builder::create", "`create_as` makes arenas of other pages too"),
    ("shmem::Builder::create_over", "it needs a file of the caller"),
    ("sync::Mutex::lock", "a source has one inside"),
    ("sync::Mutex::new", "a source has one inside"),
];

/// Names that types of the standard library have too: a call of such a method says little.
const USUAL: [&str; 16] = [
    "add", "at", "bytes", "check", "copy", "free", "from", "get", "iter", "len", "lock", "new", "read",
    "split", "take", "write",
];

/// The text without comments.
fn text(path: &Path) -> String {
    let walk = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
    let files = walk
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let lines = files.flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The word at the end of a text.
fn last_word(text: &str) -> &str {
    let before = text.trim_end_matches(is_word);
    &text[before.len()..]
}

/// The text without the generic arguments at its end.
fn without_arguments(text: &str) -> &str {
    if !text.ends_with('>') {
        return text;
    }
    let mut depth = 0;
    for (at, c) in text.char_indices().rev() {
        depth += i32::from(c == '>') - i32::from(c == '<');
        if depth == 0 {
            return text[..at].trim_end_matches("::");
        }
    }
    text
}

/// What the harness calls.
struct Calls {
    /// `.name(`
    methods: BTreeSet<String>,
    /// `fn name(`
    written: BTreeSet<String>,
    /// `Type::name`, through aliases.
    paths: BTreeSet<(String, String)>,
}

impl Calls {
    fn of(text: &str) -> Calls {
        let (mut methods, mut written, mut paths) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let aliases = aliases(text);
        for (at, _) in text.match_indices('(') {
            let called = without_arguments(&text[..at]);
            let name = last_word(called);
            let before = &called[..called.len() - name.len()];
            if before.ends_with('.') {
                methods.insert(name.to_owned());
            } else if before.ends_with("fn ") {
                written.insert(name.to_owned());
            }
        }
        for (at, _) in text.match_indices("::") {
            let of = last_word(without_arguments(&text[..at]));
            let name: String = text[at + 2..].chars().take_while(|c| is_word(*c)).collect();
            let mut named = vec![of.to_owned()];
            while let Some(of) = named.pop() {
                named.extend(aliases.get(&of).into_iter().flatten().filter(|other| **other != of).cloned());
                paths.insert((of, name.clone()));
            }
        }
        Calls { methods, written, paths }
    }
}

/// What other names types have. One name may stand for several, in several files.
fn aliases(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut aliases = BTreeMap::<String, BTreeSet<String>>::new();
    for (at, found) in text.match_indices("type ") {
        let rest = &text[at + found.len()..];
        let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
        let Some((_, is)) = rest.split_once(';').and_then(|(line, _)| line.split_once(" = ")) else {
            continue;
        };
        let is = last_word(is.split('<').next().unwrap_or_default());
        aliases.entry(name).or_default().insert(is.to_owned());
    }
    aliases
}

/// Rule: the harness calls every public function of core, and of the backends that it has; what it leaves out has a reason, and
/// is still there.
#[test]
fn the_harness_calls_every_public_function() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [core, backends] = ["../core", "../backends"].map(|path| xtask::surface::of(&here.join(path)));
    let of_backends = backends.callables.iter().filter(|path| {
        OF_BACKENDS.iter().any(|of| path.strip_prefix(of).is_some_and(|rest| rest.starts_with("::")))
    });
    let all: BTreeSet<&String> = core.callables.iter().chain(of_backends).collect();
    let calls = Calls::of(&HARNESS.map(|path| text(&here.join(path))).join("\n"));
    let parts = |path: &str| {
        let (of, name) = path.rsplit_once("::").expect("a method");
        (last_word(of).to_owned(), name.to_owned())
    };
    let ports: BTreeSet<String> = core.traits.keys().map(|path| last_word(path).to_owned()).collect();
    let is_called = |path: &str| {
        let (of, name) = parts(path);
        let is_clear = !USUAL.contains(&name.as_str());
        let is_written = ports.contains(&of) && calls.written.contains(&name);
        is_written || is_clear && calls.methods.contains(&name) || calls.paths.contains(&(of, name))
    };
    let missing: BTreeSet<&str> =
        all.iter().map(|path| path.as_str()).filter(|path| !is_called(path)).collect();
    for (path, why) in LEFT_OUT {
        assert!(missing.contains(path), "{path} is called, or is not there any more: {why}");
    }
    let missing: Vec<&str> =
        missing.into_iter().filter(|path| LEFT_OUT.iter().all(|(out, _)| out != path)).collect();
    assert!(missing.is_empty(), "the harness never calls them: {missing:#?}");
}
