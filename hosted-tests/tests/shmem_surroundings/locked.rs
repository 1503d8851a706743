//! Programs that lock their memory.

use crate::alone::{Case, Where};
use crate::common::{CX, pages};
use crate::goods::{Goods, MIB};
use forebay::{Buffer, Evict, Forebay, Order, StoreError};
use forebay_backends::shmem::Arena;
use hosted_tests::kit::{check, fill};

pub(crate) const CASES: &[Case] = &[
    Case::new("an_arena_of_a_program_that_locks_everything_takes_no_memory", Where::Here, at_birth),
    Case::new("a_window_that_is_locked_later_keeps_to_its_limit", Where::Here, later),
    Case::new("what_limits_locked_memory_is_named", Where::AsUser, limited),
];

/// Whether everything of this process, now or from now on, could be locked.
fn lock(what: libc::c_int) -> bool {
    // SAFETY: a system call that changes no memory.
    let locked = unsafe { libc::mlockall(what) } == 0;
    if !locked {
        println!("left out: {}", std::io::Error::last_os_error());
    }
    locked
}

/// Rule: an arena takes no memory before blocks are allocated, and less than its limit after that.
fn at_birth() {
    if !lock(libc::MCL_CURRENT | libc::MCL_FUTURE) {
        return;
    }
    let arena = Arena::builder(256 * MIB as u64).limit(pages(2048)).mappings(2).create().expect("an arena");
    assert!(arena.memory_bytes().expect("it is counted") <= 8 * MIB as u64, "{:?}", arena.memory_bytes());
    let goods = Goods::new(Arena::builder(32 * MIB as u64).mappings(2).create().expect("an arena"));
    goods.round();
    goods.all_returned();
}

/// Rule: a limit on what is resident is kept, and all buffers are reachable, whatever the program locked.
fn later() {
    let arena = Arena::builder(16 * MIB as u64).limit(pages(1024)).create().expect("an arena");
    if lock(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) {
        assert_eq!(keeps_to_its_limit(&arena), None, "what is locked can be unmapped");
    }
}

/// Buffers of three times the limit of 4 MiB are all reachable, each with its bytes. Returns what a last settle failed with.
pub(crate) fn keeps_to_its_limit(arena: &Arena) -> Option<StoreError> {
    let home = Forebay::new(arena, arena);
    let units = [const { Order::new(9).expect("2 MiB") }; 6].map(|order| Buffer::new(&home, order));
    for round in 0..3 {
        for (unit, seed) in units.iter().zip(round..) {
            let guard = || unit.write().map(drop);
            assert_eq!(home.or_reclaim(&units, pages(512), Evict::TRANSFER, CX, guard), Ok(()));
            if round > 0 {
                check(unit, seed - 1);
            }
            fill(unit, seed);
            assert!(arena.usage().resident <= pages(1024));
        }
    }
    home.settle(pages(0), CX).error
}

/// Rule: the error names the limit that it was.
fn limited() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if rustix::process::geteuid().is_root() {
        println!("left out: nothing limits what root locks");
        return;
    }
    let most = getrlimit(Resource::Memlock).maximum;
    setrlimit(Resource::Memlock, Rlimit { current: Some(8 * MIB as u64), maximum: most })
        .expect("a lower limit");
    if !lock(libc::MCL_FUTURE) {
        return;
    }
    let made = Arena::builder(1 << 30).create().map(drop);
    // SAFETY: a system call that changes no memory. Until now the test could not allocate much.
    unsafe { libc::munlockall() };
    let error = made.expect_err("it may not lock so much");
    assert!(error.to_string().contains("ulimit -l"), "{error}");
}
