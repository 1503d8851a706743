//! System calls that are refused while an arena is made.

use crate::alone::{Case, Where};
use crate::common::order;
use crate::filter::{Refuse, refused};
use crate::goods::{Belongings, Goods, MIB};
use crate::limits::errno;
use forebay_backends::shmem::{Arena, CreateError, Features, GroupLimit, HugePages, Swap};
use rustix::io::Errno;

pub(crate) const CASES: &[Case] = &[
    Case::new("a_memfd_is_refused", Where::Here, memfd),
    Case::new("advice_is_refused", Where::Here, advice),
    Case::new("sealing_is_refused", Where::Here, seals),
    Case::new("mapping_is_refused", Where::Here, mapping),
    Case::new("what_an_arena_can_do_without_is_refused", Where::Here, fallbacks),
    Case::new("populating_does_not_exist", Where::Here, before_populate),
    Case::new("all_files_are_refused", Where::Here, files),
];

const EXACTLY: Refuse = Refuse::new(libc::SYS_fcntl, Errno::PERM);

/// Under these filters there is no arena, for a reason of that kind; nothing is left behind, and without them there is
/// one.
#[track_caller]
fn fails(calls: &[Refuse], why: Errno, kind: impl Fn(&CreateError) -> bool) {
    for windows in [1, 2] {
        let before = Belongings::now();
        let made = refused(calls, || Arena::builder(1 << 30).mappings(windows).create().map(drop));
        let error = made.expect_err("what it needs was refused");
        println!("{error}");
        assert!(kind(&error), "{error:?}");
        assert_eq!(errno(&error), Some(why));
        assert!(error.to_string().contains("seccomp"), "it says what to do: {error}");
        assert_eq!(Belongings::now(), before, "what is left behind");
    }
}

/// Under these filters everything works, from the making on. What the arena knows of its surroundings.
#[track_caller]
fn works(calls: &[Refuse]) -> Goods {
    refused(calls, || {
        let goods =
            Goods::new(Arena::builder(32 * MIB as u64).mappings(2).create().expect("it can do without"));
        goods.round();
        goods.all_returned();
        let kept = goods.keep();
        goods.free_all(kept);
        goods
    })
}

/// Rule: no memfd, no arena, and the error says so.
fn memfd() {
    for why in [Errno::PERM, Errno::NOSYS, Errno::INVAL] {
        let refuse = Refuse::new(libc::SYS_memfd_create, why);
        fails(&[refuse], why, |error| matches!(error, CreateError::Memfd(_)));
    }
    let truncate = Refuse::new(libc::SYS_ftruncate, Errno::PERM);
    fails(&[truncate], Errno::PERM, |error| matches!(error, CreateError::Memfd(_)));
    Goods::usual().round();
}

/// Rule: an arena that children and core dumps could get at is none; the advice for huge pages may be missing.
fn advice() {
    let all = Refuse::new(libc::SYS_madvise, Errno::PERM);
    fails(&[all], Errno::PERM, |error| matches!(error, CreateError::Fork(_)));
    let wipe = Refuse::advice(libc::MADV_WIPEONFORK, Errno::INVAL);
    fails(&[wipe], Errno::INVAL, |error| matches!(error, CreateError::Fork(_)));
    Goods::usual().round(); // the page that is wiped on a fork is there from now on
    for refuse in [
        all,
        Refuse::advice(libc::MADV_DONTFORK, Errno::PERM),
        Refuse::advice(libc::MADV_DONTDUMP, Errno::PERM),
    ] {
        fails(&[refuse], Errno::PERM, |error| matches!(error, CreateError::Advice(_)));
    }
    for why in [Errno::PERM, Errno::INVAL] {
        works(&[Refuse::advice(libc::MADV_HUGEPAGE, why)]);
    }
}

/// Rule: without seals another process could take pages from under the mapping, so there is no arena.
fn seals() {
    let add = EXACTLY.only(1, libc::F_ADD_SEALS as u64);
    let get = EXACTLY.only(1, libc::F_GET_SEALS as u64);
    for refuse in [add, get] {
        fails(&[refuse], Errno::PERM, |error| matches!(error, CreateError::Seal(_)));
    }
    Goods::usual().round();
}

/// Rule: what was reserved for a mapping goes with it.
fn mapping() {
    let shared = Refuse::new(libc::SYS_mmap, Errno::PERM).with_bits(3, libc::MAP_SHARED as u64);
    fails(&[shared], Errno::PERM, |error| matches!(error, CreateError::Map { .. }));
    Goods::usual().round();
}

/// Rule: what only makes things better may be missing.
fn fallbacks() {
    let old = Refuse::new(libc::SYS_memfd_create, Errno::INVAL).with_bits(1, libc::MFD_NOEXEC_SEAL.into());
    let goods = works(&[old]);
    assert!(!goods.arena.host_report().features.contains(Features::NOEXEC_SEAL));

    const PAGEMAP_SCAN: u64 = 0xC060_6610;
    let scan = Refuse::new(libc::SYS_ioctl, Errno::NOTTY).only(1, PAGEMAP_SCAN);
    let goods = works(&[scan]);
    let report = goods.arena.host_report();
    assert_eq!(report.huge_pages, HugePages::Unknown);
    assert!(!report.features.contains(Features::FOLIO_SCAN));
    let blocks = goods.fill(2 * MIB, order(9));
    goods.free(blocks);
    goods.all_returned();

    for call in [
        libc::SYS_mincore,
        libc::SYS_process_madvise, // is not used
        libc::SYS_sysinfo,
        libc::SYS_prlimit64,
    ] {
        for why in [Errno::PERM, Errno::NOSYS] {
            works(&[Refuse::new(call, why)]);
        }
    }
}

/// Rule: on Linux before 5.14 memory is brought in by touching it.
fn before_populate() {
    let populate = [libc::MADV_POPULATE_READ, libc::MADV_POPULATE_WRITE];
    let goods = works(&populate.map(|advice| Refuse::advice(advice, Errno::INVAL)));
    let report = goods.arena.host_report();
    println!("{report}");
    assert!(!report.features.contains(Features::POPULATE));
    assert!(report.to_string().contains("(MADV_POPULATE_READ, MADV_POPULATE_WRITE): no;"), "{report}");
}

/// Rule: what can't be read is unknown.
fn files() {
    for why in [Errno::ACCESS, Errno::NOENT, Errno::MFILE] {
        let goods = works(&[Refuse::new(libc::SYS_openat, why)]);
        let report = goods.arena.host_report();
        println!("{report}\n");
        assert_eq!((report.swap, report.group_limit), (Swap::Unknown, GroupLimit::Unknown));
        assert_eq!(report.huge_pages, HugePages::Unknown);
    }
}
