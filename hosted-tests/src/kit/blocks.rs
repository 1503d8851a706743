//! Blocks that can't be split, and blocks that notice a look.

use super::*;
use forebay_backends::RamBlock;
use std::cell::Cell;

/// A block of which no piece is smaller than two pages.
#[derive(Debug)]
pub struct Stiff(RamBlock<PAGE>);

impl OwnedBlock for Stiff {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        if self.order() < order(2) {
            return Err(self);
        }
        self.0.split().map(|(lower, upper)| (Stiff(lower), Stiff(upper))).map_err(Stiff)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// Where [`Stiff`]s come from.
#[derive(Debug)]
pub struct StiffRam {
    /// What they are made of.
    pub ram: Near,
    /// Whether it joins two.
    pub joins: bool,
}

impl FrameSource for StiffRam {
    type Block = Stiff;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Stiff, AllocError> {
        self.ram.allocate(request, cx).map(Stiff)
    }
    fn free(&self, block: Stiff) {
        self.ram.free(block.0);
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.ram.supply(request)
    }
    fn join(&self, left: Stiff, right: Stiff) -> Result<Stiff, (Stiff, Stiff)> {
        if !self.joins {
            return Err((left, right));
        }
        self.ram.join(left.0, right.0).map(Stiff).map_err(|(l, r)| (Stiff(l), Stiff(r)))
    }
}

thread_local! {
    /// What another thread does during a look at a [`Seen`], once; in a known order.
    pub static MEANWHILE: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
    /// How often the order of a [`Seen`] was asked for.
    pub static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// A block that notices when it is asked for its order.
#[derive(Debug)]
pub struct Seen(RamBlock<PAGE>);

impl OwnedBlock for Seen {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        LOOKS.set(LOOKS.get() + 1);
        if let Some(meanwhile) = MEANWHILE.take() {
            meanwhile();
        }
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        self.0.split().map(|(lower, upper)| (Seen(lower), Seen(upper))).map_err(Seen)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// Where [`Seen`]s come from.
#[derive(Debug)]
pub struct SeenRam(pub Near);

impl FrameSource for SeenRam {
    type Block = Seen;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Seen, AllocError> {
        self.0.allocate(request, cx).map(Seen)
    }
    fn free(&self, block: Seen) {
        self.0.free(block.0);
    }
}
