//! One step of a reclaim: what it asks of one buffer.

use crate::cell::Idle;
use crate::{Class, Context, Evict, Order, Pages, Zones};

/// What a walk looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Pass {
    /// What is not needed.
    Purge,
    /// What the store has a copy of, and nobody used lately.
    Clean,
    /// Anything that nobody used lately.
    Evict,
}

/// Where each pass goes on.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Hands {
    purge: usize,
    clean: usize,
    evict: usize,
}

impl Hands {
    pub(crate) const START: Hands = Hands { purge: 0, clean: 0, evict: 0 };

    pub(crate) const fn of(&mut self, pass: Pass) -> &mut usize {
        match pass {
            Pass::Purge => &mut self.purge,
            Pass::Clean => &mut self.clean,
            Pass::Evict => &mut self.evict,
        }
    }
}

/// What a reclaim asks of one buffer at a time.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step {
    pub(crate) budget: Pages,
    pub(crate) how: Evict,
    pub(crate) cx: Context,
    pub(crate) pass: Pass,
    /// Smaller blocks stay.
    pub(crate) least: Order,
    /// Blocks elsewhere stay.
    pub(crate) zones: Zones,
    /// Which reclaim it is part of; 0 for none.
    pub(crate) call: u8,
}

impl Step {
    /// That about `budget` pages leave, for one who keeps a list of buffers of their own: what is not needed is purged, if
    /// `how` permits, all of it; else what was not used since the last step is evicted. What refused to go is passed over by
    /// the next step, as if it had been used.
    pub const fn new(budget: Pages, how: Evict, cx: Context) -> Step {
        let pass = if how.bits() == Evict::PURGE.bits() { Pass::Purge } else { Pass::Evict };
        Step { budget, how, cx, pass, least: Order::PAGE, zones: Zones::ALL, call: 0 }
    }

    /// Whether the step is about a buffer that is so, and it is its turn. Who was used lately is passed over once; but not by
    /// a purge of what was not purged yet.
    pub(crate) fn is_for(&self, Idle { class, touched, refused }: &mut Idle) -> bool {
        let purges = self.how.contains(Evict::PURGE) && class.contains(Class::PURGEABLE);
        let is_for = purges || self.pass != Pass::Purge && class.contains(self.class());
        if !is_for || self.call != 0 && *refused == self.call {
            return false;
        }
        let fresh = purges && !class.contains(Class::PURGED);
        let lately_used = *touched && !fresh;
        if lately_used && self.pass != Pass::Clean {
            *touched = false;
        }
        !lately_used
    }

    /// Notes that the buffer refused: nobody asks it twice within one reclaim.
    pub(crate) fn was_refused(&self, idle: &mut Idle) {
        match self.call {
            0 => idle.touched = true,
            call => idle.refused = call,
        }
    }

    /// Those among which the pass finds what it looks for.
    pub(crate) fn class(&self) -> Class {
        match self.pass {
            Pass::Purge => Class::PURGEABLE,
            Pass::Evict if !(self.how - Evict::PURGE).is_empty() => Class::RESIDENT,
            Pass::Clean | Pass::Evict => Class::CLEAN,
        }
    }
}
