//! The handle of something stored: one word, move-only.

use crate::frame::Order;
use bitflags::bitflags;
use core::fmt;
use core::num::NonZeroUsize;

/// The number of a store, 0 to 15. Stores that are used together need different ones.
///
/// By it a store notices a handle of another store, and a tier finds the store of a handle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoreId(u8);

impl StoreId {
    /// For the one store of a simple program.
    pub const DEFAULT: StoreId = StoreId(0);

    /// The store with this number, or `None` above 15.
    pub const fn new(number: u8) -> Option<StoreId> {
        if number < 16 { Some(StoreId(number)) } else { None }
    }
}

impl From<StoreId> for u8 {
    /// The number.
    fn from(id: StoreId) -> Self {
        id.0
    }
}

bitflags! {
    /// A set of [`StoreId`]s. Store `n` is bit `n`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct StoreIds: u16 {
        /// All stores.
        const ALL = u16::MAX;
    }
}

impl From<StoreId> for StoreIds {
    /// The set of just this one.
    fn from(id: StoreId) -> Self {
        StoreIds::from_bits_retain(1 << id.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for StoreIds {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "StoreIds({=u16:b})", self.bits());
    }
}

const ORDER_BITS: u32 = 4;
const STORE_BITS: u32 = 4;
const VALUE_BITS: u32 = usize::BITS - ORDER_BITS - STORE_BITS;

/// Stored contents: `2^order` pages in one store, owned by the holder of this handle.
///
/// One word with a niche, so `Option<Handle>` is one word too. It is not `Clone`: contents are taken back, split or
/// discarded once. Dropping a handle loses the contents and leaks their room in the store, but never memory safety. A
/// buffer discards its handles by itself.
///
/// The store chooses the value. A store must check every value that it receives, because [`Handle::new`] is public: a
/// forged handle may reach wrong contents, never foreign memory.
#[must_use = "dropping a handle loses what is stored"]
#[derive(PartialEq, Eq)]
pub struct Handle(NonZeroUsize);

impl Handle {
    /// The largest value of a handle plus one: 2^24 − 1 where a word has 32 bits.
    pub const VALUES: usize = (1 << VALUE_BITS) - 1;

    /// For stores: a handle for contents that the store took. `None` if `value` is not below [`Handle::VALUES`].
    pub const fn new(store: StoreId, order: Order, value: usize) -> Option<Handle> {
        if value >= Self::VALUES {
            return None;
        }
        let kind = ((store.0 as usize) << ORDER_BITS) | order.get() as usize;
        match NonZeroUsize::new((kind << VALUE_BITS) | (value + 1)) {
            Some(word) => Some(Handle(word)),
            None => None,
        }
    }

    /// The store that made it.
    pub const fn store(&self) -> StoreId {
        StoreId((self.0.get() >> (VALUE_BITS + ORDER_BITS)) as u8)
    }

    /// The size of the stored contents.
    pub const fn order(&self) -> Order {
        match Order::new((self.0.get() >> VALUE_BITS) as u8 & 15) {
            Some(order) => order,
            None => Order::PAGE, // four bits are an order
        }
    }

    /// The value that the store chose.
    pub const fn value(&self) -> usize {
        (self.0.get() & Self::VALUES) - 1
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "H{}:{:?}:{:x}", self.store().0, self.order(), self.value())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Handle {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "H{=u8}:{}:{=usize:x}", self.store().0, self.order(), self.value());
    }
}
