//! A roster: which of many buffers a reclaim may want, so that a walk costs what it finds.

use crate::candidates::{Candidates, Evictable, Seats};
use crate::step::{Hands, Pass};
use crate::{Class, DmaAddr, Locked, OneSlot, Parts, Platform, RawLock, Refused, Slot, Slots};
use core::fmt;

const BITS: usize = usize::BITS as usize;

/// One bit for each seat in each of these.
const LISTS: [Class; 3] = [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE];

/// The list of the seats that somebody has.
const TAKEN: usize = LISTS.len();

/// How many lists that are.
const ALL: usize = LISTS.len() + 1;

/// How many words of a summary are looked at under the lock at a time.
const WORDS_AT_ONCE: usize = 2;

/// Says of each of many buffers whether a reclaim may want it: four bits each, in the caller's memory. A walk over a slice
/// looks at every buffer, which is right for some hundreds; with a roster it finds those that have something to give, among a
/// million, by looking at words.
///
/// The words are an array, for a static, or a slice: [`words`](Roster::words) says how many. A buffer is listed by what its
/// slots are made of ([`list`](Roster::list)), under its index in the slice that is walked, and keeps its bits true from then
/// on, each time somebody lets go of it and something changed; a dropped buffer is on no list. A seat has one buffer at a time.
/// One that is listed under another's index is not found reliably; nothing worse.
///
/// ```
/// # use forebay::*;
/// # struct Frames(usize, Vec<u8>);
/// # impl OwnedBlock for Frames {
/// #     const PAGE: usize = 4096;
/// #     fn pfn(&self) -> Pfn { Pfn::new(self.0) }
/// #     fn order(&self) -> Order { Order::holding(Pages::new(self.1.len() / 4096)).unwrap() }
/// #     fn split(self) -> Result<(Self, Self), Self> { Err(self) }
/// #     fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
/// #         self.1.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
/// #     }
/// #     fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
/// #         self.1.iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
/// #     }
/// # }
/// # struct Machine;
/// # impl Platform for Machine {
/// #     type Block = Frames;
/// #     type Lock = NoLock;
/// #     type Mode = ();
/// #     fn allocate(&self, order: Order, _: Context) -> Result<Frames, OutOfFrames> {
/// #         Ok(Frames(0x40, vec![0; 4096 * order.pages().get()]))
/// #     }
/// #     fn release(&self, frames: Frames) { drop(frames); }
/// # }
/// # struct Store;
/// # impl<B: OwnedBlock> BackingStore<B> for Store {
/// #     fn ids(&self) -> StoreIds { StoreIds::NONE }
/// #     fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
/// #         Err(Refused::new(handle, StoreError::WrongStore))
/// #     }
/// # }
/// # let home: &Forebay<_, _> = &Forebay::<_, _, [Place<Machine>; 0]>::new(Machine, Store, 0);
/// const MANY: usize = 1_000;
/// let roster = Roster::<NoLock, _>::new([0; Roster::<NoLock>::words(MANY)]);
/// let buffers: Vec<_> = (0..MANY)
///     .map(|i| Ok(Buffer::of(roster.list(i, [Slot::EMPTY]).map_err(|refused| refused.why)?, home)))
///     .collect::<Result<_, NoSeat>>()?;
/// buffers[700].write()?.copy_in(0, b"can be made again");
/// let _ = buffers[700].advise(Advice::DontNeed)?;
///
/// // Looks at one buffer.
/// let report = home.reclaim(roster.of(&buffers), Pages::new(1), Evict::LADDER, Context::THREAD);
/// assert_eq!((report.evicted.purged, report.outcome), (Pages::new(1), Outcome::Reached));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Roster<L, W = [usize; 0]> {
    lists: Locked<L, Lists<W>>,
}

struct Lists<W> {
    /// Seats, a bit each; and behind them a summary, a bit for each word. The lists' words for the same seats lie side by
    /// side.
    ///
    /// # Invariant
    /// A bit of the summary is set exactly if its word is not zero.
    words: W,
    hands: Hands,
}

impl<L: RawLock> Roster<L> {
    /// How many words so many seats take.
    pub const fn words(seats: usize) -> usize {
        let words = seats.div_ceil(BITS);
        ALL * (words + words.div_ceil(BITS))
    }
}

impl<W: AsRef<[usize]> + AsMut<[usize]>> Lists<W> {
    /// How many words of seats each list has.
    fn len(&self) -> usize {
        let all = self.words.as_ref().len() / ALL;
        (all / (BITS + 1)).saturating_mul(BITS) + (all % (BITS + 1)).saturating_sub(1)
    }

    fn word(&self, list: usize, n: usize) -> usize {
        self.words.as_ref().get(ALL * n + list).copied().unwrap_or_default()
    }

    /// Gives word `n` these bits among `mask`; what it is then.
    fn put(&mut self, list: usize, n: usize, mask: usize, bits: usize) -> usize {
        let Some(word) = self.words.as_mut().get_mut(ALL * n + list) else { return 0 };
        *word = *word & !mask | bits;
        *word
    }

    /// Looks for a seat of a list at or behind `from`: in its word, then in the next few of the summary.
    fn look(&self, list: usize, from: usize) -> Look {
        let (n, len) = (from / BITS, self.len());
        if n >= len {
            return Look::Nothing;
        }
        let word = self.word(list, n) & (usize::MAX << (from % BITS));
        if word != 0 {
            return Look::Seats { word: n, seats: word };
        }
        let (mut of, mut first) = ((n + 1) / BITS, (n + 1) % BITS);
        for _ in 0..WORDS_AT_ONCE {
            let words = self.word(list, len + of) & (usize::MAX << first);
            if words != 0 {
                return Look::Words { of, words };
            }
            (of, first) = (of + 1, 0);
        }
        if of * BITS < len { Look::Words { of, words: 1 } } else { Look::Nothing }
    }
}

/// What a look found. Bits are counted outside the lock.
enum Look {
    /// Seats, by their bits in that word.
    Seats {
        word: usize,
        seats: usize,
    },
    /// Words to go on with, by their bits in word `of` of the summary: with the first of them.
    Words {
        of: usize,
        words: usize,
    },
    Nothing,
}

impl<L: RawLock, W> Roster<L, W> {
    /// In these words, which must be zero: an array, or `&mut [usize]`. (What those give is looked at under the lock.)
    pub const fn new(words: W) -> Self {
        Roster { lists: Locked::new(Lists { words, hands: Hands::START }) }
    }
}

impl<L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> Roster<L, W> {
    /// How many seats there are. O(1).
    pub fn seats(&self) -> usize {
        self.lists.with(|l| l.len()) * BITS
    }

    /// Slots for the buffer with that index, which is on the roster for as long as it lives.
    ///
    /// # Errors
    /// [`NoSeat`]; the slots come back.
    ///
    /// # Context
    /// O(1).
    pub fn list<T>(&self, index: usize, slots: T) -> Result<Listed<'_, T, L, W>, Refused<T, NoSeat>> {
        let (n, seat) = (index / BITS, 1 << (index % BITS));
        let taken = self.lists.with(|l| {
            if n >= l.len() {
                return Err(NoSeat::PastTheEnd);
            }
            if l.word(TAKEN, n) & seat != 0 {
                return Err(NoSeat::Taken);
            }
            l.put(TAKEN, n, seat, seat);
            Ok(Seat { roster: self, index })
        });
        match taken {
            Ok(seat) => Ok(Listed { slots, seat }),
            Err(why) => Err(Refused::new(slots, why)),
        }
    }

    /// These buffers, each listed under its index in the slice: what a reclaim walks over.
    pub fn of<'h, E: Evictable>(&'h self, buffers: &'h [E]) -> Candidates<'h, E>
    where
        L: 'h,
        W: 'h,
    {
        Candidates { buffers, roster: Some(self) }
    }

    /// What the buffer in that seat is from now on; list by list, as nobody else changes that seat. O(1).
    fn note(&self, index: usize, class: Class) {
        for (list, member) in LISTS.into_iter().enumerate() {
            self.lists.with(|l| {
                let (n, len) = (index / BITS, l.len());
                let (seat, summary) = (1 << (index % BITS), 1 << (n % BITS));
                let word = l.put(list, n, seat, if class.contains(member) { seat } else { 0 });
                l.put(list, len + n / BITS, summary, if word != 0 { summary } else { 0 });
            });
        }
    }

    /// Nobody has that seat any more.
    fn leave(&self, index: usize) {
        self.note(index, Class::empty());
        self.lists.with(|l| l.put(TAKEN, index / BITS, 1 << (index % BITS), 0));
    }
}

impl<L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> Seats for Roster<L, W> {
    /// O(seats between / word size²), a lock for every few words.
    fn next(&self, class: Class, from: usize, end: usize) -> Option<usize> {
        let list = LISTS.iter().position(|list| class.contains(*list))?;
        let mut at = from;
        while at < end {
            match self.lists.with(|l| l.look(list, at)) {
                Look::Seats { word, seats } => {
                    let found = word * BITS + seats.trailing_zeros() as usize;
                    return Some(found).filter(|found| *found < end);
                }
                Look::Words { of, words } => at = (of * BITS + words.trailing_zeros() as usize) * BITS,
                Look::Nothing => return None,
            }
        }
        None
    }

    fn hand(&self, pass: Pass) -> usize {
        self.lists.with(|l| *l.hands.of(pass))
    }

    fn set_hand(&self, pass: Pass, at: usize) {
        self.lists.with(|l| *l.hands.of(pass) = at);
    }
}

impl<L, W> fmt::Debug for Roster<L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<L, W> defmt::Format for Roster<L, W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Roster");
    }
}

/// Why a roster has no seat for a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoSeat {
    /// There are not so many.
    PastTheEnd,
    /// Another buffer has it, or its slots have: drop them first.
    Taken,
}

impl fmt::Display for NoSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSeat::PastTheEnd => "the roster has not so many seats: give it more words",
            NoSeat::Taken => "another buffer is listed under that index: drop it first",
        })
    }
}

impl core::error::Error for NoSeat {}

/// Slots of a buffer that is on a [`Roster`], until they are dropped.
pub struct Listed<'r, T, L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> {
    slots: T,
    seat: Seat<'r, L, W>,
}

/// A seat that somebody has.
struct Seat<'r, L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> {
    roster: &'r Roster<L, W>,
    index: usize,
}

impl<L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> Drop for Seat<'_, L, W> {
    fn drop(&mut self) {
        self.roster.leave(self.index);
    }
}

impl<P, T, L, W> Slots<P> for Listed<'_, T, L, W>
where
    P: Platform,
    T: Slots<P>,
    L: RawLock,
    W: AsRef<[usize]> + AsMut<[usize]>,
{
    fn slots(&self) -> &[Slot<P>] {
        self.slots.slots()
    }
    fn parts(&mut self) -> Parts<'_, P> {
        self.slots.parts()
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        self.slots.addresses()
    }
    fn sorted(&self, class: Class) {
        self.seat.roster.note(self.seat.index, class);
        self.slots.sorted(class);
    }
}

impl<P, T, L, W> OneSlot<P> for Listed<'_, T, L, W>
where
    P: Platform,
    T: OneSlot<P>,
    L: RawLock,
    W: AsRef<[usize]> + AsMut<[usize]>,
{
}

impl<T: fmt::Debug, L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> fmt::Debug for Listed<'_, T, L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listed")
            .field("slots", &self.slots)
            .field("index", &self.seat.index)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T, L: RawLock, W: AsRef<[usize]> + AsMut<[usize]>> defmt::Format for Listed<'_, T, L, W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Listed({=usize})", self.seat.index);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::NoLock;
    use std::vec;

    /// Rule: the next one of a list is the first at or behind a seat and before the end, whatever lies between.
    #[test]
    fn the_next_one_is_found() {
        const WORDS: usize = BITS * 9 + 5; // more words of the summary than are looked at together
        const SEATS: usize = WORDS * BITS;
        let roster = Roster::<NoLock, _>::new([0; Roster::<NoLock>::words(SEATS)]);
        assert_eq!((roster.seats(), roster.list(SEATS, ()).is_err()), (SEATS, true));
        let members = [0, 1, BITS - 1, BITS, 3 * BITS + 7, BITS * BITS, 2 * BITS * BITS + 1, SEATS - 1];
        for at in members {
            roster.note(at, Class::RESIDENT | Class::PURGEABLE);
        }
        roster.note(BITS, Class::CLEAN); // and no longer resident
        for list in LISTS {
            let is = |at: &usize| match list {
                Class::CLEAN => *at == BITS,
                _ => *at != BITS,
            };
            let near = members.into_iter().flat_map(|at| [at.saturating_sub(1), at, at + 1, at + BITS]);
            for from in near.chain([5 * BITS * BITS, SEATS]) {
                for end in [from, from + 1, from + BITS + 3, from + BITS * BITS, SEATS] {
                    let expected = members.into_iter().filter(is).find(|at| (from..end).contains(at));
                    assert_eq!(roster.next(list, from, end), expected, "{list:?} {from}..{end}");
                }
            }
        }
        for at in members {
            roster.note(at, Class::empty());
        }
        assert!(roster.lists.with(|l| l.words.iter().all(|word| *word == 0)), "something is left of them");
    }

    /// Rule: so many words are enough for so many seats, and no word is for nothing.
    #[test]
    fn words_are_enough() {
        for seats in (1..40 * BITS).step_by(7).chain([BITS * BITS, BITS * BITS + 1, 1_000_000]) {
            let mut words = vec![0; Roster::<NoLock>::words(seats)];
            let roster = Roster::<NoLock, _>::new(&mut words[..]);
            assert!((seats..seats + BITS).contains(&roster.seats()), "{seats}: {}", roster.seats());
        }
    }
}
