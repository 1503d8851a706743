//! A device that reads and writes a buffer: addresses, a scatter list, and the two syncs.
//!
//! `cargo run -p forebay-backends --example dma`

use forebay::buffer::Addressed;
use forebay::sync::NoopRawMutex;
use forebay::{Buffer, Forebay, Order, Slot};
use forebay_backends::{Null, Ram};

type Source = Ram<NoopRawMutex, 4096>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = Source::new();
    let words = vec![0; Source::metadata_words(1 << 20)].leak();
    source.add(vec![0; 1 << 20].leak(), words).expect("unused memory");
    // A platform without `WithDma` gives physical addresses, and its caches are coherent.
    let home = Forebay::new(source, Null);
    let (mut slots, mut addresses) = ([const { Slot::EMPTY }; 8], [None; 8]);
    let ring = Buffer::with_slots(&home, Addressed::new(&mut slots[..], &mut addresses)?, Order::PAGE);

    let mut guard = ring.write()?;
    guard.write_at(0, b"to the device");
    guard.sync_for_device(0..13); // before the device reads
    for segment in guard.segments() {
        println!("{} bytes at {:?}", segment.bytes, segment.address); // what the device is told
    }
    guard.sync_for_cpu(4096..8192); // after the device wrote, before the CPU reads
    assert_eq!(guard.segments().map(|segment| segment.bytes).sum::<usize>(), guard.bytes());
    Ok(())
}
