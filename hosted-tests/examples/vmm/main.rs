//! A monitor whose guest has four times the memory that may be resident, and a device in another process that reads it.

mod guest;

use forebay::{AccessError, Buffer, BufferId, Busy, Context, Evict, Forebay, Order, Pages, WriteGuard};
use forebay_backends::shmem::{Arena, CreateError};
use guest::Guest;
use std::error::Error;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

// README: vmm
type Home = Arc<Forebay<Arc<Arena>, Arc<Arena>>>; // the arena is the source, and the store too
const HUGE: Order = Order::new(9).expect("2 MiB");
const AHEAD: Pages = Pages::new(1024); // what leaves at a time

/// Owns the memory of a guest. It may move to another thread.
struct Pager {
    home: Home,
    units: Vec<Buffer<Home>>, // 2 MiB each
}

impl Pager {
    /// `units` units of 2 MiB; `resident` pages may be in use at a time.
    fn new(units: usize, resident: Pages) -> Result<Self, CreateError> {
        let arena = Arc::new(Arena::builder((units << 21) as u64).limit(resident).create()?);
        println!("{}", arena.host_report()); // swap, huge pages, limits: what is missing, and what it would bring
        let home = Arc::new(Forebay::new(arena.clone(), arena));
        let unit = |n| Buffer::new(home.clone(), HUGE).with_id(BufferId(n));
        Ok(Pager { units: (0..units).map(unit).collect(), home })
    }

    /// The guest touched a unit that is not mapped: the unit is restored with its contents, and idle units are evicted for it.
    fn fault(&self, n: usize) -> Result<WriteGuard<'_, Home>, AccessError> {
        let attempt = || self.units[n].write();
        self.home.or_reclaim(&self.units, AHEAD, Evict::TRANSFER, Context::THREAD, attempt)
    }

    /// The guest gave a unit up: it is dropped, not stored, and the settle returns its memory to Linux.
    fn balloon(&self, n: usize) -> Result<(), Busy> {
        self.units[n].purge(Context::THREAD)?;
        self.home.settle(Pages::ZERO, Context::THREAD);
        Ok(())
    }

    /// What a device in another process maps: the descriptor, and where a unit is in it.
    fn share(&self, n: usize) -> Result<(BorrowedFd<'_>, u64), AccessError> {
        let guard = self.fault(n)?;
        let offset = guard.blocks().find_map(|(_, block)| self.home.store().export(block));
        Ok((self.home.store().as_fd(), offset.expect("its block is of this arena")))
    }
}
// README: end

const UNITS: usize = 24;
const RESIDENT: Pages = Pages::new(3072);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let pager = Pager::new(UNITS, RESIDENT)?;
    let home = pager.home.clone();
    let arena = home.store();
    thread::spawn(|| run(pager)).join().expect("it does not panic")?;
    println!("{}\n{}", arena.usage(), home.stats());
    assert!(home.stats().evicted.copied == Pages::ZERO, "nothing is copied");
    home.settle(Pages::ZERO, Context::THREAD);
    assert_eq!((arena.resident(), arena.stored(), arena.memory_bytes()?), (Pages::ZERO, Pages::ZERO, 0));
    Ok(())
}

/// The thread of the guest. It drops the guest's memory at its end.
fn run(pager: Pager) -> Result<(), Box<dyn Error + Send + Sync>> {
    const HUGE_BYTES: usize = 4096 << HUGE.get();
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
    assert!(pager.home.store().usage().resident <= RESIDENT);
    Ok(())
}
