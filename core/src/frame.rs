//! Plain values: a frame's number, an order, a count of pages.

use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// Number of a page frame: its physical address divided by the page size of its source.
///
/// Prints as `Fx1a`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(usize);

impl Pfn {
    /// The frame with this number.
    pub const fn new(number: usize) -> Pfn {
        Pfn(number)
    }

    /// The number itself.
    pub const fn get(self) -> usize {
        self.0
    }

    /// Whether a block of `order` may begin here: natural alignment.
    pub const fn is_aligned(self, order: Order) -> bool {
        self.0 & (order.pages().get() - 1) == 0
    }
}

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
/// Prints as `o3`. Orders 0 to 15 can be written down; how large the blocks of a pool really get is
/// [`Platform::MAX_ORDER`](crate::Platform::MAX_ORDER), 10 unless the platform says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(u8);

impl Order {
    /// One page.
    pub const PAGE: Order = Order(0);
    /// 1024 pages, the largest order of Linux's buddy allocator on most machines.
    pub const TEN: Order = Order(10);
    /// The largest order there is: four bits of a [`Handle`](crate::Handle) hold one.
    pub const MAX: Order = Order(15);

    /// `2^order` pages, or `None` above [`Order::MAX`].
    pub const fn new(order: u8) -> Option<Order> {
        if order <= Self::MAX.0 { Some(Order(order)) } else { None }
    }

    /// The smallest order that holds `pages`, or `None` if that is above [`Order::MAX`].
    pub const fn holding(pages: Pages) -> Option<Order> {
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

    /// How many pages that is.
    pub const fn pages(self) -> Pages {
        Pages(1 << self.0)
    }

    /// The next smaller order, unless this is a single page.
    pub const fn lower(self) -> Option<Order> {
        if self.0 == 0 { None } else { Some(Order(self.0 - 1)) }
    }

    /// The next larger order, unless this is [`Order::MAX`].
    pub const fn higher(self) -> Option<Order> {
        Order::new(self.0 + 1)
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

/// A count of pages. How many bytes a page has is the block type's
/// ([`OwnedBlock::PAGE`](crate::OwnedBlock::PAGE)).
///
/// Arithmetic saturates: a count that can't be right never wraps into one that looks right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pages(usize);

impl Pages {
    /// No pages.
    pub const ZERO: Pages = Pages(0);
    /// As many as there can be: "no limit" for a budget.
    pub const MAX: Pages = Pages(usize::MAX);

    /// That many pages.
    pub const fn new(pages: usize) -> Pages {
        Pages(pages)
    }

    /// The number itself.
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
