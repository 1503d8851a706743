//! `lab bench`: its rows, and its answers to bad options.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Output};

/// Little of everything. The traces are not those that results are made of.
const TINY: &str = "--quick --arena 32MiB --orders 0,3,10 --seed 900000000";

fn bench(words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).arg("bench").args(words.split_whitespace()).output().unwrap()
}

/// The rows of a bench that must succeed.
fn rows(words: &str) -> Vec<Value> {
    let o = bench(words);
    assert!(o.status.success() && o.stderr.is_empty(), "{words}: {}", String::from_utf8_lossy(&o.stderr));
    assert_eq!(o.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "{words}");
    serde_json::from_slice(&o.stdout).unwrap()
}

/// A field of all rows, each value once.
fn each(rows: &[Value], field: &str) -> BTreeSet<String> {
    rows.iter().map(|row| row[field].to_string().replace('"', "")).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Each row has the fields of a cost, and nothing is for nothing.
fn check_costs(rows: &[Value]) {
    assert!(!rows.is_empty());
    for row in rows {
        assert!(row["workload"].is_string() && row["who"].is_string() && row["locked"].is_boolean(), "{row}");
        assert!(row["order"].is_u64() && row["threads"].is_u64(), "{row}");
        let [median, p99] = ["ns_per_op", "p99_ns"].map(|field| row[field].as_f64().unwrap());
        assert!(median > 0.0 && p99 >= median, "{row}");
        assert!(row.get("instructions").is_some_and(Value::is_null), "{row}");
    }
}

/// Rule: pool and source have a row for each workload, order and lock, with the documented fields.
#[test]
fn speed() {
    for (name, who) in [("pool", "forebay"), ("source", "forebay-source")] {
        let all = rows(&format!("{name} --json {TINY}"));
        check_costs(&all);
        assert_eq!(each(&all, "who"), set([who]));
        assert_eq!(each(&all, "order"), set(["0", "3", "10"]));
        let one: Vec<Value> = all.into_iter().filter(|row| row["threads"] == 1).collect();
        assert_eq!(each(&one, "workload"), set(["W1", "W1+1", "W2-alloc", "W2-free", "W3", "W4"]));
        // Two threads may be without rows: where another program has their cores.
        let timed = one.iter().filter(|row| row["workload"] != "W4");
        assert_eq!(timed.count(), 5 * 3 * 2, "five workloads, three orders, with and without a lock");
    }
}

/// Rule: the shares are per cent of both orders, the same again from the same seeds, which are printed.
#[test]
fn fragmentation() {
    let words = format!("frag --json --seeds 3 {TINY}");
    let all = rows(&words);
    assert_eq!(each(&all, "who"), set(["forebay", "forebay-source"]));
    assert_eq!((each(&all, "workload"), each(&all, "order")), (set(["W5", "W9"]), set(["9", "10"])));
    for row in &all {
        assert!((0.0..=100.0).contains(&row["percent"].as_f64().unwrap()) && row["failed"].is_u64(), "{row}");
        assert_eq!(row["seeds"].as_array().unwrap().len(), 3, "{row}");
    }
    assert_eq!(each(&all, "seeds").len(), 1);
    let nines = all.iter().filter(|row| row["order"] == 9);
    assert!(nines.clone().any(|row| row["percent"].as_f64().unwrap() > 0.0), "{all:?}");
    assert_eq!(rows(&words), all);
    let other = words.replace("900000000", "910000000");
    assert_ne!(rows(&other), all);
}

/// Rule: each way of evicting stands beside a copy of as many bytes.
#[test]
fn evictions() {
    let (all, shmem): (Vec<_>, Vec<_>) =
        rows(&format!("evict --json {TINY}")).into_iter().partition(|row| row.get("case").is_none());
    check_costs(&all);
    check_blocks(&shmem, &["copy_pwrite", "copy_best", "transfer", "madvise_floor"]);
    for who in ["forebay", "memcpy"] {
        let own: Vec<Value> = all.iter().filter(|row| row["who"] == who).cloned().collect();
        assert_eq!(
            each(&own, "workload"),
            set(["evict-transfer", "evict-copy", "evict-split", "write-out"]),
            "{who}"
        );
        assert_eq!(own.len(), 4 * 3);
    }
}

/// Each case of shmem has a row for each size, beside a copy, in each mode that this process may have.
fn check_blocks(rows: &[Value], cases: &[&str]) {
    let modes = each(rows, "mode").len();
    assert!(modes == 1 || modes == 2, "pinned or not");
    assert_eq!(each(rows, "block_bytes"), set(["4096", "65536", "2097152", "4194304"]));
    for case in cases.iter().chain(&["memcpy", "memcpy_nt"]) {
        let of: Vec<_> = rows.iter().filter(|row| row["case"] == *case).collect();
        assert_eq!(of.len(), modes * 4, "{case}");
        for row in of {
            let [ns, ratio] = ["ns_per_block", "memcpy_ratio"].map(|field| row[field].as_f64().unwrap());
            assert!(ns > 0.0 && ratio > 0.0 && (*case != "memcpy" || ratio == 1.0), "{row}");
        }
    }
}

/// Rule: taking back stands beside copying back, and dropping beside punching holes. (That bytes come back is checked by the bench.)
#[test]
fn shmem() {
    check_blocks(&rows("restore --json --quick"), &["take_back", "copy_back"]);
    check_blocks(&rows("drop --json --quick"), &["drop", "punch_hole"]);
}

/// Rule: a reclaim has a row for each kind of list and number of buffers.
#[test]
fn reclaims() {
    let all = rows("reclaim --json --quick --buffers 200,1000");
    check_costs(&all);
    assert_eq!(
        (each(&all, "workload"), each(&all, "who")),
        (set(["reclaim", "purge"]), set(["forebay", "forebay-index"]))
    );
    assert_eq!((each(&all, "buffers"), all.len()), (set(["200", "1000"]), 8));
}

/// Rule: without `--json` a bench prints tables with the same figures' names.
#[test]
fn tables() {
    let o = bench(&format!("frag --seeds 1 {TINY}"));
    let text = String::from_utf8(o.stdout).unwrap();
    assert!(o.status.success() && text.contains("forebay-source") && text.contains("seeds ["), "{text}");
    let o = bench("reclaim --quick --buffers 200");
    let text = String::from_utf8(o.stdout).unwrap();
    assert!(o.status.success() && text.contains("200 buffers") && text.contains("median / p99"), "{text}");
}

/// Rule: an option that can't be is refused in words, with status 2, and nothing is measured.
#[test]
fn bad_options() {
    for (words, says) in [
        ("", "Usage"),
        ("speed", "unrecognized subcommand"),
        ("pool --arena 16MiB", "32MiB or more"),
        ("pool --arena 34MiB", "steps of 4 MiB"),
        ("pool --arena 1GB", "write 1GiB"),
        ("source --orders 11", "from 0 to 10"),
        ("evict --orders x", "from 0 to 10"),
        ("frag --seeds 0", "from 1 to 10000"),
        ("reclaim --buffers 199", "from 200"),
        ("pool --seeds 3", "unexpected argument"),
    ] {
        let o = bench(words);
        assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{words}");
        let said = String::from_utf8(o.stderr).unwrap();
        assert!(said.contains(says), "{words}: {said}");
    }
}

/// Rule: without valgrind the answer says so, and what to install.
#[test]
fn no_valgrind() {
    for words in ["pool", "source", "evict", "reclaim --buffers 200"] {
        let o = Command::new(env!("CARGO_BIN_EXE_lab"))
            .arg("bench")
            .args(words.split_whitespace())
            .arg("--instructions")
            .env("PATH", "/nonexistent")
            .output()
            .unwrap();
        assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{words}");
        assert!(String::from_utf8(o.stderr).unwrap().contains("apt-get install valgrind"), "{words}");
    }
}

/// Rule: a process that is counted runs one batch of each workload, order and lock, of W4 with two threads too, with the loop alone
/// beside them, or all blocks of an eviction; and says so.
#[test]
fn what_is_counted() {
    let windows = |words: &str| {
        let o = bench(&format!("{words} --windows"));
        assert!(o.status.success(), "{words}: {}", String::from_utf8_lossy(&o.stderr));
        let seen: Vec<(Value, usize)> = serde_json::from_slice(&o.stdout).unwrap();
        assert!(!seen.is_empty() && seen.iter().all(|(_, ops)| *ops > 0), "{words}");
        seen
    };
    let seen = windows(&format!("pool {TINY}"));
    let keys: Vec<Value> = seen.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(each(&keys, "who"), set(["nothing", "forebay"]));
    assert_eq!(each(&keys, "workload"), set(["W1", "W1+1", "W2-alloc", "W2-free", "W3", "W4"]));
    let w4 = keys.iter().filter(|key| key["workload"] == "W4" && key["threads"] == 2);
    assert_eq!(w4.count(), 2 * 3, "three orders, with and without an allocator");
    let seen = windows(&format!("evict {TINY}"));
    let pages = |workload: &str, who: &str| {
        let of = seen.iter().filter(|(key, _)| key["workload"] == workload && key["who"] == who);
        of.map(|(key, blocks)| blocks << key["order"].as_u64().unwrap()).sum::<usize>()
    };
    for workload in ["evict-transfer", "evict-copy", "evict-split", "write-out"] {
        for who in ["forebay", "memcpy"] {
            assert_eq!(pages(workload, who), 3 * (32 << 20) / 4096, "{workload}, {who}: three orders");
        }
    }
    let seen = windows("reclaim --buffers 200,300");
    assert_eq!(
        each(&seen.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), "buffers"),
        set(["200", "300"])
    );
}
