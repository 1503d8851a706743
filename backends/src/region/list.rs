//! Entries in two lists at once over one array of links: which are free, and which wait, oldest first.

const NONE: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Link {
    before: u16,
    after: u16,
}

/// A list of entry numbers below `N`, linked both ways. O(1) for everything but making it.
#[derive(Clone, Copy)]
struct Ends {
    first: u16,
    last: u16,
}

/// Which entries are free, which wait, and which are in neither list.
///
/// # Invariants
/// An entry is in at most one list.
pub(crate) struct Lists<const N: usize> {
    links: [Link; N],
    free: Ends,
    waiting: Ends,
}

impl<const N: usize> Lists<N> {
    /// All free.
    pub(crate) const fn new() -> Self {
        const { assert!(N < NONE as usize, "at most 65,534 adopted blocks") }
        let mut links = [Link { before: NONE, after: NONE }; N];
        let mut i = 0;
        while i < N {
            links[i].before = if i > 0 { i as u16 - 1 } else { NONE };
            links[i].after = if i + 1 < N { i as u16 + 1 } else { NONE };
            i += 1;
        }
        let free =
            if N > 0 { Ends { first: 0, last: N as u16 - 1 } } else { Ends { first: NONE, last: NONE } };
        Lists { links, free, waiting: Ends { first: NONE, last: NONE } }
    }

    /// A free entry, now in no list.
    pub(crate) fn take_free(&mut self) -> Option<usize> {
        pop(&mut self.links, &mut self.free)
    }

    /// An entry of no list is free again.
    pub(crate) fn put_free(&mut self, entry: usize) {
        push_front(&mut self.links, &mut self.free, entry);
    }

    /// The entry that waits longest, now in no list.
    pub(crate) fn take_waiting(&mut self) -> Option<usize> {
        pop(&mut self.links, &mut self.waiting)
    }

    /// An entry of no list waits, behind the others.
    pub(crate) fn wait_last(&mut self, entry: usize) {
        let Ends { last, .. } = self.waiting;
        let Ok(number) = u16::try_from(entry) else { return };
        let Some(link) = self.links.get_mut(entry) else { return };
        *link = Link { before: last, after: NONE };
        match self.links.get_mut(usize::from(last)) {
            Some(before) => before.after = number,
            None => self.waiting.first = number,
        }
        self.waiting.last = number;
    }

    /// An entry of no list waits, before the others.
    pub(crate) fn wait_first(&mut self, entry: usize) {
        push_front(&mut self.links, &mut self.waiting, entry);
    }

    /// A waiting entry leaves its list.
    pub(crate) fn leave_waiting(&mut self, entry: usize) {
        unlink(&mut self.links, &mut self.waiting, entry);
    }
}

fn push_front(links: &mut [Link], ends: &mut Ends, entry: usize) {
    let Ok(number) = u16::try_from(entry) else { return };
    let Some(link) = links.get_mut(entry) else { return };
    *link = Link { before: NONE, after: ends.first };
    match links.get_mut(usize::from(ends.first)) {
        Some(after) => after.before = number,
        None => ends.last = number,
    }
    ends.first = number;
}

fn pop(links: &mut [Link], ends: &mut Ends) -> Option<usize> {
    let first = usize::from(ends.first);
    if first >= links.len() {
        return None;
    }
    unlink(links, ends, first);
    Some(first)
}

fn unlink(links: &mut [Link], ends: &mut Ends, entry: usize) {
    let Some(&Link { before, after }) = links.get(entry) else { return };
    match links.get_mut(usize::from(before)) {
        Some(link) => link.after = after,
        None => ends.first = after,
    }
    match links.get_mut(usize::from(after)) {
        Some(link) => link.before = before,
        None => ends.last = before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: first come, first out, whatever leaves in between; each entry is in one list.
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
