//! One step of a reclaim, and one pass of such steps over the candidates.

use crate::candidates::{Candidates, Evictable};
use crate::{Class, Context, Evict, Evicted, Order, Pages, Zones};

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

/// How many candidates a pass for clean ones looks at: those that were used lately stay, and take the time of others.
const CLEAN_LOOKS: usize = 32;

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
    fn class(&self) -> Class {
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

/// One pass: from where the hand is, until so much left, or each candidate had its turn. Returns what left, and where the
/// hand stays: at the last one, which may have more to give. After a backlog it goes on without transfers.
///
/// A second-chance clock (Corbató 1968) in two rounds. Purges need no second chance and one round, unless there is nothing
/// else to do; what is clean and not lately used is looked for among a few only.
pub(crate) fn walk<E: Evictable>(
    over: Candidates<'_, E>,
    mut hand: usize,
    mut step: Step,
    rounds: usize,
) -> (Evicted, usize) {
    let (want, len) = (step.budget, over.buffers.len());
    let mut looks = if step.pass == Pass::Clean { CLEAN_LOOKS } else { usize::MAX };
    let mut left = len.saturating_mul(rounds); // so many seats to go
    let mut sum = Evicted::default();
    while left > 0 && looks > 0 && sum.moved() < want {
        hand = if hand < len { hand } else { 0 };
        let end = len.min(hand.saturating_add(left));
        let found = match over.roster {
            Some(roster) => roster.next(step.class(), hand, end),
            None => Some(hand),
        };
        let passed = found.unwrap_or(end) - hand;
        (hand, left) = (hand + passed, left - passed);
        let Some(buffer) = found.and_then(|at| over.buffers.get(at)) else { continue };
        step.budget = want - sum.moved();
        let moved = buffer.evict_if_idle(step);
        sum += moved;
        if moved.backlogs > 0 {
            step.how.remove(Evict::TRANSFER);
        }
        looks -= 1;
        if sum.moved() < want {
            (hand, left) = (hand + 1, left - 1);
        }
    }
    (sum, hand)
}
