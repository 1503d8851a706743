//! Taking and putting blocks of a [`Buddy`], a step at a time.
//!
//! The lock of a shared buddy is held for one step, a few dozen instructions, whatever the size of the range. Between two
//! steps other cores and interrupts may run, and an interrupt can't wait for the code that it interrupted. So a free block is
//! always visible: while it is not in the bitmap yet, it is in a slot of pending insertions, and an allocator that finds
//! nothing else completes the pending insertions first. The call that began an insertion then finds it done. (A lock-free
//! algorithm of the helping kind. It has locks for its steps since small cores have no compare-and-swap.)

use super::bitmap::{BITS, Bit, Summed};
use super::buddy::{Advance, Buddy, Claim, Pending, Search};
use super::{ORDERS, Words, blocks};
use core::ops::Range;
use forebay::{Order, Pfn};

/// Access to a buddy, one step at a time.
pub(crate) trait Access {
    type Words: Words;
    /// Runs one step alone.
    fn step<R>(&mut self, f: impl FnOnce(&mut Buddy<Self::Words>) -> R) -> R;
}

impl<W: Words> Access for &mut Buddy<W> {
    type Words = W;
    fn step<R>(&mut self, f: impl FnOnce(&mut Buddy<W>) -> R) -> R {
        f(self)
    }
}

/// What [`Buddy::advance`] is to do, computed before the step.
pub(crate) struct Plan {
    /// What is in the slot, unless another call was faster.
    pub(crate) now: Pending,
    /// The next bit.
    pub(crate) bit: Bit,
    /// The bit of its buddy, if the two may be joined.
    pub(crate) buddy: Bit,
    /// Both together.
    pub(crate) joined: Pending,
    /// What is left when the bit is set.
    pub(crate) rest: Pending,
    /// The same, if it is the first bit of its word: then the bit above has to be set.
    pub(crate) climbed: Pending,
}

/// The lowest block among the smallest that are large enough. O(orders · log pages).
pub(crate) fn take(at: &mut impl Access, order: Order) -> Option<Pfn> {
    if usize::from(order.get()) >= ORDERS {
        return None;
    }
    let wanted = u16::MAX << order.get();
    loop {
        let found = match at.step(|b| b.seek(wanted)) {
            Search::Orders(orders) => orders.trailing_zeros() as u8,
            Search::Pending(slot, pending) => {
                let frames = at.step(|b| b.frames());
                complete(at, &frames, slot, pending);
                continue;
            }
            Search::Nothing => return None,
        };
        // Read the range after the search: `init` may have just set it, and it never changes again.
        let frames = at.step(|b| b.frames());
        let here = blocks(&frames, found);
        let bits = Summed::new(at.step(|b| b.start(found)), here.len());
        let Some(index) = first(at, found, bits) else { continue };
        let pfn = (here.start + index) << found;
        let left = Pending::cut(pfn, found + 1, order.get()).rest();
        let bit = bits.bit(index);
        match at.step(|b| b.claim(bit, left, order.pages())) {
            Claim::Lost => {}
            Claim::NoSlot => complete_one(at, &frames),
            Claim::Ours(slot, word) => {
                if word == 0 {
                    lower(at, found, bits, index);
                }
                complete(at, &frames, slot, left);
                return Some(Pfn(pfn));
            }
        }
    }
}

/// Whether there is a block of that order or above, as far as the summaries tell: after a race with other calls one may say yes
/// until the next search. O(1), and O(orders · log pages) for each pending insertion.
pub(crate) fn has(at: &mut impl Access, order: Order) -> bool {
    loop {
        match at.step(|b| b.seek(u16::MAX << order.get())) {
            Search::Orders(_) => return true,
            Search::Pending(slot, pending) => {
                let frames = at.step(|b| b.frames());
                complete(at, &frames, slot, pending);
            }
            Search::Nothing => return false,
        }
    }
}

/// The largest order of which there is a block, as far as the summaries tell. As long as [`has`].
pub(crate) fn largest(at: &mut impl Access) -> Option<Order> {
    loop {
        if let Search::Pending(slot, pending) = at.step(|b| b.any_pending()) {
            let frames = at.step(|b| b.frames());
            complete(at, &frames, slot, pending);
            continue;
        }
        return match at.step(|b| b.seek(u16::MAX)) {
            Search::Orders(orders) => Order::new(orders.ilog2() as u8),
            Search::Pending(..) => continue,
            Search::Nothing => None,
        };
    }
}

/// Frees a block of frames that are not free. Joins it with its free buddies. O(orders · log pages).
pub(crate) fn put(at: &mut impl Access, pfn: Pfn, order: Order) {
    let frames = at.step(|b| b.frames());
    let block = Pending::whole(pfn.0, order.get());
    loop {
        match at.step(|b| b.release(block, order.pages())) {
            Some(slot) => return complete(at, &frames, slot, block),
            None => complete_one(at, &frames),
        }
    }
}

/// Frees a run of frames, none of which is free, in the largest blocks that they make.
pub(crate) fn put_run(at: &mut impl Access, run: Range<usize>) {
    let mut first = run.start;
    while first < run.end {
        let fits = (run.end - first).ilog2().min(first.trailing_zeros()).min(ORDERS as u32 - 1);
        let order = Order::new(fits as u8).unwrap_or(Order::PAGE);
        put(at, Pfn(first), order);
        first += order.pages().get();
    }
}

/// Removes the free block of order `k` with that number.
#[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
pub(crate) fn remove(at: &mut impl Access, k: u8, number: usize) {
    let here = blocks(&at.step(|b| b.frames()), k);
    let (bits, index) = (Summed::new(at.step(|b| b.start(k)), here.len()), number - here.start);
    let left = Pending::cut(number << k, k, k).rest();
    if let Claim::Ours(_, 0) = at.step(|b| b.claim(bits.bit(index), left, forebay::Pages::new(1 << k))) {
        lower(at, k, bits, index);
    }
}

/// Completes one pending insertion, so that there is a slot.
fn complete_one(at: &mut impl Access, frames: &Range<usize>) {
    if let Search::Pending(slot, pending) = at.step(|b| b.any_pending()) {
        complete(at, frames, slot, pending);
    }
}

/// Inserts the block in a slot into the bitmap, as far as no other call does.
fn complete(at: &mut impl Access, frames: &Range<usize>, slot: usize, mut now: Pending) {
    while !now.is_none() {
        let (pfn, order) = now.next();
        let (here, number) = (blocks(frames, order), pfn >> order);
        let lowest = Summed::new(at.step(|b| b.start(order)), here.len());
        let (mut level, mut index) = (Some(lowest), number - here.start);
        for _ in 0..now.level() {
            level = level.and_then(Summed::above);
            index /= BITS;
        }
        let buddy = number ^ 1;
        let may_join = now.level() == 0 && usize::from(order) + 1 < ORDERS && here.contains(&buddy);
        let plan = Plan {
            now,
            bit: level.map_or(Bit::NONE, |level| level.bit(index)),
            buddy: if may_join { lowest.bit(buddy - here.start) } else { Bit::NONE },
            joined: Pending::whole(pfn & !(1 << order), order + 1),
            rest: now.rest(),
            climbed: now.climbed(),
        };
        let advance = match level {
            Some(_) => at.step(|b| b.advance(slot, &plan)),
            None => at.step(|b| b.advance_order(slot, now, order)),
        };
        now = match advance {
            Advance::Overtaken => return,
            Advance::Set(0) => plan.climbed,
            Advance::Set(_) => plan.rest,
            Advance::Joined => {
                lower(at, order, lowest, buddy - here.start);
                plan.joined
            }
        };
    }
}

/// The number of the first set bit. `None` if a summary bit was set for a zero word; it is cleared then.
fn first(at: &mut impl Access, order: u8, bits: Summed) -> Option<usize> {
    let word = match bits.above() {
        Some(above) => first(at, order, above)?,
        None => 0,
    };
    match at.step(|b| b.word(bits.word_of(word * BITS))) {
        0 => {
            lower(at, order, bits, word * BITS);
            None
        }
        set => Some(word * BITS + set.trailing_zeros() as usize),
    }
}

/// The word of bit number `index` may be zero now: clears the summary bits above it that stand for this word only.
fn lower(at: &mut impl Access, order: u8, mut bits: Summed, mut index: usize) {
    while let Some(above) = bits.above() {
        let word = bits.word_of(index);
        index /= BITS;
        if at.step(|b| b.lower(word, above.bit(index))) != 0 {
            return;
        }
        bits = above;
    }
    at.step(|b| b.lower_order(bits.word_of(index), order));
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use forebay::Pages;
    use std::cell::{Cell, RefCell};
    use std::{vec, vec::Vec};

    /// A buddy, and interrupts before any step of any call, nested too.
    struct Core {
        buddy: RefCell<Buddy<Vec<usize>>>,
        held: RefCell<Vec<(Pfn, Order)>>,
        random: Cell<u64>,
        interrupts: Cell<u32>,
        failed: Cell<u32>,
    }

    impl Core {
        fn new(frames: Range<usize>, seed: u64) -> Self {
            let words = vec![0; Buddy::<Vec<usize>>::words(frames.len())];
            Core {
                buddy: RefCell::new(Buddy::whole(frames, words)),
                held: RefCell::default(),
                random: Cell::new(seed | 1),
                interrupts: Cell::new(0),
                failed: Cell::new(0),
            }
        }

        fn random(&self, below: u64) -> u64 {
            let mut x = self.random.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.random.set(x);
            (x >> 8) % below
        }

        /// Takes or puts a block.
        fn work(&self, depth: u32) {
            let mut at = Interrupted { core: self, depth };
            let order = Order::new(self.random(12).saturating_sub(1) as u8).unwrap();
            let some = self.held.borrow().len();
            if some == 0 || self.random(5) < 3 {
                match take(&mut at, order) {
                    Some(pfn) => self.hold(pfn, order),
                    None => {
                        self.failed.set(self.failed.get() + 1);
                        assert!(!self.is_there(order), "there is one of {order:?}");
                    }
                }
            } else {
                let (pfn, order) = self.held.borrow_mut().swap_remove(self.random(some as u64) as usize);
                put(&mut at, pfn, order);
            }
        }

        fn hold(&self, pfn: Pfn, order: Order) {
            let mine = pfn.0..pfn.0 + order.pages().get();
            let mut held = self.held.borrow_mut();
            let apart = |(p, o): &(Pfn, Order)| p.0 >= mine.end || p.0 + o.pages().get() <= mine.start;
            assert!(held.iter().all(apart) && pfn.0 % order.pages().get() == 0, "a frame twice");
            held.push((pfn, order));
        }

        /// Whether free frames make a block of that order, in the bitmap or pending.
        fn is_there(&self, order: Order) -> bool {
            let buddy = self.buddy.borrow();
            let frames = buddy.frames();
            let free: Vec<bool> = frames.clone().map(|pfn| buddy.is_free(Pfn(pfn))).collect();
            let pages = order.pages().get();
            blocks(&frames, order.get()).any(|n| (n * pages..(n + 1) * pages).all(|p| free[p - frames.start]))
        }
    }

    struct Interrupted<'c> {
        core: &'c Core,
        depth: u32,
    }

    impl Access for Interrupted<'_> {
        type Words = Vec<usize>;
        fn step<R>(&mut self, f: impl FnOnce(&mut Buddy<Vec<usize>>) -> R) -> R {
            if self.depth < 4 && self.core.random(6) == 0 {
                self.core.interrupts.set(self.core.interrupts.get() + 1);
                self.core.work(self.depth + 1);
            }
            f(&mut self.core.buddy.borrow_mut())
        }
    }

    /// Rule: calls between two steps of others, nested too, find each frame once, and miss nothing that is free. In the end
    /// everything is as in the beginning.
    #[test]
    fn interrupts_between_steps_find_everything_once() {
        let (mut interrupts, mut failed) = (0, 0);
        for seed in 0..10 {
            for frames in [0..1, 3..40, 7..1040, 1000..2100] {
                let core = Core::new(frames.clone(), 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1));
                for _ in 0..300 {
                    core.work(0);
                }
                for (pfn, order) in core.held.take() {
                    put(&mut Interrupted { core: &core, depth: 4 }, pfn, order);
                }
                let buddy = core.buddy.borrow();
                let whole = Core::new(frames.clone(), 1).buddy.into_inner();
                assert!(matches!(buddy.any_pending(), Search::Nothing));
                assert_eq!(buddy.free(), Pages::new(frames.len()));
                for pfn in frames.clone() {
                    assert_eq!(buddy.free_block(pfn), whole.free_block(pfn), "joined");
                }
                interrupts += core.interrupts.get();
                failed += core.failed.get();
            }
        }
        assert!(interrupts > 5_000 && failed > 1_000, "{interrupts} interrupts, {failed} refusals");
    }
}
