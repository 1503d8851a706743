//! A monitor whose guest has four times the memory that may be resident, and a device in another process that reads it.

mod guest;

use forebay::{AccessError, Buffer, BufferId, Busy, Context, Evict, Forebay, Order, Pages, Write};
use forebay_backends::shmem::{Arena, CreateError};
use guest::Guest;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

// README: vmm
type Home = Forebay<&'static Arena, &'static Arena>; // the arena is the source, and the store too
type Unit<'h> = Buffer<'h, &'static Arena, &'static Arena>;
const HUGE: Order = Order::new(9).expect("2 MiB");
const AHEAD: Pages = Pages::new(1024); // what goes at a time

/// Guest memory of so many bytes, of which `resident` pages may be in use at a time.
fn memory(bytes: u64, resident: Pages) -> Result<&'static Arena, CreateError> {
    let arena = Arena::builder(bytes).limit(resident).create()?;
    println!("{}", arena.surroundings()); // swap, huge pages, limits: what is missing, and what it would bring
    Ok(Box::leak(Box::new(arena))) // it lives as long as the monitor
}

struct Pager<'h> {
    home: &'h Home,
    units: Vec<Unit<'h>>, // 2 MiB each
}

impl<'h> Pager<'h> {
    fn new(home: &'h Home, units: usize) -> Self {
        Pager { home, units: (0..units).map(|n| Unit::new(home, HUGE).with_id(BufferId(n))).collect() }
    }

    /// The guest touched a unit that is not mapped: it comes back as it was, and idle ones go for it.
    fn fault(&self, n: usize) -> Result<WriteGuard<'_, &'static Arena>, AccessError> {
        let attempt = || self.units[n].write();
        self.home.or_reclaim(&self.units, AHEAD, Evict::TRANSFER, Context::THREAD, attempt)
    }

    /// The guest gave a unit up: it is dropped, not stored.
    fn balloon(&self, n: usize) -> Result<(), Busy> {
        self.units[n].purge(Context::THREAD)
    }

    /// What a device in another process maps: the descriptor, and where a unit is in it.
    fn share(&self, n: usize) -> Result<(BorrowedFd<'h>, u64), AccessError> {
        let guard = self.fault(n)?;
        let offset = guard.blocks().find_map(|(_, block)| self.home.store().export(block));
        Ok((self.home.store().as_fd(), offset.expect("its block is of this arena")))
    }
}
// README: end

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const UNITS: usize = 24;
    const HUGE_BYTES: usize = 4096 << HUGE.get();
    let arena = memory((UNITS * HUGE_BYTES) as u64, Pages::new(3072))?;
    let home = Forebay::new(arena, arena);
    let pager = Pager::new(&home, UNITS);
    let mut guest = Guest::new(UNITS, HUGE_BYTES);
    for _ in 0..4000 {
        let (unit, word) = guest.next();
        guest.step(&mut pager.fault(unit)?, unit, word);
    }
    pager.balloon(3)?;
    guest.forget(3);
    let (memfd, offset) = pager.share(5)?;
    let device = File::from(memfd.try_clone_to_owned()?);
    let mut seen = vec![0; HUGE_BYTES];
    device.read_exact_at(&mut seen, offset)?;
    assert!(seen == guest.bytes(5), "the device sees what the guest wrote");
    for unit in 0..UNITS {
        pager.fault(unit)?.read_at(0, &mut seen);
        assert!(seen == guest.bytes(unit), "unit {unit} is not what the guest wrote");
    }
    println!("{}\n{}", arena.usage(), home.stats());
    assert!(arena.usage().resident <= Pages::new(3072) && home.stats().evicted.copied == Pages::ZERO);
    drop(pager);
    home.settle(Pages::ZERO, Context::THREAD);
    assert_eq!((arena.resident(), arena.stored(), arena.memory_bytes()?), (Pages::ZERO, Pages::ZERO, 0));
    Ok(())
}
