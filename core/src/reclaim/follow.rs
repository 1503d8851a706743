//! Buffers that an eviction policy follows, and reclaims that ask it.

use crate::buffer::{
    Class, EvictRequest, Evictable, OneSlot, Sealed as SlotsSealed, SideTables, Slot, Slots,
};
use crate::frame::{DmaAddr, Pages};
use crate::port::{EvictionPolicy, Selected};
use crate::reclaim::candidates::{Candidates, Sealed};
use crate::stats::Evicted;
use core::fmt;
use core::ops::Range;

/// Slots of a buffer that a policy follows under a number: its index in the slice that is reclaimed.
///
/// Each number belongs to one buffer at a time. If two have the same, the policy knows one of them at most; nothing worse.
#[derive(Debug)]
pub struct Follow<'p, T, P: EvictionPolicy + ?Sized> {
    slots: T,
    policy: &'p P,
    number: usize,
}

impl<'p, T, P: EvictionPolicy + ?Sized> Follow<'p, T, P> {
    /// Has the policy follow the buffer of these slots.
    pub const fn new(slots: T, policy: &'p P, number: usize) -> Self {
        Follow { slots, policy, number }
    }
}

impl<T: Slots, P: EvictionPolicy + ?Sized> SlotsSealed for Follow<'_, T, P> {}
impl<T: Slots, P: EvictionPolicy + ?Sized> Slots for Follow<'_, T, P> {
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
        if class.contains(Class::RESIDENT) {
            self.policy.add(self.number);
        } else {
            self.policy.remove(self.number);
        }
        self.slots.class_changed(class);
    }
    fn accessed(&self) {
        self.policy.accessed(self.number);
        self.slots.accessed();
    }
}
impl<T: OneSlot, P: EvictionPolicy + ?Sized> OneSlot for Follow<'_, T, P> {}

#[cfg(feature = "defmt")]
impl<T, P: EvictionPolicy + ?Sized> defmt::Format for Follow<'_, T, P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Follow({=usize})", self.number);
    }
}

/// Buffers that leave in the order of a policy, which [follows](Follow) each under its index in the slice.
///
/// Contents that are not needed are purged first, as of any list. There is no phase for clean blocks: the policy decides about them
/// too. A victim that is busy, refuses, or has nothing of the wanted zones or orders counts as accessed, so the next one is asked.
/// A look is two calls of the policy; a reclaim has as many looks as over a plain list.
pub struct ByPolicy<'b, E, P: ?Sized> {
    buffers: &'b [E],
    policy: &'b P,
}

impl<'b, E: Evictable, P: EvictionPolicy + ?Sized> ByPolicy<'b, E, P> {
    /// These buffers, in the order of this policy.
    pub const fn new(buffers: &'b [E], policy: &'b P) -> Self {
        ByPolicy { buffers, policy }
    }
}

impl<E, P: ?Sized> Sealed for ByPolicy<'_, E, P> {}
impl<E: Evictable, P: EvictionPolicy + ?Sized> Candidates for ByPolicy<'_, E, P> {
    fn candidate_count(&self) -> usize {
        self.buffers.len()
    }
    /// Of what is resident, the number of a look, not of a buffer.
    fn find_candidate(&self, class: Class, range: Range<usize>) -> Option<usize> {
        if class != Class::RESIDENT {
            return self.buffers.find_candidate(class, range);
        }
        Some(range.start).filter(|_| !range.is_empty() && self.policy.select() != Selected::Nothing)
    }
    fn evict_at(&self, at: usize, request: &EvictRequest, sum: &mut Evicted) -> bool {
        if request.class() != Class::RESIDENT {
            return self.buffers.evict_at(at, request, sum);
        }
        let Selected::Victim(number) = self.policy.select() else { return false };
        let held = self.buffers.get(number).is_some_and(|buffer| buffer.evict_selected(request, sum));
        if sum.moved() == Pages::ZERO {
            self.policy.accessed(number);
        }
        held
    }
    fn clean_first(&self) -> bool {
        false
    }
}

impl<E, P: ?Sized> fmt::Debug for ByPolicy<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByPolicy").field("buffers", &self.buffers.len()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<E, P: ?Sized> defmt::Format for ByPolicy<'_, E, P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "ByPolicy({=usize})", self.buffers.len());
    }
}
