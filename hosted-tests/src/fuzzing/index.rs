//! The eviction index of a machine: where each buffer is in it, and what it says of each entry.

use super::buffers::AnyBuffer;
use super::plants::Plant;
use super::platform::SMALL;
use forebay::{
    Candidates, Evictable, Forebay,
    buffer::Class,
    reclaim::{EvictionIndex, Indexed},
    sync::NoopRawMutex,
};
use forebay_backends::{Null, Ram};
use std::cell::Cell;

/// More than there are buffers, so that words have none, one or two.
pub(super) const ENTRIES: usize = 200;
const WORDS: usize = EvictionIndex::<NoopRawMutex>::words(ENTRIES);
type Words = [usize; WORDS];

/// A forebay without memory.
pub(super) type Nowhere = Forebay<Ram<NoopRawMutex, SMALL, 2>, Null>;

/// Where a buffer is: at both ends of a word, among the last; in the second of the two while its predecessor is still there.
fn entries(buffer: usize) -> [usize; 2] {
    [[0, 1], [63, 62], [64, 65], [90, 91], [ENTRIES - 1, ENTRIES - 2]][buffer % 5]
}

/// The index, and the means to see what it says.
pub(super) struct Index {
    pub(super) index: EvictionIndex<NoopRawMutex, Words>,
    /// The entry of each buffer that was indexed last.
    taken: [Cell<usize>; 5],
    /// For buffers that stand at entries without one.
    pub(super) nowhere: Nowhere,
    pub(super) plant: Plant,
}

impl Index {
    pub(super) fn new(plant: Plant) -> Self {
        let nowhere = Forebay::new(Ram::new(), Null);
        Index { index: EvictionIndex::new([0; WORDS]), taken: Default::default(), nowhere, plant }
    }

    /// Slots of that buffer, indexed.
    pub(super) fn slots<T>(&self, buffer: usize, slots: T) -> Indexed<'_, T, NoopRawMutex, Words> {
        let [first, second] = entries(buffer);
        self.taken[buffer % 5].set(first);
        let indexed = self.index.indexed(first, slots).or_else(|refused| {
            self.taken[buffer % 5].set(second);
            self.index.indexed(second, refused.item)
        });
        indexed.unwrap_or_else(|_| panic!("one of two entries is free"))
    }

    /// Where a buffer is.
    pub(super) fn entry(&self, buffer: usize) -> usize {
        self.taken[buffer % 5].get()
    }

    /// What the index says of each entry. It leaves no trace.
    pub(super) fn look(&self) -> Vec<Class> {
        let candidates = self.index.candidates::<&dyn Evictable>(&[]);
        let mut classes = vec![Class::empty(); ENTRIES];
        for list in [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE] {
            let mut at = 0;
            while let Some(found) = candidates.find_candidate(list, at..ENTRIES) {
                classes[found] |= list;
                at = found + 1;
            }
        }
        if self.plant == Plant::MissesABit {
            let clean = classes.iter_mut().filter(|class| class.contains(Class::CLEAN));
            clean.for_each(|class| class.remove(Class::RESIDENT));
        }
        classes
    }
}

/// A buffer for each entry: those that are there, and `blank` elsewhere.
pub(super) fn in_order<'b>(
    buffers: impl Iterator<Item = (usize, &'b dyn AnyBuffer)>,
    blank: &'b dyn Evictable,
) -> Vec<&'b dyn Evictable> {
    let mut all = vec![blank; ENTRIES];
    buffers.for_each(|(entry, buffer)| all[entry] = buffer);
    all
}
