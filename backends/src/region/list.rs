//! Entries in lists over one array of links: which are free, and which wait, oldest first.

/// The neighbours of an entry that waits, as the number of the entry plus one. Zero is the end of the list.
#[derive(Clone, Copy)]
struct Link {
    before: u16,
    after: u16,
}

const NO_LINK: Link = Link { before: 0, after: 0 };

/// Which entries are free, which wait, and which are in no list. Everything is O(1). All zeros at first, so a static lies in `.bss`.
///
/// # Invariants
/// An entry is in at most one list.
pub(crate) struct Lists<const N: usize> {
    links: [Link; N],
    /// The entry that waits longest is behind it, the last one before it.
    ends: Link,
    /// The free entries that were in use: the first, from which `after` leads to the others.
    free: u16,
    /// The entries that were ever in use are those below.
    used: u16,
}

impl<const N: usize> Lists<N> {
    /// All free.
    pub(crate) const fn new() -> Self {
        const { assert!(N < u16::MAX as usize, "at most 65,534 transferred blocks") }
        Lists { links: [NO_LINK; N], ends: NO_LINK, free: 0, used: 0 }
    }

    /// A free entry; it is in no list then.
    pub(crate) fn take_free(&mut self) -> Option<usize> {
        let entry = match usize::from(self.free).checked_sub(1) {
            Some(entry) => {
                self.free = self.link(self.free).after;
                entry
            }
            None if usize::from(self.used) < N => {
                self.used += 1;
                usize::from(self.used) - 1
            }
            None => return None,
        };
        Some(entry)
    }

    /// Frees an entry of no list.
    pub(crate) fn put_free(&mut self, entry: usize) {
        let Some(link) = self.links.get_mut(entry) else { return };
        link.after = self.free;
        self.free = entry as u16 + 1;
    }

    /// The entry that waits longest; it is in no list then.
    pub(crate) fn take_waiting(&mut self) -> Option<usize> {
        let first = usize::from(self.ends.after).checked_sub(1)?;
        self.leave_waiting(first);
        Some(first)
    }

    /// Puts an entry of no list behind the waiting ones.
    pub(crate) fn wait_last(&mut self, entry: usize) {
        self.wait_between(self.ends.before, entry, 0);
    }

    /// Puts an entry of no list before the waiting ones.
    pub(crate) fn wait_first(&mut self, entry: usize) {
        self.wait_between(0, entry, self.ends.after);
    }

    /// Removes a waiting entry from its list.
    pub(crate) fn leave_waiting(&mut self, entry: usize) {
        let Some(&Link { before, after }) = self.links.get(entry) else { return };
        self.link(before).after = after;
        self.link(after).before = before;
    }

    fn wait_between(&mut self, before: u16, entry: usize, after: u16) {
        let Some(link) = self.links.get_mut(entry) else { return };
        *link = Link { before, after };
        let number = entry as u16 + 1;
        self.link(before).after = number;
        self.link(after).before = number;
    }

    /// The link of an entry; for zero, the ends.
    fn link(&mut self, number: u16) -> &mut Link {
        self.links.get_mut(usize::from(number).wrapping_sub(1)).unwrap_or(&mut self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the first in is the first out, whatever leaves in between; each entry is in one list.
    #[test]
    fn oldest_first_and_removal_in_the_middle() {
        let mut l = Lists::<4>::new();
        assert_eq!([l.take_free(), l.take_free(), l.take_free()], [Some(0), Some(1), Some(2)]);
        for entry in [2, 0, 1] {
            l.wait_last(entry);
        }
        l.leave_waiting(0);
        l.put_free(0);
        assert_eq!(l.take_waiting(), Some(2));
        l.wait_first(2);
        assert_eq!([l.take_waiting(), l.take_waiting(), l.take_waiting()], [Some(2), Some(1), None]);
        assert_eq!([l.take_free(), l.take_free(), l.take_free()], [Some(0), Some(3), None]);
        l.wait_last(3);
        assert_eq!([l.take_waiting(), l.take_waiting()], [Some(3), None]);
        let mut none = Lists::<0>::new();
        assert_eq!((none.take_free(), none.take_waiting()), (None, None));
    }
}
