//! Addresses for devices: where blocks have one from the beginning, and where they are mapped. After `ttm_pool_test.c`
//! (scenarios 4 to 6).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use hosted_tests::kit::*;

/// The cases of this file.
pub(crate) const CASES: [fn(&Rig<'_>) -> Tried; 3] =
    [one_coherent_page, above_the_largest_order_coherent, first_and_last_address];

/// A buffer for a device, in blocks of these orders: each block has an address, of which its pages have their parts.
fn addressed(rig: &Rig<'_>, orders: &[u8], mode: Caching, zone: u8) -> Tried {
    let n: usize = orders.iter().map(|k| 1 << k).sum();
    let (mut slots, mut addresses) = (slots(n), vec![None; n]);
    let beside = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let buffer = rig.buffer(beside).with_zones(Zones::of(zone)).with_mode(mode);
    rig.card().maps();
    write(&buffer, 3)?;
    for there_and_back in [false, true] {
        if there_and_back {
            let known = Known(&buffer, bytes(3, n * PAGE));
            same(known.evict(rig, ALL, Evict::COPY)?.copied, pages(n))?;
            assert_eq!(rig.world.mapped(), NONE);
            rig.card().maps(); // what stays when an eviction is stopped is mapped again
            same(known.restore(rig, ALL)?.total(), pages(n))?;
        }
        compare(&buffer, 3)?;
        let maps = rig.card().maps(); // the first time by the guard that wrote
        let guard = buffer.read()?;
        let found: Vec<_> = guard.blocks().map(|(_, block)| block.order().get()).collect();
        assert_eq!(rig.world.mapped(), pages(n));
        assert_eq!(guard.segments().count(), found.len(), "one address for each block");
        for ((at, block), segment) in guard.blocks().zip(guard.segments()) {
            assert_eq!((segment.at, segment.bytes), (at, block.bytes()));
            if zone == COHERENT {
                assert_eq!(Some(segment.address), Card::fixed(block), "it has one from the beginning");
            }
            for page in (0..block.bytes()).step_by(PAGE) {
                let address = DmaAddr::new(segment.address.get() + page as u64);
                assert_eq!(dma_address(&guard, at + page), address);
            }
        }
        for at in [0, (n - 1) * PAGE] {
            assert_ne!(dma_address(&guard, at).unwrap().get(), 0);
        }
        assert_eq!(dma_address(&guard, n * PAGE), None);
        same(&found[..], orders)?;
        same(maps, found.len())?;
        drop(guard);
        drop(buffer.read()?);
        assert_eq!(rig.card().maps(), 0, "once for each block");
    }
    Ok(())
}

/// Rule: a coherent page has the address that it had from the beginning.
#[test]
fn scenario_04_one_coherent_page() {
    let at_least = Calls { platform: 5, store: 2, ..Calls::default() };
    each_call_fails(&Ground::new(32), at_least, one_coherent_page);
}

fn one_coherent_page(rig: &Rig<'_>) -> Tried {
    addressed(rig, &[0], UC, COHERENT)
}

/// Rule: of several coherent blocks each is mapped by itself, as a whole; what lies behind its first page has no address of
/// its own, but a part of that.
#[test]
fn scenario_05_above_the_largest_order_coherent() {
    let at_least = Calls { platform: 8, store: 4, ..Calls::default() };
    each_call_fails(&Ground::new(32), at_least, above_the_largest_order_coherent);
}

fn above_the_largest_order_coherent(rig: &Rig<'_>) -> Tried {
    addressed(rig, &[3, 3], UC, COHERENT)
}

/// Rule: the first and the last page have addresses, whatever the size, coherent or not, in every mode.
#[test]
fn scenario_06_first_and_last_address() {
    let at_least = Calls { platform: 60, store: 20, ..Calls::default() };
    let stopped = Stopped { by_budget: 40, by_interrupts: 90 };
    fail_and_stop(&Ground::new(32), at_least, stopped, first_and_last_address);
}

fn first_and_last_address(rig: &Rig<'_>) -> Tried {
    for mode in MODES {
        for orders in [&[0][..], &[2], &[3, 3]] {
            addressed(rig, orders, mode, ORDINARY)?;
        }
        for orders in [&[0][..], &[3, 3]] {
            addressed(rig, orders, mode, COHERENT)?;
        }
    }
    Ok(())
}
