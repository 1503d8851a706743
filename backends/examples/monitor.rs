//! A monitor that owns its arena, its forebay and its buffers, and moves to another thread. Linux.
//!
//! `cargo run -p forebay-backends --example monitor --features shmem`

use forebay::{AccessError, Buffer, BufferId, Context, Evict, Forebay, Order, Pages};
use forebay_backends::shmem::Arena;
use std::sync::Arc;

type Home = Arc<Forebay<Arc<Arena>, Arc<Arena>>>;

struct Monitor {
    home: Home,
    units: Vec<Buffer<Home>>, // 64 KiB each
}

impl Monitor {
    fn new(units: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let order = Order::new(4).expect("64 KiB");
        let arena = Arc::new(Arena::builder((units as u64) << 16).create()?);
        let home: Home = Arc::new(Forebay::new(arena.clone(), arena));
        let units = (0..units).map(|n| Buffer::new(home.clone(), order).with_id(BufferId(n))).collect();
        Ok(Monitor { home, units })
    }

    fn run(&self) -> Result<(), AccessError> {
        for (n, unit) in self.units.iter().enumerate() {
            unit.write()?.write_at(0, &[n as u8; 4096]);
        }
        let report = self.home.reclaim(&self.units, Pages::MAX, Evict::TRANSFER, Context::THREAD);
        println!("{report}");
        for (n, unit) in self.units.iter().enumerate() {
            let mut page = [0; 4096];
            unit.read()?.read_at(0, &mut page);
            assert!(page.iter().all(|byte| *byte == n as u8));
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let monitor = Monitor::new(64)?;
    std::thread::spawn(move || monitor.run()).join().expect("no panic")?;
    Ok(())
}
