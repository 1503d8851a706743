//! Memory that a guest or a device writes meanwhile is never a slice of bytes.
use forebay::{Home, Order, OwnedBlock, Pfn, ReadGuard};

/// Two copies, which would be volatile; no bytes.
struct Shared;

impl OwnedBlock for Shared {
    const PAGE: usize = 4096;
    fn pfn(&self) -> Pfn {
        Pfn(1)
    }
    fn order(&self) -> Order {
        Order::PAGE
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, _: usize, to: &mut [u8]) -> usize {
        to.len()
    }
    fn write_at(&mut self, _: usize, from: &[u8]) -> usize {
        from.len()
    }
}

fn bytes_of_shared_memory<H: Home<Block = Shared>>(guard: ReadGuard<'_, H>) -> u8 {
    guard[0] //~ E0608: cannot index into a value
}

fn main() {}
