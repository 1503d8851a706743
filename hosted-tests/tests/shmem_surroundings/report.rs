//! What the report says: no swap, locking, huge pages.

use crate::alone::{Case, Where};
use crate::common::{CX, NONE, order, pages};
use crate::goods::{Goods, MIB, PAGE};
use crate::setting::SHMEM_ENABLED;
use forebay::{AllocError, AllocRequest, FrameSource};
use forebay_backends::shmem::{Arena, CreateError, Features, HugePageSetting, HugePages, Swap};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

pub(crate) const CASES: &[Case] = &[
    Case::new("without_swap_data_stays_and_counts", Where::Here, without_swap),
    Case::new("without_the_right_to_lock_everything_works", Where::AsUser, without_locking),
    Case::new("with_little_right_to_lock_everything_works", Where::AsUser, with_little_locking),
    Case::new("without_huge_pages_the_report_names_the_setting", Where::HugePages("never"), small),
    Case::new("huge_pages_are_granted_and_counted", Where::HugePages("advise"), huge),
    Case::new("small_chunks_take_no_huge_pages", Where::HugePages("advise"), small_chunks),
    Case::new("small_chunks_take_no_huge_pages_of_those_for_all", Where::HugePages("always"), small_chunks),
];

/// Rule: without swap, what is transferred counts as reclaimable, and stays in RAM.
fn without_swap() {
    let goods = Goods::usual();
    let report = goods.arena.host_report();
    println!("{report}");
    if report.swap != Swap::None {
        println!("left out: there is swap");
        return;
    }
    assert!(report.to_string().contains("swap: none; stored pages stay in RAM"), "{report}");
    let kept = goods.keep();
    let usage = goods.arena.usage();
    assert_eq!((usage.reclaimable, usage.pending), (pages(4 * MIB / PAGE), NONE));
    assert_eq!(goods.arena.memory_bytes().unwrap(), 6 * MIB as u64, "it stays, all of it");
    goods.free_all(kept);
}

fn without_locking() {
    may_lock(0, "lockable memory: 0 bytes; a pinned arena needs as much as it uses");
    let refused = Arena::builder(32 * MIB as u64).pinned().create().map(|arena| arena.is_pinned());
    if !rustix::process::geteuid().is_root() {
        let why = refused.expect_err("it may lock nothing");
        assert!(matches!(why, CreateError::Lock(_)), "{why:?}");
        assert!(why.to_string().contains("ulimit -l"), "{why}");
    }
}

fn with_little_locking() {
    if !may_lock(8 * MIB as u64, "lockable memory: 8 MiB; a pinned arena needs as much as it uses") {
        return;
    }
    pinned_within(8 * MIB);
}

/// Rule: a pinned arena uses what the process may lock, not its address space; beyond it the answer is `NoHeadroom`, which ends when
/// a chunk that is locked already is free.
fn pinned_within(most: usize) {
    let goods = Goods::new(Arena::builder(32 * MIB as u64).pinned().create().expect("it may lock a chunk"));
    if rustix::process::geteuid().is_root() {
        println!("left out: root may lock all");
        return;
    }
    let blocks = goods.fill(most, order(9));
    let request = AllocRequest::new(order(9));
    assert_eq!(goods.arena.allocate(request, CX).err(), Some(AllocError::NoHeadroom));
    let handles = goods.transfer_all(blocks);
    assert_eq!(goods.settle().error, None);
    assert_eq!(
        goods.arena.allocate(request, CX).err(),
        Some(AllocError::NoHeadroom),
        "stored pages keep their place"
    );
    let blocks = goods.take_back(handles);
    goods.check(&blocks);
    goods.free(blocks);
    goods.all_returned();
}

/// Rule: nothing is locked unless asked, so an arena needs no right to; the report says how much there is. Returns whether the process may
/// have that limit.
fn may_lock(bytes: u64, said: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        assert!(File::options().write(true).open(SHMEM_ENABLED).is_err());
    }
    let most = getrlimit(Resource::Memlock).maximum;
    if most.is_some_and(|most| most < bytes) {
        println!("left out: {bytes} bytes are more than the {most:?} that may be asked for");
        return false;
    }
    setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), maximum: most }).expect("a lower limit");
    let goods = Goods::usual();
    let report = goods.arena.host_report();
    println!("{report}");
    assert_eq!(report.lockable, Some(bytes));
    assert!(report.to_string().contains(said), "{report}");
    goods.round();
    goods.all_returned();
    true
}

/// Rule: what is missing is named, with the file that an administrator may set.
fn small() {
    let goods = Goods::usual();
    let report = goods.arena.host_report();
    println!("{report}");
    if report.huge_page_setting() != HugePageSetting::Never {
        println!("left out: the setting for the size of a huge page is {}", report.shmem_enabled_for_size);
        return;
    }
    let text = report.to_string();
    assert!(text.contains("(shmem_enabled is never)"), "{text}");
    assert!(text.contains("may set /sys/kernel/mm/transparent_hugepage/shmem_enabled to advise"), "{text}");
    if report.features.contains(Features::FOLIO_SCAN) {
        assert_eq!(report.huge_pages, HugePages::NotGranted);
        let block = goods.fill(4 * MIB, order(9));
        let usage = goods.arena.usage();
        assert_eq!((usage.huge_chunks, usage.small_chunks), (0, 2));
        goods.free(block);
    }
    goods.round();
    goods.all_returned();
}

/// Rule: huge pages are used where they may be, counted while they have memory, and change no byte.
fn huge() {
    let goods = Goods::usual();
    let report = goods.arena.host_report();
    println!("{report}");
    if report.huge_page_setting() != HugePageSetting::Advise
        || !report.features.contains(Features::FOLIO_SCAN)
    {
        println!("left out: the setting is {}, or the kernel does not tell", report.huge_page_setting());
        return;
    }
    assert_eq!(report.huge_pages, HugePages::Granted);
    let huge = || (goods.arena.usage().huge_chunks, goods.arena.usage().small_chunks);
    let kept = goods.keep(); // 6 MiB
    assert_eq!(huge(), (3, 0));
    goods.intact(&kept);
    goods.free_all(kept);
    assert_eq!(huge(), (0, 0), "no chunk has memory");
    goods.round();
    goods.all_returned();
}

/// Rule: what was asked for is taken, and no huge page around it, for which no head-room was looked for, and which would
/// not go with its chunks.
fn small_chunks() {
    for chunk in [PAGE, 64 << 10, MIB] {
        let goods = Goods::new(Arena::builder(32 * MIB as u64).chunk(chunk).mappings(2).create().unwrap());
        let block = goods.fill(PAGE, order(0));
        assert_eq!(goods.arena.memory_bytes().unwrap(), chunk as u64);
        goods.free(block);
        goods.all_returned();
        let kept = goods.keep();
        assert_eq!(goods.arena.memory_bytes().unwrap(), 6 * MIB as u64);
        assert_eq!(goods.arena.usage().huge_chunks, 0);
        goods.free_all(kept);
        goods.round();
        goods.all_returned();
    }
}
