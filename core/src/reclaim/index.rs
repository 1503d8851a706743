//! An index of many buffers: a reclaim finds those with something to give without looking at the others.

use crate::buffer::{
    Class, EvictRequest, Evictable, OneSlot, Sealed as SlotsSealed, SideTables, Slot, Slots,
};
use crate::forebay::Hands;
use crate::frame::{DmaAddr, Refused};
use crate::reclaim::candidates::{Candidates, Sealed};
use crate::stats::Evicted;
use crate::sync::{Mutex, RawMutex};
use core::fmt;
use core::ops::Range;

const BITS: usize = usize::BITS as usize;

/// One bit for each entry in each of these.
const LISTS: [Class; 3] = [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE];

/// The list of the entries that a buffer has.
const TAKEN: usize = LISTS.len();

/// The number of all lists.
const ALL: usize = LISTS.len() + 1;

/// How many words of a summary are looked at in one lock section.
const WORDS_AT_ONCE: usize = 2;

/// Says of each of many buffers whether a reclaim may want it: four bits each, in words of the caller. A reclaim over a slice
/// looks at every buffer, which is right for some hundreds. With an index it finds those with something to give, among a
/// million, by looking at words.
///
/// The words are an array, for a static, or a slice: [`words`](EvictionIndex::words) says how many. A buffer is indexed by what
/// its slots are made of ([`indexed`](EvictionIndex::indexed)), under its index in the slice that is reclaimed. It keeps its
/// bits true from then on, each time a holder leaves it and something changed. A dropped buffer is in no list. An entry has one
/// buffer at a time. A buffer that is indexed under the number of another is not found reliably; nothing worse.
///
/// The example in the crate `forebay-backends`, `examples/many_buffers.rs`, shows its use.
pub struct EvictionIndex<R, W = [usize; 0]> {
    lists: Mutex<R, Lists<W>>,
    hands: Hands,
}

struct Lists<W> {
    /// Entries, a bit each; and behind them a summary, a bit for each word. The lists' words for the same entries lie side by
    /// side.
    ///
    /// # Invariant
    /// A bit of the summary is set exactly if its word is not zero.
    words: W,
}

impl<R: RawMutex> EvictionIndex<R> {
    /// The length of `words` for an index of `entries` buffers.
    pub const fn words(entries: usize) -> usize {
        let words = entries.div_ceil(BITS);
        ALL * (words + words.div_ceil(BITS))
    }
}

impl<W: AsRef<[usize]> + AsMut<[usize]>> Lists<W> {
    /// The number of words of entries in each list.
    fn len(&self) -> usize {
        let all = self.words.as_ref().len() / ALL;
        (all / (BITS + 1)).saturating_mul(BITS) + (all % (BITS + 1)).saturating_sub(1)
    }

    fn word(&self, list: usize, n: usize) -> usize {
        self.words.as_ref().get(ALL * n + list).copied().unwrap_or_default()
    }

    /// Sets the bits of word `n` that are in `mask` to `bits`. Returns the word.
    fn put(&mut self, list: usize, n: usize, mask: usize, bits: usize) -> usize {
        let Some(word) = self.words.as_mut().get_mut(ALL * n + list) else { return 0 };
        *word = *word & !mask | bits;
        *word
    }

    /// Looks for an entry of a list at or behind `from`: in its word, then in the next few words of the summary.
    fn look(&self, list: usize, from: usize) -> Look {
        let (n, len) = (from / BITS, self.len());
        if n >= len {
            return Look::Nothing;
        }
        let word = self.word(list, n) & (usize::MAX << (from % BITS));
        if word != 0 {
            return Look::Entries { word: n, entries: word };
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

/// What a look found. Bits are counted outside of the lock.
enum Look {
    /// Entries, by their bits in that word.
    Entries {
        word: usize,
        entries: usize,
    },
    /// Words to go on with, by their bits in word `of` of the summary: with the first of them.
    Words {
        of: usize,
        words: usize,
    },
    Nothing,
}

impl<R: RawMutex, W> EvictionIndex<R, W> {
    /// In these words, which must be zero: an array, or `&mut [usize]`. (Their `AsRef` is called under the lock.)
    pub const fn new(words: W) -> Self {
        EvictionIndex { lists: Mutex::new(Lists { words }), hands: Hands::new() }
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
        let (n, bit) = (number / BITS, 1 << (number % BITS));
        let taken = self.lists.lock(|l| {
            if n >= l.len() {
                return Err(IndexFull::PastTheEnd);
            }
            if l.word(TAKEN, n) & bit != 0 {
                return Err(IndexFull::Taken);
            }
            l.put(TAKEN, n, bit, bit);
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

    /// What the buffer with that number is from now on; list by list, as nothing else changes that entry. O(1).
    fn note(&self, number: usize, class: Class) {
        for (list, member) in LISTS.into_iter().enumerate() {
            self.lists.lock(|l| {
                let (n, len) = (number / BITS, l.len());
                let (bit, summary) = (1 << (number % BITS), 1 << (n % BITS));
                let word = l.put(list, n, bit, if class.contains(member) { bit } else { 0 });
                l.put(list, len + n / BITS, summary, if word != 0 { summary } else { 0 });
            });
        }
    }

    /// The entry is free again.
    fn leave(&self, number: usize) {
        self.note(number, Class::empty());
        self.lists.lock(|l| l.put(TAKEN, number / BITS, 1 << (number % BITS), 0));
    }

    /// The first entry of that class in the range. O(entries between / word size²), a lock section for every few words.
    fn find(&self, class: Class, range: Range<usize>) -> Option<usize> {
        let list = LISTS.iter().position(|list| class.contains(*list))?;
        let mut at = range.start;
        while at < range.end {
            match self.lists.lock(|l| l.look(list, at)) {
                Look::Entries { word, entries } => {
                    let found = word * BITS + entries.trailing_zeros() as usize;
                    return Some(found).filter(|found| *found < range.end);
                }
                Look::Words { of, words } => at = (of * BITS + words.trailing_zeros() as usize) * BITS,
                Look::Nothing => return None,
            }
        }
        None
    }
}

/// A slice of buffers with an [`EvictionIndex`]: candidates of a reclaim, which costs what it finds.
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

/// An entry that a buffer has.
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
