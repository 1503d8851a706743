//! One step of a reclaim: what it asks of one buffer.

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
}

impl Step {
    /// That about `budget` pages leave, for one who keeps a list of buffers of their own: what is not needed is purged, if
    /// `how` permits, all of it; else what was not used since the last step is evicted. What refused to go is passed over by
    /// the next step, as if it had been used.
    pub const fn new(budget: Pages, how: Evict, cx: Context) -> Step {
        let pass = if how.bits() == Evict::PURGE.bits() { Pass::Purge } else { Pass::Evict };
        Step { budget, how, cx, pass, least: Order::PAGE, zones: Zones::ALL }
    }

    /// Whether the step is about a buffer that is so, and is not to be passed over once more.
    pub(crate) fn is_for(&self, class: Class, chances: &mut u8) -> bool {
        let purges = self.how.contains(Evict::PURGE) && class.contains(Class::PURGEABLE);
        let is_for = purges || self.pass != Pass::Purge && class.contains(self.class());
        let its_turn = *chances <= self.ignored(class);
        if is_for && !its_turn && self.pass != Pass::Clean {
            *chances -= 1;
        }
        is_for && its_turn
    }

    /// How many chances do not count: that of what may be purged, and was not yet, lately used or not.
    fn ignored(&self, class: Class) -> u8 {
        let purgeable = class & (Class::PURGEABLE | Class::PURGED) == Class::PURGEABLE;
        u8::from(purgeable && self.how.contains(Evict::PURGE))
    }

    /// Those among which the pass finds what it looks for.
    pub(crate) fn class(&self) -> Class {
        match self.pass {
            Pass::Purge => Class::PURGEABLE,
            Pass::Evict if !(self.how - Evict::PURGE).is_empty() => Class::RESIDENT,
            Pass::Clean | Pass::Evict => Class::CLEAN,
        }
    }

    /// How often to pass over a buffer that refused: for what is left of this reclaim, where nobody asks it twice.
    pub(crate) fn chances_after_refusal(&self, class: Class) -> u8 {
        let rounds_left = match self.pass {
            Pass::Purge | Pass::Clean if self.how != Evict::PURGE => 2, // of the pass that follows
            _ => 1,
        };
        rounds_left + self.ignored(class)
    }
}
