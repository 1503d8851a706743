//! Blocks that notice when they are lost, and panic or lie when they are told to; and a source of them.

use super::script::{Caller, Script};
use crate::fuzzing::platform::SMALL;
use forebay::{
    AllocError, AllocRequest, Caching, Context, FrameSource, Order, OwnedBlock, Pages, Pfn, Zones,
    frame::ModeRefused,
    port::{Accounting, CachingControl, DmaMap, EvictHooks, LinearMap, Supply},
    sync::NoopRawMutex,
};
use forebay_backends::{Ram, RamBlock};

/// What a block writes where it lies, and a store where it copies less than it says. No buffer has such bytes.
pub(super) const GARBAGE: u8 = 0xf7;
/// What is in a fresh block, and in one that was returned.
const FRESH: u8 = 0xdb;
const FREED: u8 = 0xee;

/// Pages of a zone that lie together.
const ZONE: usize = 16;

/// A block of RAM.
pub(super) struct Told<'s> {
    /// Gone once the source has it.
    ram: Option<RamBlock<SMALL>>,
    script: &'s Script,
    /// The order that it says it has, for as long as it lives. (What changes its order from call to call is no block.)
    says: Option<Order>,
}

impl<'s> Told<'s> {
    fn new(ram: RamBlock<SMALL>, script: &'s Script) -> Self {
        Told { ram: Some(ram), script, says: None }
    }

    /// From now on it says another order.
    pub(super) fn lies_of_order(&mut self, what: u8) {
        let is = self.ram().order();
        let larger = Order::new(is.get() + 1).unwrap_or(is);
        let others = [larger, is.lower().unwrap_or(larger), Order::MAX, Order::PAGE];
        self.says = Some(others[usize::from(what) % 4]);
    }

    fn ram(&self) -> &RamBlock<SMALL> {
        self.ram.as_ref().expect("only the source takes it")
    }

    fn taken(mut self) -> RamBlock<SMALL> {
        self.ram.take().expect("only the source takes it")
    }

    /// What this call lies about, if the block may lie to the caller about its frames.
    fn lie_of_frames(&self) -> Option<u8> {
        if self.script.caller() == Caller::Store { None } else { self.script.lie() }
    }

    /// Other bytes from `at` on.
    fn spoil(&mut self, at: usize) {
        if let Some(rest) = self.ram.as_mut().and_then(|ram| ram.get_mut(at..)) {
            rest.fill(GARBAGE);
        }
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(ram) = &self.ram {
            self.script.note_drop(ram);
        }
    }
}

/// A count that is not so.
fn count(what: u8, asked: usize) -> usize {
    [0, asked / 2, asked + 1, usize::MAX][usize::from(what) % 4]
}

impl OwnedBlock for Told<'_> {
    const PAGE: usize = SMALL;

    fn pfn(&self) -> Pfn {
        let is = self.script.call(|| self.ram().pfn());
        match self.lie_of_frames() {
            None => is,
            Some(what) => [Pfn(0), Pfn(is.0 ^ 1), Pfn(usize::MAX), Pfn(is.0 + 16)][usize::from(what) % 4],
        }
    }

    fn order(&self) -> Order {
        let is = self.script.call(|| self.ram().order());
        if self.script.caller() == Caller::Forebay { self.says.unwrap_or(is) } else { is }
    }

    fn split(self) -> Result<(Self, Self), Self> {
        let (script, lie) = (self.script, self.lie_of_frames());
        script.call(move || match self.taken().split() {
            Ok((lower, upper)) => {
                let [lower, upper] = [lower, upper].map(|ram| Told::new(ram, script));
                if lie.is_some() { Ok((upper, lower)) } else { Ok((lower, upper)) }
            }
            Err(ram) => Err(Told::new(ram, script)),
        })
    }

    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.script.call(|| match self.script.lie() {
            None => self.ram().read_at(at, to),
            Some(what) => {
                let said = count(what, to.len());
                if said <= to.len() {
                    to.fill(GARBAGE);
                }
                said
            }
        })
    }

    /// A block that kept old bytes would show them: that were its own doing. So where it lies it has none of them.
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let script = self.script;
        script.call(|| match script.lie() {
            None => self.ram.as_mut().map_or(0, |ram| ram.write_at(at, from)),
            Some(what) => {
                self.spoil(at);
                count(what, from.len())
            }
        })
    }
}

/// A machine with modes, two zones, and nothing to say about the rest.
pub(super) struct Plain<'s> {
    ram: &'s Ram<NoopRawMutex, SMALL, 2>,
    script: &'s Script,
}

impl<'s> Plain<'s> {
    pub(super) const fn new(ram: &'s Ram<NoopRawMutex, SMALL, 2>, script: &'s Script) -> Self {
        Plain { ram, script }
    }

    fn told(&self, ram: RamBlock<SMALL>) -> Told<'s> {
        Told::new(ram, self.script)
    }
}

impl<'s> FrameSource for Plain<'s> {
    type Block = Told<'s>;
    type RawMutex = NoopRawMutex;
    const MAX_ORDER: Order = match Order::new(3) {
        Some(order) => order,
        None => Order::PAGE,
    };
    const ZONES: u8 = 2;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Told<'s>, AllocError> {
        let mut ram = self.ram.allocate(request, cx)?;
        ram.fill(FRESH);
        Ok(self.told(ram))
    }

    fn free(&self, block: Told<'s>) {
        let mut ram = block.taken();
        ram.fill(FREED);
        self.ram.free(ram);
    }

    fn join(&self, left: Told<'s>, right: Told<'s>) -> Result<Told<'s>, (Told<'s>, Told<'s>)> {
        if left.ram().order().pages() >= Pages::new(ZONE) {
            return Err((left, right));
        }
        match self.ram.join(left.taken(), right.taken()) {
            Ok(both) => Ok(self.told(both)),
            Err((left, right)) => Err((self.told(left), self.told(right))),
        }
    }

    /// How much is free in one zone it does not know.
    fn supply(&self, request: &AllocRequest) -> Supply {
        if request.zones == Zones::ALL { self.ram.supply(request) } else { Supply::default() }
    }

    fn zone(&self, block: &Told<'s>) -> u8 {
        (block.ram().pfn().0 / ZONE % 2) as u8
    }
}

impl CachingControl<Told<'_>> for Plain<'_> {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Told<'_>, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

impl DmaMap<Told<'_>> for Plain<'_> {}
impl EvictHooks<Told<'_>> for Plain<'_> {}
impl Accounting for Plain<'_> {}
impl LinearMap<Told<'_>, Caching> for Plain<'_> {}
