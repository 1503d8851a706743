//! Everything at once.

use super::model::{Object, Tally, one};
use hosted_tests::kit::*;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    /// What each of those who pin does.
    pub(crate) pins: usize,
    /// What each registrar registers.
    pub(crate) lives: usize,
    /// How many arrays are used, and dropped whole.
    pub(crate) arrays: usize,
    /// Whether guards that find no memory reclaim for it. Such reclaims report nothing.
    pub(crate) or_reclaim: bool,
}

const PLACES: usize = 8;
const SLOTS: usize = 5;
const WORDS: usize = EvictionIndex::<NoopRawMutex>::words(PLACES);
const REGISTRARS: usize = 2;
const PINNERS: usize = 3;
const SHRINKERS: usize = 2;
/// What a pinner does with a buffer before it looks for the next one in the list: the list's lock orders, and the library has to
/// order by itself what is between.
const PINS_OF_EACH: usize = 6;

type Row<P> = [Slot<P>; SLOTS];
type Own<'s, P, S> = Object<'s, Arc<Forebay<P, S>>, Row<P>>;
type Registered<'s, P, S, I> = Object<'s, Arc<Forebay<P, S>>, Indexed<'s, Row<P>, I, [usize; WORDS]>>;
type Entry<'s, P, S, I> = Option<Arc<Registered<'s, P, S, I>>>;

/// What all of them share.
struct Stage<'s, P: Platform, S: BackingStore<P::Block>, I: RawMutex> {
    home: &'s Arc<Forebay<P, S>>,
    index: &'s EvictionIndex<I, [usize; WORDS]>,
    places: Mutex<Vec<Entry<'s, P, S, I>>>,
    /// For places without a buffer.
    stone: Buffer<Arc<Forebay<P, S>>>,
    tally: &'s Tally,
    seeds: AtomicU64,
    stop: AtomicBool,
    /// By settles that were reported.
    settled: AtomicUsize,
    or_reclaim: bool,
}

/// How to evict, the n-th time.
fn how(n: usize) -> Evict {
    match n % 8 {
        6 => Evict::PURGE,
        7 => METHODS[n / 8 % 6] | Evict::PURGE,
        k => METHODS[k],
    }
}

impl<'s, P: Platform, S: BackingStore<P::Block>, I: RawMutex> Stage<'s, P, S, I> {
    fn seed(&self) -> u64 {
        self.seeds.fetch_add(1, Relaxed)
    }

    /// The list as it is now. Its buffers live as long as this.
    fn held(&self) -> Vec<Entry<'s, P, S, I>> {
        self.places.lock().unwrap().clone()
    }

    fn take(&self, at: usize) -> Entry<'s, P, S, I> {
        self.places.lock().unwrap()[at].take()
    }

    fn buffers<'h>(&'h self, held: &'h [Entry<'s, P, S, I>]) -> Vec<&'h dyn Evictable> {
        held.iter()
            .map(|place| match place {
                Some(object) => &object.buffer as &dyn Evictable,
                None => &self.stone,
            })
            .collect()
    }

    /// Over the list, with the index or without.
    fn reclaim(&self, n: usize, target: impl Into<ReclaimTarget>, how: Evict, cx: Context) {
        let held = self.held();
        let all = self.buffers(&held);
        self.noted(match n.is_multiple_of(3) {
            true => self.home.reclaim(&all, target, how, cx),
            false => self.home.reclaim(self.index.candidates(&all), target, how, cx),
        });
    }

    fn noted(&self, report: Report) {
        self.tally.add(&report.evicted);
        self.settled.fetch_add(report.settled.freed.get(), Relaxed);
        assert_eq!(report.settled.error, None);
        one(&self.tally.reclaims);
    }

    /// Registers, now and then uses, and ends buffers: the places are its own, so that no two of its buffers are indexed under
    /// one number at once.
    fn registrar(&self, me: usize, lives: usize) {
        for n in 0..lives {
            let at = me + REGISTRARS * (n % (PLACES / REGISTRARS));
            drop(self.take(at)); // ended here, or by the one that has it still
            let mut slots = None;
            for _ in 0..10_000 {
                match self.index.indexed(at, [const { Slot::EMPTY }; SLOTS]) {
                    Ok(indexed) => {
                        slots = Some(indexed);
                        break;
                    }
                    Err(refused) => assert_eq!(refused.why, IndexFull::Taken),
                }
                thread::yield_now();
            }
            let Some(slots) = slots else {
                one(&self.tally.busy);
                continue;
            };
            let unit = order((n % 2) as u8);
            let buffer = Buffer::with_slots(Arc::clone(self.home), slots, unit).with_id(BufferId(at));
            let object = Object::new(buffer, pages(SLOTS << unit.get()), self.seed(), self.tally);
            if n % 5 > 0 {
                object.write(CX);
            }
            one(&self.tally.registrations);
            self.places.lock().unwrap()[at] = Some(Arc::new(object));
        }
    }

    /// Uses whatever is in the list.
    fn pinner(&self, me: usize, pins: usize) {
        let mut held = None;
        for n in 0..pins {
            if n.is_multiple_of(PINS_OF_EACH) || held.is_none() {
                held = self.places.lock().unwrap()[(n * 5 + me * 3 + n / 7) % PLACES].clone();
            }
            let Some(object) = &held else {
                thread::yield_now();
                continue;
            };
            let cx = [CX, CX, Context::NO_IO, Context::INTERRUPT][n / 3 % 4];
            match (n + me) % 20 {
                0 => drop(object.purge(cx)),
                1 | 2 => object.advise(),
                3..9 => drop(object.write(cx)),
                9 => object.bring(pages(n % 4), cx),
                10 => drop(object.buffer.discard_copies()),
                11 => object.inspect(),
                12 => object.evict(pages(1 + n % 6), how(n), cx),
                13 | 14 if self.or_reclaim => {
                    let others = self.held();
                    let all = self.buffers(&others);
                    match n.is_multiple_of(3) {
                        true => object.read_or_reclaim(self.home, &all, how(n)),
                        false => object.read_or_reclaim(self.home, self.index.candidates(&all), how(n)),
                    };
                }
                15 => drop(object.stare()),
                _ => drop(object.read(cx)),
            }
            thread::yield_now();
        }
    }

    /// Reclaims by all methods, for all targets.
    fn shrinker(&self, me: usize) {
        for n in me.. {
            if self.stop.load(Relaxed) {
                break;
            }
            let how = how(n + me);
            let cx = [CX, Context::INTERRUPT, Context::NO_IO][n / 4 % 3];
            let target = match n % 5 {
                0 => ReclaimTarget::freed(pages(1 + n % 7)),
                1 => ReclaimTarget::block(order((n / 5 % 3) as u8)),
                2 => ReclaimTarget::freed(pages(1 + n % 3)).within(Zones::ALL),
                3 if n % 10 == 3 => {
                    let held = self.held();
                    let report = self.home.keep_free(self.buffers(&held), pages(n % 40), how, cx);
                    report.into_iter().for_each(|report| self.noted(report));
                    continue;
                }
                _ => ReclaimTarget::moved(pages(1 + n % 9)),
            };
            self.reclaim(n / 2, target, how, cx);
            thread::yield_now();
        }
    }

    fn settler(&self) {
        for n in 0.. {
            if self.stop.load(Relaxed) {
                break;
            }
            let settled = self.home.settle(pages(n % 5), CX);
            assert_eq!(settled.error, None);
            self.settled.fetch_add(settled.freed.get(), Relaxed);
            self.home.pool().trim(Zones::ALL, pages(n % 3), CX);
            thread::yield_now();
        }
    }
}

impl<'s, P, S, I> Stage<'s, P, S, I>
where
    P: Platform<RawMutex: Send + Sync, Block: Send + Sync, Mode: Send + Sync>,
    S: BackingStore<P::Block>,
    Forebay<P, S>: Send + Sync,
    I: RawMutex + Send + Sync,
{
    /// Arrays of its own, which others reclaim from and read, and which it drops whole, whatever is in them.
    fn owner(&self, arrays: usize) {
        for n in 0..arrays {
            let array: [Own<'s, P, S>; 4] = std::array::from_fn(|i| {
                let slots = [const { Slot::EMPTY }; SLOTS];
                let buffer = Buffer::with_slots(Arc::clone(self.home), slots, Order::PAGE);
                Object::new(buffer.with_id(BufferId(PLACES + i)), pages(SLOTS), self.seed(), self.tally)
            });
            thread::scope(|s| {
                s.spawn(|| {
                    let buffers = array.each_ref().map(|object| &object.buffer);
                    for k in 0..20 {
                        self.noted(self.home.reclaim(buffers, pages(1 + k % 4), how(n + k), CX));
                        array[k % 4].read(CX);
                        thread::yield_now();
                    }
                });
                for k in 0..20 {
                    array[k / 3 % 4].write(CX);
                    array[k % 4].stare();
                    thread::yield_now();
                }
            });
        }
    }
}

/// Registrars, pinners, shrinkers, an owner of arrays and a settler, until all but the shrinkers and the settler are through.
/// At the end no buffer is left.
pub(crate) fn storm<P, S, I>(home: &Arc<Forebay<P, S>>, length: Length)
where
    P: Platform<RawMutex: Send + Sync, Block: Send + Sync, Mode: Send + Sync>,
    S: BackingStore<P::Block>,
    Forebay<P, S>: Send + Sync,
    I: RawMutex + Send + Sync,
{
    let _crowd = crate::crowd();
    let (tally, index) = (Tally::default(), EvictionIndex::<I, _>::new([0; WORDS]));
    let before = home.stats();
    let stage = Stage {
        home,
        index: &index,
        places: Mutex::new((0..PLACES).map(|_| None).collect()),
        stone: Buffer::new(Arc::clone(home), Order::PAGE),
        tally: &tally,
        seeds: AtomicU64::new(1),
        stop: AtomicBool::new(false),
        settled: AtomicUsize::new(0),
        or_reclaim: length.or_reclaim,
    };
    thread::scope(|s| {
        let stage = &stage;
        let shrinkers = (0..SHRINKERS).map(|me| s.spawn(move || stage.shrinker(me)));
        let helpers: Vec<_> = shrinkers.chain([s.spawn(|| stage.settler())]).collect();
        let mut users: Vec<_> =
            (0..REGISTRARS).map(|me| s.spawn(move || stage.registrar(me, length.lives))).collect();
        users.extend((0..PINNERS).map(|me| s.spawn(move || stage.pinner(me, length.pins))));
        users.push(s.spawn(|| stage.owner(length.arrays)));
        let users: Vec<_> = users.into_iter().map(|user| user.join()).collect();
        stage.stop.store(true, Relaxed);
        users
            .into_iter()
            .chain(helpers.into_iter().map(|helper| helper.join()))
            .for_each(|ended| ended.unwrap());
    });
    stage.is_listed();
    for place in 0..PLACES {
        drop(stage.take(place));
    }
    stage.counts_agree(before, length);
    drop(stage);
    assert_eq!(Arc::strong_count(home), 1, "handles that are left");
}

impl<P: Platform, S: BackingStore<P::Block>, I: RawMutex> Stage<'_, P, S, I> {
    /// Rule: when nothing moves any more, the index lists what there is: a reclaim by it leaves nothing that one over all would
    /// find.
    fn is_listed(&self) {
        for n in 0..8 {
            self.reclaim(1, ALL, how(n), CX);
        }
        let listed = self.home.stats().evicted;
        for n in 0..8 {
            self.reclaim(0, ALL, how(n), CX);
        }
        let all = self.home.stats().evicted;
        assert_eq!(all.moved(), listed.moved(), "what an index did not list");
    }

    fn counts_agree(&self, before: Stats, length: Length) {
        let (after, tally) = (self.home.stats(), self.tally);
        assert_eq!(before, Stats::default(), "a new forebay");
        assert_eq!(tally.unreported.load(Relaxed) > 0, length.or_reclaim);
        tally.is_as_counted(&after.evicted);
        assert_eq!(after.leaked, NONE);
        assert!(self.settled.load(Relaxed) <= after.settled.get(), "settles that were not counted");
        let [pins, told, zeros, registrations, teardowns, reclaims] =
            [&tally.pins, &tally.told, &tally.zeros, &tally.registrations, &tally.teardowns, &tally.reclaims]
                .map(|count| count.load(Relaxed));
        let threads = REGISTRARS + PINNERS + SHRINKERS + 2 + length.arrays;
        println!(
            "  {threads} threads: {pins} pins checked ({zeros} zeros), {reclaims} reclaims, {} pages evicted, {} restored, \
             {} settled, {registrations} registrations, {teardowns} teardowns, {told} told that contents are gone",
            after.evicted.moved().get(),
            after.restored.total().get(),
            after.settled.get(),
        );
        assert!(pins > length.pins / 2 && reclaims > 0 && registrations > 0, "hardly anything happened");
        assert_eq!(registrations + 4 * length.arrays, teardowns, "one was not ended, or twice");
        assert!(after.evicted.moved() > NONE && after.restored.total() > NONE, "nothing moved");
    }
}
