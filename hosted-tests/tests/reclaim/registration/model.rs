//! What a test knows of a buffer that several threads use, without ordering them.

use hosted_tests::kit::*;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How often something was begun, and how often ended.
#[derive(Default)]
pub(crate) struct Spans(AtomicU64);

impl Spans {
    fn begin(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn end(&self) {
        self.0.fetch_add(1 << 32, Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

fn begun(spans: u64) -> u64 {
    spans & u64::from(u32::MAX)
}

fn ended(spans: u64) -> u64 {
    spans >> 32
}

/// What all of it came to. Pages, but for those that count calls.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) pins: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    pub(crate) zeros: AtomicUsize,
    pub(crate) busy: AtomicUsize,
    pub(crate) purges: AtomicUsize,
    /// An owner was told that contents were dropped.
    pub(crate) told: AtomicUsize,
    pub(crate) reclaims: AtomicUsize,
    /// Reclaims for an allocation, which report nothing.
    pub(crate) unreported: AtomicUsize,
    pub(crate) registrations: AtomicUsize,
    pub(crate) teardowns: AtomicUsize,
    pub(crate) transferred: AtomicUsize,
    pub(crate) copied: AtomicUsize,
    pub(crate) clean: AtomicUsize,
    pub(crate) purged: AtomicUsize,
    pub(crate) refused: AtomicUsize,
}

pub(crate) fn one(count: &AtomicUsize) {
    count.fetch_add(1, Relaxed);
}

impl Tally {
    /// What was evicted, somewhere.
    pub(crate) fn add(&self, evicted: &Evicted) {
        let all = [
            (&self.transferred, evicted.transferred),
            (&self.copied, evicted.copied),
            (&self.clean, evicted.clean),
            (&self.purged, evicted.purged),
            (&self.refused, evicted.refused),
        ];
        for (sum, pages) in all {
            sum.fetch_add(pages.get(), Relaxed);
        }
    }

    /// Rule: what calls reported is what the forebay counted; but for calls that do not report.
    pub(crate) fn is_as_counted(&self, evicted: &Evicted) {
        let told = [&self.transferred, &self.copied, &self.clean, &self.purged, &self.refused];
        let told = told.map(|sum| sum.load(Relaxed));
        let counted = [evicted.transferred, evicted.copied, evicted.clean, evicted.purged, evicted.refused];
        let counted = counted.map(Pages::get);
        if self.unreported.load(Relaxed) == 0 {
            assert_eq!(told, counted, "reported, and counted");
        }
        assert!(told.iter().zip(&counted).all(|(told, counted)| told <= counted), "{told:?} of {counted:?}");
    }
}

/// A buffer, and what has to be in it. The thread that has it last looks at it once more and ends it.
pub(crate) struct Object<'t, H: Home, T: Slots<Platform = H::Platform>> {
    pub(crate) buffer: Buffer<H, T>,
    tally: &'t Tally,
    /// The size of the buffer.
    pages: Pages,
    /// No other buffer has it, now or later.
    seed: u64,
    /// What was written last; nothing if zero. Changed by the thread that has the write guard, looked at with a guard.
    version: AtomicU64,
    writes: Spans,
    /// While the contents may be dropped, by a purge or by a reclaim that was told so.
    drops: Spans,
    /// Those when it was written last.
    drops_before: AtomicU64,
}

impl<'t, H: Home, T: Slots<Platform = H::Platform>> Object<'t, H, T> {
    pub(crate) fn new(buffer: Buffer<H, T>, pages: Pages, seed: u64, tally: &'t Tally) -> Self {
        Object {
            buffer,
            tally,
            pages,
            seed,
            version: AtomicU64::new(0),
            writes: Spans::default(),
            drops: Spans::default(),
            drops_before: AtomicU64::new(0),
        }
    }

    /// Every eight bytes are other ones, in every buffer, place and version.
    fn word(&self, version: u64, at: usize) -> [u8; 8] {
        let x = (self.seed << 40 | version << 20 | at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (x ^ x >> 29 | 1).to_le_bytes() // never zero
    }

    /// Each byte, with a guard.
    fn check(&self, bytes: &[u8]) {
        let version = self.version.load(Relaxed);
        let right = |(at, word): (usize, &[u8])| word == self.word(version, at);
        if version > 0 && bytes.chunks_exact(8).enumerate().all(right) {
            return;
        }
        let (drops, before) = (self.drops.now(), self.drops_before.load(Relaxed));
        assert!(
            version == 0 || begun(drops) > ended(before),
            "version {version} is not there, and nothing may drop it"
        );
        let zeros = bytes.iter().filter(|byte| **byte == 0).count();
        assert_eq!(zeros, bytes.len(), "neither version {version} nor zeros");
        one(&self.tally.zeros);
    }

    fn read_by<'g>(
        &'g self,
        pin: impl FnOnce() -> Result<ReadGuard<'g, H, T>, AccessError>,
        looks: usize,
    ) -> bool {
        let Some(guard) = self.allowed(pin()) else { return false };
        let mut bytes = vec![0xA5; guard.bytes()];
        for _ in 0..looks {
            assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
            self.check(&bytes);
            std::thread::yield_now();
        }
        one(&self.tally.pins);
        true
    }

    pub(crate) fn read(&self, cx: Context) -> bool {
        self.read_by(|| self.buffer.read_in(cx), 1)
    }

    /// Looks twice under one guard.
    pub(crate) fn stare(&self) -> bool {
        self.read_by(|| self.buffer.read(), 2)
    }

    /// Reclaims for it where memory is short.
    pub(crate) fn read_or_reclaim(
        &self,
        home: &Forebay<H::Platform, H::Store>,
        over: impl Candidates,
        how: Evict,
    ) -> bool {
        one(&self.tally.unreported);
        self.read_by(|| home.or_reclaim(over, Pages::new(4), how, CX, || self.buffer.read()), 1)
    }

    pub(crate) fn write(&self, cx: Context) -> bool {
        self.writes.begin();
        let guard = self.allowed(self.buffer.write_in(cx));
        if let Some(mut guard) = guard {
            let mut bytes = vec![0xA5; guard.bytes()];
            assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
            self.check(&bytes);
            let next = self.version.load(Relaxed) + 1;
            for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
                word.copy_from_slice(&self.word(next, at));
            }
            assert_eq!(guard.write_at(0, &bytes), bytes.len());
            self.version.store(next, Relaxed);
            self.drops_before.store(self.drops.now(), Relaxed);
            drop(guard);
            self.writes.end();
            one(&self.tally.pins);
            one(&self.tally.writes);
            return true;
        }
        self.writes.end();
        false
    }

    pub(crate) fn purge(&self, cx: Context) -> bool {
        self.drops.begin();
        let done = self.buffer.purge(cx);
        self.drops.end();
        one(if done.is_ok() { &self.tally.purges } else { &self.tally.busy });
        done.is_ok()
    }

    /// Says that the contents are not needed, lets others have them for a while, and says that they are.
    ///
    /// Rule: the answer that they were dropped stays the same until the next write.
    pub(crate) fn advise(&self) {
        let before = self.writes.now();
        self.drops.begin();
        let mut answers = [self.buffer.set_purgeable(true); 3];
        (0..4).for_each(|_| std::thread::yield_now());
        for _ in 0..1000 {
            answers[1] = self.buffer.set_purgeable(false);
            if answers[1].is_ok() {
                break;
            }
            std::thread::yield_now();
        }
        answers[2] = self.buffer.set_purgeable(false);
        if answers[1].is_ok() || answers[2].is_ok() {
            self.drops.end();
        } else {
            one(&self.tally.busy); // they may be dropped from now on
        }
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        if answers.contains(&false) {
            one(&self.tally.told);
        }
        if begun(before) == ended(before) && self.writes.now() == before {
            assert!(answers.is_sorted_by_key(|answer| !*answer), "the answer is forgotten: {answers:?}");
        }
    }

    pub(crate) fn evict(&self, budget: Pages, how: Evict, cx: Context) {
        match self.buffer.evict(budget, how, cx) {
            Ok(evicted) => self.tally.add(&evicted),
            Err(Busy) => one(&self.tally.busy),
        }
    }

    /// Some of it comes back, or all of it becomes resident.
    pub(crate) fn bring(&self, budget: Pages, cx: Context) {
        self.allowed(self.buffer.restore(budget, cx).why.map_or(Ok(()), Err));
        self.allowed(self.buffer.populate(budget, cx).why.map_or(Ok(()), Err));
    }

    /// Counts are of this buffer, whatever moves it.
    pub(crate) fn inspect(&self) {
        if let Ok(there) = self.buffer.residency() {
            assert!(
                there.clean <= there.resident && there.resident + there.stored <= self.pages,
                "{there:?}"
            );
        }
    }

    /// Something may be busy, or held by others, or not possible in an interrupt; nothing else may go wrong.
    fn allowed<R>(&self, outcome: Result<R, AccessError>) -> Option<R> {
        match outcome {
            Ok(done) => Some(done),
            Err(AccessError::Busy | AccessError::Context) => {
                one(&self.tally.busy);
                None
            }
            Err(AccessError::Alloc(AllocError::Exhausted | AllocError::Limit)) => None,
            Err(why) => panic!("{why:?}"),
        }
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> Drop for Object<'_, H, T> {
    /// Alone: a last look, out of whatever state it is in.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let n = self.seed as usize;
        if n.is_multiple_of(3) {
            let evicted = self.buffer.evict_mut(Pages::new(n % 5), METHODS[n % 6], CX);
            self.tally.add(&evicted);
        }
        if n % 4 != 1 {
            self.read(CX);
        }
        one(&self.tally.teardowns);
    }
}
