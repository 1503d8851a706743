//! Limits of a process: addresses, descriptors, the size of files.

use crate::alone::{Case, Where};
use crate::goods::{Belongings, Goods, MIB};
use forebay_backends::shmem::{Arena, CreateError};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::fs;
use std::io;

pub(crate) const CASES: &[Case] = &[
    Case::new("too_few_addresses_are_an_error", Where::Here, addresses),
    Case::new("too_few_descriptors_are_an_error_or_leave_something_unknown", Where::Here, descriptors),
    Case::new("files_that_may_not_be_so_long_are_an_error_and_no_signal", Where::Here, file_size),
];

fn limit(what: Resource, to: u64) {
    let maximum = getrlimit(what).maximum;
    setrlimit(what, Rlimit { current: Some(to), maximum }).expect("a soft limit below the hard one");
}

/// The number of the system's error behind another.
pub(crate) fn errno(error: &CreateError) -> Option<Errno> {
    let io: &io::Error = error.source()?.downcast_ref()?;
    io.raw_os_error().map(Errno::from_raw_os_error)
}

/// Rule: an arena that has no room among the addresses is an error that says what to do, leaves nothing behind, and a
/// smaller one works.
fn addresses() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let used: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    limit(Resource::As, used * 1024 + 128 * MIB as u64);
    let before = Belongings::now();
    let error = Arena::builder(1 << 30).create().expect_err("it does not fit");
    println!("{error}");
    assert!(matches!(error, CreateError::Map { bytes, .. } if bytes == 1 << 30), "{error:?}");
    assert_eq!(errno(&error), Some(Errno::NOMEM));
    assert!(error.to_string().contains("(ulimit -v), make the arena smaller"), "{error}");
    let error = Arena::builder(48 * MIB as u64).mappings(3).create().expect_err("three do not fit");
    assert!(matches!(error, CreateError::Map { .. }), "{error:?}");
    assert_eq!(Belongings::now(), before, "what is left behind");
    let goods = Goods::usual();
    goods.round();
    goods.all_returned();
}

/// Rule: one descriptor is enough. With too few for the rest the arena knows less of its surroundings, and does all the
/// same.
fn descriptors() {
    let before = Belongings::now();
    for most in 3..=16 {
        limit(Resource::Nofile, most);
        let made = Arena::builder(32 * MIB as u64).create();
        limit(Resource::Nofile, 64); // to look
        match made {
            Err(error) => {
                println!("{most} descriptors: {error}");
                assert_eq!(most, 3, "one is enough");
                assert!(matches!(error, CreateError::Memfd(_)), "{error:?}");
                assert_eq!(errno(&error), Some(Errno::MFILE));
                assert!(error.to_string().contains("ulimit -n"), "{error}");
            }
            Ok(arena) => {
                let report = arena.host_report();
                println!("{most} descriptors: {:?}, {:?}", report.group_limit, report.features);
                let goods = Goods::new(arena);
                limit(Resource::Nofile, most);
                let blocks = goods.fill(4 * MIB, crate::common::order(3));
                let handles = goods.transfer_all(blocks);
                assert_eq!(goods.settle().error, None);
                let blocks = goods.take_back(handles);
                goods.check(&blocks);
                goods.free(blocks);
                goods.all_returned();
                limit(Resource::Nofile, 64);
            }
        }
        assert_eq!(Belongings::now(), before, "what is left behind with {most} descriptors");
    }
}

/// Rule: a limit on the size of files is an error that names it, not the signal that Linux has for it.
fn file_size() {
    limit(Resource::Fsize, 8 * MIB as u64);
    let before = Belongings::now();
    let error = Arena::builder(1 << 30).create().expect_err("it may not be so long");
    println!("{error}");
    assert!(matches!(error, CreateError::Memfd(_)), "{error:?}");
    assert_eq!(errno(&error), Some(Errno::FBIG));
    assert!(error.to_string().contains("ulimit -f"), "{error}");
    assert_eq!(Belongings::now(), before, "what is left behind");
    let goods = Goods::new(Arena::builder(8 * MIB as u64).create().expect("as long as files may be"));
    goods.round();
    goods.all_returned();
}
