//! Each duty of a platform, left out: then other bytes are seen than were written. So the oracle would find the missing
//! call, and each of them is needed.

use super::*;

/// What was written, and what was seen.
type Seen = (Vec<u8>, Vec<u8>);

/// What a test does with a forebay, and the duties that it needs.
type Case = (fn(&Rig, &Pooled<'_>) -> Seen, &'static [Forget]);

const CASES: [Case; 9] = [
    (a_device_reads_what_is_fresh, &[Forget::CleanAtMap]),
    (the_cpu_writes_and_it_is_evicted, &[Forget::CleanAtUnmap]),
    (a_device_writes_and_it_is_evicted, &[Forget::InvalidateAtUnmap, Forget::CleanForDevice]),
    (a_device_reads_what_the_cpu_wrote, &[Forget::CleanForDevice]),
    (the_cpu_reads_what_a_device_wrote, &[Forget::InvalidateForCpu]),
    (the_cpu_wrote_beside_what_a_device_wrote, &[Forget::CleanEdges]),
    (the_cpu_reads_what_is_fresh_and_not_cached, &[Forget::CleanAtMode]),
    (the_cpu_writes_uncached_and_it_is_copied, &[Forget::InvalidateAtMode]),
    (an_engine_writes_out_what_no_device_saw, &[Forget::CleanInEngine]),
];

/// Rule: with every duty done, what was written is seen. With one left out, something else is, where it is needed and
/// nowhere else. So a failure tells which one it was.
#[test]
fn each_duty_that_is_left_out_shows() {
    for (n, (case, needs)) in CASES.into_iter().enumerate() {
        let shows = |forgotten| {
            let rig = Rig::new(Adversary::Idle);
            rig.machine.forget(forgotten);
            let (written, seen) = rig.run(|home| case(&rig, home));
            written != seen
        };
        assert!(!shows(Forget::Nothing), "case {n}");
        let missed: Vec<_> = Forget::ALL.into_iter().filter(|duty| shows(*duty)).collect();
        assert_eq!(missed.len(), needs.len(), "case {n} misses {missed:?}");
        assert!(needs.iter().all(|duty| missed.contains(duty)), "case {n} misses {missed:?}");
    }
    let all = Forget::ALL.into_iter().all(|duty| CASES.iter().any(|(_, needs)| needs.contains(&duty)));
    assert!(all, "each duty has a case that needs it");
}

/// Rule: an invalidate that comes too early is as bad as none where a CPU fetches on its own. Where it does not, it goes
/// unnoticed: that is what the adversary is for.
#[test]
fn an_invalidate_that_comes_too_early_shows() {
    let early = |adversary| {
        let rig = Rig::new(adversary);
        rig.run(|home| {
            let mut arrays = arrays();
            let buffer = shared(home, &mut arrays);
            let device = rig.machine.device();
            fill(&buffer, 1);
            let guard = buffer.write().unwrap();
            guard.sync_for_device(0..BYTES);
            guard.sync_for_cpu(0..BYTES);
            device.scatter(&guard.segments().collect::<Vec<_>>(), 0, &pattern(2, BYTES));
            let mut seen = vec![0; BYTES];
            guard.read_at(0, &mut seen);
            seen == pattern(2, BYTES)
        })
    };
    assert!(early(Adversary::Idle));
    assert!((0..4).all(|seed| !early(Adversary::of(seed))));
}

fn a_device_reads_what_is_fresh(rig: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays);
    (vec![0; BYTES], seen_by(&rig.machine.device(), &buffer))
}

fn the_cpu_writes_and_it_is_evicted(_: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), pages(8));
    (pattern(1, BYTES), contents(&buffer))
}

fn a_device_writes_and_it_is_evicted(rig: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays);
    fill(&buffer, 1);
    overwrite(&rig.machine.device(), &buffer, 2);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), pages(8));
    (pattern(2, BYTES), contents(&buffer))
}

fn a_device_reads_what_the_cpu_wrote(rig: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays);
    fill(&buffer, 1);
    assert_eq!(buffer.read().unwrap().sync_for_device(0..BYTES), BYTES);
    (pattern(1, BYTES), seen_by(&rig.machine.device(), &buffer))
}

fn the_cpu_reads_what_a_device_wrote(rig: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays);
    fill(&buffer, 1);
    overwrite(&rig.machine.device(), &buffer, 2);
    assert_eq!(buffer.read().unwrap().sync_for_cpu(0..BYTES), BYTES);
    (pattern(2, BYTES), contents(&buffer))
}

fn the_cpu_wrote_beside_what_a_device_wrote(_: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays);
    let mut guard = buffer.write().unwrap();
    assert_eq!(guard.write_at(LINE, &[7; 10]), 10);
    assert_eq!(guard.sync_for_cpu(LINE + 10..BYTES), BYTES - LINE - 10);
    let mut seen = vec![0; 10];
    assert_eq!(guard.read_at(LINE, &mut seen), 10);
    (vec![7; 10], seen)
}

fn the_cpu_reads_what_is_fresh_and_not_cached(_: &Rig, home: &Pooled<'_>) -> Seen {
    let mut arrays = arrays();
    let buffer = shared(home, &mut arrays).with_mode(Caching::WriteCombined);
    (vec![0; BYTES], contents(&buffer))
}

fn the_cpu_writes_uncached_and_it_is_copied(_: &Rig, home: &Pooled<'_>) -> Seen {
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(Caching::Uncached);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().moved(), pages(8));
    (pattern(1, BYTES), contents(&buffer))
}

fn an_engine_writes_out_what_no_device_saw(rig: &Rig, home: &Pooled<'_>) -> Seen {
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(8));
    rig.write_out(home, By::Engine);
    assert_eq!(buffer.residency(), residency(0, 0, 8));
    (pattern(1, BYTES), contents(&buffer))
}
