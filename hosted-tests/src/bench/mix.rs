//! Traces of allocations of all orders, for W5. Small blocks are frequent, large ones rare. A trace does not depend on any
//! allocator.

use super::rng::XorShift;
use forebay::Order;

/// A step of a trace. A place is a number that stands for a block; it is used again once its block is freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A block is allocated for this place.
    Allocate(usize, Order),
    /// The block of this place is freed, if its allocation did not fail.
    Free(usize),
}

/// The result of a trace.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mixed {
    /// Allocations that failed.
    pub failed: usize,
    /// Free pages in blocks of each of [`Mixed::ORDERS`], in per cent of all free pages.
    pub percent: [f64; 2],
}

impl Mixed {
    /// The orders that are counted.
    pub const ORDERS: [Order; 2] = [Order::new(9).unwrap(), Order::TEN];
}

/// A trace. The order of each block is random, with P(k) = 2^-(k+1), and 10 at most. Nine tenths of all pages stay allocated. At
/// the end random blocks are freed, until half of all pages are free.
#[derive(Debug)]
pub struct Mix {
    /// The place, and the order plus one, or 0 to free it.
    steps: Vec<(u32, u8)>,
    /// Steps before random blocks are freed at the end.
    busy: usize,
    places: usize,
}

impl Mix {
    /// A trace of `steps` steps, and of the frees at its end. The same seed gives the same trace.
    pub fn new(pages: usize, steps: usize, seed: u64) -> Mix {
        let mut mix = Mix { steps: Vec::with_capacity(steps + pages / 4), busy: 0, places: 0 };
        let mut rng = XorShift::new(seed);
        let (mut live, mut unused, mut held): (Vec<(u32, Order)>, Vec<u32>, usize) = (vec![], vec![], 0);
        let mut wanted = draw(&mut rng);
        while mix.steps.len() < steps {
            let more = wanted.pages().get();
            if held + more <= pages / 10 * 9 {
                let place = unused.pop().unwrap_or_else(|| {
                    mix.places += 1;
                    (mix.places - 1) as u32
                });
                mix.steps.push((place, wanted.get() + 1));
                live.push((place, wanted));
                held += more;
                wanted = draw(&mut rng);
            } else {
                held -= mix.free_any(&mut live, &mut unused, &mut rng);
            }
        }
        mix.busy = mix.steps.len();
        while held > pages / 2 {
            held -= mix.free_any(&mut live, &mut unused, &mut rng);
        }
        mix
    }

    /// Frees a random block. Returns its pages.
    fn free_any(&mut self, live: &mut Vec<(u32, Order)>, unused: &mut Vec<u32>, rng: &mut XorShift) -> usize {
        let (place, order) = live.swap_remove(rng.below(live.len()));
        self.steps.push((place, 0));
        unused.push(place);
        order.pages().get()
    }

    /// The number of places.
    pub fn places(&self) -> usize {
        self.places
    }

    /// All steps, in their order.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        self.first(self.steps.len())
    }

    /// The steps before half of all pages are freed.
    pub fn busy_steps(&self) -> impl Iterator<Item = Step> {
        self.first(self.busy)
    }

    fn first(&self, steps: usize) -> impl Iterator<Item = Step> {
        self.steps[..steps].iter().map(|(place, what)| {
            let order = what.checked_sub(1).and_then(Order::new);
            order.map_or(Step::Free(*place as usize), |order| Step::Allocate(*place as usize, order))
        })
    }
}

fn draw(rng: &mut XorShift) -> Order {
    let order = rng.draw().trailing_zeros().min(u32::from(Order::TEN.get()));
    Order::new(order as u8).unwrap_or(Order::TEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a trace never holds more than nine tenths of the pages, frees only what it allocated, and holds half of them at its
    /// end.
    #[test]
    fn a_trace_is_kept_at_nine_tenths() {
        let pages = 16 << 10;
        let mix = Mix::new(pages, 20_000, 0xdead);
        let (mut places, mut held, mut most) = (vec![None; mix.places()], 0, 0);
        let mut by_order = [0; 11];
        for step in mix.steps() {
            match step {
                Step::Allocate(at, order) => {
                    assert_eq!(places[at].replace(order), None);
                    held += order.pages().get();
                    by_order[usize::from(order.get())] += 1;
                }
                Step::Free(at) => held -= places[at].take().unwrap().pages().get(),
            }
            most = most.max(held);
        }
        assert!(most <= pages / 10 * 9 && most > pages / 10 * 8, "{most}");
        assert!(held <= pages / 2 && held > pages / 2 - 1024, "{held}");
        assert!(by_order[0] > by_order[1] && by_order[1] > by_order[3] && by_order[10] > 0, "{by_order:?}");
    }
}
