//! Reclaims of one page among very many buffers, which are a slice, or have an index.

use super::arena::arena;
use super::meter::{Key, Meter, Pace};
use super::progress::Progress;
use crate::memory;
use clap::Args;
use forebay::reclaim::EvictionIndex;
use forebay::sync::NoopRawMutex;
use forebay::{Buffer, Context, Evict, Forebay, Order, Pages, Slot, StoreId, buffer::Slots, stats::Evicted};
use forebay_backends::{Ram, RamRegion};

/// Small pages: there are very many buffers, and each has one.
const PAGE: usize = 256;
/// Blocks that wait to be written out, at most.
const TRANSFERS: usize = 256;

type Near = Ram<NoopRawMutex, PAGE, 1>;
type Far = RamRegion<NoopRawMutex, PAGE, TRANSFERS>;
type World = Forebay<Near, Far>;

/// What may be chosen.
#[derive(Clone, Debug, Args)]
pub struct ReclaimOptions {
    /// How many buffers there are, each with one page; 200 at least
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = parse_buffers,
          default_value = "1000,100000,1000000")]
    pub buffers: Vec<usize>,

    /// Much less of everything: some seconds, and figures of little worth
    #[arg(long)]
    pub quick: bool,
}

impl ReclaimOptions {
    /// How much is timed.
    pub fn pace(&self) -> Pace {
        Pace { rounds: if self.quick { 2 } else { 8 }, warm_up: 1, batches: 1, ops: 1, bulk: 1 }
    }

    /// The arguments for another process that does the same, at its own pace.
    pub fn arguments(&self) -> [String; 1] {
        let buffers: Vec<String> = self.buffers.iter().map(usize::to_string).collect();
        [format!("--buffers={}", buffers.join(","))]
    }
}

/// Reclaims of a round: each moves one page, and none is written out.
const RECLAIMS: usize = 200;

fn parse_buffers(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count @ RECLAIMS..=10_000_000) => Ok(count),
        _ => Err("write numbers of buffers from 200 to 10000000, such as 1000,100000".into()),
    }
}

/// `reclaim` moves one page, of many buffers that are all in the same state. `purge` drops the one page that is not needed; all
/// other buffers are needed.
pub fn run(options: &ReclaimOptions, meter: &mut dyn Meter, progress: &mut Progress) {
    let pace = meter.pace();
    let rounds = pace.warm_up + pace.rounds;
    progress.begin("reclaim", 2 * options.buffers.len() * rounds);
    for count in &options.buffers {
        let bytes = (count * PAGE).next_multiple_of(super::arena::LARGEST);
        let home = World::new(Near::new(), Far::new(StoreId::DEFAULT));
        let words = memory::words(Near::metadata_words(bytes));
        home.platform().add(arena(bytes), words).expect("fresh memory, and metadata for it");
        let room = 2 * TRANSFERS * PAGE;
        let words = memory::words(Far::metadata_words(room));
        home.store().init(memory::leak(room, 0), words).expect("fresh memory, and metadata for it");

        let plain: Vec<Buffer<&World>> = (0..*count).map(|_| Buffer::new(&home, Order::PAGE)).collect();
        let reclaim = |how| home.reclaim(plain.as_slice(), Pages::new(1), how, Context::THREAD).evicted;
        measure(&plain, &reclaim, "forebay", rounds, meter, progress);
        drop(plain);

        let words = vec![0; EvictionIndex::<NoopRawMutex>::words(*count)];
        let index = EvictionIndex::<NoopRawMutex, _>::new(words);
        let make = |number| {
            let slots = index.indexed(number, [Slot::EMPTY]).expect("an entry for each");
            Buffer::with_slots(&home, slots, Order::PAGE)
        };
        let indexed: Vec<_> = (0..*count).map(make).collect();
        let reclaim =
            |how| home.reclaim(index.candidates(&indexed), Pages::new(1), how, Context::THREAD).evicted;
        measure(&indexed, &reclaim, "forebay-index", rounds, meter, progress);
    }
    progress.end();
}

/// Both workloads on one kind of list, of which `one` reclaims a page.
fn measure<T: Slots<Platform = Near>>(
    buffers: &[Buffer<&World, T>],
    one: &dyn Fn(Evict) -> Evicted,
    who: &str,
    rounds: usize,
    meter: &mut dyn Meter,
    progress: &Progress,
) {
    let buffers_in_all = Some(buffers.len());
    let key =
        |workload| Key { locked: false, buffers: buffers_in_all, ..Key::new(workload, Order::PAGE, who) };
    let (moves, purges) = (key("reclaim"), key("purge"));
    let timed = |key: &Key, how, meter: &mut dyn Meter| {
        let mut evicted = Evicted::default();
        meter.batch(key, 1, &mut || evicted = one(how));
        evicted
    };
    for round in 0..rounds {
        meter.counts_from_now(round);
        for buffer in buffers {
            buffer.write().expect("there is memory for all of them").write_at(0, &[1]);
        }
        // All of them were used just now. The first round of the clock only clears that, and is not measured.
        assert_eq!(one(Evict::TRANSFER).transferred, Pages::new(1));
        for _ in 1..RECLAIMS {
            assert_eq!(timed(&moves, Evict::TRANSFER, meter).transferred, Pages::new(1));
        }
        for n in 0..RECLAIMS {
            let buffer = &buffers[n * (buffers.len() / RECLAIMS)];
            buffer.write().expect("its own page is there").write_at(0, &[2]);
            buffer.set_purgeable(true).expect("no guard is alive");
            assert_eq!(timed(&purges, Evict::PURGE, meter).purged, Pages::new(1));
            buffer.set_purgeable(false).expect("no guard is alive");
        }
        progress.step();
    }
}
