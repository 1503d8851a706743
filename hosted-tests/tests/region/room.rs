//! Room of the region, and blocks that don't do what they should: what is not stored to its end takes no room.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What an [`Odd`] does next when it is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Copies {
    All,
    /// This number of bytes and no more.
    Only(usize),
    Panics,
}

thread_local! {
    static COPIES: Cell<Copies> = const { Cell::new(Copies::All) };
}

/// A block that copies as the test says.
#[derive(Debug)]
struct Odd(Block);

impl OwnedBlock for Odd {
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
        match COPIES.get() {
            Copies::All => self.0.read_at(at, to),
            Copies::Only(most) => self.0.read_at(at, &mut to[..most]),
            Copies::Panics => resume_unwind(Box::new("out")), // no message
        }
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        match COPIES.get() {
            Copies::All => self.0.write_at(at, from),
            Copies::Only(most) => self.0.write_at(at, &from[..most]),
            Copies::Panics => resume_unwind(Box::new("in")),
        }
    }
}

type OddRegion = Region<SpinRawMutex, Odd, PAGE, 4>;

fn odd_region() -> OddRegion {
    let region = OddRegion::new(StoreId::DEFAULT);
    region.init(leak(8 * PAGE, 0), words(OddRegion::metadata_words(8 * PAGE))).unwrap();
    region
}

/// Rule: a save of more than the block has is refused, or what was stored there before would be stored with it.
#[test]
fn no_more_is_saved_than_the_block_has() {
    let (source, region) = (source(), region::<4>(8));
    let secret = block(&source, 3, 1);
    let handle = region.save(&secret, order(3), None, Context::THREAD).unwrap();
    region.discard(handle).unwrap();
    for k in 0..3 {
        let small = block(&source, k, 2);
        for more in k + 1..5 {
            let saved = region.save(&small, order(more), None, Context::THREAD);
            assert_eq!(saved, Err(StoreError::TooLarge), "{more} of a block of {k}");
        }
        assert_eq!(region.space().pages, region.total());
        let handle = region.save(&small, order(k), None, Context::THREAD).unwrap();
        holds(&region, &source, &handle, 2);
        region.discard(handle).unwrap();
        source.free(small);
    }
    source.free(secret);
}

/// Rule: a block that gives fewer bytes than it has is not stored: an error, and the room is free again.
#[test]
fn a_block_that_copies_short_stores_nothing() {
    let (source, region) = (source(), odd_region());
    let odd = Odd(block(&source, 2, 3));
    for most in [0, 1, PAGE, 4 * PAGE - 1] {
        COPIES.set(Copies::Only(most));
        assert_eq!(region.save(&odd, order(2), None, Context::THREAD), Err(StoreError::Io), "{most} bytes");
        assert_eq!(region.space().pages, region.total(), "{most} bytes");
    }
    COPIES.set(Copies::All);
    let handle = region.save(&odd, order(2), None, Context::THREAD).unwrap();
    // Nor is it an empty load, if the block takes fewer.
    let mut target = Odd(block(&source, 2, 4));
    COPIES.set(Copies::Only(PAGE));
    assert!(region.load(&handle, &mut target, Pages::ZERO, Context::THREAD).is_err());
    COPIES.set(Copies::All);
    assert_eq!(region.load(&handle, &mut target, Pages::ZERO, Context::THREAD), Ok(()));
    assert!(content(&target) == pattern(3, 4 * PAGE));
    region.discard(handle).unwrap();
    assert_eq!(region.space().pages, region.total());
}

/// Rule: a block whose own code panics loses no room, and what is stored stays stored.
#[test]
fn a_block_that_panics_loses_no_room() {
    let (source, region) = (source(), odd_region());
    let mut odd = Odd(block(&source, 2, 5));
    let handle = region.save(&odd, order(1), None, Context::THREAD).unwrap();
    let panics = |f: &mut dyn FnMut()| {
        COPIES.set(Copies::Panics);
        assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
        COPIES.set(Copies::All);
        assert_eq!(region.space().pages, Pages::new(6));
    };
    for _ in 0..10 {
        panics(&mut || drop(region.save(&odd, order(2), None, Context::THREAD)));
        panics(&mut || region.load(&handle, &mut odd, Pages::ZERO, Context::THREAD).unwrap());
    }
    let mut target = Odd(block(&source, 1, 6));
    assert_eq!(region.load(&handle, &mut target, Pages::ZERO, Context::THREAD), Ok(()));
    assert!(content(&target) == pattern(5, 2 * PAGE));
    region.discard(handle).unwrap();
    assert_eq!(region.space().pages, region.total());
}

/// Rule: a block that gives no bytes when it is written out stays pending, ends the step, and does not keep the others
/// waiting at the next.
#[test]
fn a_block_that_gives_no_bytes_stays_pending() {
    let (source, region) = (source(), odd_region());
    let handles = [7, 8].map(|seed| region.transfer(Odd(block(&source, 0, seed)), None).unwrap());
    COPIES.set(Copies::Only(0));
    for _ in 0..3 {
        assert_eq!(region.write_out_now(usize::MAX, &mut |_| panic!("nothing was copied")), 0);
    }
    COPIES.set(Copies::All);
    assert_eq!(region.pending(), Pages::new(2));
    let mut freed = 0;
    assert_eq!(region.write_out_now(PAGE, &mut |_| freed += 1), PAGE);
    assert_eq!((freed, region.pending()), (1, Pages::new(1)));
    region.write_out_now(usize::MAX, &mut |_| freed += 1);
    for (handle, seed) in handles.into_iter().zip(7..) {
        let mut target = Odd(block(&source, 0, 9));
        assert_eq!(region.load(&handle, &mut target, Pages::ZERO, Context::THREAD), Ok(()));
        assert!(content(&target) == pattern(seed, PAGE));
        region.discard(handle).unwrap();
    }
    assert_eq!((freed, region.space().pages), (2, region.total()));
}
