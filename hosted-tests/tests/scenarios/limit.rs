//! The limit of a pool, and trimming (family i).

use crate::card::*;
use crate::rig::*;
use hosted_tests::kit::*;
use proptest::prelude::*;

const DEPTH: usize = 3;

type Limited<'r, 'w> = Pool<WithLists<&'r Base<'w>, FreeListArray<Base<'w>, LISTS, DEPTH>>>;

fn limited<'r, 'w>(rig: &'r Rig<'w>, limit: usize) -> Limited<'r, 'w> {
    Pool::new(WithLists(rig.base(), FreeListArray::with_limit(pages(limit))))
}

fn ask(k: u8, zone: u8) -> AllocRequest {
    AllocRequest::new(order(k)).within(Zones::of(zone))
}

/// Rule: no more is ready than the limit permits, whichever zones it is in. A block that would be too much is returned to the
/// source, and no other for it.
#[test]
fn family_i_the_limit_holds_in_all_zones() {
    let at_least = Calls { platform: 60, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, the_limit_holds);
}

fn the_limit_holds(rig: &Rig<'_>) -> Tried {
    for limit in [0, 1, 5, 10] {
        let pool = limited(rig, limit);
        let mut hand = Hand::new(&pool);
        for k in [0, 1, 2, 3] {
            for zone in ZONES {
                for mode in [UC, WC] {
                    hand.take(ask(k, zone), mode)?;
                }
            }
        }
        while let Some(next) = hand.first() {
            let of_next = next.order().pages().get();
            let before = pool.ready(Zones::ALL).get();
            hand.put()?;
            let ready = pool.ready(Zones::ALL).get();
            assert!(ready <= limit, "{ready} of {limit}");
            assert_eq!(ready, if before + of_next > limit { before } else { before + of_next });
            assert_eq!(rig.world.frames_out(), hand.pages() + pool.ready(Zones::ALL));
        }
    }
    Ok(())
}

/// Rule: trim counts pages, not blocks (B15), overshoots by less than one block, and says how many pages it returned to the
/// source.
#[test]
fn family_i_trim_counts_pages() {
    let at_least = Calls { platform: 250, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, trim_counts_pages);
}

fn trim_counts_pages(rig: &Rig<'_>) -> Tried {
    for want in (0..32).step_by(3) {
        let mut hand = Hand::new(rig.pool());
        for k in [0, 0, 1, 1, 2, 2, 3, 3] {
            hand.take(AllocRequest::new(order(k)), UC)?;
        }
        hand.put_all()?;
        let (ready, free) = (rig.pool().ready(Zones::ALL).get(), rig.ground.free());
        assert_eq!(ready, 30);
        let went = rig.pool().trim(Zones::ALL, pages(want), CX).get();
        assert!(went < want + LARGEST.pages().get(), "asked for {want}, returned {went}");
        assert_eq!(rig.ground.free() - free, pages(went));
        assert_eq!(rig.pool().ready(Zones::ALL), pages(30 - went));
        same(went >= want.min(30), true)?;
        same(rig.pool().trim(Zones::ALL, ALL, CX), pages(30 - went))?;
        assert_eq!(rig.pool().trim(Zones::ALL, ALL, CX), NONE);
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Take(u8, usize, usize),
    Put(usize),
    Trim(usize),
    /// From now on this number of a thousand platform calls fail.
    Faults(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..=3_u8, 0..3_usize, 0..3_usize).prop_map(|(k, mode, zone)| Op::Take(k, mode, zone)),
        6 => any::<usize>().prop_map(Op::Put),
        2 => (0..40_usize).prop_map(Op::Trim),
        1 => prop::sample::select(vec![0, 0, 200, 1000]).prop_map(Op::Faults),
    ]
}

/// The model: how many blocks are in each list, by order, mode and zone. Which of them a trim takes is the pool's affair.
type Model = [[[usize; 3]; 3]; 4];

fn lists<P: Platform<Mode = Caching>>(pool: &Pool<P>) -> Model {
    let ready = |k, mode, zone| list_of(pool, k, mode, zone).unwrap().ready;
    [0, 1, 2, 3].map(|k| MODES.map(|mode| ZONES.map(|zone| ready(k, mode, zone))))
}

fn pages_of(model: &Model) -> usize {
    let of = |k: usize| model[k].iter().flatten().sum::<usize>() << k;
    (0..4).map(of).sum()
}

fn largest_of(model: &Model) -> usize {
    (0..4).rev().find(|k| model[*k].iter().flatten().sum::<usize>() > 0).map_or(0, |k| 1 << k)
}

/// No list has more than before.
fn only_less(after: &Model, before: &Model) -> bool {
    let all = |model: &Model| model.iter().flatten().flatten().copied().collect::<Vec<_>>();
    all(after).into_iter().zip(all(before)).all(|(after, before)| after <= before)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: whatever is taken, put and trimmed, with whatever limit, and whatever fails: a list that has a block serves its
    /// taker, a block is put into its list exactly if there is room and the limit permits, a trim returns at least what is
    /// wanted if it is there and nothing failed, less than a block more, and says how much; and it always ends.
    #[test]
    fn family_i_a_pool_is_as_good_as_its_model(
        limit in prop::sample::select(vec![0, 1, 7, 8, 20, usize::MAX]),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let (ground, world) = (Ground::new(1), World::new(Contents::Ignored));
        let rig = Rig::new(&ground, &world);
        let pool = &limited(&rig, limit);
        let mut hand = Hand::new(pool);
        let mut model = Model::default();
        for op in ops {
            let failed = rig.platform().failed();
            match op {
                Op::Take(k, mode, zone) => {
                    rig.card().asked();
                    let taken = hand.take(ask(k, ZONES[zone]), MODES[mode]).is_ok();
                    let there = &mut model[usize::from(k)][mode][zone];
                    prop_assert_eq!(rig.card().asked().is_empty() && taken, *there > 0);
                    *there = there.saturating_sub(1);
                }
                Op::Put(n) if hand.pages() > NONE => {
                    let (k, mode, zone) = hand.turn(n, |block| {
                        let (mode, zone) = (rig.card().mode(block), rig.card().zone(block));
                        (usize::from(block.order().get()), mode.index(), usize::from(zone))
                    });
                    let fits = pages_of(&model).saturating_add(1 << k) <= limit && model[k][mode][zone] < DEPTH;
                    let kept = MODES[mode] != WB || ZONES[zone] == COHERENT;
                    let put = hand.put().is_ok();
                    prop_assert!(put || !(fits && kept) && rig.platform().failed() > failed);
                    model[k][mode][zone] += usize::from(fits && kept);
                    prop_assert!(pages_of(&model) <= limit);
                    prop_assert_eq!(lists(pool), model);
                }
                Op::Trim(want) => {
                    let (there, went) = (pages_of(&model), pool.trim(Zones::ALL, pages(want), CX).get());
                    let after = lists(pool);
                    prop_assert!(only_less(&after, &model));
                    prop_assert_eq!(there - went, pages_of(&after));
                    prop_assert!(went == 0 || went < want + largest_of(&model));
                    prop_assert!(went >= want.min(there) || rig.platform().failed() > failed);
                    model = after;
                }
                Op::Faults(per_mille) => rig.platform().set(forebay_backends::Faults { per_mille, seed: 1, kth: None }),
                Op::Put(_) => {}
            }
            prop_assert_eq!(lists(pool), model);
            prop_assert_eq!(pool.ready(Zones::ALL), pages(pages_of(&model)));
            prop_assert_eq!(world.frames_out(), hand.pages() + pool.ready(Zones::ALL));
        }
        rig.platform().set(forebay_backends::Faults::default());
        drop(hand);
        pool.trim(Zones::ALL, ALL, CX);
        world.assert_empty();
        ground.assert_home();
    }
}
