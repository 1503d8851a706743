//! The roster of a machine, the layer of a buffer's slots that is on it, and what it says of each seat.

use super::pages;
use super::plants::Plant;
use super::platform::SMALL;
use forebay::{
    Class, Context, Evict, Evictable, Forebay, Platform, Slot,
    buffer::{EvictRequest, SideTables, Slots},
    frame::DmaAddr,
    reclaim::{EvictionIndex, Indexed},
    stats::Evicted,
    sync::NoopRawMutex,
};
use forebay_backends::{Null, Ram};
use std::cell::Cell;

/// More than there are buffers, so that words have none, one or two.
pub(super) const SEATS: usize = 200;
const WORDS: usize = EvictionIndex::<NoopRawMutex>::words(SEATS);
type Words = [usize; WORDS];

/// Where a buffer sits: at both ends of a word, among the last; in the second of the two while its predecessor is still there.
fn seats(buffer: usize) -> [usize; 2] {
    [[0, 1], [63, 62], [64, 65], [90, 91], [SEATS - 1, SEATS - 2]][buffer % 5]
}

/// Slots that are on the roster, or not.
pub(super) enum Seat<'r, T> {
    None(T),
    Indexed(Indexed<'r, T, NoopRawMutex, Words>),
    /// For [`Plant::MissesABit`].
    Misses(Indexed<'r, T, NoopRawMutex, Words>),
}

impl<'r, T> Seat<'r, T> {
    /// Those of that buffer: on the roster, if there is a book.
    pub(super) fn of(book: Option<&'r Book>, buffer: usize, slots: T) -> Self {
        let Some(book) = book else { return Seat::None(slots) };
        let [first, second] = seats(buffer);
        book.taken.set(buffer % 5, first);
        let listed = book.roster.list(first, slots).or_else(|refused| {
            book.taken.set(buffer % 5, second);
            book.roster.list(second, refused.item)
        });
        let Ok(listed) = listed else { panic!("one of two seats is free") };
        if book.plant == Plant::MissesABit { Seat::Misses(listed) } else { Seat::Indexed(listed) }
    }
}

impl<P: Platform, T: Slots<P>> Slots<P> for Seat<'_, T> {
    fn slots(&self) -> &[Slot<P>] {
        match self {
            Seat::None(slots) => slots.slots(),
            Seat::Indexed(slots) | Seat::Misses(slots) => slots.slots(),
        }
    }
    fn parts(&mut self) -> SideTables<'_, P> {
        match self {
            Seat::None(slots) => slots.parts(),
            Seat::Indexed(slots) | Seat::Misses(slots) => slots.parts(),
        }
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        match self {
            Seat::None(slots) => slots.addresses(),
            Seat::Indexed(slots) | Seat::Misses(slots) => slots.addresses(),
        }
    }
    fn sorted(&self, class: Class) {
        match self {
            Seat::None(slots) => slots.sorted(class),
            Seat::Indexed(slots) => slots.sorted(class),
            Seat::Misses(slots) if class.contains(Class::CLEAN) => slots.sorted(class - Class::RESIDENT),
            Seat::Misses(slots) => slots.sorted(class),
        }
    }
}

/// The roster, and the means to see what is on it.
pub(super) struct Book {
    pub(super) roster: EvictionIndex<NoopRawMutex, Words>,
    /// Reclaims from those who give nothing.
    taken: Taken,
    looker: Forebay<Ram<NoopRawMutex, SMALL>, Null, [Place<Ram<NoopRawMutex, SMALL>>; 0]>,
    pub(super) plant: Plant,
}

/// The seat of each buffer that was listed last.
#[derive(Default)]
struct Taken([Cell<usize>; 5]);

impl Taken {
    fn set(&self, buffer: usize, seat: usize) {
        self.0[buffer].set(seat);
    }
}

impl Book {
    pub(super) fn new(plant: Plant) -> Self {
        let (roster, taken) = (EvictionIndex::new([0; WORDS]), Taken::default());
        Book { roster, taken, looker: Forebay::new(Ram::new(), Null, 0), plant }
    }

    /// Where a buffer sits.
    pub(super) fn seat(&self, buffer: usize) -> usize {
        self.taken.0[buffer % 5].get()
    }

    /// What the roster says of each seat. It leaves no trace: hands go round until they are where they were.
    pub(super) fn look(&self) -> Vec<Class> {
        let [all, purgeable] = [Evict::TRANSFER, Evict::PURGE].map(|how| {
            let seats: Vec<Looked> = (0..SEATS).map(|_| Looked::default()).collect();
            self.looker.reclaim(self.roster.of(&seats), pages(1), how, Context::THREAD);
            seats
        });
        let classes = all.iter().zip(&purgeable).map(|(all, purgeable)| {
            // Once by the pass for what is clean, and in each of two rounds by the last one.
            let looks = all.0.get();
            let mut class = Class::empty();
            class.set(Class::CLEAN, looks % 2 == 1);
            class.set(Class::RESIDENT, looks >= 2);
            class.set(Class::PURGEABLE, purgeable.0.get() > 0);
            class
        });
        classes.collect()
    }
}

/// A seat that a walk comes by.
#[derive(Default)]
struct Looked(Cell<u8>);

impl Evictable for Looked {
    fn evict_if_idle(&self, _: EvictRequest) -> Evicted {
        self.0.set(self.0.get() + 1);
        Evicted::default()
    }
}
