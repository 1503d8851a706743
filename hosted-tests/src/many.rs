//! Many buffers, of which few have something to give: what a reclaim of one page costs over a slice, and over an index.
//!
//! The example `reclaim_costs` measures it, in nanoseconds or under callgrind.

use crate::memory::{leak, words};
use forebay::buffer::Slots;
use forebay::reclaim::{Candidates, EvictionIndex, IndexedCandidates};
use forebay::{Buffer, Context, Evict, Order, Outcome, Pages, Slot, sync::SpinRawMutex};
use forebay_backends::{Ram, RamForebay};
use std::fmt;
use std::hint::black_box;

const PAGE: usize = 256;
const CX: Context = Context::THREAD;

type Home = RamForebay<SpinRawMutex, PAGE, 64>;
type Fast = Ram<SpinRawMutex, PAGE>;
type One<T> = Buffer<&'static Home, T>;
type Index = EvictionIndex<SpinRawMutex, &'static mut [usize]>;
/// Slots of a buffer that is not indexed.
pub type PlainSlot = [Slot<Fast>; 1];
/// Slots of a buffer that is indexed.
pub type IndexedSlot =
    forebay::reclaim::Indexed<'static, [Slot<Fast>; 1], SpinRawMutex, &'static mut [usize]>;

/// One page each. They live for ever.
pub struct Many<C, T: Slots<Platform = Fast> + 'static> {
    home: &'static Home,
    candidates: C,
    buffers: &'static [One<T>],
    seed: u64,
}

impl<C, T: Slots<Platform = Fast>> fmt::Debug for Many<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many").field("buffers", &self.buffers.len()).finish_non_exhaustive()
    }
}

/// With the option `--toggle-collect='*many::window*'` callgrind counts inside of this function, and nowhere else in the process.
#[inline(never)]
pub fn window(f: &mut dyn FnMut()) {
    f();
}

/// `many` buffers, with fast memory for `resident` of them. A reclaim is over a slice.
pub fn over_a_slice(many: usize, resident: usize) -> Many<&'static [One<PlainSlot>], PlainSlot> {
    let home = home(resident, many);
    let buffers: Vec<_> = (0..many).map(|_| Buffer::new(home, Order::PAGE)).collect();
    let buffers: &[_] = buffers.leak();
    Many::new(home, buffers, buffers, resident)
}

/// The same. A reclaim is over an index.
pub fn over_an_index(
    many: usize,
    resident: usize,
) -> Many<IndexedCandidates<'static, One<IndexedSlot>, SpinRawMutex, &'static mut [usize]>, IndexedSlot> {
    let home = home(resident, many);
    let index: &Index = Box::leak(Box::new(Index::new(words(EvictionIndex::<SpinRawMutex>::words(many)))));
    let buffer = |n| {
        let slots = index.indexed(n, [Slot::EMPTY]).expect("each number is taken once");
        Buffer::with_slots(home, slots, Order::PAGE)
    };
    let buffers: &[_] = (0..many).map(buffer).collect::<Vec<_>>().leak();
    Many::new(home, index.candidates(buffers), buffers, resident)
}

/// Pages of fast RAM, and pages behind it.
fn home(fast: usize, slow: usize) -> &'static Home {
    let home: &Home = Box::leak(Box::new(Home::new()));
    let meta = words(Home::metadata_words(fast * PAGE));
    home.init(leak(fast * PAGE, 0), leak(slow * PAGE, 0), meta).expect("unused memory");
    home
}

impl<C: Candidates, T: Slots<Platform = Fast>> Many<C, T> {
    fn new(home: &'static Home, candidates: C, buffers: &'static [One<T>], resident: usize) -> Self {
        for n in 0..resident {
            let buffer = &buffers[n * (buffers.len() / resident)];
            assert!(buffer.write().is_ok(), "there is memory for it");
        }
        Many { home, candidates, buffers, seed: 1 }
    }

    /// The number of a buffer: the same numbers in each run.
    fn random(&mut self) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % self.buffers.len()
    }

    fn reclaim(&self, how: Evict) {
        let report = self.home.reclaim(&self.candidates, Pages::new(1), how, CX);
        assert_eq!(report.outcome, Outcome::Reached, "{report}");
    }

    /// Uses a buffer that is not resident. Before, a page of another buffer is evicted by copying: in the window of `measure`.
    pub fn use_one(&mut self, measure: &mut dyn FnMut(&mut dyn FnMut())) {
        loop {
            let buffer = &self.buffers[self.random()];
            if buffer.read().is_err() {
                measure(&mut || self.reclaim(Evict::COPY));
                assert!(buffer.write().is_ok(), "a page is free");
                return;
            }
        }
    }

    /// Marks one buffer as purgeable, and has a reclaim purge it: in the window of `measure`.
    ///
    /// # Panics
    /// If it is in use.
    pub fn purge_one(&mut self, measure: &mut dyn FnMut(&mut dyn FnMut())) {
        let buffer = &self.buffers[self.random()];
        while buffer.write().is_err() {
            self.reclaim(Evict::COPY);
        }
        let _ = buffer.set_purgeable(true).expect("it is not in use");
        measure(&mut || self.reclaim(Evict::PURGE));
        let _ = buffer.set_purgeable(false).expect("it is not in use");
    }

    /// Takes and drops a guard of a resident buffer, `times` times: in the window of `measure`.
    pub fn guards(&mut self, times: usize, measure: &mut dyn FnMut(&mut dyn FnMut())) {
        let buffer = &self.buffers[self.random()];
        while buffer.read().is_err() {
            self.reclaim(Evict::COPY);
        }
        measure(&mut || (0..times).for_each(|_| drop(black_box(buffer.read()))));
    }
}
