//! After the end of a process whose memfd another one holds.

use crate::alone::{Case, Where};
use crate::common::{ALL, CX, order};
use crate::goods::{MIB, PAGE, compare, write};
use crate::raw::{in_fork, memfd, window};
use forebay::{BackingStore, Handle, OwnedBlock};
use forebay_backends::shmem::{Arena, OsLock};
use rustix::process::{Signal, getpid, kill_process};
use std::os::fd::OwnedFd;

pub(crate) const CASES: &[Case] = &[Case::new("what_a_killed_process_wrote_is_adopted", Where::Here, killed)];

const BYTES: usize = 8 * MIB;
/// Pages of a unit.
const UNIT: usize = 8;
const UNITS: usize = BYTES / PAGE / UNIT;

fn adopted(memfd: &OwnedFd) -> (Arena, Vec<Handle>) {
    let mapped = window(memfd, BYTES);
    let (arena, handles) = Arena::builder(BYTES as u64)
        .adopt::<PAGE, OsLock>(mapped, order(3))
        .expect("it is a memfd of that size");
    assert_eq!(handles.len(), UNITS);
    (arena, handles)
}

/// Rule: contents survive SIGKILL, whether they were resident, pending, or unmapped at that moment: byte for byte, unit by unit. It may
/// happen again and again.
fn killed() {
    let mut memfd = memfd(BYTES as u64);
    for round in 1..=3 {
        let (kept, ended) = in_fork(memfd, |memfd| {
            let (arena, handles) = adopted(&memfd);
            for (n, handle) in handles.into_iter().enumerate().skip(1) {
                let mut block = arena.take_back(handle, CX).expect("it is stored");
                if round > 1 {
                    compare(&block, (round - 1) * n * UNIT);
                }
                write(&mut block, round * n * UNIT);
                match n % 3 {
                    0 => {} // it is resident when the end comes
                    1 => drop(arena.transfer(block, None)),
                    _ => {
                        drop(arena.transfer(block, None));
                        arena.settle(ALL, CX, &mut |_| ());
                    }
                }
            }
            let _ = kill_process(getpid(), Signal::KILL);
        });
        assert_eq!(ended, 128 + Signal::KILL.as_raw(), "how the child ended");
        memfd = kept;
        let (arena, handles) = adopted(&memfd);
        let mut blocks: Vec<_> =
            handles.into_iter().map(|handle| arena.take_back(handle, CX).expect("it is stored")).collect();
        for (n, block) in blocks.iter().enumerate().skip(1) {
            assert_eq!(arena.offset(block), Some((n * UNIT * PAGE) as u64));
            compare(block, round * n * UNIT);
        }
        let mut first = vec![1; UNIT * PAGE];
        blocks[0].read_at(0, &mut first);
        assert!(first.iter().all(|byte| *byte == 0), "a unit that was never written");
        blocks.drain(..).for_each(|block| {
            drop(arena.transfer(block, None)); // else dropping the arena would find blocks without an owner
        });
    }
}
