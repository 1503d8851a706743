//! Two threads want one buffer. The one that finds it busy sleeps until it is free: it does not spin, and misses no wake-up.
//!
//!     cargo run -p hosted-tests --example waiting

use forebay::port::{EvictHooks, WithHooks};
use forebay::{AccessError, BufferId, Forebay, Order, StoreId, WriteGuard, sync::SpinRawMutex};
use forebay_backends::{Ram, RamBlock, RamRegion};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

const PAGE: usize = 512;
const ROUNDS: u32 = 10_000;
type Fast = Ram<SpinRawMutex, PAGE>;
type Slow = RamRegion<SpinRawMutex, PAGE, 4>;

/// Counts the buffers that became free. An interrupt would set a flag here, or post a semaphore.
#[derive(Default)]
struct Bell {
    rings: Mutex<usize>,
    ring: Condvar,
}

impl Bell {
    fn rings(&self) -> MutexGuard<'_, usize> {
        self.rings.lock().expect("no panic")
    }
}

impl EvictHooks<RamBlock<PAGE>> for Bell {
    fn released(&self, _: BufferId) {
        *self.rings() += 1;
        self.ring.notify_all();
    }
}

type Pool = Forebay<WithHooks<Fast, Bell>, Slow>;
type Tile<'h> = forebay::Buffer<&'h Pool>;

/// As `write`, and sleeps while the buffer is busy. The rings are counted before the attempt: one that rings between the attempt
/// and the sleep ends the sleep at once.
fn write<'t, 'h>(tile: &'t Tile<'h>, bell: &Bell) -> Result<WriteGuard<'t, &'h Pool>, AccessError> {
    loop {
        let before = *bell.rings();
        match tile.write() {
            Err(AccessError::Busy) => {
                drop(bell.ring.wait_while(bell.rings(), |rings| *rings == before).expect("no panic"));
            }
            done => return done,
        }
    }
}

fn main() -> Result<(), AccessError> {
    let fast = Fast::new();
    let bytes = 8 * PAGE;
    let words = vec![0; Fast::metadata_words(bytes)].leak();
    fast.add(vec![0; bytes].leak(), words).expect("good memory");
    let home = Forebay::new(WithHooks(fast, Bell::default()), Slow::new(StoreId::DEFAULT));
    let (tile, bell) = (&Tile::new(&home, Order::PAGE), &home.platform().1);

    let add = || {
        for _ in 0..ROUNDS {
            let mut guard = write(tile, bell)?;
            let sum = u32::from_le_bytes([guard[0], guard[1], guard[2], guard[3]]) + 1;
            thread::yield_now(); // the other thread finds it busy
            guard[..4].copy_from_slice(&sum.to_le_bytes());
        }
        Ok::<_, AccessError>(())
    };
    thread::scope(|s| {
        let other = s.spawn(add);
        add().and(other.join().expect("no panic"))
    })?;
    let guard = tile.read()?;
    let sum = u32::from_le_bytes([guard[0], guard[1], guard[2], guard[3]]);
    println!("each added {ROUNDS}: {sum}; {} uses ended for a thread that slept", bell.rings());
    assert_eq!(sum, 2 * ROUNDS);
    Ok(())
}
