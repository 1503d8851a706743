//! The lab: its figures, its answers to bad input, and that it notices a bad store.

use hosted_tests::lab::{
    EvictKind, Input, InputError, LabError, Observer, Options, OptionsError, OutputError, PAGE, Phase,
    Report, Sabotage, StoreKind, roundtrip,
};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

mod bench;
#[cfg(target_os = "linux")]
mod pressure;
mod program;
mod trace;

const ALL: [EvictKind; 3] = [EvictKind::Transfer, EvictKind::Copy, EvictKind::Split];

const STORES: &[StoreKind] = &[
    StoreKind::Ram,
    #[cfg(target_os = "linux")]
    StoreKind::Shmem,
];

/// Every store with every kind of eviction.
fn pairs() -> impl Iterator<Item = (StoreKind, EvictKind)> {
    STORES.iter().flat_map(|store| ALL.map(|evict| (*store, evict)))
}

/// Bytes that repeat nowhere.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..len).map(next).collect()
}

fn put(dir: &Path, name: impl AsRef<Path>, bytes: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Files of all awkward sizes, in nested directories: 60 files, about 1.3 MiB.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..50 {
        put(dir.path(), format!("d{}/e{}/f{n}", n % 3, n % 5), &noise(n * 517, n as u64 + 7));
    }
    for (n, len) in
        [0, 1, PAGE - 1, PAGE, PAGE + 1, 10 * PAGE, 600_000, 3 * PAGE, 7, 0].into_iter().enumerate()
    {
        put(dir.path(), format!("top{n}"), &noise(len, n as u64 + 99));
    }
    fs::create_dir_all(dir.path().join("nothing/in/here")).unwrap();
    dir
}

fn input(dir: &Path) -> Input {
    Input::Directory(dir.to_owned())
}

fn options(store: StoreKind, evict: EvictKind, budget: u64) -> Options {
    Options { store, evict, budget: Some(budget), ..Options::default() }
}

fn run(dir: &Path, options: &Options) -> Report {
    roundtrip(&input(dir), options, &mut ()).unwrap()
}

#[track_caller]
fn good(report: &Report) {
    assert!(report.is_good(), "{report:#?}");
    assert_eq!((report.compared, report.leaked_pages), (report.files, 0));
}

/// The same names and bytes, directories included.
#[track_caller]
fn same_trees(a: &Path, b: &Path) {
    let list = |root: &Path| -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let walk = walkdir::WalkDir::new(root).sort_by_file_name();
        walk.into_iter()
            .map(|e| {
                let e = e.unwrap();
                let bytes = e.file_type().is_file().then(|| fs::read(e.path()).unwrap());
                (e.path().strip_prefix(root).unwrap().to_owned(), bytes)
            })
            .collect()
    };
    assert!(list(a) == list(b), "{} and {} differ", a.display(), b.display());
}

/// Rule: whatever is evicted comes back, at the price that each kind of eviction promises, in either store.
#[test]
fn each_kind_keeps_its_promises() {
    let dir = tree();
    for (store, evict) in pairs() {
        for budget in [1, 3, 4, 8, 17, 40, 100].map(|pages| pages * PAGE as u64 + 5) {
            let r = run(dir.path(), &options(store, evict, budget));
            good(&r);
            assert_eq!((r.files, r.changed, r.skipped.total()), (60, 0, 0));
            assert_eq!(r.budget_pages as u64, budget / PAGE as u64);
            assert!(r.peak_pool_pages <= r.budget_pages, "{r:?}");
            assert!(r.region_pages >= r.data_pages + r.data_pages / 2, "{r:?}");
            let over = r.data_pages - r.budget_pages;
            assert!(r.evicted_loading_pages >= over && r.evicted_reading_pages >= over, "{r:?}");
            assert_eq!(r.evicted_pages, r.transferred_pages + r.copied_pages + r.clean_pages);
            assert!(r.restored_pages > over);
            match evict {
                EvictKind::Transfer => {
                    assert_eq!((r.copied_pages, r.peak_extra_pages, r.split_blocks), (0, 0, 0), "{r:?}");
                    assert_eq!(r.adopted_pages, r.transferred_pages);
                    let still_adopted = r.pending_pages + r.reclaimable_pages;
                    assert_eq!(
                        r.adopted_pages,
                        r.written_out_pages + r.taken_back_pages + still_adopted,
                        "{r:?}"
                    );
                }
                EvictKind::Copy => assert_eq!((r.adopted_pages, r.pending_pages), (0, 0)),
                EvictKind::Split => {
                    assert!(r.peak_extra_pages <= 1, "{r:?}");
                    assert_eq!((r.adopted_pages, r.pending_pages), (0, 0));
                    assert!(r.split_blocks > 0 || budget < 8 * PAGE as u64, "{r:?}"); // small chunks are pages
                }
            }
            match (store.is_shmem(), evict) {
                (false, _) => {
                    assert_eq!((r.reclaimable_pages, r.held_pages, r.medium.shmem_bytes), (0, 0, Some(0)));
                    assert!(r.clean_pages > 0);
                }
                (true, EvictKind::Transfer) => {
                    let moved = (r.written_out_pages, r.freed_pages, r.clean_pages, r.peak_write_out_pages);
                    assert_eq!(moved, (0, 0, 0, 0), "nothing moves: {r:?}");
                    assert_eq!(r.restored_pages, r.taken_back_pages);
                    // Stored and resident, all of it is in the one file.
                    assert!(r.medium.shmem_bytes >= Some((r.data_pages * PAGE) as u64), "{r:?}");
                }
                (true, _) => {
                    assert_eq!((r.written_out_pages, r.freed_pages), (0, r.evicted_pages), "{r:?}");
                    assert!(r.clean_pages > 0 && r.reclaimable_pages >= over, "{r:?}");
                    assert!(r.medium.shmem_bytes >= Some((r.reclaimable_pages * PAGE) as u64), "{r:?}");
                }
            }
        }
    }
}

/// Rule: a block that is transferred and wanted before it is written out comes back as it is.
#[test]
fn some_blocks_are_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..40 {
        put(dir.path(), format!("f{n}"), &noise(PAGE, n + 1));
    }
    let taken: usize = (0..20)
        .map(|seed| {
            let o = options(StoreKind::Ram, EvictKind::Transfer, 32 * PAGE as u64);
            let r = run(dir.path(), &Options { seed, ..o });
            good(&r);
            r.taken_back_pages
        })
        .sum();
    assert!(taken > 0);
}

/// Rule: a budget that holds everything evicts nothing.
#[test]
fn a_large_budget_evicts_nothing() {
    let dir = tree();
    for (store, budget) in STORES.iter().flat_map(|store| [(*store, 1 << 30), (*store, u64::MAX)]) {
        let r = run(dir.path(), &options(store, EvictKind::Transfer, budget));
        good(&r);
        assert_eq!((r.evicted_pages, r.restored_pages), (0, 0));
        let table = r.table();
        assert!(table.contains("all of what the files need"), "{table}");
        assert!(table.contains("Good, but nothing had to leave: the budget holds all the files."), "{table}");
    }
}

/// Rule: one flipped byte, and one lost block, are noticed whatever the store and the kind of eviction.
#[test]
fn a_bad_store_is_noticed() {
    let dir = tree();
    for (store, evict) in pairs() {
        for after in [0, 1, 9] {
            let which = format!("{store:?} {evict:?} {after}");
            let run =
                |sabotage| run(dir.path(), &Options { sabotage, ..options(store, evict, 40 * PAGE as u64) });
            let r = run(Sabotage::FlipByte { after });
            assert!(!r.is_good() && r.mismatches == 1 && r.leaked_pages == 0, "{which} {r:#?}");
            assert_eq!(r.notes.len(), 1);

            let r = run(Sabotage::LoseBlock { after });
            assert!(!r.is_good() && r.mismatches == 1 && r.leaked_pages > 0, "{which} {r:#?}");
            assert_eq!(r.compared, r.files, "the others are compared all the same");
        }
    }
}

/// Rule: a wrong file is never written out as a restored one.
#[test]
fn a_mismatch_is_not_written_out() {
    let dir = tree();
    let out = dir.path().with_extension("out");
    let sabotage = Sabotage::FlipByte { after: 2 };
    for (store, evict) in pairs() {
        let o = options(store, evict, 16 * PAGE as u64);
        let r = run(dir.path(), &Options { sabotage, out: Some(out.clone()), ..o });
        let written =
            walkdir::WalkDir::new(&out).into_iter().filter(|e| e.as_ref().unwrap().file_type().is_file());
        assert_eq!((r.mismatches, written.count()), (1, r.files - 1), "{store:?} {evict:?}");
        fs::remove_dir_all(&out).unwrap();
    }
}

/// Rule: a store that fills up half way ends in a clear error; nothing leaks, and what was loaded is compared.
#[test]
fn a_store_that_fills_up() {
    let dir = tree();
    for evict in ALL {
        for region in [1, 10, 50, 150] {
            let o = options(StoreKind::Ram, evict, 64 * PAGE as u64);
            let r = run(dir.path(), &Options { region_pages: Some(region), ..o });
            let why = r.failure.clone().unwrap();
            assert!(why.contains("the store is full") && why.contains("--budget"), "{why}");
            assert_eq!((r.mismatches, r.leaked_pages, r.disagreements.len()), (0, 0, 0), "{r:#?}");
            assert!(r.files > 0 && r.files < 60, "{evict:?} {region}: {}", r.files);
            assert_eq!(r.compared, r.files, "{evict:?} {region}: {r:#?}");
            assert!(r.peak_pool_pages <= r.budget_pages);
        }
        // No room to spare, and yet enough.
        let o = options(StoreKind::Ram, evict, 64 * PAGE as u64);
        let r = run(dir.path(), &Options { region_pages: Some(400), ..o });
        good(&r);
    }
    let none = Options { store: StoreKind::Ram, region_pages: Some(0), ..Options::default() };
    let r = roundtrip(&input(dir.path()), &none, &mut ());
    assert!(matches!(r, Err(LabError::Machine(_))), "{r:?}");
}

/// Rule: so does shmem, whose room is addresses; that it is the buffers' room too changes nothing.
#[cfg(target_os = "linux")]
#[test]
fn shmem_that_fills_up() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..64 {
        put(dir.path(), format!("f{n:02}"), &noise(16 * PAGE, n + 1)); // 1024 pages: two huge pages
    }
    for evict in ALL {
        // One huge page for the store; if blocks are transferred, also for the buffers.
        let o = Options { region_pages: Some(1), ..options(StoreKind::Shmem, evict, 64 * PAGE as u64) };
        let r = run(dir.path(), &o);
        let why = r.failure.clone().unwrap_or_else(|| panic!("{evict:?}: {r:#?}"));
        assert!(why.contains("the store is full") && why.contains("--budget"), "{why}");
        assert_eq!((r.mismatches, r.leaked_pages, r.disagreements.len()), (0, 0, 0), "{r:#?}");
        assert!(r.files >= 30 && r.files < 64 && r.compared == r.files, "{evict:?}: {r:#?}");
    }
}

/// Rule: a budget below one page is refused before anything is read.
#[test]
fn budgets_that_are_too_small() {
    let dir = tree();
    for budget in [0, 1, PAGE as u64 - 1] {
        let e =
            roundtrip(&input(dir.path()), &options(StoreKind::default(), EvictKind::Copy, budget), &mut ())
                .unwrap_err();
        assert!(matches!(e, LabError::Options(OptionsError::BudgetTooSmall { .. })), "{e}");
        assert!(e.to_string().contains("--budget 4096 or more"), "{e}");
    }
}

/// Rule: what is no regular file is counted and passed over, and never waited for.
#[test]
fn odd_entries_are_passed_over() {
    let dir = tree();
    let at = |name| dir.path().join(name);
    mkfifo(&at("fifo"));
    symlink("nowhere", at("dead")).unwrap();
    symlink("top1", at("link")).unwrap();
    symlink(".", at("loop")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    put(dir.path(), "secret", b"no");
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(at("closed")).unwrap();
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let readable = usize::from(fs::File::open(at("secret")).is_ok()); // to root, everything is
    let r = run(dir.path(), &options(StoreKind::default(), EvictKind::Split, 9 * PAGE as u64));
    good(&r);
    let s = r.skipped;
    assert_eq!((s.fifos, s.dead_links, s.links, s.sockets, s.devices), (1, 1, 2, 1, 0));
    assert_eq!((s.unreadable, r.files), (2 * (1 - readable), 60 + readable));
    let named = |name: &str| r.notes.iter().any(|note| note.starts_with(name));
    assert!(readable == 1 || (named("closed: not loaded: Perm") && named("secret: ")), "{:?}", r.notes);
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(r.table().contains("1 FIFO, 1 socket, 2 symbolic links, 1 dead link"), "{}", r.table());
}

/// Rule: nothing to do is an error that says so, and why.
#[test]
fn inputs_without_files() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| match roundtrip(&input(path), &Options::default(), &mut ()) {
        Err(LabError::Input(e)) => e,
        other => panic!("{other:?}"),
    };
    assert!(matches!(error(dir.path()), InputError::NoFiles(..)));
    mkfifo(&dir.path().join("fifo"));
    let e = error(dir.path());
    assert!(matches!(&e, InputError::NoFiles(_, skipped) if skipped.fifos == 1));
    assert!(e.to_string().contains("1 FIFO)"), "{e}");
    assert!(matches!(error(&dir.path().join("none")), InputError::Missing(_)));
    put(dir.path(), "file", b"x");
    assert!(matches!(error(&dir.path().join("file")), InputError::NotADirectory(_)));
    assert!(matches!(error(&dir.path().join("file/below")), InputError::Unreadable(..)));
    assert!(error(&dir.path().join("no\nne")).to_string().contains("no\\nne does not exist"));
}

/// Rule: files of 0 bytes count, and come back.
#[test]
fn only_empty_files() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a", b"");
    put(dir.path(), "b/c", b"");
    let out = dir.path().with_extension("out");
    let r = run(dir.path(), &Options { out: Some(out.clone()), ..Options::default() });
    good(&r);
    assert_eq!((r.files, r.bytes, r.data_pages, r.compared), (2, 0, 0, 2));
    same_trees(dir.path(), &out);
    fs::remove_dir_all(out).unwrap();
}

/// Changes files between two phases.
struct Meddler<'a>(Phase, &'a dyn Fn());

impl Observer for Meddler<'_> {
    fn begin(&mut self, phase: Phase, _: u64) {
        if phase == self.0 {
            (self.1)();
        }
    }
}

/// Rule: a file that changes meanwhile counts as changed, never as a mismatch; nothing waits for a FIFO.
#[test]
fn files_that_change() {
    let phases = [Phase::Loading, Phase::ReadingBack];
    for (store, phase) in STORES.iter().flat_map(|store| phases.map(|phase| (*store, phase))) {
        let dir = tree();
        let at = |name| dir.path().join(name);
        let meddle = || {
            fs::write(at("top5"), noise(10 * PAGE, 4711)).unwrap(); // the same size
            fs::write(at("top4"), b"shorter").unwrap();
            let longer = [fs::read(at("top3")).unwrap(), b"more".to_vec()].concat();
            fs::write(at("top3"), longer).unwrap();
            fs::write(at("top0"), b"no longer empty").unwrap();
            fs::remove_file(at("top2")).unwrap();
            fs::remove_file(at("top7")).unwrap();
            mkfifo(&at("top7"));
        };
        let options = options(store, EvictKind::Transfer, 32 * PAGE as u64);
        let r = roundtrip(&input(dir.path()), &options, &mut Meddler(phase, &meddle)).unwrap();
        good(&r);
        let (files, changed, vanished) = match phase {
            Phase::Loading => (54, 5, 1), // what is gone before it is loaded was never there
            Phase::ReadingBack => (60, 6, 0),
        };
        assert_eq!((r.files, r.changed, r.skipped.vanished), (files, changed, vanished), "{:?}", r.notes);
        assert_eq!(r.notes.len(), 6);
        assert!(r.notes.iter().any(|note| note.starts_with("top2: ") && note.ends_with("it is gone")));
    }
}

/// Rule: where nothing can be loaded, nothing is good; what is left out is named, harmlessly.
#[test]
fn nothing_loaded() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a\n\x1b[2J", b"x");
    let meddle = || fs::remove_file(dir.path().join("a\n\x1b[2J")).unwrap();
    let out = dir.path().with_extension("out");
    fs::create_dir_all(dir.path().join("b/c")).unwrap();
    let options = Options { out: Some(out.clone()), ..Options::default() };
    let r = roundtrip(&input(dir.path()), &options, &mut Meddler(Phase::Loading, &meddle));
    assert!(!out.exists());
    match r {
        Err(LabError::NothingLoaded { found: 1, notes }) => {
            assert_eq!(notes, ["a\\n\\u{1b}[2J: not loaded: it is gone"]);
        }
        other => panic!("{other:?}"),
    }
}

/// Rule: bytes that change behind the same size and time are the disk's fault, not the buffer's.
#[test]
fn a_change_that_the_clock_hides() {
    let dir = tree();
    let path = dir.path().join("top6");
    let meddle = || {
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[400_000] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    let options = options(StoreKind::default(), EvictKind::Copy, 32 * PAGE as u64);
    let r = roundtrip(&input(dir.path()), &options, &mut Meddler(Phase::ReadingBack, &meddle)).unwrap();
    good(&r);
    assert_eq!((r.changed, r.mismatches), (1, 0));
}

/// Rule: what is written out is what was read, names that are not text included; nothing is ever overwritten.
#[test]
fn written_out() {
    let dir = tree();
    put(dir.path(), ".partial", b"of this name too");
    put(dir.path(), OsStr::from_bytes(b"d1/\xff\xfe not text \xc3"), &noise(5000, 3));
    let elsewhere = tempfile::tempdir().unwrap();
    for (store, evict) in pairs() {
        let out = elsewhere.path().join(format!("{store:?}{evict:?}"));
        let o = Options { out: Some(out.clone()), ..options(store, evict, 20 * PAGE as u64) };
        let r = run(dir.path(), &o);
        good(&r);
        assert_eq!(r.files, 62);
        same_trees(dir.path(), &out);
        let again = roundtrip(&input(dir.path()), &o, &mut ());
        assert!(matches!(again, Err(LabError::Output(OutputError::Exists(_)))), "{again:?}");
        same_trees(dir.path(), &out);
    }
    symlink("nowhere", elsewhere.path().join("dead")).unwrap();
    symlink(dir.path(), elsewhere.path().join("back")).unwrap();
    let error = |out: PathBuf| {
        let o = Options { out: Some(out), ..Options::default() };
        match roundtrip(&input(dir.path()), &o, &mut ()) {
            Err(LabError::Output(e)) => e,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(error(elsewhere.path().join("dead")), OutputError::Exists(_)));
    assert!(matches!(error(dir.path().join("inside")), OutputError::Inside(..)));
    assert!(matches!(error(dir.path().join("d1/e1/inside")), OutputError::Inside(..)));
    assert!(matches!(error(elsewhere.path().join("back/inside")), OutputError::Inside(..)));
    let e = error(elsewhere.path().join("no/parent"));
    assert!(e.to_string().contains("make the directory that it is in first"), "{e}");
    assert!(!dir.path().join("inside").exists());
}

const KEYS: &[&str] = &[
    "files",
    "bytes",
    "changed",
    "evicted_pages",
    "transferred_pages",
    "adopted_pages",
    "copied_pages",
    "written_out_pages",
    "split_blocks",
    "freed_pages",
    "pending_pages",
    "reclaimable_pages",
    "held_pages",
    "refused_pages",
    "restored_pages",
    "taken_back_pages",
    "mismatches",
    "peak_pool_pages",
    "peak_extra_pages",
    "budget_pages",
    "region_pages",
    "shmem_bytes",
    "leaked_pages",
    "seconds",
    #[cfg(target_os = "linux")]
    "process_rss_bytes",
    #[cfg(target_os = "linux")]
    "process_peak_rss_bytes",
    #[cfg(target_os = "linux")]
    "process_shmem_rss_bytes",
];

/// Rule: also a run that fails gives its figures, as far as it got: here the output can't be written.
#[test]
fn json_of_a_failure() {
    let dir = tree();
    let out = dir.path().with_extension("out");
    let meddle = || fs::create_dir(out.join("top6")).unwrap(); // it is in the way
    let o = Options {
        out: Some(out.clone()),
        ..options(StoreKind::default(), EvictKind::Copy, 20 * PAGE as u64)
    };
    let r = roundtrip(&input(dir.path()), &o, &mut Meddler(Phase::ReadingBack, &meddle)).unwrap();
    assert!(r.failure.as_ref().is_some_and(|why| why.contains("top6")), "{r:#?}");
    assert!(!r.is_good() && r.mismatches == 0 && r.leaked_pages == 0);
    let v: serde_json::Value = serde_json::from_str(&r.json().unwrap()).unwrap();
    assert!(v["failure"].is_string() && KEYS.iter().all(|key| v[key].is_number()));
    assert!(r.table().contains("FAILED") && v["good"] == false);
    assert!(
        fs::read_dir(&out).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().contains("partial"))
    );
    fs::remove_dir_all(out).unwrap();
}
