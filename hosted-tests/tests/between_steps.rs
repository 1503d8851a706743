//! What comes in between two steps of a source or a region: an interrupt, or another core.
//!
//! The lock is free between two steps, so anything may happen there. Here it does, before each step in turn.

use forebay::{Context, OwnedBlock, Pages, Platform, Section, Spin, StoreId};
use forebay_backends::{Ram, RamBlock, Region};
use hosted_tests::conformance::{fill, order};
use hosted_tests::memory::{leak, words};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const PAGE: usize = 512;

thread_local! {
    /// What comes in, and how many steps later.
    static NEXT: RefCell<Option<(usize, Box<dyn FnOnce()>)>> = const { RefCell::new(None) };
}

/// Lets something in before the lock is taken.
struct Between;

impl Section for Between {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let now = NEXT.with_borrow_mut(|next| match next {
            Some((0, _)) => next.take(),
            Some((steps, _)) => {
                *steps -= 1;
                None
            }
            None => None,
        });
        if let Some((_, come_in)) = now {
            come_in();
        }
        f()
    }
}

type Lock = Spin<Between>;
type Source = Ram<Lock, PAGE>;
type Slow<B, const N: usize> = Region<Lock, B, PAGE, N>;

/// Before step number `step` of what follows.
fn before_step(step: usize, come_in: impl FnOnce() + 'static) {
    NEXT.set(Some((step, Box::new(come_in))));
}

/// Whether it did not come in: there were fewer steps.
fn none_left() -> bool {
    NEXT.take().is_some()
}

/// Rule: memory may be given while somebody else looks for some: he finds it or not, and never anything else.
#[test]
fn memory_is_given_while_somebody_looks_for_it() {
    for step in 0.. {
        let ram: &'static Source = Box::leak(Box::new(Source::new()));
        let memory = leak(9 * PAGE, 0);
        let addresses = memory.as_ptr_range();
        before_step(step, || {
            ram.add(memory, words(Source::metadata_words(9 * PAGE))).expect("good memory");
        });
        let found = ram.allocate(order(1), Context::THREAD);
        if none_left() {
            break;
        }
        if let Ok(mut block) = found {
            assert!(addresses.contains(&block.as_ptr()), "{block:?} is none of {addresses:?}");
            fill(&mut block, 1);
            ram.release(block);
        }
        assert_eq!(ram.free(), Pages::new(9));
    }
}

/// Rule: two may give memory at once: each piece is there then, or comes back.
#[test]
fn two_give_memory_at_once() {
    for step in 0.. {
        let ram: &'static Source = Box::leak(Box::new(Source::new()));
        let add = |pages| ram.add(leak(pages * PAGE, 0), words(Source::metadata_words(pages * PAGE)));
        before_step(step, move || assert_eq!(add(3).unwrap(), 3 * PAGE));
        assert_eq!(add(5).unwrap(), 5 * PAGE);
        if none_left() {
            break;
        }
        assert_eq!((ram.free(), ram.total()), (Pages::new(8), Pages::new(8)));
        assert!(add(1).is_err());
    }
}

/// Rule: a region has one piece of memory, whoever gives it, and what comes too late comes back whole.
#[test]
fn two_give_a_region_memory_at_once() {
    for step in 0.. {
        let region: &'static Slow<RamBlock<PAGE>, 2> = Box::leak(Box::new(Slow::new(StoreId::DEFAULT)));
        let init = |pages| {
            let meta = words(Slow::<RamBlock<PAGE>, 2>::metadata_words(pages * PAGE));
            region.init(leak(pages * PAGE, 0), meta).map_err(|refused| refused.item.0.len())
        };
        let first = Rc::new(Cell::new(None));
        let other = Rc::clone(&first);
        before_step(step, move || other.set(Some(init(3))));
        let second = init(5);
        if none_left() {
            break;
        }
        match (first.get().unwrap(), second) {
            (Ok(given), Err(back)) | (Err(back), Ok(given)) => {
                assert_eq!((given + back, region.total().get() * PAGE), (8 * PAGE, given));
            }
            other => panic!("{other:?}"),
        }
    }
}
