//! Very many buffers: an index finds those with something to give, without looking at the others.
//!
//! `cargo run -p forebay-backends --example many_buffers`

use forebay::reclaim::{EvictionIndex, IndexFull};
use forebay::sync::NoopRawMutex;
use forebay::{Buffer, Context, Evict, Forebay, Order, Outcome, Pages, Slot};
use forebay_backends::{Null, Ram};

type Source = Ram<NoopRawMutex, 512>;
const MANY: usize = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = Source::new();
    let words = vec![0; Source::metadata_words(1 << 20)].leak();
    source.add(vec![0; 1 << 20].leak(), words).expect("unused memory");
    let home = Forebay::new(source, Null);

    let words = vec![0; EvictionIndex::<NoopRawMutex>::words(MANY)];
    let index = EvictionIndex::<NoopRawMutex, _>::new(words);
    let make = |number| -> Result<_, IndexFull> {
        let slots = index.indexed(number, [Slot::EMPTY]).map_err(|refused| refused.why)?;
        Ok(Buffer::with_slots(&home, slots, Order::PAGE))
    };
    let buffers = (0..MANY).map(make).collect::<Result<Vec<_>, _>>()?;
    buffers[70_000].write()?.write_at(0, b"can be made again");
    buffers[70_000].set_purgeable(true)?;

    // Looks at one buffer.
    let report = home.reclaim(index.candidates(&buffers), Pages::new(1), Evict::ANY, Context::THREAD);
    assert_eq!((report.evicted.purged, report.outcome), (Pages::new(1), Outcome::Reached));
    println!("{report}");
    Ok(())
}
