//! Entries in lists over one array of links: which are free, and which wait, oldest first.

const NONE: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Link {
    before: u16,
    after: u16,
}

#[derive(Clone, Copy)]
struct Ends {
    first: u16,
    last: u16,
}

/// Which entries are free, which wait, and which are in no list. Everything but the constructor is O(1).
///
/// # Invariants
/// An entry is in at most one list.
pub(crate) struct Lists<const N: usize> {
    links: [Link; N],
    free: u16,
    waiting: Ends,
}

impl<const N: usize> Lists<N> {
    /// All free.
    pub(crate) const fn new() -> Self {
        const { assert!(N < NONE as usize, "at most 65,534 transferred blocks") }
        let mut links = [Link { before: NONE, after: NONE }; N];
        let mut i = 0;
        while i + 1 < N {
            links[i].after = i as u16 + 1;
            i += 1;
        }
        let free = if N > 0 { 0 } else { NONE };
        Lists { links, free, waiting: Ends { first: NONE, last: NONE } }
    }

    /// A free entry; it is in no list then.
    pub(crate) fn take_free(&mut self) -> Option<usize> {
        let entry = usize::from(self.free);
        self.free = self.links.get(entry)?.after;
        Some(entry)
    }

    /// Frees an entry of no list.
    pub(crate) fn put_free(&mut self, entry: usize) {
        if let Some(link) = self.links.get_mut(entry) {
            link.after = self.free;
            self.free = entry as u16;
        }
    }

    /// The entry that waits longest; it is in no list then.
    pub(crate) fn take_waiting(&mut self) -> Option<usize> {
        let first = usize::from(self.waiting.first);
        if first >= N {
            return None;
        }
        self.leave_waiting(first);
        Some(first)
    }

    /// Puts an entry of no list behind the waiting ones.
    pub(crate) fn wait_last(&mut self, entry: usize) {
        let Ends { last, .. } = self.waiting;
        let Some(link) = self.links.get_mut(entry) else { return };
        *link = Link { before: last, after: NONE };
        let number = entry as u16;
        match self.links.get_mut(usize::from(last)) {
            Some(before) => before.after = number,
            None => self.waiting.first = number,
        }
        self.waiting.last = number;
    }

    /// Puts an entry of no list before the waiting ones.
    pub(crate) fn wait_first(&mut self, entry: usize) {
        let Ends { first, .. } = self.waiting;
        let Some(link) = self.links.get_mut(entry) else { return };
        *link = Link { before: NONE, after: first };
        let number = entry as u16;
        match self.links.get_mut(usize::from(first)) {
            Some(after) => after.before = number,
            None => self.waiting.last = number,
        }
        self.waiting.first = number;
    }

    /// Removes a waiting entry from its list.
    pub(crate) fn leave_waiting(&mut self, entry: usize) {
        let Some(&Link { before, after }) = self.links.get(entry) else { return };
        match self.links.get_mut(usize::from(before)) {
            Some(link) => link.after = after,
            None => self.waiting.first = after,
        }
        match self.links.get_mut(usize::from(after)) {
            Some(link) => link.before = before,
            None => self.waiting.last = before,
        }
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
