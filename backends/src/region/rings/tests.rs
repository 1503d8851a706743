use super::*;
use std::vec::Vec;

/// Contents of the test: a ring that is stored, or room that nothing was written to.
struct Stored {
    head: usize,
    order: Order,
    stamp: Option<usize>,
}

struct World {
    rings: Rings,
    /// What was written to each page.
    pages: Vec<usize>,
    stored: Vec<Stored>,
    stamps: usize,
    seed: u64,
}

impl World {
    fn new(pages: usize, seed: u64) -> Self {
        let words = Vec::leak(std::vec![usize::MAX; pages]); // whatever was there before
        World { rings: Rings::new(words), pages: std::vec![0; pages], stored: Vec::new(), stamps: 0, seed }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as usize % below
    }

    /// The pages of a ring in order, taken as far as they are needed; and the first page of the last run.
    fn walk(&mut self, at: &mut Walk, upto: usize) -> (Vec<usize>, usize) {
        let (mut pages, mut page) = (Vec::new(), at.head);
        loop {
            let end = usize::from(at.before) + usize::from(at.run);
            let first = pages.len() - usize::from(at.before).min(pages.len());
            pages.extend((first..usize::from(at.run)).map(|n| page + n));
            if end >= upto || pages.len() >= upto {
                pages.truncate(upto);
                return (pages, page);
            }
            page = self.rings.advance(at, page);
        }
    }

    /// Returns the first page of the last run.
    fn write(&mut self, at: &mut Walk, upto: usize, stamp: usize) -> usize {
        let (pages, last) = self.walk(at, upto);
        for (n, page) in pages.into_iter().enumerate() {
            self.pages[page] = stamp + n;
        }
        last
    }

    fn used(&self) -> usize {
        self.stored.iter().map(|stored| stored.order.pages().get()).sum()
    }

    /// Writes all of a lent ring and keeps it, or a part, and gives it up in one of three ways.
    fn fill(&mut self, mut at: Walk) {
        let (order, pages) = (at.order(), at.pages());
        self.stamps += 10_000;
        let stamp = self.stamps;
        match self.random(4) {
            0 => {
                let part = 1 + self.random(pages);
                self.write(&mut at, part, stamp);
                self.rings.give_back(&at, at.head, Left::Nothing);
            }
            1 => {
                let part = 1 + self.random(pages);
                let page = self.write(&mut at, part, stamp);
                let head = at.head;
                self.rings.give_back(&at, page, Left::Reserved);
                self.stored.push(Stored { head, order, stamp: None });
            }
            _ => {
                let page = self.write(&mut at, pages, stamp);
                let head = at.head;
                self.rings.give_back(&at, page, Left::Stored);
                self.stored.push(Stored { head, order, stamp: Some(stamp) });
            }
        }
    }

    /// Whether no page but a head has an order, and each page is in one free extent or in one ring.
    fn check_words(&self) {
        let Rings { words, top, length, below, .. } = &self.rings;
        let mut times = std::vec![0; words.len()];
        let (mut page, mut length, mut next) = (*top, *length, *below);
        while length > 0 {
            times[page..page + length].iter_mut().for_each(|times| *times += 1);
            (page, next) = (next, self.rings.link(next));
            length = match words.get(page) {
                Some(word) if word & MANY != 0 => words[page + 1],
                Some(_) => 1,
                None => 0,
            };
        }
        for Stored { head, order, .. } in &self.stored {
            let (word, mut page) = (words[*head], *head);
            for n in 1..=if word & FULL != 0 { order.pages().get() } else { 1 } {
                times[page] += 1;
                page = if word & STRAIGHT != 0 { head + n } else { self.rings.link(page) };
            }
        }
        assert!(times.iter().all(|times| *times == 1), "{times:?}");
        let heads: Vec<_> = self.stored.iter().map(|stored| stored.head).collect();
        let of_order = words.iter().enumerate().filter(|(_, word)| *word & ORDER != 0);
        assert!(of_order.into_iter().all(|(page, _)| heads.contains(&page)), "an order, and no head");
    }

    /// Whether contents are there and right, and no other number names them.
    fn check(&mut self, stored: &Stored) {
        let Stored { head, order, stamp } = *stored;
        for k in 0..=10 {
            let is_there = stamp.is_some() && k == order.get();
            let expected = if is_there { Ok(()) } else { Err(StoreError::NotStored) };
            assert_eq!(self.rings.is_stored(head, Order::new(k).unwrap()), expected);
        }
        let Some(stamp) = stamp else {
            assert_eq!(self.rings.lend(head, order, Wanted::Contents).err(), Some(StoreError::NotStored));
            return;
        };
        let mut at = self.rings.lend(head, order, Wanted::Contents).unwrap();
        assert_eq!(self.rings.is_stored(head, order), Err(StoreError::Busy));
        let (pages, page) = self.walk(&mut at, order.pages().get());
        assert!(pages.iter().enumerate().all(|(n, page)| self.pages[*page] == stamp + n), "other bytes");
        self.rings.give_back(&at, page, Left::Same);
    }
}

/// Rule: contents come back whatever else comes and goes, room is a count that is right after each step, and what fits by count
/// is never refused.
#[test]
fn random_operations_beside_a_plain_model() {
    for (pages, seeds) in [(1, 20), (7, 60), (64, 60), (600, 20)] {
        for seed in 1..=seeds {
            let mut world = World::new(pages, seed * 0x9e37_79b9);
            for step in 0..2_000 {
                assert_eq!(world.rings.space(), pages - world.used());
                if step % 8 == 0 {
                    world.check_words();
                }
                let n = world.stored.len();
                match world.random(8) {
                    0..4 => {
                        let order = Order::new(world.random(5) as u8).unwrap();
                        let fits = order.pages().get() <= world.rings.space();
                        assert_eq!(world.rings.fits(order), fits);
                        if fits {
                            let walk = world.rings.reserve(order);
                            world.fill(walk);
                        }
                    }
                    4 if n > 0 => {
                        // Written over, where it is.
                        let one = world.random(n);
                        let Stored { head, order, .. } = world.stored.swap_remove(one);
                        let walk = world.rings.lend(head, order, Wanted::Room).unwrap();
                        assert_eq!(walk.head, head);
                        assert!(world.rings.is_stored(head, order).is_err());
                        world.fill(walk);
                    }
                    5 if n > 0 => {
                        let one = world.random(n);
                        let stored = world.stored.swap_remove(one);
                        let Some((stamp, half)) = stored.stamp.zip(stored.order.lower()) else {
                            world.stored.push(stored);
                            continue;
                        };
                        let at = world.rings.lend(stored.head, stored.order, Wanted::Contents).unwrap();
                        let size = half.pages().get();
                        let behind = |from, steps| (0..steps).fold(from, |page, _| world.rings.link(page));
                        let middle = behind(at.head, if at.is_straight() { 0 } else { size - 1 });
                        let last = behind(middle, if at.is_straight() { 0 } else { size });
                        let upper = world.rings.cut(at, half, middle, last);
                        world.stored.push(Stored { head: stored.head, order: half, stamp: Some(stamp) });
                        world.stored.push(Stored { head: upper, order: half, stamp: Some(stamp + size) });
                    }
                    _ if n > 0 => {
                        let one = world.random(n);
                        let stored = world.stored.swap_remove(one);
                        world.check(&stored);
                        let walk = world.rings.lend(stored.head, stored.order, Wanted::Room).unwrap();
                        world.rings.give_back(&walk, walk.head, Left::Nothing);
                        assert!(world.rings.lend(stored.head, stored.order, Wanted::Room).is_err());
                    }
                    _ => {}
                }
            }
            let all = core::mem::take(&mut world.stored);
            all.iter().for_each(|stored| world.check(stored));
        }
    }
}

/// Rule: with one size, room lies in order for ever.
#[test]
fn one_size_stays_in_order() {
    let mut world = World::new(61, 5);
    let order = Order::new(2).unwrap();
    for _ in 0..1_000 {
        if world.random(2) == 0 {
            if !world.rings.fits(order) {
                continue;
            }
            let walk = world.rings.reserve(order);
            assert!(walk.is_straight() && usize::from(walk.run) == 4, "{walk:?}");
            world.stored.push(Stored { head: walk.head, order, stamp: None });
            let head = walk.head;
            world.rings.give_back(&walk, head, Left::Stored);
        } else if !world.stored.is_empty() {
            let one = world.random(world.stored.len());
            let stored = world.stored.swap_remove(one);
            let walk = world.rings.lend(stored.head, order, Wanted::Room).unwrap();
            world.rings.give_back(&walk, walk.head, Left::Nothing);
        }
    }
}
