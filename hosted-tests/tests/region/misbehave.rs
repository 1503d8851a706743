//! Blocks that lie, and owners that panic: they cost what is theirs and no more.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A block that gives no bytes while [`LIE`] is set, and says that it gave this number.
struct Liar(Block);

thread_local! {
    static LIE: Cell<Option<usize>> = const { Cell::new(None) };
}

impl OwnedBlock for Liar {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        LIE.get().unwrap_or_else(|| self.0.read_at(at, to))
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// Rule: a block that claims to have given more bytes than it was asked for has given none. The old bytes of the region are not
/// taken for its contents, and it is written out once it tells the truth.
#[test]
fn a_block_that_claims_too_much() {
    for lie in [101, 2 * PAGE + 1, usize::MAX] {
        for written in [0, 100] {
            let (source, region) = (source(), Region::<SpinRawMutex, Liar, PAGE, 4>::new(StoreId::DEFAULT));
            let (memory, meta) = (leak(8 * PAGE, 0), words(Slow::<4>::metadata_words(8 * PAGE)));
            memory.fill(0xee); // what others had there
            region.init(memory, meta).expect("good memory");
            let mut out = |block: Liar| source.free(block.0);
            let handle =
                region.transfer(Liar(block(&source, 1, 50)), None).map_err(|_| ()).expect("there is room");
            assert_eq!(region.write_out_now(written, &mut out), written);
            LIE.set(Some(lie));
            assert_eq!(region.write_out_now(100, &mut out), 0, "{lie}");
            assert_eq!(region.pending(), Pages::new(2), "it waits");
            LIE.set(None);
            assert_eq!(region.write_out_now(usize::MAX, &mut out), 2 * PAGE - written);
            let mut back = Liar(block(&source, 1, 51));
            assert_eq!(region.load(&handle, &mut back, Pages::ZERO, Context::THREAD), Ok(()));
            assert!(content(&back) == pattern(50, 2 * PAGE));
            out(back);
            assert!(matches!(region.discard(handle), Ok(None)));
            assert_eq!((source.unused(), region.space().pages), (source.total(), region.total()));
        }
    }
}

/// Rule: an owner that panics has its block, whether it was written out or discarded meanwhile; the region loses no room.
#[test]
fn an_owner_that_panics() {
    let (source, region) = (source(), region::<2>(4));
    let panics: &mut dyn FnMut(Block) = &mut |block| {
        source.free(block);
        panic!("the owner");
    };
    for round in 0..8 {
        for (arrive, discarded) in [(None, false), (None, true), (Some(9), true)] {
            let handle = transferred(&region, &source, 1, round);
            let mut engine = Dma { polls: 1, arrive: arrive.into_iter().collect(), ..Dma::default() };
            assert!(region.write_out(&mut engine, usize::MAX, &mut |_| ()).is_pending());
            let mut handle = Some(handle);
            if discarded {
                assert!(matches!(region.discard(handle.take().expect("it is here")), Ok(None)));
            }
            let ended = catch_unwind(AssertUnwindSafe(|| {
                while region.write_out(&mut engine, usize::MAX, panics).is_pending() {}
            }));
            assert!(ended.is_err(), "it panicked");
            if let Some(handle) = handle {
                holds(&region, &source, &handle, round);
                assert!(matches!(region.discard(handle), Ok(None)));
            }
            assert_eq!((source.unused(), region.pending()), (source.total(), Pages::ZERO));
            assert_eq!(
                region.space().pages,
                region.total(),
                "round {round}, {arrive:?}, discarded: {discarded}"
            );
        }
    }
}
