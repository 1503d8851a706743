//! Plain numbers: of frames, orders, pages, buffers, and of those who pay.

use core::fmt;
use core::iter::Sum;
use core::num::NonZeroUsize;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// The number of a page frame: its physical address divided by the page size of its source.
///
/// Prints as `Fx1a`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(pub usize);

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fx{:x}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Pfn {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Fx{=usize:x}", self.0);
    }
}

/// The size of a block as a power of two: order `n` is `2^n` pages.
///
/// Prints as `o3`. Orders 0 to 15 exist. A source gives blocks up to
/// [`FrameSource::MAX_ORDER`](crate::FrameSource::MAX_ORDER), which is 10 by default.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(u8);

impl Order {
    /// One page.
    pub const PAGE: Order = Order(0);
    /// 1024 pages, the largest order of Linux's buddy allocator on most machines.
    pub const TEN: Order = Order(10);
    /// The largest order: four bits of a [`Handle`](crate::Handle) hold it.
    pub const MAX: Order = Order(15);

    /// `2^order` pages. `None` above [`Order::MAX`].
    pub const fn new(order: u8) -> Option<Order> {
        if order <= Self::MAX.0 { Some(Order(order)) } else { None }
    }

    /// The smallest order with at least `pages` pages. `None` if that is above [`Order::MAX`].
    pub const fn for_pages(pages: Pages) -> Option<Order> {
        let mut order = 0;
        while order <= Self::MAX.0 {
            if 1 << order >= pages.0 {
                return Some(Order(order));
            }
            order += 1;
        }
        None
    }

    /// The exponent.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The number of pages of a block of this order.
    pub const fn pages(self) -> Pages {
        Pages(1 << self.0)
    }

    /// The next smaller order. `None` for a single page.
    pub const fn lower(self) -> Option<Order> {
        if self.0 == 0 { None } else { Some(Order(self.0 - 1)) }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "o{}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Order {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "o{=u8}", self.0);
    }
}

/// A count of pages. The block type defines how many bytes a page has
/// ([`OwnedBlock::PAGE`](crate::OwnedBlock::PAGE)).
///
/// Arithmetic saturates: a wrong count never wraps into one that looks right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pages(usize);

impl Pages {
    /// No pages.
    pub const ZERO: Pages = Pages(0);
    /// The largest count: "no limit" for a budget.
    pub const MAX: Pages = Pages(usize::MAX);

    /// A count of `pages` pages.
    pub const fn new(pages: usize) -> Pages {
        Pages(pages)
    }

    /// The count.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Add for Pages {
    type Output = Pages;
    fn add(self, other: Pages) -> Pages {
        Pages(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Pages {
    fn add_assign(&mut self, other: Pages) {
        *self = *self + other;
    }
}

impl Sub for Pages {
    type Output = Pages;
    fn sub(self, other: Pages) -> Pages {
        Pages(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Pages {
    fn sub_assign(&mut self, other: Pages) {
        *self = *self - other;
    }
}

impl Sum for Pages {
    fn sum<I: Iterator<Item = Pages>>(iter: I) -> Pages {
        iter.fold(Pages::ZERO, Add::add)
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Pages {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=usize}p", self.0);
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The integrator's number of a buffer ([`Buffer::with_id`](crate::Buffer::with_id)): hooks and accounting receive it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BufferId(pub usize);

/// Who pays for contents: a token of the integrator, such as the number of a control group, a client or a guest.
///
/// It pays for contents, not for a place: once, from the first block until the contents are dropped. The token moves with
/// the contents to the store and back. Evicting and restoring charge nothing, so they can't fail for it. (Linux charges
/// what a shrinker copies to the task that runs the shrinker, unless it is told otherwise.)
///
/// Prints as `C7`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge(pub NonZeroUsize);

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Charge {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "C{=usize}", self.0.get());
    }
}
