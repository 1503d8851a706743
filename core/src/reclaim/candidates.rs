//! What a reclaim walks over: slices and arrays of buffers, tuples of those, and lists with a hand of their own.

use crate::buffer::{Class, EvictRequest, Evictable, Moved};
use crate::forebay::Hands;
use crate::frame::{Context, Evict, Pages};
use crate::stats::Evicted;
use core::fmt;
use core::ops::Range;

mod sealed {
    pub trait Sealed {}
}
pub(super) use sealed::Sealed;

/// The buffers that a reclaim may evict: `&[Buffer]`, `&[Buffer; N]`, `&[&Buffer]`, with the feature `alloc` `&Vec<Buffer>`, or
/// a tuple of such lists, for buffers of several types: `(&TILES, &AUDIO)`. No table and no allocation.
///
/// A reclaim goes on where the last one ended. That place, the hand, belongs to the [`Forebay`](crate::Forebay) for plain
/// lists. Several plain lists in turn share it: each is visited to its end, but not in the order of use, and a list whose length
/// changes goes on elsewhere. A [`Clock`] around a list has a hand of its own, and so has an
/// [`EvictionIndex`](crate::reclaim::EvictionIndex), which finds the few buffers with something to give among very many.
///
/// Implemented by this crate only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of buffers",
    label = "no list of buffers",
    note = "pass `&[Buffer]`, `&[Buffer; N]`, `&vec[..]`, or a tuple of those: `(&TILES, &AUDIO)`",
    note = "a single buffer is `core::slice::from_ref(&buffer)`"
)]
pub trait Candidates: Sealed {
    #[doc(hidden)]
    fn candidate_count(&self) -> usize;

    /// The first in the range that may have something of that class.
    #[doc(hidden)]
    fn find_candidate(&self, class: Class, range: Range<usize>) -> Option<usize>;

    /// Asks the candidate at that place, if it is not skipped. Returns whether it was held for that; then `sum`, which is zero,
    /// says what it did.
    #[doc(hidden)]
    fn evict_at(&self, at: usize, request: &EvictRequest, sum: &mut Evicted) -> bool;

    /// The same, only by transfer, for an interrupt.
    #[doc(hidden)]
    fn transfer_at(&self, at: usize, pages: Pages) -> Option<Moved> {
        let (request, mut sum) =
            (EvictRequest::new(pages, Evict::TRANSFER, Context::INTERRUPT), Evicted::default());
        let held = self.evict_at(at, &request, &mut sum);
        held.then(|| Moved::of(&sum))
    }

    /// Whether clean blocks leave first, of buffers that were not used lately.
    #[doc(hidden)]
    fn clean_first(&self) -> bool {
        true
    }

    /// The hands that belong to this list; the forebay's, if it has none.
    #[doc(hidden)]
    fn candidate_hands(&self) -> Option<&Hands> {
        None
    }
}

impl<E: Evictable> Sealed for [E] {}
impl<E: Evictable> Candidates for [E] {
    fn candidate_count(&self) -> usize {
        self.len()
    }
    /// One load for each buffer without such a class.
    fn find_candidate(&self, class: Class, range: Range<usize>) -> Option<usize> {
        let mut rest = self.get(range.clone())?;
        while let [first, behind @ ..] = rest {
            if first.class().contains(class) {
                return Some(range.end - rest.len());
            }
            rest = behind;
        }
        None
    }
    fn evict_at(&self, at: usize, request: &EvictRequest, sum: &mut Evicted) -> bool {
        self.get(at).is_some_and(|buffer| buffer.evict_or_skip(request, sum))
    }
    fn transfer_at(&self, at: usize, pages: Pages) -> Option<Moved> {
        self.get(at)?.transfer_or_skip(pages)
    }
}

/// Passes everything on to another list.
macro_rules! list_behind {
    ($(#[$attr:meta])* [$($generic:tt)*] $list:ty, |$this:ident| $to:expr, $hands:expr) => {
        $(#[$attr])*
        impl<$($generic)*> Sealed for $list {}
        $(#[$attr])*
        impl<$($generic)*> Candidates for $list {
            fn candidate_count(&self) -> usize {
                let $this = self;
                $to.candidate_count()
            }
            fn find_candidate(&self, class: Class, range: Range<usize>) -> Option<usize> {
                let $this = self;
                $to.find_candidate(class, range)
            }
            fn evict_at(&self, at: usize, request: &EvictRequest, sum: &mut Evicted) -> bool {
                let $this = self;
                $to.evict_at(at, request, sum)
            }
            fn transfer_at(&self, at: usize, pages: Pages) -> Option<Moved> {
                let $this = self;
                $to.transfer_at(at, pages)
            }
            fn clean_first(&self) -> bool {
                let $this = self;
                $to.clean_first()
            }
            fn candidate_hands(&self) -> Option<&Hands> {
                let $this = self;
                let _ = $this;
                $hands
            }
        }
    };
}
list_behind!([E: Evictable, const N: usize] [E; N], |this| this[..], None);
list_behind!(#[cfg(feature = "alloc")] [E: Evictable] alloc::vec::Vec<E>, |this| this[..], None);
list_behind!([C: Candidates + ?Sized] &C, |this| (**this), (**this).candidate_hands());
list_behind!([C: Candidates] Clock<C>, |this| this.list, Some(&this.hands));

/// One list behind the other.
macro_rules! tuple {
    ($($list:ident $n:tt),*) => {
        impl<$($list: Candidates),*> Sealed for ($($list,)*) {}
        impl<$($list: Candidates),*> Candidates for ($($list,)*) {
            fn candidate_count(&self) -> usize {
                0_usize$(.saturating_add(self.$n.candidate_count()))*
            }
            fn find_candidate(&self, class: Class, range: Range<usize>) -> Option<usize> {
                let before = 0_usize;
                $(
                    let len = self.$n.candidate_count();
                    let (start, end) = (range.start.max(before), range.end.min(before.saturating_add(len)));
                    if start < end {
                        if let Some(n) = self.$n.find_candidate(class, start - before..end - before) {
                            return Some(before + n);
                        }
                    }
                    let before = before.saturating_add(len);
                )*
                let _ = before;
                None
            }
            fn evict_at(&self, at: usize, request: &EvictRequest, sum: &mut Evicted) -> bool {
                $(
                    let len = self.$n.candidate_count();
                    if at < len {
                        return self.$n.evict_at(at, request, sum);
                    }
                    let at = at - len;
                )*
                let _ = at;
                false
            }
            fn transfer_at(&self, at: usize, pages: Pages) -> Option<Moved> {
                $(
                    let len = self.$n.candidate_count();
                    if at < len {
                        return self.$n.transfer_at(at, pages);
                    }
                    let at = at - len;
                )*
                let _ = at;
                None
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A list with a hand of its own: for a program that reclaims several lists in turn. It may lie in a static.
///
/// A tuple has one hand for all of its lists: put the clock around the tuple, not inside.
///
/// ```
/// # use forebay::*; use forebay::reclaim::Clock;
/// # fn f<H: Home>(tiles: &[Buffer<H>], audio: &[Buffer<H>], home: &H) where H: std::ops::Deref<Target = Forebay<H::Platform, H::Store>> {
/// let (tiles, audio) = (Clock::new(tiles), Clock::new(audio));
/// home.reclaim(&tiles, Pages::new(4), Evict::TRANSFER, Context::INTERRUPT);
/// home.reclaim(&audio, Pages::new(1), Evict::TRANSFER, Context::INTERRUPT); // does not move the hand of `tiles`
/// # }
/// ```
pub struct Clock<C> {
    list: C,
    hands: Hands,
}

impl<C: Candidates> Clock<C> {
    /// A hand for this list, at its beginning.
    pub const fn new(list: C) -> Self {
        Clock { list, hands: Hands::new() }
    }
}

impl<C> fmt::Debug for Clock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("hands", &self.hands).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<C: Candidates> defmt::Format for Clock<C> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Clock({=usize} candidates)", self.list.candidate_count());
    }
}
