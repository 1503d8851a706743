//! An index of many buffers: a reclaim finds those with something to give without looking at the others.

use crate::buffer::{
    Class, EvictRequest, Evictable, Moved, OneSlot, Sealed as SlotsSealed, SideTables, Slot, Slots,
};
use crate::forebay::Hands;
use crate::frame::{DmaAddr, Pages, Refused};
use crate::reclaim::candidates::{Candidates, Sealed};
use crate::stats::Evicted;
use crate::sync::{Mutex, RawMutex};
use core::fmt;
use core::ops::Range;

const BITS: usize = usize::BITS as usize;

/// The lists of an index. An entry has one bit in each.
const LISTS: [Class; 3] = [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE];

/// One more list: of the entries that belong to a buffer.
const TAKEN: usize = LISTS.len();

/// The number of all lists.
const ALL: usize = LISTS.len() + 1;

/// How many words of the highest level one lock section looks at, besides the first one.
const HIGHEST_AT_ONCE: usize = 3;

/// The number of words for one word of the highest level: itself, and the words of both levels below it.
const GROUP: usize = 1 + BITS + BITS * BITS;

/// Has four bits for each buffer, in words of the caller: they say whether a reclaim may want the buffer. A reclaim over a slice
/// looks at every buffer, which is right for some hundreds. With an index it looks at words only, and finds the few buffers with
/// something to give, also among a million.
///
/// The words are an array, for a static, or a slice: [`words`](EvictionIndex::words) says how many. The slots of a buffer are made
/// by [`indexed`](EvictionIndex::indexed), with the index that the buffer has in the slice that is reclaimed. From then on the
/// buffer updates its bits each time a holder leaves it and something changed. A dropped buffer is in no list. An entry belongs to
/// one buffer at a time. If the number is not the buffer's index in the slice, a reclaim may not find it; nothing worse happens.
///
/// The example in the crate `forebay-backends`, `examples/many_buffers.rs`, shows its use.
pub struct EvictionIndex<R, W = [usize; 0]> {
    lists: Mutex<R, Lists<W>>,
    hands: Hands,
}

/// # Invariants
/// A bit of a higher level is set exactly if its word of the level below is not zero. A count is that of the entries in its list.
struct Lists<W> {
    /// A count for each list; then the levels, the highest first. A level has a bit for each word of the level below, the lowest
    /// level a bit for each entry. The words of all lists for the same entries lie side by side.
    words: W,
    /// Where the levels are in the words. All are empty until the first buffer is indexed.
    levels: Levels,
}

impl<R: RawMutex> EvictionIndex<R> {
    /// The length of `words` for an index of `entries` buffers.
    pub const fn words(entries: usize) -> usize {
        let words = entries.div_ceil(BITS);
        let above = words.div_ceil(BITS);
        ALL * (1 + above.div_ceil(BITS) + above + words)
    }
}

/// Where the levels are, the lowest first: the row of the first word of each, and how many there are.
type Levels = [(usize, usize); 3];

impl<W: AsRef<[usize]> + AsMut<[usize]>> Lists<W> {
    fn find_levels(&mut self) {
        let rows = (self.words.as_ref().len() / ALL).saturating_sub(1);
        let highest = rows.div_ceil(GROUP);
        let above = (rows - highest).div_ceil(BITS + 1);
        let lowest = rows - highest - above;
        self.levels = [(1 + highest + above, lowest), (1 + highest, above), (1, highest)];
    }

    fn word(&self, list: usize, row: usize) -> usize {
        self.words.as_ref().get(ALL * row + list).copied().unwrap_or_default()
    }

    fn word_mut(&mut self, list: usize, row: usize) -> Option<&mut usize> {
        self.words.as_mut().get_mut(ALL * row + list)
    }

    /// Sets a bit of the lowest level to `is_in`. If that changes it, the levels above and the count change with it.
    fn put(&mut self, list: usize, entry: usize, is_in: bool) {
        let (mut at, mut bit) = (entry, is_in);
        for (level, (first, _)) in self.levels.into_iter().enumerate() {
            let Some(word) = self.word_mut(list, first + at / BITS) else { return };
            let mask = 1 << (at % BITS);
            if (*word & mask != 0) == bit {
                return; // the bit does not change, so no bit above does
            }
            *word ^= mask;
            (at, bit) = (at / BITS, *word != 0);
            if level == 0 {
                self.count(list, is_in);
            }
        }
    }

    /// Counts an entry that was added or removed.
    fn count(&mut self, list: usize, is_in: bool) {
        if let Some(count) = self.word_mut(list, 0) {
            *count = if is_in { *count + 1 } else { *count - 1 };
        }
    }

    /// Looks for a bit of a list at or behind bit `at` of a level: in its word, then in one word of each level above, and in some
    /// of the highest.
    fn look(&self, list: usize, level: usize, mut at: usize) -> Look {
        if self.word(list, 0) == 0 {
            return Look::Nothing;
        }
        for (level, (first, words)) in self.levels.into_iter().enumerate().skip(level) {
            if at / BITS >= words {
                return Look::Nothing;
            }
            let bits = self.word(list, first + at / BITS) & (usize::MAX << (at % BITS));
            at /= BITS;
            if bits != 0 {
                return Look::Bits { level, word: at, bits };
            }
            at += 1;
        }
        let (first, words) = self.levels[2];
        for word in (at..words).take(HIGHEST_AT_ONCE) {
            let bits = self.word(list, first + word);
            if bits != 0 {
                return Look::Bits { level: 2, word, bits };
            }
        }
        Look::Highest { at: (at + HIGHEST_AT_ONCE) * BITS }
    }
}

/// What a look found. Bits are counted outside of the lock.
enum Look {
    /// The bits in question of this word of a level.
    Bits {
        level: usize,
        word: usize,
        bits: usize,
    },
    /// Nothing so far: goes on with that bit of the highest level.
    Highest {
        at: usize,
    },
    Nothing,
}

impl<R: RawMutex, W> EvictionIndex<R, W> {
    /// With these words, which must be zero: an array, or `&mut [usize]`. (Their `AsRef` is called under the lock.)
    pub const fn new(words: W) -> Self {
        EvictionIndex { lists: Mutex::new(Lists { words, levels: [(0, 0); 3] }), hands: Hands::new() }
    }
}

impl<R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> EvictionIndex<R, W> {
    /// Slots for the buffer with that number, which is indexed as long as it lives.
    ///
    /// # Errors
    /// [`IndexFull`]; the slots come back.
    ///
    /// # Context
    /// O(1).
    pub fn indexed<T>(&self, number: usize, slots: T) -> Result<Indexed<'_, T, R, W>, Refused<T, IndexFull>> {
        let taken = self.lists.lock(|l| {
            l.find_levels();
            let [(first, words), ..] = l.levels;
            if number / BITS >= words {
                return Err(IndexFull::PastTheEnd);
            }
            if l.word(TAKEN, first + number / BITS) & 1 << (number % BITS) != 0 {
                return Err(IndexFull::Taken);
            }
            l.put(TAKEN, number, true);
            Ok(Entry { index: self, number })
        });
        match taken {
            Ok(entry) => Ok(Indexed { slots, entry }),
            Err(why) => Err(Refused { item: slots, why }),
        }
    }

    /// These buffers, each indexed under its index in the slice, as candidates of a reclaim.
    pub fn candidates<'h, E: Evictable>(&'h self, buffers: &'h [E]) -> IndexedCandidates<'h, E, R, W> {
        IndexedCandidates { buffers, index: self }
    }

    /// Stores the class of the buffer with that number: a lock section for each list, as nothing else changes that entry. O(1).
    fn note(&self, number: usize, class: Class) {
        for (list, member) in LISTS.into_iter().enumerate() {
            self.lists.lock(|l| l.put(list, number, class.contains(member)));
        }
    }

    /// Frees the entry.
    fn leave(&self, number: usize) {
        self.note(number, Class::empty());
        self.lists.lock(|l| l.put(TAKEN, number, false));
    }

    /// The first entry of that class in the range. One lock section if the list is empty; else a few, and one for each word of
    /// the highest level between.
    fn find(&self, class: Class, range: Range<usize>) -> Option<usize> {
        let list = LISTS.iter().position(|list| class.contains(*list))?;
        let (mut level, mut at) = (0, range.start);
        loop {
            match self.lists.lock(|l| l.look(list, level, at)) {
                Look::Bits { level: found, word, bits } => {
                    at = word * BITS + bits.trailing_zeros() as usize;
                    if found == 0 {
                        return Some(at).filter(|at| *at < range.end);
                    }
                    (level, at) = (found - 1, at * BITS);
                }
                Look::Highest { at: next } => (level, at) = (2, next),
                Look::Nothing => return None,
            }
        }
    }
}

/// A slice of buffers with an [`EvictionIndex`]: candidates of a reclaim. Its cost depends on what it finds, not on the length.
pub struct IndexedCandidates<'h, E, R, W> {
    buffers: &'h [E],
    index: &'h EvictionIndex<R, W>,
}

impl<E, R, W> Sealed for IndexedCandidates<'_, E, R, W> {}
impl<E: Evictable, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> Candidates
    for IndexedCandidates<'_, E, R, W>
{
    fn candidate_count(&self) -> usize {
        self.buffers.len()
    }
    fn find_candidate(&self, class: Class, range: Range<usize>) -> Option<usize> {
        self.index.find(class, range)
    }
    fn evict_at(&self, at: usize, request: &EvictRequest, sum: &mut Evicted) -> bool {
        self.buffers.evict_at(at, request, sum)
    }
    fn transfer_at(&self, at: usize, pages: Pages) -> Option<Moved> {
        self.buffers.transfer_at(at, pages)
    }
    fn candidate_hands(&self) -> Option<&Hands> {
        Some(&self.index.hands)
    }
}

impl<E, R, W> fmt::Debug for IndexedCandidates<'_, E, R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexedCandidates").field("buffers", &self.buffers.len()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<E, R, W> defmt::Format for IndexedCandidates<'_, E, R, W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "IndexedCandidates({=usize})", self.buffers.len());
    }
}

impl<R, W> fmt::Debug for EvictionIndex<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvictionIndex").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<R, W> defmt::Format for EvictionIndex<R, W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "EvictionIndex");
    }
}

/// Why an index has no entry for a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IndexFull {
    /// The number is past the end.
    PastTheEnd,
    /// Another buffer, or its slots, have this entry.
    Taken,
}

impl fmt::Display for IndexFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexFull::PastTheEnd => "the index has no entry of that number: give it more words",
            IndexFull::Taken => "another buffer is indexed under that number: drop it first",
        })
    }
}

impl core::error::Error for IndexFull {}

/// Slots of a buffer that is in an [`EvictionIndex`], until they are dropped.
pub struct Indexed<'r, T, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> {
    slots: T,
    entry: Entry<'r, R, W>,
}

/// An entry that belongs to a buffer.
struct Entry<'r, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> {
    index: &'r EvictionIndex<R, W>,
    number: usize,
}

impl<R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> Drop for Entry<'_, R, W> {
    fn drop(&mut self) {
        self.index.leave(self.number);
    }
}

impl<T: Slots, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> SlotsSealed for Indexed<'_, T, R, W> {}
impl<T: Slots, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> Slots for Indexed<'_, T, R, W> {
    type Platform = T::Platform;
    const ONE: bool = T::ONE;
    const BARE_SLOT: bool = T::BARE_SLOT;
    const IS_FOLLOWED: bool = true;
    fn slots(&self) -> &[Slot<T::Platform>] {
        self.slots.slots()
    }
    fn side_tables(&mut self) -> SideTables<'_, T::Platform> {
        self.slots.side_tables()
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        self.slots.addresses()
    }
    fn class_changed(&self, class: Class) {
        self.entry.index.note(self.entry.number, class);
        self.slots.class_changed(class);
    }
    fn accessed(&self) {
        self.slots.accessed();
    }
}
impl<T: OneSlot, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> OneSlot for Indexed<'_, T, R, W> {}

impl<T: fmt::Debug, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> fmt::Debug for Indexed<'_, T, R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexed")
            .field("slots", &self.slots)
            .field("number", &self.entry.number)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T, R: RawMutex, W: AsRef<[usize]> + AsMut<[usize]>> defmt::Format for Indexed<'_, T, R, W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Indexed({=usize})", self.entry.number);
    }
}
