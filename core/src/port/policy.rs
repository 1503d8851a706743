//! Which buffer leaves next: optional. A plain list of buffers has a second-chance clock, which needs no memory.

/// The order in which buffers are evicted. It names them by number: the index in the slice that is reclaimed.
///
/// A buffer tells it of itself ([`Follow`](crate::reclaim::Follow)), and a reclaim over
/// [`ByPolicy`](crate::reclaim::ByPolicy) asks it. It knows the buffers that are in: those that were added and not removed since.
/// It is never asked under a lock of forebay, and may be called by several contexts at once, also for one number.
///
/// # Context
/// Each call is O(1), and fit for an interrupt if its lock is. It calls nothing of forebay.
pub trait EvictionPolicy {
    /// The buffer is resident now, and is in. Changes nothing for one that is in already. (Its first use is no access.)
    fn add(&self, number: usize);

    /// Nothing of the buffer is resident any more: it was evicted, purged or dropped. Changes nothing for one that is not in.
    fn remove(&self, number: usize);

    /// The buffer is used: a guard was taken, or it was [touched](crate::Buffer::touch). Or it was selected, and nothing of it left,
    /// since it is busy, refuses, or is not what is wanted. Changes nothing for one that is not in.
    fn accessed(&self, number: usize);

    /// Says what leaves next. A victim stays in, and is the next one too, until it is removed or accessed: the rest of a buffer
    /// of several blocks leaves before another one.
    ///
    /// In four times as many calls as buffers are in, each is a victim, if every victim is accessed and nothing else happens.
    fn select(&self) -> Selected;
}

/// What a policy answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Selected {
    /// This one leaves next.
    Victim(usize),
    /// It looked at one that stays. Another call goes on.
    GoesOn,
    /// No buffer is in.
    Nothing,
}

impl<P: EvictionPolicy + ?Sized> EvictionPolicy for &P {
    fn add(&self, number: usize) {
        (**self).add(number);
    }
    fn remove(&self, number: usize) {
        (**self).remove(number);
    }
    fn accessed(&self, number: usize) {
        (**self).accessed(number);
    }
    fn select(&self) -> Selected {
        (**self).select()
    }
}
