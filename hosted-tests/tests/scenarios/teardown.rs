//! Shrinkers against those who take, give, fill and drop (family j). That nothing is dropped under a shrinker the borrows
//! prove: see `tests/ui/drop_a_pool_under_a_shrinker.rs`.

use crate::card::*;
use crate::rig::*;
use hosted_tests::kit::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const ROUNDS: usize = 12;
const STEPS: usize = 150;

/// What was restored, if nothing failed.
fn ended(restored: Restored) -> Result<Restored, AccessError> {
    restored.why.map_or(Ok(restored), Err)
}

/// Something may be busy, or held by others; nothing else may go wrong.
fn allowed<T>(outcome: Result<T, AccessError>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(AccessError::Busy | AccessError::Alloc(AllocError::Exhausted)) => None,
        Err(why) => panic!("{why:?}"),
    }
}

/// Takes and gives blocks, and fills, evicts and drops buffers of its own.
fn come_and_go(rig: &Rig<'_>, me: usize) -> usize {
    let mut done = 0;
    for n in 0..STEPS {
        let (mode, k) = (MODES[(n + me) % 3], (n % 4) as u8);
        if let Ok(mut block) = rig.pool().take(AllocRequest::new(order(k)), mode, CX) {
            let mut bytes = vec![0xA5; block.bytes()];
            block.read_at(0, &mut bytes);
            assert!(bytes.iter().all(|byte| *byte == 0), "not zeroed, or in two hands");
            block.write_at(0, &pattern(me as u8, bytes.len()));
            thread::yield_now();
            block.read_at(0, &mut bytes);
            assert!(bytes == pattern(me as u8, bytes.len()), "in two hands");
            assert!(rig.pool().put(block, CX).is_ok());
            done += 1;
        }
        let mut slots = slots(1 + n % 11);
        let mut buffer = rig.buffer(&mut slots[..]).with_mode(mode);
        if allowed(ended(buffer.populate(ALL, CX))).is_none() {
            continue;
        }
        let Some(mut guard) = allowed(buffer.write()) else { continue };
        let bytes = pattern(n as u8, guard.bytes());
        guard.write_at(0, &bytes);
        drop(guard);
        buffer.evict_mut(pages(n % 9), METHODS[n % 6], CX);
        if let Some(guard) = allowed(buffer.read()) {
            let mut there = vec![0; bytes.len()];
            guard.read_at(0, &mut there);
            assert!(there == bytes, "other bytes than were written");
            done += 1;
        }
    }
    done
}

/// Rule: one may trim, reclaim and settle all the time, while others take, give, fill, evict and drop; then the buffers are
/// dropped while the pool is trimmed still, and at last everything. Nothing is lost, nothing leaks, and all of it ends.
#[test]
fn family_j_shrinkers_against_teardown() {
    let ground = Ground::new(96);
    let (trimmed, moved, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..ROUNDS {
        let world = World::new(Contents::Ignored);
        let rig = &Rig::new(&ground, &world);
        let (no_buffers, no_pool) = (&AtomicBool::new(false), &AtomicBool::new(false));
        let (trimmed, moved, done) = (&trimmed, &moved, &done);
        thread::scope(|outer| {
            outer.spawn(move || {
                for n in 0.. {
                    let went =
                        rig.pool().trim(Zones::ALL, pages(1 + n % 20), [CX, Context::INTERRUPT][n % 2]);
                    trimmed.fetch_add(went.get(), Ordering::Relaxed);
                    rig.home().settle(pages(n % 5), CX);
                    if no_pool.load(Ordering::Relaxed) {
                        break;
                    }
                    thread::yield_now();
                }
            });
            let (mut first, mut second) = (slots(8), slots(5));
            let shared = [
                rig.buffer(&mut first[..]).with_mode(WC),
                rig.buffer(&mut second[..]).with_zones(Zones::of(LOW)).with_mode(UC),
            ];
            thread::scope(|inner| {
                let shared = &shared;
                inner.spawn(move || {
                    for n in round.. {
                        let cx = [CX, Context::INTERRUPT, Context::NO_IO][n % 3];
                        let report = rig.home().reclaim(shared, pages(1 + n % 9), METHODS[n % 6], cx);
                        moved.fetch_add(report.evicted.moved().get(), Ordering::Relaxed);
                        if no_buffers.load(Ordering::Relaxed) {
                            break;
                        }
                        thread::yield_now();
                    }
                });
                let all: Vec<_> = (0..2)
                    .map(|me| {
                        inner.spawn(move || {
                            for buffer in shared {
                                allowed(ended(buffer.populate(ALL, CX)));
                                let _ = buffer.purge(CX);
                                allowed(buffer.write().map(drop));
                            }
                            done.fetch_add(come_and_go(rig, me), Ordering::Relaxed);
                        })
                    })
                    .collect();
                let all: Vec<_> = all.into_iter().map(|one| one.join()).collect();
                no_buffers.store(true, Ordering::Relaxed);
                no_pool.store(all.iter().any(Result::is_err), Ordering::Relaxed);
                all.into_iter().for_each(|one| one.unwrap());
            });
            drop(shared); // while the pool is trimmed still
            no_pool.store(true, Ordering::Relaxed);
        });
        rig.clear();
    }
    let [trimmed, moved, done] = [trimmed, moved, done].map(AtomicUsize::into_inner);
    println!("{trimmed} pages trimmed, {moved} moved, {done} done");
    assert!(trimmed > 0 && moved > 0 && done > ROUNDS * STEPS);
}
