//! Cache lines: what memory has, what the cache has, and what a CPU does to both on its own.

use crate::conformance::Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// What the CPU does to its cache unasked.
#[derive(Clone, Debug)]
pub enum Adversary {
    /// Nothing: a line comes when the CPU touches it, and goes when it is told to.
    Idle,
    /// Before and after whatever happens, it fetches, writes back and evicts some lines: of those that are concerned, and
    /// of others.
    Busy(Rng),
}

impl Adversary {
    /// Busy, in the same way in every run.
    pub const fn of(seed: u64) -> Self {
        Adversary::Busy(Rng::new(seed))
    }
}

/// How the CPU reaches a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    ThroughTheCache,
    /// Uncached, or write-combined.
    PastTheCache,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Clean,
    Dirty,
}

#[derive(Debug)]
struct Cached {
    bytes: Box<[u8]>,
    state: State,
}

#[derive(Debug)]
struct Line {
    memory: Box<[u8]>,
    cached: Option<Cached>,
    reach: Reach,
}

impl Line {
    /// What was never written is not zeros, and no two lines are alike: this one is the `n`th.
    fn new(n: usize, bytes: usize) -> Line {
        let mut rng = Rng::new(n as u64);
        let memory = (0..bytes).map(|_| rng.next() as u8).collect();
        Line { memory, cached: None, reach: Reach::ThroughTheCache }
    }

    fn fetch(&mut self) -> &mut Cached {
        self.cached.get_or_insert_with(|| Cached { bytes: self.memory.clone(), state: State::Clean })
    }

    fn clean(&mut self) {
        if let Some(cached) = self.cached.as_mut().filter(|cached| cached.state == State::Dirty) {
            self.memory.copy_from_slice(&cached.bytes);
            cached.state = State::Clean;
        }
    }
}

/// The memory of a machine by its physical addresses, and the cache of its CPU.
#[derive(Debug)]
pub(super) struct Cache {
    line: usize,
    lines: BTreeMap<usize, Line>,
    /// The numbers of all lines, to choose from.
    numbers: Vec<usize>,
    adversary: Adversary,
}

impl Cache {
    /// A cache with lines of `line` bytes.
    pub(super) fn new(line: usize, adversary: Adversary) -> Cache {
        assert!(line.is_power_of_two(), "a cache line of {line} bytes");
        Cache { line, lines: BTreeMap::new(), numbers: Vec::new(), adversary }
    }

    /// Bytes of a line.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The CPU reads.
    pub(super) fn read(&mut self, at: usize, to: &mut [u8]) {
        self.each(at..at + to.len(), |line, within, part| {
            let from = match line.reach {
                Reach::ThroughTheCache => &line.fetch().bytes,
                Reach::PastTheCache => &line.memory,
            };
            to[part].copy_from_slice(&from[within]);
        });
    }

    /// The CPU writes: a line that the cache has not is fetched first.
    pub(super) fn write(&mut self, at: usize, from: &[u8]) {
        self.each(at..at + from.len(), |line, within, part| match line.reach {
            Reach::ThroughTheCache => {
                let cached = line.fetch();
                cached.bytes[within].copy_from_slice(&from[part]);
                cached.state = State::Dirty;
            }
            Reach::PastTheCache => line.memory[within].copy_from_slice(&from[part]),
        });
    }

    /// A device reads.
    pub(super) fn read_memory(&mut self, at: usize, to: &mut [u8]) {
        self.each(at..at + to.len(), |line, within, part| to[part].copy_from_slice(&line.memory[within]));
    }

    /// A device writes.
    pub(super) fn write_memory(&mut self, at: usize, from: &[u8]) {
        self.each(at..at + from.len(), |line, within, part| {
            line.memory[within].copy_from_slice(&from[part]);
        });
    }

    /// Writes back what is dirty of all lines that have one of these bytes.
    pub(super) fn clean(&mut self, bytes: Range<usize>) {
        self.each(bytes, |line, _, _| line.clean());
    }

    /// Drops all lines that have one of these bytes, dirty or not.
    pub(super) fn invalidate(&mut self, bytes: Range<usize>) {
        self.each(bytes, |line, _, _| line.cached = None);
    }

    /// Cleans the lines of which some bytes are meant and others are not.
    pub(super) fn clean_edges(&mut self, bytes: Range<usize>) {
        let size = self.line;
        self.each(bytes, |line, within, _| {
            if within.len() < size {
                line.clean();
            }
        });
    }

    /// From now on the CPU reaches these bytes like that; what the cache has of them it goes on having.
    pub(super) fn reach(&mut self, bytes: Range<usize>, reach: Reach) {
        self.each(bytes, |line, _, _| line.reach = reach);
    }

    /// Calls `f` with each line that has some of these bytes: which of its bytes those are, and which of all that are meant.
    fn each(&mut self, bytes: Range<usize>, mut f: impl FnMut(&mut Line, Range<usize>, Range<usize>)) {
        self.stir(bytes.clone());
        let mut at = bytes.start;
        while at < bytes.end {
            let (number, first) = (at / self.line, at % self.line);
            let end = bytes.end.min((number + 1) * self.line);
            f(self.at(number), first..first + (end - at), at - bytes.start..end - bytes.start);
            at = end;
        }
        self.stir(bytes);
    }

    fn at(&mut self, number: usize) -> &mut Line {
        let Cache { line, lines, numbers, .. } = self;
        lines.entry(number).or_insert_with(|| {
            numbers.push(number);
            Line::new(numbers.len(), *line)
        })
    }

    /// A moment at which these bytes matter. About a third of their lines, and two others, change as they may.
    fn stir(&mut self, bytes: Range<usize>) {
        let Adversary::Busy(mut rng) = self.adversary.clone() else { return };
        for number in bytes.start / self.line..bytes.end.div_ceil(self.line) {
            if rng.below(3) == 0 {
                meddle(self.at(number), &mut rng);
            }
        }
        for _ in 0..2 {
            if let Some(&number) = self.numbers.get(rng.below(self.numbers.len())) {
                meddle(self.at(number), &mut rng);
            }
        }
        self.adversary = Adversary::Busy(rng);
    }
}

/// What a CPU may do to a line at any time.
fn meddle(line: &mut Line, rng: &mut Rng) {
    match (rng.below(3), line.reach) {
        (0, _) => line.clean(),
        (1, _) => {
            line.clean();
            line.cached = None;
        }
        (_, Reach::ThroughTheCache) => {
            line.fetch();
        }
        (_, Reach::PastTheCache) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(cache: &mut Cache, at: usize) -> u8 {
        let mut byte = [0];
        cache.read_memory(at, &mut byte);
        byte[0]
    }

    fn cpu(cache: &mut Cache, at: usize) -> u8 {
        let mut byte = [0];
        cache.read(at, &mut byte);
        byte[0]
    }

    /// Rule: what the CPU writes stays in the cache until it is cleaned, and a clean line hides what a device writes.
    #[test]
    fn the_two_views_differ_until_a_clean_or_an_invalidate() {
        let mut cache = Cache::new(32, Adversary::Idle);
        let before = memory(&mut cache, 40);
        cache.write(40, &[!before]);
        assert_eq!((memory(&mut cache, 40), cpu(&mut cache, 40)), (before, !before));
        cache.clean(63..64); // the same line
        assert_eq!(memory(&mut cache, 40), !before);
        cache.write_memory(40, &[before]);
        assert_eq!(cpu(&mut cache, 40), !before, "stale");
        cache.invalidate(32..33);
        assert_eq!(cpu(&mut cache, 40), before);
    }

    /// Rule: an invalidate drops what is dirty, and neighbouring lines stay.
    #[test]
    fn an_invalidate_drops_what_is_dirty() {
        let mut cache = Cache::new(32, Adversary::Idle);
        let before = memory(&mut cache, 0);
        cache.write(0, &[!before; 64]);
        cache.invalidate(0..32);
        assert_eq!((cpu(&mut cache, 0), cpu(&mut cache, 32)), (before, !before));
    }

    /// Rule: lines that are meant in part are cleaned; the others stay dirty.
    #[test]
    fn edges_are_the_lines_that_are_meant_in_part() {
        let mut cache = Cache::new(32, Adversary::Idle);
        cache.write_memory(0, &[1; 128]);
        cache.write(0, &[2; 128]);
        cache.clean_edges(8..100);
        assert_eq!([0, 32, 64, 96].map(|at| memory(&mut cache, at)), [2, 1, 1, 2]);
    }

    /// Rule: the adversary never changes what the CPU sees of what no device wrote, nor memory but by writing back.
    #[test]
    fn the_adversary_is_within_its_rights() {
        for seed in 0..20 {
            let mut cache = Cache::new(32, Adversary::of(seed));
            cache.write(0, &[7; 256]);
            let mut bytes = [0; 256];
            cache.read(0, &mut bytes);
            assert_eq!(bytes, [7; 256]);
            cache.clean(0..256);
            for value in 0..20 {
                cache.write_memory(0, &[value; 256]);
                cache.invalidate(0..256);
                cache.read(0, &mut bytes);
                assert_eq!(bytes, [value; 256]);
            }
        }
    }
}
