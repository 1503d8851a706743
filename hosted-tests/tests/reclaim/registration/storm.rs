//! Everybody at once.

use super::model::{Object, Tally, one};
use hosted_tests::kit::{ALL, CX, NONE, METHODS, order, pages};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
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
}

const SEATS: usize = 8;
const SLOTS: usize = 5;
const WORDS: usize = EvictionIndex::<NoopRawMutex>::words(SEATS);
const REGISTRARS: usize = 2;
const PINNERS: usize = 3;
const SHRINKERS: usize = 2;

type Row<P> = [Slot<P>; SLOTS];
type Seated<'h, P, S, List> = Object<'h, P, S, Indexed<'h, Row<P>, List, [usize; WORDS]>>;

/// What all of them share.
struct Stage<'h, P: Platform, S: BackingStore<P::Block>, Seat: RawMutex, List: RawMutex> {
    home: &'h Forebay<P, S>,
    roster: &'h EvictionIndex<List, [usize; WORDS]>,
    seats: [Berth<Seat, Seated<'h, P, S, List>>; SEATS],
    tally: &'h Tally,
    seeds: AtomicU64,
    stop: AtomicBool,
    /// By settles of which somebody was told.
    settled: AtomicUsize,
}

/// How to shrink, the n-th time.
fn how(n: usize) -> Evict {
    match n % 8 {
        6 => Evict::PURGE,
        7 => METHODS[n / 8 % 6] | Evict::PURGE,
        k => METHODS[k],
    }
}

impl<'h, P, S, Seat, List> Stage<'h, P, S, Seat, List>
where
    P: Platform,
    S: BackingStore<P::Block>,
    Seat: RawMutex,
    List: RawMutex,
{
    fn seed(&self) -> u64 {
        self.seeds.fetch_add(1, Relaxed)
    }

    /// The seats, with the roster or without.
    fn candidates(&self, n: usize) -> Candidates<'_, Berth<Seat, Seated<'h, P, S, List>>> {
        if n.is_multiple_of(3) { Candidates::from(&self.seats) } else { self.roster.of(&self.seats) }
    }

    fn noted(&self, report: Report) {
        self.settled.fetch_add(report.settled.freed.get(), Relaxed);
        assert_eq!(report.settled.error, None);
        one(&self.tally.reclaims);
    }

    /// Registers, now and then uses, and ends buffers: the seats are its own, so that no two of its buffers are listed under
    /// one index at once.
    fn registrar(&self, me: usize, lives: usize) {
        for n in 0..lives {
            let at = me + REGISTRARS * (n % (SEATS / REGISTRARS));
            let seat = &self.seats[at];
            match seat.take() {
                Ok(Some(object)) => object.end(n, how(n)),
                Ok(None) => {}
                Err(Busy) => {
                    one(&self.tally.busy);
                    thread::yield_now();
                    continue;
                }
            }
            let slots = self.roster.list(at, [const { Slot::EMPTY }; SLOTS]).expect("there is a seat");
            let buffer = Buffer::with_slots(self.home, slots, Order::PAGE).with_unit(order((n % 2) as u8)).with_id(BufferId(at));
            let mut object = Object::new(buffer, self.seed(), self.tally);
            if n % 5 > 0 {
                object.write(CX);
            }
            for _ in 0..10_000 {
                match seat.put(object) {
                    Ok(()) => {
                        one(&self.tally.registrations);
                        break;
                    }
                    Err(refused) => object = refused.item,
                }
                thread::yield_now();
            }
        }
    }

    /// Uses whatever is in the seats.
    fn pinner(&self, me: usize, pins: usize) {
        for n in 0..pins {
            let Ok(guest) = self.seats[(n * 5 + me * 3 + n / 7) % SEATS].get() else {
                one(&self.tally.busy);
                thread::yield_now();
                continue;
            };
            let Some(object) = guest.as_ref() else { continue };
            let cx = [CX, CX, Context::NO_IO, Context::INTERRUPT][n / 3 % 4];
            match (n + me) % 20 {
                0 => drop(object.purge(cx)),
                1 | 2 => object.advise(),
                3..9 => drop(object.write(cx)),
                9 => object.bring(pages(n % 4), cx),
                10 => drop(object.buffer.discard_copies()),
                11 => object.inspect(SLOTS),
                12 => object.evict(pages(1 + n % 6), how(n), cx),
                13 | 14 => {
                    object.read_or_reclaim(self.home, self.candidates(n), how(n));
                }
                15 => drop(object.stare()),
                _ => drop(object.read(cx)),
            }
            drop(guest);
            thread::yield_now();
        }
    }

    /// Reclaims by all rungs, for all that may be wanted.
    fn shrinker(&self, me: usize) {
        for n in me.. {
            if self.stop.load(Relaxed) {
                break;
            }
            let (over, how) = (self.candidates(n / 2), how(n + me));
            let cx = [CX, Context::INTERRUPT, Context::NO_IO][n / 4 % 3];
            let want = match n % 5 {
                0 => ReclaimTarget::freed(pages(1 + n % 7)),
                1 => ReclaimTarget::block(order((n / 5 % 3) as u8)),
                2 => ReclaimTarget::freed(pages(1 + n % 3)).within(Zones::ALL),
                3 if n % 10 == 3 => {
                    let report = self.home.keep_free(over, pages(n % 40), how, cx);
                    report.into_iter().for_each(|report| self.noted(report));
                    continue;
                }
                _ => ReclaimTarget::moved(pages(1 + n % 9)),
            };
            self.noted(self.home.reclaim(over, want, how, cx));
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

impl<'h, P, S, Seat, List> Stage<'h, P, S, Seat, List>
where
    P: Platform<Lock: Send + Sync, Block: Send + Sync, Mode: Send + Sync>,
    S: BackingStore<P::Block>,
    Forebay<P, S>: Sync,
    Seat: RawMutex + Send + Sync,
    List: RawMutex + Send + Sync,
{
    /// Arrays of its own, which others shrink and read, and which it drops whole, whatever is in them.
    fn owner(&self, arrays: usize) {
        for n in 0..arrays {
            let array: [Object<'h, P, S, Row<P>>; 4] = std::array::from_fn(|i| {
                let buffer = Buffer::of([const { Slot::EMPTY }; SLOTS], self.home);
                Object::new(buffer.with_id(BufferId(SEATS + i)), self.seed(), self.tally)
            });
            thread::scope(|s| {
                s.spawn(|| {
                    for k in 0..20 {
                        self.noted(self.home.reclaim(&array, pages(1 + k % 4), how(n + k), CX));
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
            drop(array);
            self.tally.teardowns.fetch_add(4, Relaxed);
        }
    }
}

/// Registrars, pinners, shrinkers, an owner of arrays and a settler, until all but the shrinkers and the settler are through.
/// At the end no buffer is left.
pub(crate) fn storm<P, S, Seat, List>(home: &Forebay<P, S>, length: Length)
where
    P: Platform<Lock: Send + Sync, Block: Send + Sync, Mode: Send + Sync>,
    S: BackingStore<P::Block>,
    Forebay<P, S>: Sync,
    Seat: RawMutex + Send + Sync,
    List: RawMutex + Send + Sync,
{
    let _crowd = crate::crowd();
    let (tally, roster) = (Tally::default(), EvictionIndex::<List, _>::new([0; WORDS]));
    let before = home.stats();
    let stage = Stage {
        home,
        roster: &roster,
        seats: [const { Berth::<Seat, _>::new() }; SEATS],
        tally: &tally,
        seeds: AtomicU64::new(1),
        stop: AtomicBool::new(false),
        settled: AtomicUsize::new(0),
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
    for (n, seat) in stage.seats.iter().enumerate() {
        if let Some(object) = seat.take().expect("nobody is there") {
            object.end(3 * n + 4, Evict::ANY);
        }
    }
    stage.counts_agree(before, length);
}

impl<P, S, Seat, List> Stage<'_, P, S, Seat, List>
where
    P: Platform,
    S: BackingStore<P::Block>,
    Seat: RawMutex,
    List: RawMutex,
{
    /// Rule: when nobody moves any more, the roster lists what there is: a walk by it leaves nothing that one over all would
    /// find.
    fn is_listed(&self) {
        for n in 0..8 {
            self.noted(self.home.reclaim(self.roster.of(&self.seats), ALL, how(n), CX));
        }
        let listed = self.home.stats().evicted;
        for n in 0..8 {
            self.noted(self.home.reclaim(&self.seats, ALL, how(n), CX));
        }
        let all = self.home.stats().evicted;
        assert_eq!(all.moved(), listed.moved(), "what a roster did not list");
    }

    fn counts_agree(&self, before: Stats, length: Length) {
        let (after, tally) = (self.home.stats(), self.tally);
        assert_eq!(before, Stats::default(), "a new forebay");
        tally.is_as_counted(&after.evicted);
        assert_eq!(after.leaked, NONE);
        assert!(self.settled.load(Relaxed) <= after.settled.get(), "settles that nobody counted");
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
        assert_eq!(registrations + 4 * length.arrays, teardowns, "somebody was not ended, or twice");
        assert!(after.evicted.moved() > NONE && after.restored.total() > NONE, "nothing moved");
    }
}
