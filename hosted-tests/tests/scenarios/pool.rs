//! The pool: which blocks a buffer gets, and which free list a block is in. After `ttm_pool_test.c` and the tests of
//! `ttm_device` (scenarios 1 to 3, 7 to 13, 32), and the table in debugfs (35).

use crate::card::*;
use crate::rig::*;
use hosted_tests::kit::*;

/// Takes the buffer and lets it go: its blocks are of these orders, zeros, and go to their free lists.
pub(crate) fn allocated(rig: &Rig<'_>, orders: &[u8]) -> Tried {
    let n: usize = orders.iter().map(|k| 1 << k).sum();
    let mut slots = slots(n);
    let buffer = rig.buffer(&mut slots[..]).with_mode(UC);
    let guard = buffer.read()?;
    assert_eq!(guard.bytes(), n * PAGE);
    let (mut end, mut found) = (0, Vec::new());
    for (at, block) in guard.blocks() {
        assert_eq!(at, end, "a gap");
        assert!(
            (at / PAGE).is_multiple_of(block.order().pages().get()),
            "{block:?} is not aligned",
            block = block.pfn()
        );
        end += block.bytes();
        found.push(block.order().get());
    }
    assert_eq!(end, n * PAGE);
    same(&found[..], orders)?;
    assert_eq!((dma_address(&guard, 0), guard.segments().count()), (None, 0), "no addresses were asked for");
    drop(guard);
    assert!(read(&buffer)?.iter().all(|byte| *byte == 0));
    drop(buffer);
    for k in 0..=LARGEST.get() {
        let blocks = orders.iter().filter(|order| **order == k).count();
        assert_eq!(rig.ready(k, UC, ORDINARY), blocks);
    }
    Ok(())
}

/// Rule: a page is a block of order 0.
#[test]
fn scenario_01_one_page() {
    let at_least = Calls { platform: 3, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, one_page);
}

fn one_page(rig: &Rig<'_>) -> Tried {
    allocated(rig, &[0])
}

/// Rule: pages that make a block are one block.
#[test]
fn scenario_02_several_pages() {
    let at_least = Calls { platform: 3, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, several_pages);
}

fn several_pages(rig: &Rig<'_>) -> Tried {
    allocated(rig, &[2])
}

/// Rule: what is above the platform's largest order is several blocks of that one.
#[test]
fn scenario_03_above_the_largest_order() {
    let at_least = Calls { platform: 5, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, above_the_largest_order);
}

fn above_the_largest_order(rig: &Rig<'_>) -> Tried {
    allocated(rig, &[3, 3])
}

/// Kinds of blocks that are pooled: ordinary cached ones are returned to the source.
const KINDS: [(Caching, u8); 4] = [(WC, ORDINARY), (UC, ORDINARY), (WB, COHERENT), (UC, COHERENT)];

fn ask(k: u8, zone: u8) -> AllocRequest {
    AllocRequest::new(order(k)).within(Zones::of(zone))
}

/// Rule: a block in a free list serves the next taker of its mode and order: no allocation, no mode change, the
/// same frames.
#[test]
fn scenario_07_order_and_caching_match() {
    let at_least = Calls { platform: 20, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, order_and_caching_match);
}

fn order_and_caching_match(rig: &Rig<'_>) -> Tried {
    for (mode, zone) in KINDS {
        for k in 0..3 {
            let mut hand = Hand::new(rig.pool());
            let block = hand.take(ask(k, zone), mode)?;
            let pfn = block.pfn();
            assert_eq!((block.order(), rig.card().mode(block)), (order(k), mode));
            hand.put()?;
            assert_eq!(rig.ready(k, mode, zone), 1);
            let _ = (rig.card().asked(), rig.card().changes());
            let again = hand.take(ask(k, zone), mode)?;
            assert_eq!((again.pfn(), rig.card().mode(again)), (pfn, mode));
            assert_eq!((rig.card().asked(), rig.card().changes()), (vec![], 0));
            assert_eq!(rig.ready(k, mode, zone), 0);
            hand.put()?;
            rig.world.validate();
        }
    }
    assert_eq!(rig.pool().ready(Zones::ALL), pages(KINDS.len() * (1 + 2 + 4)));
    Ok(())
}

/// Rule: a block of another mode is never used instead.
#[test]
fn scenario_08_caching_mismatch() {
    let at_least = Calls { platform: 3, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, caching_mismatch);
}

fn caching_mismatch(rig: &Rig<'_>) -> Tried {
    let mut hand = Hand::new(rig.pool());
    let cached = hand.take(ask(0, COHERENT), WB)?.pfn();
    hand.put()?;
    rig.card().asked();
    let page = hand.take(ask(0, COHERENT), UC)?;
    assert_ne!(page.pfn(), cached);
    assert_eq!(rig.card().asked(), [0]);
    hand.put()?;
    assert_eq!((rig.ready(0, WB, COHERENT), rig.ready(0, UC, COHERENT)), (1, 1));
    assert_eq!(hand.take(ask(0, COHERENT), WB)?.pfn(), cached);
    hand.put()
}

/// Rule: a block of another order is never used instead, and never cut.
#[test]
fn scenario_09_order_mismatch() {
    let at_least = Calls { platform: 4, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, order_mismatch);
}

fn order_mismatch(rig: &Rig<'_>) -> Tried {
    let mut hand = Hand::new(rig.pool());
    let large = hand.take(ask(2, ORDINARY), UC)?.pfn();
    hand.put()?;
    rig.card().asked();
    hand.take(ask(0, ORDINARY), UC)?;
    assert_eq!(rig.card().asked(), [0]);
    hand.put()?;
    assert_eq!((rig.ready(2, UC, ORDINARY), rig.ready(0, UC, ORDINARY)), (1, 1));
    assert_eq!(hand.take(ask(2, ORDINARY), UC)?.pfn(), large);
    hand.put()
}

/// Rule: a coherent block is in no list while it is in use, and in its own afterwards.
#[test]
fn scenario_10_coherent_blocks_go_to_their_free_list() {
    let at_least = Calls { platform: 3, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, coherent_blocks_go_to_their_free_list);
}

fn coherent_blocks_go_to_their_free_list(rig: &Rig<'_>) -> Tried {
    let (mut slots, mut addresses) = (slots(4), [None; 4]);
    let addressed = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let buffer = rig.buffer(addressed).with_zones(Zones::of(COHERENT)).with_mode(UC);
    drop(buffer.read()?);
    assert_eq!(rig.pool().ready(Zones::ALL), NONE);
    let orders: Vec<_> = buffer.read()?.blocks().map(|(_, block)| block.order().get()).collect();
    drop(buffer);
    same(orders, vec![2])?;
    assert_eq!((rig.ready(2, UC, COHERENT), rig.pool().ready(Zones::ALL)), (1, pages(4)));
    Ok(())
}

/// Rule: what is not coherent uses no list of what is; ordinary cached blocks use none.
#[test]
fn scenario_11_other_blocks_leave_it_alone() {
    let at_least = Calls { platform: 3, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, other_blocks_leave_it_alone);
}

fn other_blocks_leave_it_alone(rig: &Rig<'_>) -> Tried {
    for (mode, ready) in [(UC, 4), (WB, 4)] {
        let mut slots = slots(4);
        let buffer = rig.buffer(&mut slots[..]).with_mode(mode);
        drop(buffer.write()?);
        drop(buffer);
        assert_eq!(rig.pool().ready(Zones::ALL), pages(ready), "{mode:?}");
        for k in 0..=LARGEST.get() {
            assert_eq!(MODES.map(|mode| rig.ready(k, mode, COHERENT)), [0; 3]);
        }
    }
    Ok(())
}

/// Rule: dropping a pool returns everything to the source, in the mode `CACHED`.
#[test]
fn scenario_12_fini() {
    let at_least = Calls { platform: 10, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, fini);
}

fn fini(rig: &Rig<'_>) -> Tried {
    let pool = Pool::new(WithLists(rig.base(), FreeListArray::<Base<'_>, 18, 2>::new())); // of orders 0 and 1
    let mut hand = Hand::new(&pool);
    for (mode, zone) in KINDS {
        for k in 0..2 {
            hand.take(ask(k, zone), mode)?;
        }
    }
    hand.put_all()?;
    drop(hand);
    assert_eq!(pool.ready(Zones::ALL), pages(KINDS.len() * (1 + 2)));
    drop(pool);
    rig.world.assert_empty();
    rig.ground.assert_home();
    Ok(())
}

/// Rule: no case changes what platform, pool and store were made with. (The sweep over each case looks at that too.)
#[test]
fn scenario_13_settings_stay() {
    let (ground, world) = (Ground::new(96), World::new(Contents::Compared));
    let rig = Rig::new(&ground, &world);
    let settings = rig.settings();
    let pool = [
        one_page,
        several_pages,
        above_the_largest_order,
        order_and_caching_match,
        caching_mismatch,
        order_mismatch,
        coherent_blocks_go_to_their_free_list,
        other_blocks_leave_it_alone,
        fini,
        kinds,
    ];
    for case in pool.into_iter().chain(crate::dma::CASES) {
        assert_eq!(case(&rig), Ok(()));
        rig.clear();
        assert_eq!(rig.settings(), settings);
    }
}

/// Rule: there is a list for each mode, zone and order, and a block is in that of its own kind.
#[test]
fn scenario_32_a_free_list_for_each_kind() {
    let at_least = Calls { platform: 60, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, kinds);
}

fn kinds(rig: &Rig<'_>) -> Tried {
    let lists = |k| MODES.map(|mode| ZONES.map(|zone| rig.ready(k, mode, zone)));
    for k in 0..=LARGEST.get() {
        for (m, mode) in MODES.into_iter().enumerate() {
            for (z, zone) in ZONES.into_iter().enumerate() {
                let mut hand = Hand::new(rig.pool());
                let before = lists(k);
                let block = hand.take(ask(k, zone), mode)?;
                assert_eq!(
                    (block.order(), rig.card().mode(block), rig.card().zone(block)),
                    (order(k), mode, zone)
                );
                assert_eq!(lists(k), before);
                hand.put()?;
                let mut after = before;
                after[m][z] += usize::from(mode != WB || zone == COHERENT);
                assert_eq!(lists(k), after);
            }
        }
    }
    assert_eq!(list_of(rig.pool(), LARGEST.get() + 1, UC, ORDINARY), None);
    Ok(())
}

/// The numbers of a table, and the sum below it.
fn numbers(table: &str) -> (Vec<[usize; 6]>, usize) {
    let mut lines: Vec<_> = table.lines().skip(1).collect();
    let sum = lines.pop().unwrap().strip_suffix(" pages ready").unwrap().parse().unwrap();
    let row = |line: &str| {
        let row: Vec<_> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
        row.try_into().unwrap()
    };
    (lines.into_iter().map(row).collect(), sum)
}

/// Rule: what is counted is numbers, in the table as in the code; they fall by what a trim says that it returned.
#[test]
fn scenario_35_the_table_and_a_trim() {
    let at_least = Calls { platform: 10, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, the_table_and_a_trim);
}

fn the_table_and_a_trim(rig: &Rig<'_>) -> Tried {
    let mut hand = Hand::new(rig.pool());
    for (mode, zone) in KINDS {
        for k in [0, 0, 3] {
            hand.take(ask(k, zone), mode)?;
        }
    }
    hand.put_all()?;
    let mut there = KINDS.len() * (1 + 1 + 8);
    for want in [1, 9, usize::MAX] {
        let (rows, sum) = numbers(&rig.pool().to_string());
        assert_eq!((sum, rig.pool().ready(Zones::ALL)), (there, pages(there)));
        let of = |row: &[usize; 6]| row[3] << row[0]; // order, mode, zone, ready, hits, misses
        assert_eq!(rows.iter().map(of).sum::<usize>(), there);
        let went = rig.pool().trim(Zones::ALL, pages(want), CX).get();
        assert!(went <= there && went < want.saturating_add(8), "{went}");
        assert_eq!(rig.pool().ready(Zones::ALL), pages(there - went));
        same(went >= want.min(there), true)?;
        there -= went;
    }
    same(there, 0)?;
    let (rows, sum) = numbers(&rig.pool().to_string());
    assert_eq!((sum, rows.iter().map(|row| row[3]).sum::<usize>()), (0, 0));
    // The same of what buffers and store have.
    let mut slots = slots(8);
    let buffer = rig.buffer(&mut slots[..]).with_mode(WC);
    write(&buffer, 1)?;
    let report = rig.home().reclaim([&buffer, &buffer], ALL, Evict::COPY, CX);
    assert_eq!(buffer.residency()?.stored, report.evicted.moved());
    same(
        report.to_string(),
        "less than the target: the rest is in use or refused, or there is no more; evicted: 8 pages copied; store: nothing"
            .to_owned(),
    )
}
