//! Walking over the slots in small steps: each begins where the last one ended, so that as many steps as there are
//! slots do not look at every slot in each step.

use super::complete;
use forebay_backends::*;
use hosted_tests::kit::*;

const SLOTS: usize = 64;

fn pfns(events: &[Event], of: impl Fn(&Event) -> Option<Pfn>) -> Vec<Pfn> {
    events.iter().filter_map(of).collect()
}

fn saved(event: &Event) -> Option<Pfn> {
    if let Event::Save(pfn, _, Ok(_)) = event { Some(*pfn) } else { None }
}

fn transferred(event: &Event) -> Option<Pfn> {
    if let Event::Transfer(pfn, _, Ok(())) = event { Some(*pfn) } else { None }
}

fn taken_back(event: &Event) -> Option<Pfn> {
    if let Event::TakeBack(_, Ok(pfn)) = event { Some(*pfn) } else { None }
}

fn allocated(event: &Event) -> Option<Pfn> {
    if let Event::Allocate(_, Ok(pfn)) = event { Some(*pfn) } else { None }
}

/// Runs `step` once for each slot and once more. Each but the last must move one page. Returns how often the worst of them
/// looked at a block.
#[track_caller]
fn steps(mut step: impl FnMut() -> Pages) -> usize {
    let mut worst = 0;
    for n in 0..=SLOTS {
        LOOKS.set(0);
        assert_eq!(step(), pages(usize::from(n < SLOTS)), "step {n}");
        // The last one finds out that there is nothing more, and may look at each for that.
        worst = worst.max(if n < SLOTS { LOOKS.get() } else { LOOKS.get() / SLOTS });
    }
    worst
}

/// Rule: n steps of a page over n slots make n calls each way, in the order of the slots. No step looks at more than a few
/// blocks, however many it has passed.
#[test]
fn small_steps_do_not_begin_at_the_first_slot() {
    let (log, near, far) = (Log::default(), SeenRam(near(2 * SLOTS)), far_of::<Seen>(2 * SLOTS));
    // Every second page, so that each slot has a block of its own.
    let hogged = leave(&near.0, (0..SLOTS).map(|n| 2 * n));
    let (from, to) = (AllPorts(Traced::new(&near, &log)), Traced::new(&far, &log));
    let home = &Forebay::new(from, to);
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);

    let populate = steps(|| complete(buffer.populate(pages(1), CX)).populated);
    let frames = pfns(&log.take(), allocated);
    assert_eq!((frames.len(), buffer.residency()), (SLOTS, residency(SLOTS, 0, 0)));
    fill(&buffer, 1);
    log.take();

    let evict = steps(|| buffer.evict(pages(1), Evict::COPY, CX).unwrap().copied);
    assert!(pfns(&log.take(), saved) == frames, "one save for each page, in the order of the slots");
    let restore = steps(|| complete(buffer.restore(pages(1), CX)).loaded);
    let events = log.take();
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Load(_, _, Ok(())))).count(), SLOTS);
    let clean = steps(|| buffer.evict(pages(1), Evict::COPY, CX).unwrap().clean);
    assert_eq!(log.count(|e| matches!(e, Event::Save(..))), 0);
    check(&buffer, 1);

    let worst = [populate, evict, restore, clean];
    assert!(worst.iter().all(|n| *n < SLOTS / 2), "looks at blocks in one step: {worst:?}");
    drop(buffer);
    give_back(&near.0, hogged);
    assert_eq!((near.0.unused(), far.space().pages), (near.0.total(), far.total()));
}

/// Rule: the next call goes on where the last one ended, also after it turned round: an eviction after a restore and
/// the other way round don't begin at the first slot either.
#[test]
fn a_walk_that_turns_round_begins_where_it_ended() {
    let (log, near, far) = (Log::default(), near(16), far(16));
    let hogged = leave(&near, (0..8).map(|n| 2 * n));
    let home = &Forebay::new(&near, Traced::new(&far, &log));
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 2);
    buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
    let frames = pfns(&log.take(), transferred);
    check(&buffer, 2);
    log.take();
    let evict = || {
        assert_eq!(buffer.evict(pages(1), Evict::TRANSFER, CX).unwrap().transferred, pages(1));
        pfns(&log.take(), transferred)[0]
    };
    let restore = || {
        assert_eq!(complete(buffer.restore(pages(1), CX)).taken_back, pages(1));
        pfns(&log.take(), taken_back)[0]
    };
    assert_eq!([evict(), evict(), evict()], [frames[0], frames[1], frames[2]]);
    assert_eq!(restore(), frames[2], "where the last one ended, not at the first");
    assert_eq!([evict(), evict()], [frames[2], frames[3]]);
    // Past the end, and on from the first.
    assert_eq!([restore(), restore(), restore()], [frames[3], frames[0], frames[1]]);
    assert_eq!(buffer.residency(), residency(7, 0, 1));
    check(&buffer, 2);
    drop(buffer);
    give_back(&near, hogged);
    assert_eq!((near.unused(), far.space()), (near.total(), Space { pages: far.total(), transfers: 16 }));
}
