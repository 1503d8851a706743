//! The states of chunks one by one, and any operations in any order against a plain model.

use super::*;
use std::vec::Vec;

const CHUNK: usize = 8;

fn order(n: u8) -> Order {
    Order::new(n).expect("an order")
}

/// Chunks of 8 pages, the first frame being one that is not aligned to more.
fn ledger(chunks: usize) -> Ledger {
    let first = 1000 * CHUNK;
    Ledger::new(first..first + chunks * CHUNK, CHUNK, Pages::MAX, Contents::Fresh).expect("memory")
}

fn state(l: &Ledger, chunk: usize) -> State {
    l.chunks.get(chunk).expect("there is one").state()
}

/// Reserves a block and says that its chunks were brought in.
fn take(l: &mut Ledger, k: u8) -> Resident {
    let pages = l.reserve(order(k), Limit::Held).expect("there is room");
    populate_chunks(l, &pages);
    pages
}

fn populate_chunks(l: &mut Ledger, pages: &Resident) {
    for chunk in l.chunks_of(pages.pfn, pages.order) {
        if l.need(chunk) != Need::Nothing {
            l.populated(chunk, None);
        }
        assert_eq!(l.need(chunk), Need::Nothing);
    }
}

fn mark_stored(l: &mut Ledger, pages: Resident) -> (Pfn, Order) {
    let named = (pages.pfn, pages.order);
    let index = l.mark_stored(pages);
    assert_eq!(l.pfn(index), Some(named.0));
    named
}

/// Unmaps what is queued; nothing happens meanwhile.
fn unmap(l: &mut Ledger) {
    let mut at = 0;
    while let Some(run) = l.begin_unmap(at, 3) {
        at = run.end;
        assert_eq!(l.end_unmap(&run, Mapping::Unmapped), 0);
    }
}

/// Rule: a chunk is open, queued, flushing, clean, and open again; a mixed one is never unmapped, and taking back a page
/// makes its neighbours pending.
#[test]
fn a_chunk_goes_round() {
    let mut l = ledger(2);
    assert_eq!(state(&l, 0), State::Empty);
    let (a, b) = (take(&mut l, 2), take(&mut l, 2));
    assert_eq!((state(&l, 0), state(&l, 1)), (State::Open, State::Empty));
    let a = mark_stored(&mut l, a);
    assert_eq!(state(&l, 0), State::Open);
    assert_eq!(l.begin_unmap(0, 9), None, "b is resident");
    let b = mark_stored(&mut l, b);
    assert_eq!(state(&l, 0), State::Queued);
    assert_eq!((l.sums().pending, l.sums().reclaimable), (8, 0));
    assert_eq!(l.begin_unmap(1, 9), None, "it is before that");
    assert_eq!(l.begin_unmap(0, 9), Some(0..1));
    assert_eq!(state(&l, 0), State::Flushing);
    assert_eq!(l.begin_unmap(0, 9), None, "it is being unmapped");
    assert_eq!(l.sums().reclaimable, 0, "not before it is done");
    assert_eq!(l.end_unmap(&(0..1), Mapping::Unmapped), 0);
    assert_eq!(state(&l, 0), State::Clean);
    assert_eq!((l.sums().pending, l.sums().reclaimable), (0, 8));
    let back = l.take_back(a.0, a.1, Limit::Held).expect("it is stored");
    assert_eq!((l.need(0), state(&l, 0)), (Need::Mapping, State::Open));
    populate_chunks(&mut l, &back);
    assert_eq!((l.sums().pending, l.sums().reclaimable, l.sums().resident), (4, 0, 4), "b is pending again");
    assert_eq!(l.begin_unmap(0, 9), None);
    l.release(back);
    assert_eq!((state(&l, 0), l.sums().stale), (State::Queued, 4));
    unmap(&mut l);
    assert!(l.discard(b.0, b.1));
    assert!(!l.discard(b.0, b.1), "once");
    assert_eq!((state(&l, 0), l.sums().stale), (State::Dead, 8));
    assert_eq!(l.begin_punch(0, 9), Some(0..1));
    assert_eq!((state(&l, 0), l.begin_punch(0, 9)), (State::Punching, None));
    assert_eq!(l.free(), Pages::new(8), "no page of it is allocated meanwhile");
    let c = take(&mut l, 3);
    assert_eq!(l.chunks_of(c.pfn, c.order), 1..2);
    assert_eq!(l.reserve(Order::PAGE, Limit::Held), Err(AllocError::Exhausted));
    l.end_punch(0, Mapping::Hole);
    assert_eq!((state(&l, 0), l.sums().stale, l.free()), (State::Empty, 0, Pages::new(8)));
    assert_eq!(take(&mut l, 3).contents, Contents::Fresh);
}

/// Rule: what is taken back while its chunk is being unmapped is brought in again by the caller that unmaps it; what was taken
/// back and put away again meanwhile is not.
#[test]
fn taking_back_during_a_flush() {
    let mut l = ledger(1);
    let a = take(&mut l, 3);
    let a = mark_stored(&mut l, a);
    assert_eq!(l.begin_unmap(0, 9), Some(0..1));
    let back = l.take_back(a.0, a.1, Limit::Held).expect("it is stored");
    assert_eq!(l.need(0), Need::Nothing, "the one who unmaps it sees to that");
    assert_eq!(l.end_unmap(&(0..1), Mapping::Unmapped), 1);
    assert_eq!((state(&l, 0), l.need(0)), (State::Open, Need::Nothing));
    l.end_again(0, Mapping::Mapped);
    assert_eq!((state(&l, 0), l.need(0)), (State::Open, Need::Nothing));

    let a = mark_stored(&mut l, back);
    assert_eq!(l.begin_unmap(0, 9), Some(0..1));
    let back = l.take_back(a.0, a.1, Limit::Held).expect("it is stored");
    mark_stored(&mut l, back);
    assert_eq!(state(&l, 0), State::Flushing);
    assert_eq!(l.end_unmap(&(0..1), Mapping::Unmapped), 0);
    assert_eq!(
        (state(&l, 0), l.sums().reclaimable),
        (State::Queued, 0),
        "who had it touched it, perhaps afterwards"
    );
    unmap(&mut l);
    assert_eq!((state(&l, 0), l.sums().reclaimable), (State::Clean, 8));
}

/// Rule: so it is with whatever makes pages resident meanwhile: a fresh block, a reader, a discard.
#[test]
fn a_flush_is_disturbed_by_anybody() {
    for way in 0..4 {
        let mut l = ledger(1);
        let (a, b) = (take(&mut l, 2), take(&mut l, 1));
        let (a, b) = (mark_stored(&mut l, a), mark_stored(&mut l, b));
        assert_eq!(l.begin_unmap(0, 9), Some(0..1));
        match way {
            0 => {}
            1 => {
                let fresh = l.reserve(order(1), Limit::Held).expect("there is room");
                l.release(fresh);
            }
            2 => {
                let read = l.lend(a.0, a.1).expect("it is stored");
                assert_eq!(l.lend(a.0, a.1), Err(StoreError::Busy));
                assert!(!l.discard(a.0, a.1), "a forged handle does not pull it away");
                l.give_back(read);
            }
            _ => {
                let out = l.take_out(b.0, b.1).expect("it is stored");
                l.release(out);
            }
        }
        assert_eq!(l.end_unmap(&(0..1), Mapping::Unmapped), 0);
        assert_eq!(state(&l, 0), if way == 0 { State::Clean } else { State::Queued }, "way {way}");
    }
}

/// Rule: what was not brought in again is brought in by the next caller that wants it; what could not be unmapped, and was taken
/// back meanwhile, is brought in again too, since some mapping may have lost it.
#[test]
fn a_flush_that_fails_half_way() {
    for (first, then) in [(Mapping::Unmapped, Mapping::Unknown), (Mapping::Unknown, Mapping::Mapped)] {
        let mut l = ledger(1);
        let (a, b) = (take(&mut l, 2), take(&mut l, 2));
        let (a, b) = (mark_stored(&mut l, a), mark_stored(&mut l, b));
        assert_eq!(l.begin_unmap(0, 9), Some(0..1));
        let back = l.take_back(a.0, a.1, Limit::Held).expect("it is stored");
        assert_eq!(l.end_unmap(&(0..1), first), 1);
        l.end_again(0, then);
        let need = if then == Mapping::Unknown { Need::Mapping } else { Need::Nothing };
        assert_eq!((state(&l, 0), l.need(0)), (State::Open, need));
        l.release(back);
        assert!(l.discard(b.0, b.1));
    }
}

/// Rule: a block that was discarded, and not brought in for it, may be touched by its owner: so its chunk has to be
/// unmapped again.
#[test]
fn what_was_discarded_may_be_touched() {
    let mut l = ledger(1);
    let (a, b) = (take(&mut l, 2), take(&mut l, 2));
    let (a, _) = (mark_stored(&mut l, a), mark_stored(&mut l, b));
    unmap(&mut l);
    let out = l.take_out(a.0, a.1).expect("it is stored");
    assert_eq!((state(&l, 0), l.need(0)), (State::Open, Need::Mapping));
    mark_stored(&mut l, out);
    assert_eq!((state(&l, 0), l.sums().reclaimable), (State::Queued, 0));
    unmap(&mut l);
    assert_eq!(l.sums().reclaimable, 8);
}

/// Rule: what fails is tried again, and nothing of it is lost.
#[test]
fn what_fails_stays_queued() {
    let mut l = ledger(1);
    let a = take(&mut l, 2);
    let a = mark_stored(&mut l, a);
    assert_eq!(l.begin_unmap(0, 9), Some(0..1));
    assert_eq!(l.end_unmap(&(0..1), Mapping::Unknown), 0);
    assert_eq!((state(&l, 0), l.sums().pending), (State::Queued, 4));
    assert!(l.discard(a.0, a.1));
    assert_eq!(l.begin_punch(0, 9), Some(0..1));
    l.end_punch(0, Mapping::Mapped);
    assert_eq!((state(&l, 0), l.sums().stale, l.free()), (State::Dead, 4, Pages::new(8)));
    assert_eq!(take(&mut l, 2).contents, Contents::Any, "its bytes are still there");
    assert_eq!(take(&mut l, 2).contents, Contents::Fresh, "these were never used");
}

/// Rule: what was brought in half way has memory, so it is unmapped or punched as if it were all there, and the caller that
/// wants it next brings in the rest.
#[test]
fn populated_half_way() {
    let mut l = ledger(1);
    let a = l.reserve(order(2), Limit::Held).expect("there is room");
    l.touched(0);
    l.release(a);
    assert_eq!(state(&l, 0), State::Dead);
    let a = l.reserve(order(2), Limit::Held).expect("there is room");
    assert_eq!(l.need(0), Need::Mapping);
    populate_chunks(&mut l, &a);
    let a = mark_stored(&mut l, a);
    unmap(&mut l);
    let back = l.take_back(a.0, a.1, Limit::Held).expect("it is stored");
    l.touched(0);
    l.mark_stored(back);
    assert_eq!((state(&l, 0), l.sums().pending), (State::Queued, 4));
}

/// Rule: a block that is refused before all of its chunks were brought in leaves no old bytes where there is no memory.
#[test]
fn a_hole_is_never_stale() {
    let mut l = ledger(2);
    let a = take(&mut l, 3);
    l.release(Resident { contents: Contents::Any, ..a });
    assert_eq!((l.sums().stale, state(&l, 0)), (8, State::Dead));
    let refused = l.reserve(order(4), Limit::Held).expect("there is room");
    assert_eq!((refused.contents, l.need(0), l.need(1)), (Contents::Any, Need::Nothing, Need::Memory));
    l.release(refused);
    assert_eq!((l.sums().stale, state(&l, 0), state(&l, 1)), (8, State::Dead, State::Empty));
    assert_eq!(l.begin_punch(0, 9), Some(0..1));
    l.end_punch(0, Mapping::Hole);
    assert_eq!(l.sums(), Sums::default());
}

/// Rule: what a chunk is made of is known as long as it has its memory, mapped or not, and no longer.
#[test]
fn folios() {
    let mut l = ledger(2);
    let counts = |l: &Ledger| (l.sums().huge, l.sums().small);
    let (a, b) =
        (l.reserve(order(3), Limit::Held).expect("room"), l.reserve(order(3), Limit::Held).expect("room"));
    l.populated(0, Some(Folio::Small));
    l.populated(1, Some(Folio::Huge));
    assert_eq!(counts(&l), (1, 1));
    let a = mark_stored(&mut l, a);
    unmap(&mut l);
    assert_eq!(counts(&l), (1, 1));
    let a = l.take_back(a.0, a.1, Limit::Held).expect("it is stored");
    populate_chunks(&mut l, &a); // there is no second look
    assert_eq!(counts(&l), (1, 1));
    l.release(a);
    l.release(b);
    for chunk in l.begin_punch(0, 9).expect("both are dead") {
        l.end_punch(chunk, Mapping::Hole);
    }
    assert_eq!(counts(&l), (0, 0));
    let a = take(&mut l, 3);
    assert_eq!(counts(&l), (0, 0), "the kernel did not tell this time");
    l.release(a);
}

/// Rule: a block of several chunks is in all of them.
#[test]
fn blocks_larger_than_a_chunk() {
    let mut l = ledger(4);
    let a = take(&mut l, 4);
    assert_eq!(l.chunks_of(a.pfn, a.order).len(), 2);
    assert_eq!(l.sums().resident, 16);
    let a = mark_stored(&mut l, a);
    unmap(&mut l);
    assert_eq!(l.sums().reclaimable, 16);
    let half = l.split(a.0, a.1).expect("it is stored");
    assert_eq!(half, order(3));
    assert_eq!(l.split(a.0, a.1), Err(StoreError::NotStored), "the whole is gone");
    let upper = Pfn(a.0.0 + 8);
    let back = l.take_back(upper, half, Limit::Held).expect("a half of it");
    assert_eq!(l.need(1), Need::Mapping);
    assert_eq!((l.need(0), l.sums().reclaimable), (Need::Mapping, 8), "the other half stays where it is");
    l.release(back);
    assert!(l.discard(a.0, half));
}

/// Rule: what is joined is fresh only if both halves are, and only halves of one block are joined.
#[test]
fn joining() {
    use Contents::{Any, Fresh};
    let l = ledger(2);
    let half = |page, contents| Resident { pfn: Pfn(1000 * CHUNK + page), order: order(2), contents };
    for (left, right, both) in [(Fresh, Fresh, Fresh), (Fresh, Any, Any), (Any, Fresh, Any), (Any, Any, Any)]
    {
        let joined = l.join(half(8, left), half(12, right)).expect("two halves");
        assert_eq!(joined, Resident { pfn: Pfn(1000 * CHUNK + 8), order: order(3), contents: both });
    }
    for (left, right) in [(4, 8), (12, 8), (0, 8), (0, 0)] {
        assert_eq!(l.join(half(left, Any), half(right, Any)), Err((half(left, Any), half(right, Any))));
    }
}

/// Rule: the limit is on what is resident; what is only dropped or copied does not count.
#[test]
fn the_limit() {
    let mut l = Ledger::new(0..32, CHUNK, Pages::new(8), Contents::Fresh).expect("memory");
    let a = take(&mut l, 3);
    assert_eq!(l.reserve(Order::PAGE, Limit::Held), Err(AllocError::Limit));
    let copy = l.reserve(Order::PAGE, Limit::Ignored).expect("for a moment");
    l.release(copy);
    let a = mark_stored(&mut l, a);
    let b = take(&mut l, 0);
    assert_eq!(l.take_back(a.0, a.1, Limit::Held), Err(StoreError::Limit));
    assert!(l.is_stored(a.0, a.1), "nothing changed");
    l.release(b);
    assert!(l.take_back(a.0, a.1, Limit::Held).is_ok());
}

/// Rule: an exported page has no second owner, and its memory goes with that of its chunk.
#[test]
fn exported_pages_are_retired() {
    let mut l = ledger(1);
    let a = take(&mut l, 1);
    let exported = a.pfn;
    l.export(a.pfn, Order::PAGE);
    l.release(a);
    assert_eq!((l.retired(), l.free()), (Pages::new(1), Pages::new(7)), "its neighbour is free");
    for _ in 0..3 {
        let all: Vec<_> = core::iter::from_fn(|| l.reserve(Order::PAGE, Limit::Held).ok()).collect();
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|pages| pages.pfn != exported));
        all.into_iter().for_each(|pages| l.release(pages));
        if let Some(run) = l.begin_punch(0, 9) {
            assert_eq!(l.free(), Pages::ZERO);
            run.for_each(|chunk| l.end_punch(chunk, Mapping::Hole));
        }
        assert_eq!((l.retired(), l.free(), l.sums().stale), (Pages::new(1), Pages::new(7), 0));
    }
}

/// Where the model says that a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Page {
    Free,
    Resident,
    Stored,
    Retired,
}

/// Rule: whatever is done in whatever order, the sums, marks and counts are those of the pages, no page has two owners,
/// only chunks without a resident page are unmapped or punched, and at the end everything is free.
#[test]
fn anything_in_any_order() {
    for seed in 1..40_u64 {
        let mut l = ledger(6);
        let first = l.frames.start;
        let mut pages = std::vec![(Page::Free, false); l.total().get()]; // whose, and whether it was exported
        let (mut out, mut stored): (Vec<Resident>, Vec<(Pfn, Order)>) = (Vec::new(), Vec::new());
        let mut rng = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for step in 0..600 {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            let pick = (rng >> 20) as usize;
            let range = |pfn: Pfn, order: Order| pfn.0 - first..pfn.0 - first + order.pages().get();
            match rng % 9 {
                0..=2 => {
                    if let Ok(r) = l.reserve(order((rng >> 8) as u8 % 5), Limit::Held) {
                        assert!(pages[range(r.pfn, r.order)].iter().all(|p| p.0 == Page::Free), "two owners");
                        pages[range(r.pfn, r.order)].iter_mut().for_each(|p| p.0 = Page::Resident);
                        populate_chunks(&mut l, &r);
                        out.push(r);
                    }
                }
                3 | 4 if !out.is_empty() => {
                    let r = out.swap_remove(pick % out.len());
                    pages[range(r.pfn, r.order)].iter_mut().for_each(|p| p.0 = Page::Stored);
                    stored.push(mark_stored(&mut l, r));
                }
                5 if !stored.is_empty() => {
                    let (pfn, order) = stored.swap_remove(pick % stored.len());
                    let r = l.take_back(pfn, order, Limit::Held).expect("it is stored");
                    pages[range(pfn, order)].iter_mut().for_each(|p| p.0 = Page::Resident);
                    populate_chunks(&mut l, &r);
                    out.push(r);
                }
                6 if !out.is_empty() || !stored.is_empty() => {
                    let (pfn, order) = if pick % 2 == 0 && !out.is_empty() {
                        let r = out.swap_remove(pick % out.len());
                        let named = (r.pfn, r.order);
                        if step % 7 == 0 {
                            l.export(r.pfn, r.order);
                            pages[range(r.pfn, r.order)].iter_mut().for_each(|p| p.1 = true);
                        }
                        l.release(r);
                        named
                    } else if let Some((pfn, order)) = stored.pop() {
                        assert!(l.discard(pfn, order));
                        (pfn, order)
                    } else {
                        continue;
                    };
                    for page in &mut pages[range(pfn, order)] {
                        page.0 = if page.1 { Page::Retired } else { Page::Free };
                    }
                }
                7 => {
                    if let Some((pfn, order)) = stored.pop() {
                        match l.split(pfn, order) {
                            Ok(half) => {
                                stored.push((pfn, half));
                                stored.push((Pfn(pfn.0 + half.pages().get()), half));
                            }
                            Err(why) => {
                                assert_eq!((why, order), (StoreError::TooLarge, Order::PAGE));
                                stored.push((pfn, order));
                            }
                        }
                    }
                }
                8 => {
                    unmap(&mut l);
                    while let Some(run) = l.begin_punch(0, 2) {
                        for chunk in run {
                            let here = &pages[chunk * CHUNK..(chunk + 1) * CHUNK];
                            assert!(here.iter().all(|p| matches!(p.0, Page::Free | Page::Retired)));
                            l.end_punch(chunk, Mapping::Hole);
                        }
                    }
                }
                _ => {}
            }
            check(&l, &pages);
        }
        out.into_iter().for_each(|r| l.release(r));
        stored.into_iter().for_each(|(pfn, order)| assert!(l.discard(pfn, order)));
        while let Some(run) = l.begin_punch(0, 2) {
            run.for_each(|chunk| l.end_punch(chunk, Mapping::Hole));
        }
        assert_eq!(l.free() + l.retired(), l.total());
        assert_eq!(l.sums(), Sums::default());
    }
}

#[track_caller]
fn check(l: &Ledger, pages: &[(Page, bool)]) {
    let count = |pages: &[(Page, bool)], which| pages.iter().filter(|p| p.0 == which).count();
    assert_eq!(l.free().get(), count(pages, Page::Free));
    assert_eq!(l.retired().get(), count(pages, Page::Retired));
    let mut sums = Sums::default();
    for (n, here) in pages.chunks(CHUNK).enumerate() {
        let chunk = l.chunks.get(n).expect("there are as many");
        let (resident, stored) = (count(here, Page::Resident), count(here, Page::Stored));
        assert_eq!((chunk.resident as usize, chunk.stored as usize), (resident, stored), "chunk {n}");
        let marks = runs_set(&l.stale, n * CHUNK..(n + 1) * CHUNK);
        assert_eq!(chunk.stale as usize, marks.len());
        assert!(
            marks.iter().all(|page| matches!(pages[*page].0, Page::Free | Page::Retired)),
            "stale, and in use"
        );
        assert!(
            resident == 0 || chunk.mapping == Mapping::Mapped,
            "resident in a chunk that is {:?}",
            chunk.mapping
        );
        assert!(chunk.mapping != Mapping::Hole || stored + marks.len() == 0, "bytes without memory");
        sums.resident += resident;
        sums.stale += marks.len();
        match chunk.state() {
            State::Clean => sums.reclaimable += stored,
            _ => sums.pending += stored,
        }
        for (which, at) in [
            (State::Queued, l.chunks.run(State::Queued, n, 1)),
            (State::Dead, l.chunks.run(State::Dead, n, 1)),
        ] {
            assert_eq!(at == Some(n..n + 1), chunk.state() == which, "chunk {n} is {:?}", chunk.state());
        }
    }
    assert_eq!(l.sums(), sums);
}

fn runs_set(words: &[usize], run: Range<usize>) -> Vec<usize> {
    run.filter(|bit| bitmap::get(words, *bit)).collect()
}
