//! Interrupts between the steps of a write-out: one finds what is free, as if no write-out were going on.

use super::*;
use forebay::sync::IrqGuard;

type Interrupt = Box<dyn FnOnce()>;

thread_local! {
    /// How many more locks are released before the interrupt, and the interrupt.
    static NEXT: RefCell<Option<(usize, Interrupt)>> = const { RefCell::new(None) };
}

/// A lock that is interrupted just after it was given back.
struct Interrupted;

impl IrqGuard for Interrupted {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let result = f();
        let now = NEXT.with_borrow_mut(|next| match next {
            Some((0, _)) => next.take(),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        });
        if let Some((_, interrupt)) = now {
            interrupt();
        }
        result
    }
}

type Small = RamRegion<SpinRawMutex<Interrupted>, PAGE, 2>;
const PAGES: usize = 64;

fn small() -> &'static Small {
    let region = Box::leak(Box::new(Small::new(StoreId::DEFAULT)));
    region.init(leak(PAGES * PAGE, 0), words(Small::metadata_words(PAGES * PAGE))).unwrap();
    region
}

/// Writes out a block of that order, the first of two that wait or the only one, with a transfer of another after step `n`.
/// Returns whether there is a step `n`.
fn write_out_and_interrupt(region: &'static Small, source: &Source, order: Order, n: usize) -> bool {
    let other = block(source, order.get(), 3);
    let done: &'static Cell<bool> = Box::leak(Box::default());
    let interrupt = Box::new(move || {
        let full = region.pending() == order.pages() + order.pages();
        match region.transfer(other, None).map_err(|refused| refused.why) {
            Ok(_) => assert!(!full, "three wait"),
            Err(StoreError::Backlog) if full => {}
            Err(why) => panic!("after step {n}, {order:?} into {region:?}: {why}"),
        }
        done.set(true);
    });
    NEXT.set(Some((n, interrupt)));
    assert_eq!(region.write_out_now(PAGE << order.get(), &mut drop), PAGE << order.get());
    NEXT.take();
    done.get()
}

/// Rule: a store says `Backlog` only while each of its entries has a pending block: as soon as one is not pending any more, it has
/// room.
#[test]
fn an_entry_is_free_as_soon_as_its_block_is_not_pending() {
    for k in 0..3 {
        let interrupted = |n: &usize| {
            let (source, region) = (source(), small());
            let _ = [1, 2].map(|seed| region.transfer(block(&source, k, seed), None).unwrap());
            write_out_and_interrupt(region, &source, order(k), *n)
        };
        assert!((0..).take_while(interrupted).count() > 1);
    }
}

/// Rule: the last room is for a transfer that asks for it, not for a stock of ready room.
#[test]
fn room_for_one_more_is_there_at_any_moment() {
    for k in 0..3 {
        let interrupted = |n: &usize| {
            let (source, region) = (source(), small());
            let all = (PAGES >> k) - 2; // of which one waits, and one is free
            let full: Vec<_> = (0..all)
                .map(|_| {
                    let copied = block(&source, k, 1);
                    let handle = region.save(&copied, order(k), None, Context::THREAD).unwrap();
                    source.free(copied);
                    handle
                })
                .collect();
            let waits = region.transfer(block(&source, k, 2), None).unwrap();
            let interrupted = write_out_and_interrupt(region, &source, order(k), *n);
            assert_eq!((full.len(), waits.order()), (all, order(k)));
            interrupted
        };
        assert!((0..).take_while(interrupted).count() > 1);
    }
}
