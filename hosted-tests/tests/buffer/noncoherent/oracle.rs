//! Rules of the simulated machine itself: it is a source like any other, and finds what can't be right.

use super::*;
use hosted_tests::conformance::platform::{Joins, suite};

/// Rule: its blocks are like those of any other source, whatever the CPU does to its cache.
#[test]
fn it_is_a_source_like_any_other() {
    let machine = |adversary| NonCoherent::new(near(32), LINE, adversary);
    suite(&machine(Adversary::of(1)), &machine(Adversary::of(2)), Joins::Always);
}

/// Rule: blocks are whole cache lines, so that none shares one with a neighbour.
#[test]
#[should_panic(expected = "shares a cache line of 1024 bytes")]
fn blocks_are_whole_cache_lines() {
    let machine = NonCoherent::new(near(4), 2 * PAGE, Adversary::Idle);
    let _ = machine.allocate(AllocRequest::new(Order::PAGE), CX);
}

/// Rule: a device that uses an address of before an eviction is caught.
#[test]
#[should_panic(expected = "which are not mapped")]
fn a_stale_address_is_caught() {
    let rig = Rig::new(Adversary::Idle);
    rig.run(|home| {
        let mut arrays = arrays();
        let buffer = shared(home, &mut arrays);
        let before = list(&buffer);
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), pages(8));
        drop(buffer.read().unwrap()); // the same block again
        rig.machine.device().gather(&before, 0..1);
    });
}

/// Rule: a device that goes past the end of a block is caught, even where the next block is mapped too.
#[test]
#[should_panic(expected = "which are not mapped")]
fn a_device_that_goes_past_the_end_is_caught() {
    let rig = Rig::new(Adversary::Idle);
    let hogged = leave(rig.near, (0..SOURCE).step_by(2)); // single pages
    rig.run(|home| {
        let mut arrays = arrays();
        let buffer = shared(home, &mut arrays);
        let first = list(&buffer)[0].address;
        rig.machine.device().write(DmaAddr::new(first.get() + PAGE as u64 - 1).unwrap(), &[0; 2]);
    });
    give_back(rig.near, hogged);
}

/// Rule: the physical address is none of a device's.
#[test]
#[should_panic(expected = "which are not mapped")]
fn a_physical_address_is_caught() {
    let rig = Rig::new(Adversary::Idle);
    rig.run(|home| {
        let mut arrays = arrays();
        let buffer = shared(home, &mut arrays);
        let guard = buffer.read().unwrap();
        let physical = guard.blocks().next().map(|(_, block)| block.pfn().0 * PAGE).unwrap();
        rig.machine.device().read(DmaAddr::new(physical as u64).unwrap(), &mut [0]);
    });
}

/// Rule: a block that a device can reach does not change its mode.
#[test]
#[should_panic(expected = "changes its mode, and a device can reach it")]
fn a_mapped_block_that_changes_its_mode_is_caught() {
    let machine = NonCoherent::new(near(4), LINE, Adversary::Idle);
    let mut block = machine.allocate(AllocRequest::new(Order::PAGE), CX).unwrap();
    machine.map(&block, CX).unwrap();
    let _ = machine.set_mode(&mut block, Caching::WriteBack, Caching::Uncached, CX);
}
