//! Rules of a source and its blocks.

use super::{Bench, Joins, Rng, content, fill, halves, order, pattern};
use forebay::{AllocError, AllocRequest, Context, FrameSource, Order, OwnedBlock, Platform, Zones};
use std::collections::HashSet;

/// For a source that threads may share: each byte has one owner.
///
/// # Panics
/// If a rule is broken.
pub fn threads<S: FrameSource<Block: Send> + Sync>(source: &S) {
    let before = capacity(source);
    std::thread::scope(|s| {
        for me in 0..4_u64 {
            s.spawn(move || {
                let mut rng = Rng::new(me);
                let mut held = Vec::new();
                for _ in 0..200 {
                    match source.allocate(AllocRequest::new(order(rng.below(3) as u8)), Context::THREAD) {
                        Ok(mut block) if held.len() < 6 => {
                            let bytes = fill(&mut block, rng.next());
                            held.push((block, bytes));
                        }
                        Ok(block) => source.free(block),
                        Err(_) => {}
                    }
                    if rng.below(2) == 0 && !held.is_empty() {
                        let (block, bytes) = held.swap_remove(rng.below(held.len()));
                        assert!(content(&block) == bytes, "{me}: another thread writes {:?}", block.pfn());
                        source.free(block);
                    }
                }
                held.into_iter().for_each(|(block, _)| source.free(block));
            });
        }
    });
    assert_eq!(capacity(source), before, "the source is not as at the start");
}

/// How many blocks of each order can be allocated at the same time; all are returned.
pub fn capacity<S: FrameSource>(source: &S) -> Vec<usize> {
    let count = |k| {
        let all: Vec<_> =
            std::iter::from_fn(|| source.allocate(AllocRequest::new(k), Context::THREAD).ok()).collect();
        let n = all.len();
        all.into_iter().for_each(|block| source.free(block));
        n
    };
    (0..=S::MAX_ORDER.get()).map(order).map(count).collect()
}

pub(super) fn blocks_are_whole_and_aligned<P: Platform>(b: &Bench<'_, P>) {
    // The oracle checks order, alignment and that no frame is given out twice.
    assert!(P::Block::PAGE.is_power_of_two() && (256..=2 << 20).contains(&P::Block::PAGE));
    for (k, &most) in (0..).zip(&b.capacity) {
        for cx in [Context::THREAD, Context::NO_IO, Context::INTERRUPT] {
            match b.source.allocate(AllocRequest::new(order(k)), cx) {
                Ok(block) => {
                    assert_eq!(block.bytes(), P::Block::PAGE << k);
                    assert_eq!(block.order().pages(), order(k).pages());
                    b.source.free(block);
                }
                // In other contexts it may refuse what would take long.
                Err(_) => assert!(most == 0 || cx != Context::THREAD),
            }
        }
    }
}

pub(super) fn every_byte_of_a_block_is_its_own<P: Platform>(b: &Bench<'_, P>) {
    let mut one = b.take(2);
    let mut other = b.take(2);
    let (a, z) = (fill(&mut one, 1), fill(&mut other, 2));
    assert!(content(&one) == a && content(&other) == z, "what was written is read, and nowhere else");
    let len = one.bytes();
    // Pieces at odd offsets, up to and past the end.
    for (at, n) in
        [(0, 1), (1, 3), (P::Block::PAGE - 1, 2), (len - 5, 5), (len - 5, 9), (len, 1), (usize::MAX, 1)]
    {
        let expect = a.get(at..).map_or(0, |rest| rest.len().min(n));
        let mut got = vec![0xee; n];
        assert_eq!(one.read_at(at, &mut got), expect);
        assert_eq!(got[..expect], a[at.min(len)..][..expect]);
        assert!(got[expect..].iter().all(|x| *x == 0xee), "past the end nothing is written");
        let mut now = a.clone();
        let new = pattern(3, n);
        now[at.min(len)..][..expect].copy_from_slice(&new[..expect]);
        assert_eq!(one.write_at(at, &new), expect);
        assert!(content(&one) == now, "copying in {n} bytes at {at}");
        one.write_at(0, &a);
    }
    assert_eq!((one.read_at(3, &mut []), one.write_at(3, &[])), (0, 0));
    one.zero();
    assert!(content(&one).iter().all(|x| *x == 0), "zeroed");
    assert!(content(&other) == z, "a neighbour was touched");
    b.source.free(one);
    b.source.free(other);
}

/// Each block is written before it is returned, so zeros in a later turn are no accident.
pub(super) fn what_is_said_to_be_zeroed_is_zeroed<P: Platform>(b: &Bench<'_, P>) {
    for turn in 0..3 {
        let request = |k| AllocRequest::new(order(k));
        let all = || [2, 1, 0].map(|k| b.source.allocate(request(k), Context::THREAD));
        for mut block in all().into_iter().flatten() {
            if b.source.is_zeroed(&block) {
                assert!(content(&block).iter().all(|x| *x == 0), "{:?} has other bytes", block.pfn());
            }
            fill(&mut block, turn);
            b.source.free(block);
        }
    }
}

pub(super) fn parts_are_in_the_zone_of_the_whole<P: Platform>(b: &Bench<'_, P>) {
    let (zones, count) = (Zones::ALL, P::Source::ZONES);
    assert!((1..=16).contains(&count), "{count} zones");
    for zone in 0..count {
        let request = AllocRequest::new(order(1)).within(zones.intersection(Zones::of(zone)));
        // It may be exhausted, and a pool returns a block from elsewhere.
        let Ok(block) = b.source.allocate(request, Context::THREAD) else { continue };
        let zone = b.source.zone(&block);
        assert!(zone < count, "zone {zone} of {count}");
        match block.split() {
            Ok((lower, upper)) => {
                for part in [lower, upper] {
                    assert_eq!(b.source.zone(&part), zone, "another zone than that of the whole");
                    b.source.free(part);
                }
            }
            Err(block) => b.source.free(block),
        }
    }
}

pub(super) fn an_empty_source_is_exhausted_and_gives_no_more<P: Platform>(b: &Bench<'_, P>) {
    let mut all = Vec::new();
    for k in (0..=P::Source::MAX_ORDER.get()).rev() {
        while let Ok(mut block) = b.source.allocate(AllocRequest::new(order(k)), Context::THREAD) {
            let stamp = pattern(block.pfn().0 as u64, 16);
            let end = block.bytes() - stamp.len();
            block.write_at(0, &stamp);
            block.write_at(end, &stamp);
            all.push((block, stamp));
        }
        for _ in 0..2 {
            assert_eq!(
                b.source.allocate(AllocRequest::new(order(k)), Context::THREAD).err(),
                Some(AllocError::Exhausted)
            );
        }
    }
    for (block, stamp) in &all {
        let (mut first, mut last) = ([0; 16], [0; 16]);
        block.read_at(0, &mut first);
        block.read_at(block.bytes() - 16, &mut last);
        assert!(first[..] == *stamp && last[..] == *stamp, "{:?} shares bytes with another", block.pfn());
    }
    // One block is returned: that one can be allocated again, and no other.
    if let Some((block, _)) = all.pop() {
        let (pfn, k) = (block.pfn(), block.order());
        b.source.free(block);
        let again = b.source.allocate(AllocRequest::new(k), Context::THREAD).expect("it was just returned");
        assert_eq!(again.pfn(), pfn);
        assert_eq!(
            b.source.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).err(),
            Some(AllocError::Exhausted)
        );
        b.source.free(again);
    }
    for (block, _) in all {
        b.source.free(block);
    }
}

pub(super) fn an_order_above_the_largest_is_refused<P: Platform>(b: &Bench<'_, P>) {
    for k in P::Source::MAX_ORDER.get() + 1..=Order::MAX.get() {
        if let Ok(block) = b.source.allocate(AllocRequest::new(order(k)), Context::THREAD) {
            assert_eq!(block.order(), order(k), "more than it promised, but as asked");
            b.source.free(block);
        }
    }
}

pub(super) fn parts_are_returned_in_any_order<P: Platform>(b: &Bench<'_, P>) {
    for turn in 0..24 {
        let mut whole = b.take(2);
        let first = whole.pfn().0;
        let bytes = fill(&mut whole, turn);
        let (lower, upper) = match whole.split() {
            Ok(both) => both,
            Err(whole) => {
                assert!(
                    whole.pfn().0 == first && content(&whole) == bytes,
                    "a refused split changes nothing"
                );
                return b.source.free(whole);
            }
        };
        assert_eq!((lower.order(), upper.order()), (order(1), order(1)));
        assert_eq!((lower.pfn().0, upper.pfn().0), (first, first + 2), "lower half first");
        assert!(
            [content(&lower), content(&upper)].concat() == bytes,
            "the halves have the bytes of the whole"
        );
        // Two halves, a half and two quarters, or four quarters.
        let mut parts = vec![lower];
        if turn % 3 == 0 {
            parts.push(upper);
        } else {
            parts.extend(halves(upper));
        }
        if turn % 3 == 1 {
            let lower = parts.remove(0);
            parts.extend(halves(lower));
        }
        let mut rng = Rng::new(turn);
        while !parts.is_empty() {
            b.source.free(parts.swap_remove(rng.below(parts.len())));
        }
    }
}

pub(super) fn only_neighbours_join<P: Platform>(b: &Bench<'_, P>) {
    let whole = b.take(2);
    let first = whole.pfn();
    let (lower, upper) = match whole.split() {
        Ok(both) => both,
        Err(whole) => return b.source.free(whole),
    };
    // The wrong way round; of different orders.
    let (upper, lower) = b.refuses(upper, lower);
    let [page0, page1] = halves(lower);
    let (page0, upper) = b.refuses(page0, upper);
    let [page2, page3] = halves(upper);
    // Side by side, but not halves of one block; not side by side.
    let (page1, page2) = b.refuses(page1, page2);
    let (page0, page3) = b.refuses(page0, page3);
    let (page0, page2) = b.refuses(page0, page2);
    let bytes = [&page0, &page1, &page2, &page3].map(content).concat();
    let joined = b.source.join(page0, page1).and_then(|l| match b.source.join(page2, page3) {
        Ok(u) => b.source.join(l, u),
        Err(_) => panic!("the lower half joined, the upper one did not"),
    });
    match (joined, b.joins) {
        (Ok(whole), Joins::Always) => {
            assert_eq!((whole.pfn(), whole.order()), (first, order(2)));
            assert!(content(&whole) == bytes, "joining touches no byte");
            b.source.free(whole);
        }
        (Ok(_), Joins::Never) => panic!("it joins after all"),
        (Err(_), _) => panic!("two halves of one block did not join"),
    }
}

pub(super) fn blocks_of_others_never_join<P: Platform>(b: &Bench<'_, P>) {
    // Any two of ours and theirs: the addresses may even touch.
    let theirs: Vec<_> = std::iter::from_fn(|| {
        b.stranger.source().allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok()
    })
    .take(64)
    .collect();
    let mut ours = b.take(0);
    let known: HashSet<_> = theirs.iter().map(OwnedBlock::pfn).collect();
    assert!(!known.contains(&ours.pfn()), "two sources own one frame");
    for mut block in theirs {
        (ours, block) = b.refuses(ours, block);
        (block, ours) = b.refuses(block, ours);
        b.stranger.source().free(block);
    }
    b.source.free(ours);
}

pub(super) fn anything_in_any_order_is_returned<P: Platform>(b: &Bench<'_, P>) {
    let mut rng = Rng::new(77);
    let mut held: Vec<P::Block> = Vec::new();
    for _ in 0..1500 {
        match rng.below(5) {
            0 | 1 => {
                held.extend(b.source.allocate(AllocRequest::new(order(rng.below(6) as u8)), Context::THREAD))
            }
            2 if !held.is_empty() => {
                let block = held.swap_remove(rng.below(held.len()));
                match block.split() {
                    Ok(both) => held.extend(<[_; 2]>::from(both)),
                    Err(block) => held.push(block),
                }
            }
            3 if held.len() > 1 => {
                let (one, other) =
                    (held.swap_remove(rng.below(held.len())), held.swap_remove(rng.below(held.len())));
                match b.source.join(one, other) {
                    Ok(block) => held.push(block),
                    Err(both) => held.extend(<[_; 2]>::from(both)),
                }
            }
            _ if !held.is_empty() => b.source.free(held.swap_remove(rng.below(held.len()))),
            _ => {}
        }
    }
    held.into_iter().for_each(|block| b.source.free(block));
}
