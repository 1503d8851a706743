use super::super::fake::Tree;
use super::*;
use std::format;
use std::string::String;

const MIB: u64 = 1 << 20;
const MANY: &str = "MemTotal: 9000000000 kB\nMemAvailable: 8000000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
const V2_MOUNT: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1_MOUNT: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,hugetlb,memory\n";

fn mib(n: u64) -> String {
    format!("{}\n", n * MIB)
}

/// A machine with plenty of memory and no swap, and a group of version 2 called `a/b`.
fn v2() -> Tree {
    Tree::new([
        ("proc/meminfo", MANY),
        ("proc/self/cgroup", "0::/a/b\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.stat", ""), // the root group has no limit
        ("sys/fs/cgroup/a/memory.max", "max\n"),
        ("sys/fs/cgroup/a/memory.current", "0\n"),
        ("sys/fs/cgroup/a/memory.stat", ""),
        ("sys/fs/cgroup/a/b/memory.max", &mib(100)),
        ("sys/fs/cgroup/a/b/memory.current", &mib(90)),
        ("sys/fs/cgroup/a/b/memory.stat", "anon 0\ninactive_file 0\nactive_file 0\n"),
    ])
}

/// The same with version 1 for memory, beside a version 2 without, as systemd's hybrid has it.
fn v1() -> Tree {
    let unlimited = "9223372036854771712\n";
    Tree::new([
        ("proc/meminfo", MANY),
        (
            "proc/self/cgroup",
            "7:cpu,cpuacct:/x\n5:name=memory:/memory\n4:hugetlb,memory:/a/b\n0::/elsewhere\n",
        ),
        ("proc/self/mountinfo", &format!("{V2_MOUNT}{V1_MOUNT}")),
        ("sys/fs/cgroup/elsewhere/memory.max", "1\n"),
        ("sys/fs/cgroup/elsewhere/memory.current", "1\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", unlimited),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", &mib(500)),
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", unlimited),
        ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", &mib(95)),
        ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", &mib(100)),
        ("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", &mib(90)),
        ("sys/fs/cgroup/memory/a/b/memory.stat", "total_inactive_file 0\ntotal_active_file 0\n"),
    ])
}

/// The most whole MiB that are allowed, up to 1000; all less are, too.
fn most(headroom: &Headroom) -> u64 {
    let allowed = (1..=1000).take_while(|n| headroom.allows(n * MIB)).count() as u64;
    assert!((allowed + 1..=1000).all(|n| !headroom.allows(n * MIB)), "no more either");
    allowed
}

#[test]
fn a_group_allows_what_is_left_below_its_limit() {
    for tree in [v2(), v1()] {
        let headroom = Headroom::under(tree.root());
        assert_eq!(headroom.limit(), GroupLimit::Bytes(100 * MIB));
        assert_eq!(most(&headroom), 8, "the ninth would leave nothing for page tables and code");
    }
}

/// Rule: what one is about to take, another is not allowed; what was taken or given up is claimed no more.
#[test]
fn claims_count_together() {
    const MIB: usize = super::tests::MIB as usize;
    let headroom = Headroom::under(v2().root());
    let first = headroom.claim(5 * MIB).expect("there are 8");
    assert!(headroom.claim(4 * MIB).is_none());
    let second = headroom.claim(3 * MIB).expect("a refused claim is none");
    assert!(headroom.claim(MIB).is_none());
    drop(first);
    let third = headroom.claim(5 * MIB).expect("as at the beginning");
    drop((second, third));
    assert!(headroom.claim(8 * MIB).is_some());
}

#[test]
fn limits_are_read_at_each_check() {
    let tree = v2();
    let headroom = Headroom::under(tree.root());
    tree.write("sys/fs/cgroup/a/b/memory.current", &mib(50));
    assert_eq!(most(&headroom), 48);
    tree.write("sys/fs/cgroup/a/b/memory.max", &mib(60));
    assert_eq!((most(&headroom), headroom.limit()), (8, GroupLimit::Bytes(60 * MIB)));
    tree.write("sys/fs/cgroup/a/b/memory.current", &mib(61));
    assert_eq!(most(&headroom), 0, "using more than the limit");
}

#[test]
fn every_group_up_to_the_mount_counts() {
    let (two, one) = (v2(), v1());
    two.write("sys/fs/cgroup/a/memory.max", &mib(99));
    two.write("sys/fs/cgroup/a/memory.current", &mib(95));
    one.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", &mib(99));
    for tree in [two, one] {
        let headroom = Headroom::under(tree.root());
        assert_eq!((most(&headroom), headroom.limit()), (2, GroupLimit::Bytes(99 * MIB)));
    }
}

#[test]
fn no_limit_is_no_limit() {
    let (two, one) = (v2(), v1());
    two.write("sys/fs/cgroup/a/b/memory.max", "max\n");
    one.write("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    for tree in [two, one] {
        let headroom = Headroom::under(tree.root());
        assert_eq!((most(&headroom), headroom.limit()), (1000, GroupLimit::None));
    }
}

/// A group's statistics, in MiB, among other lines. Version 1 has them twice: what it has without `total_` is of the
/// group alone.
fn stat(version: Version, inactive_file: u64, active_file: u64, anon: u64) -> String {
    let (own, total) = match version {
        Version::One => ("inactive_file 1\nactive_file 1\ninactive_anon 1\nactive_anon 1\n", "total_"),
        Version::Two => ("file 9000000000\nanon 9000000000\nslab 9000000000\n", ""),
    };
    let [inactive_file, active_file, anon] = [inactive_file, active_file, anon].map(|n| n * MIB);
    format!(
        "{own}{total}inactive_anon {anon}\n{total}active_anon 0\n{total}inactive_file {inactive_file}\n\
         {total}active_file {active_file}\n{total}unevictable 9000000000\n"
    )
}

/// A machine with plenty of memory, and this number of MiB of swap.
fn swap(free: u64) -> String {
    MANY.replace("SwapFree: 0 kB", &format!("SwapFree: {} kB", free * 1024))
}

const STAT_2: &str = "sys/fs/cgroup/a/b/memory.stat";
const STAT_1: &str = "sys/fs/cgroup/memory/a/b/memory.stat";

#[test]
fn file_cache_can_be_reclaimed() {
    let (two, one) = (v2(), v1());
    two.write(STAT_2, &stat(Version::Two, 3, 2, 50));
    one.write(STAT_1, &stat(Version::One, 3, 2, 50));
    for tree in [two, one] {
        assert_eq!(most(&Headroom::under(tree.root())), 13, "and nothing is swapped where there is no swap");
    }
}

#[test]
fn a_full_group_swaps_what_it_has_and_what_fits() {
    for (anon, free, allowed) in [(50, 20, 28), (20, 50, 28), (0, 50, 8)] {
        let (two, one) = (v2(), v1());
        two.write(STAT_2, &stat(Version::Two, 0, 0, anon));
        one.write(STAT_1, &stat(Version::One, 0, 0, anon));
        for tree in [two, one] {
            tree.write("proc/meminfo", &swap(free));
            assert_eq!(most(&Headroom::under(tree.root())), allowed, "{anon} to swap, {free} of swap");
        }
    }
}

#[test]
fn version_2_limits_swap_in_every_group() {
    let tree = v2();
    tree.write(STAT_2, &stat(Version::Two, 1, 0, 50));
    tree.write("proc/meminfo", &swap(40));
    tree.write("sys/fs/cgroup/a/b/memory.swap.max", "max\n");
    tree.write("sys/fs/cgroup/a/b/memory.swap.current", &mib(1));
    tree.write("sys/fs/cgroup/a/memory.swap.max", &mib(25));
    tree.write("sys/fs/cgroup/a/memory.swap.current", &mib(5));
    assert_eq!(most(&Headroom::under(tree.root())), 10 + 1 + 20 - 2);
    tree.write("sys/fs/cgroup/a/b/memory.swap.max", "0\n");
    assert_eq!(most(&Headroom::under(tree.root())), 10 + 1 - 2);
}

#[test]
fn version_1_limits_memory_and_swap_together() {
    let tree = v1();
    tree.write(STAT_1, &stat(Version::One, 1, 0, 50));
    tree.write("proc/meminfo", &swap(40));
    let (limit, usage) = ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
    let group = "sys/fs/cgroup/memory/a/b";
    tree.write(&format!("{group}/{limit}"), &mib(120));
    tree.write(&format!("{group}/{usage}"), &mib(95));
    assert_eq!(most(&Headroom::under(tree.root())), 25 + 1 - 2, "swapping out makes no room there");
    tree.write(&format!("{group}/{limit}"), &mib(100));
    assert_eq!(most(&Headroom::under(tree.root())), 5 + 1 - 2, "below what memory alone has left");
}

#[test]
fn a_group_that_does_not_like_to_swap_does_not() {
    let (two, one) = (v2(), v1());
    two.write(STAT_2, &stat(Version::Two, 0, 0, 50));
    two.write("proc/sys/vm/swappiness", "0\n");
    one.write(STAT_1, &stat(Version::One, 0, 0, 50));
    one.write("proc/sys/vm/swappiness", "60\n"); // its own counts
    one.write("sys/fs/cgroup/memory/a/b/memory.swappiness", "0\n");
    for tree in [two, one] {
        tree.write("proc/meminfo", &swap(50));
        assert_eq!(most(&Headroom::under(tree.root())), 8);
    }
}

#[test]
fn the_machine_has_what_is_available_and_what_it_can_swap() {
    let tree = Tree::new([("proc/meminfo", "")]);
    let headroom = Headroom::under(tree.root());
    assert_eq!(headroom.limit(), GroupLimit::Unknown);
    for (available, free, anon, allowed) in [(100, 0, 50, 97), (100, 20, 50, 117), (100, 50, 20, 117)] {
        let [available, free, anon] = [available, free, anon].map(|n| n * 1024);
        tree.write(
            "proc/meminfo",
            &format!(
                "MemFree:  999999999 kB\nMemAvailable:   {available} kB\nActive(anon): 0 kB\n\
                 Inactive(anon): {anon} kB\nSwapFree: {free} kB\n"
            ),
        );
        assert_eq!(most(&headroom), allowed);
    }
}

#[test]
fn the_reserves_of_the_machine_are_not_plenty() {
    assert!(leaves_plenty(3000, 8000, 1999));
    assert!(!leaves_plenty(3000, 8000, 2000), "an eighth is kept");
    assert!(!leaves_plenty(u64::MAX, 8000, u64::MAX));
}

#[test]
fn a_mount_may_show_a_part_of_the_groups() {
    // A container that sees itself as the uppermost group, one whose mount begins at its own group, and one that has
    // a space in its name.
    let own = "30 20 0:26 / /own rw - cgroup2 none rw\n";
    let part = "30 20 0:26 /pods/one /part rw master:1 shared:2 - cgroup2 none rw\n";
    let spaced = "30 20 0:26 /pods/o\\040e /my\\134\\040groups rw - cgroup2 none rw\n";
    for (mounts, group, directory) in [
        (own, "/", "own"),
        (part, "/pods/one", "part"),
        (part, "/pods/one/inner", "part/inner"),
        (spaced, "/pods/o e/inner", "my\\ groups/inner"),
    ] {
        let tree = Tree::new([
            ("proc/self/cgroup", &*format!("0::{group}\n")),
            ("proc/self/mountinfo", mounts),
            (&format!("{directory}/memory.max"), &mib(100)),
            (&format!("{directory}/memory.current"), "0\n"),
        ]);
        assert_eq!(Headroom::under(tree.root()).limit(), GroupLimit::Bytes(100 * MIB), "{group} by {mounts}");
    }
}

#[test]
fn of_several_mounts_the_one_that_shows_most_is_used() {
    let whole = v2();
    whole.write("sys/fs/cgroup/a/memory.max", &mib(99));
    whole.write("inner/memory.max", &mib(100));
    whole.write("inner/memory.current", &mib(1));
    let part = "31 20 0:26 /a/b /inner rw - cgroup2 none rw\n";
    for mounts in [format!("{V2_MOUNT}{part}"), format!("{part}{V2_MOUNT}")] {
        whole.write("proc/self/mountinfo", &mounts);
        assert_eq!(Headroom::under(whole.root()).limit(), GroupLimit::Bytes(99 * MIB));
    }
}

#[test]
fn groups_of_others_are_not_taken_for_ones_own() {
    for (mounts, group) in [
        ("30 20 0:26 /pods/on /groups rw - cgroup2 none rw\n", "/pods/one"),
        ("30 20 0:26 / /groups rw - cgroup2 none rw\n", "/../pods"),
        ("30 20 0:26 / /groups rw - tmpfs none rw\n", "/"),
        ("30 20 0:26 / /groups rw - cgroup none rw,memory\n", "/"),
        ("30 20 0:26 / /elsewhere rw - cgroup2 none rw\n", "/"),
    ] {
        let tree = Tree::new([
            ("proc/self/cgroup", &*format!("0::{group}\n")),
            ("proc/self/mountinfo", mounts),
            ("groups/memory.max", "1\n"),
            ("groups/memory.current", "1\n"),
            ("groups/e/memory.max", "1\n"),
            ("groups/e/memory.current", "1\n"),
            ("pods/memory.max", "1\n"),
            ("pods/memory.current", "1\n"),
        ]);
        assert_eq!(Headroom::under(tree.root()).limit(), GroupLimit::Unknown, "{group} by {mounts}");
    }
}

#[test]
fn what_cannot_be_understood_is_not_checked() {
    let nothing = Headroom::under(Tree::new([]).root());
    assert_eq!((nothing.allows(u64::MAX), nothing.limit()), (true, GroupLimit::Unknown));

    for text in ["", "\n", "many\n", "-1\n", "+1\n", "1 2\n", "99999999999999999999999\n", &"1".repeat(100)] {
        for name in ["memory.max", "memory.current"] {
            let tree = v2();
            tree.write(&format!("sys/fs/cgroup/a/b/{name}"), text);
            assert!(Headroom::under(tree.root()).allows(900 * MIB), "{name} {text:?}");
        }
        let tree = v2();
        tree.write("proc/meminfo", &format!("MemAvailable: x{text}"));
        assert!(Headroom::under(tree.root()).allows(8 * MIB), "meminfo {text:?}");
        tree.write(STAT_2, &format!("inactive_file {text}active_file\n\n \n{}\n", "x".repeat(9000)));
        assert_eq!(most(&Headroom::under(tree.root())), 8, "statistics {text:?}");
        tree.write("proc/self/mountinfo", text);
        assert_eq!(Headroom::under(tree.root()).limit(), GroupLimit::Unknown, "mounts {text:?}");
        tree.write("proc/self/mountinfo", V2_MOUNT);
        tree.write("proc/self/cgroup", text);
        assert_eq!(Headroom::under(tree.root()).limit(), GroupLimit::Unknown, "groups {text:?}");
    }
}

#[test]
fn statistics_are_found_across_pieces() {
    // The wanted lines at every place about the end of a piece.
    for filler in 4040..4100 {
        let tree = v2();
        let (x, stat) = ("x".repeat(70), stat(Version::Two, 3, 2, 0));
        let mut text = format!("{x} 1\n").repeat(55); // of 73 bytes
        text.push_str(&format!("{} 1\n", "y".repeat(filler - text.len() - 3)));
        assert_eq!(text.len(), filler);
        tree.write(STAT_2, &format!("{text}{stat}"));
        let headroom = Headroom::under(tree.root());
        assert_eq!([13, 14].map(|n| headroom.allows(n * MIB)), [true, false], "after {filler} bytes");
    }
}

#[test]
fn the_real_machine_has_no_more_than_it_has() {
    let headroom = Headroom::probe();
    if headroom.meminfo.is_some() {
        assert!(!headroom.allows(u64::MAX));
    }
    let _ = (headroom.allows(0), headroom.limit()); // whatever they say
}
