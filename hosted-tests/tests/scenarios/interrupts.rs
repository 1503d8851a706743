//! Restores that are interrupted at every page (family c).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use hosted_tests::kit::*;

const N: usize = 8;

/// What a buffer goes through, while another one looks on.
#[derive(Clone, Copy, Debug)]
struct Life {
    how: Evict,
    /// The order of its blocks.
    m: u8,
    settled: Pages,
}

/// Whatever happens to the one buffer, the other one is unchanged, and can be evicted and restored.
fn there_and_back(rig: &Rig<'_>, life: Life) -> Tried {
    let mut slots = slots(3);
    let other = rig.buffer(&mut slots[..]).with_zones(Zones::of(LOW)).with_mode(UC);
    write(&other, 0xC0)?;
    same(other.evict(pages(2), Evict::COPY, CX)?.copied, pages(2))?;
    let outcome = twice(rig, life);
    if matches!(outcome, Ok(()) | Err(Failure::Stopped)) {
        assert_eq!(other.residency()?.stored, pages(2));
        compare(&other, 0xC0)?;
    }
    outcome
}

/// Twice, as it is the second time that state of the first would be in the way (B1).
fn twice(rig: &Rig<'_>, Life { how, m, settled }: Life) -> Tried {
    let mut slots = slots(N);
    let buffer = rig.buffer(&mut slots[..]).with_zones(Zones::of(ORDINARY)).with_mode(WC);
    rig.card().refuse_above(order(m));
    let written = write(&buffer, 0xC);
    rig.card().refuse_above(LARGEST);
    written?;
    let known = Known(&buffer, bytes(0xC, N * PAGE));
    for _ in 0..2 {
        same(known.evict(rig, ALL, how)?.moved(), pages(N))?;
        rig.home().settle(settled, CX);
        let restored = known.restore(rig, ALL)?;
        let there = buffer.residency()?;
        assert_eq!(there.resident + there.stored, pages(N), "each page is somewhere, once");
        same((restored.total(), restored.why, there.resident), (pages(N), None, pages(N)))?;
        known.compare()?;
    }
    Ok(())
}

/// Rule: a restore that stops, or is interrupted, at whatever page, goes on from there; or the buffer is dropped and nothing
/// is left; or it is evicted, restored, and evicted once more. The bytes are the same, whichever way they went and came. An
/// eviction ends as soon as another context wants the buffer.
#[test]
fn family_c_a_restore_stops_at_each_page() {
    let (ground, mut in_the_middle) = (Ground::new(16), 0);
    for how in METHODS {
        for (m, settled) in [(0, NONE), (0, pages(3)), (2, pages(6)), (3, ALL)] {
            // The more blocks, the more calls.
            let (by_budget, by_interrupts) = if m == 0 { (30, 40) } else { (4, 12) };
            let stopped = Stopped { by_budget, by_interrupts };
            in_the_middle +=
                each_walk_stops(&ground, stopped, |rig| there_and_back(rig, Life { how, m, settled }));
        }
    }
    println!("{in_the_middle} evictions ended in the middle, as the buffer was wanted");
    assert!(in_the_middle > 1000, "only {in_the_middle}");
}

/// Rule: the same if any one call fails on the way.
#[test]
fn family_c_a_restore_fails_at_each_call() {
    let ground = Ground::new(16);
    for how in METHODS {
        for (m, settled) in [(0, pages(3)), (3, ALL)] {
            let (platform, store) = if m == 0 { (45, 18) } else { (16, 6) };
            let calls = Calls { platform, store, ..Calls::default() };
            each_call_fails(&ground, calls, |rig| there_and_back(rig, Life { how, m, settled }));
        }
    }
}
