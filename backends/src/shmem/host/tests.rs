use super::super::fake::Tree;
use super::*;
use std::string::ToString;
use std::vec::Vec;

const SETTING: &str = "sys/kernel/mm/transparent_hugepage/shmem_enabled";
const SETTING_2M: &str = "sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled";
const SWAPS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

/// As the kernel shows it: all words, the chosen one in brackets.
fn choice(word: &str) -> String {
    let words = "always inherit within_size advise never deny force";
    let shown = words.split(' ').map(|w| if w == word { format!("[{w}]") } else { w.to_string() });
    shown.collect::<Vec<_>>().join(" ") + "\n"
}

fn usual(general: &str, size: &str) -> Tree {
    Tree::new([
        ("sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n"),
        (SETTING, &choice(general)),
        (SETTING_2M, &choice(size)),
        ("proc/swaps", SWAPS),
    ])
}

fn around(tree: &Tree, huge_pages: HugePages) -> HostReport {
    HostReport::under(tree.root(), GroupLimit::None, Features::all(), huge_pages)
}

#[test]
fn swaps_without_their_heading_are_something_else() {
    for text in ["", "something else\n"] {
        let tree = Tree::new([("proc/swaps", text)]);
        assert_eq!(around(&tree, HugePages::Unknown).swap, Swap::Unknown);
    }
}

/// The line about it.
fn line(surroundings: &HostReport, item: &str) -> String {
    let text = surroundings.to_string();
    let mut lines = text.lines().filter(|line| line.starts_with(item));
    let line = lines.next().expect("every item has a line").to_string();
    assert_eq!(lines.next(), None, "and one only");
    line
}

#[test]
fn the_setting_for_a_size_holds_unless_it_is_overruled() {
    use HugePageSetting::*;
    for (general, size, holds) in [
        ("never", "inherit", Never),
        ("advise", "inherit", Advise),
        ("advise", "", Advise),
        ("always", "never", Never),
        ("never", "advise", Advise),
        ("never", "within_size", WithinSize),
        ("deny", "always", Deny),
        ("force", "inherit", Force),
        ("force", "always", Never),
        ("", "always", Always),
        ("", "", Unknown),
    ] {
        let around = around(&usual(general, size), HugePages::Unknown);
        assert_eq!(around.huge_page_setting(), holds, "{general:?}, for the size {size:?}");
    }
}

#[test]
fn the_remedy_is_the_setting_that_stands_in_the_way() {
    for (general, size, file, word) in [
        ("never", "inherit", SETTING, "advise"),
        ("never", "", SETTING, "advise"),
        ("deny", "never", SETTING, "advise"),
        ("never", "never", SETTING_2M, "advise"),
        ("always", "never", SETTING_2M, "advise"),
        ("force", "never", SETTING_2M, "inherit"),
    ] {
        let around = around(&usual(general, size), HugePages::NotGranted);
        let line = line(&around, "huge pages");
        assert!(line.contains(&format!("may set /{file} to {word}:")), "{general}, {size}: {line}");
        assert!(line.contains(&format!("shmem_enabled is {general}")), "{line}");
    }
}

#[test]
fn what_was_granted_is_not_what_was_set() {
    let tree = usual("advise", "inherit");
    let line = |huge_pages| line(&around(&tree, huge_pages), "huge pages");
    assert_eq!(line(HugePages::Granted), "huge pages: granted, of 2 MiB");
    assert!(
        line(HugePages::NotGranted).starts_with("huge pages: not granted, although the setting is advise:")
    );
    assert!(line(HugePages::Unknown).ends_with("not known to be granted"));
}

#[test]
fn one_swap_file_among_devices_counts_as_a_file() {
    const MIB: u64 = 1 << 20;
    let zram = "/dev/zram0                              partition\t2048\t\t1024\t\t100\n";
    let file = "/my\\040swap                              file\t\t4096\t\t0\t\t-2\n";
    for (areas, swap, says) in [
        ("", Swap::None, "swap: none; stored pages stay in RAM, owned by the store"),
        (zram, Swap::Device { total: 2 * MIB, free: MIB }, "swap: block devices, 1 MiB free of 2 MiB"),
        (file, Swap::File { total: 4 * MIB, free: 4 * MIB }, "swap: a file, 4 MiB free of 4 MiB"),
        (
            &format!("{zram}{file}"),
            Swap::File { total: 6 * MIB, free: 5 * MIB },
            "swap: a file, 5 MiB free of",
        ),
        ("/dev/sda partition many 0 0\n", Swap::Unknown, "swap: unknown"),
        ("/dev/sda partition\n", Swap::Unknown, "swap: unknown"),
    ] {
        let tree = Tree::new([("proc/swaps", &*format!("{SWAPS}{areas}"))]);
        let around = around(&tree, HugePages::Unknown);
        assert_eq!(around.swap, swap, "{areas}");
        assert!(line(&around, "swap").starts_with(says), "{around}");
    }
}

#[test]
fn nothing_to_read_is_unknown_and_has_its_lines() {
    let around = around(&Tree::new([]), HugePages::Unknown);
    assert_eq!(around.huge_page_size, None);
    assert_eq!(around.shmem_enabled, HugePageSetting::Unknown);
    assert_eq!(around.shmem_enabled_for_size, HugePageSetting::Unknown);
    assert_eq!(around.swap, Swap::Unknown);
    assert!(line(&around, "huge pages").contains("none that can be seen"));
    assert_eq!(around.to_string().lines().count(), 8);
}

#[test]
fn a_line_for_each_item_and_what_a_lack_costs() {
    let tree = usual("never", "inherit");
    let around =
        HostReport::under(tree.root(), GroupLimit::Unknown, Features::empty(), HugePages::NotGranted);
    let around = HostReport { page_size: 4096, lockable: Some(8192), ..around };
    let text = around.to_string();
    let items = [
        "page size: 4 KiB",
        "huge pages: ",
        "swap: ",
        "lockable memory: 8 KiB; a pinned arena needs as much as it uses",
    ];
    assert!(text.lines().zip(items).all(|(line, item)| line.starts_with(item)), "{text}");
    assert!(line(&around, "memory limit").contains("unknown;"));
    for (item, since) in [("populating", "5.14"), ("looking for huge pages", "6.7"), ("sealing", "6.3")] {
        let line = line(&around, item);
        assert!(line.contains(": no; without it") && line.contains(since), "{line}");
    }
    let all = HostReport { features: Features::all(), group_limit: GroupLimit::Bytes(3 << 29), ..around };
    assert!(line(&all, "sealing").ends_with(": yes"));
    assert!(line(&all, "memory limit").ends_with(": 1.5 GiB"));
}

#[test]
fn bytes_are_rounded_down() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (2047, "1.9 KiB"),
        (5 << 19, "2.5 MiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}

#[test]
fn the_real_machine_has_pages() {
    let around = HostReport::probe(&Headroom::probe(), Features::empty(), HugePages::Unknown);
    assert_eq!(around.page_size, rustix::param::page_size());
    assert!(around.page_size.is_power_of_two());
    assert!(around.huge_page_size.is_none_or(|size| size > around.page_size));
    assert_eq!(around.to_string().lines().count(), 8);
}
