//! The store by itself, filled to the brim. After the KUnit test of `swap_backup_folio` (scenario 34).

use crate::card::*;
use crate::rig::*;
use hosted_tests::kit::*;

/// What is stored, and what it should be: dropped, nothing of it is.
struct Kept<'r, 'w> {
    rig: &'r Rig<'w>,
    all: Vec<(Handle, usize)>,
}

impl Kept<'_, '_> {
    fn pages(&self) -> Pages {
        self.all.iter().map(|(handle, _)| handle.order().pages()).sum()
    }

    /// The books are right: of store, source and oracle.
    fn validate(&self) {
        let Rig { world, ground, .. } = self.rig;
        assert_eq!(world.stored(), self.pages());
        assert_eq!(ground.far.space().pages + self.pages(), ground.far.total());
        world.validate();
    }
}

impl Drop for Kept<'_, '_> {
    fn drop(&mut self) {
        for (handle, _) in self.all.drain(..) {
            let Ok(block) = self.rig.home().store().discard(handle) else { panic!("it is stored") };
            block.into_iter().for_each(|block| self.rig.free(block));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Transfer,
    Copy,
}

/// What came to its end.
#[derive(PartialEq, Eq, Debug)]
enum Full {
    Source,
    Store,
}

/// A block of that order, or the largest below it that is free.
fn allocate_up_to(rig: &Rig<'_>, k: Order) -> Result<Piece, AllocError> {
    match (rig.allocate(k), k.lower()) {
        (Err(_), Some(lower)) => allocate_up_to(rig, lower),
        (allocated, _) => allocated,
    }
}

/// Stores block after block until there is no more; only taking a block or storing it may fail.
fn store_all(kept: &mut Kept<'_, '_>, way: Way) -> Tried<Full> {
    let (rig, home) = (kept.rig, kept.rig.home());
    for seed in 0.. {
        let k = order((seed % 3) as u8);
        let taken = allocate_up_to(rig, k);
        let mut block = match taken {
            Err(AllocError::Exhausted) => return Ok(Full::Source),
            taken => taken?,
        };
        block.write_at(0, bytes(seed, block.bytes()));
        let at = block.pfn();
        let stored = match way {
            Way::Transfer => home.store().transfer(block, None).map_err(|refused| {
                assert_eq!(refused.item.pfn(), at, "it comes back");
                rig.free(refused.item);
                refused.why
            }),
            Way::Copy => {
                let saved = home.store().save(&block, block.order(), None, CX);
                rig.free(block);
                saved
            }
        };
        match stored {
            Ok(handle) => kept.all.push((handle, seed)),
            Err(StoreError::Backlog) => {
                let settled = home.settle(ALL, CX);
                assert!(settled.freed > NONE || settled.error.is_some());
            }
            Err(StoreError::TooLarge) if k > Order::PAGE => {} // a page may fit
            Err(StoreError::Full) => return Ok(Full::Store),
            Err(why) => return Err(why.into()),
        }
        kept.validate();
    }
    unreachable!("memory has an end")
}

/// Everything comes back, in the order in which it went.
fn take_all(kept: &mut Kept<'_, '_>) -> Tried {
    let home = kept.rig.home();
    while !kept.all.is_empty() {
        let (handle, seed) = kept.all.remove(0);
        let (pages, len) = (handle.order().pages(), PAGE << handle.order().get());
        let block = match home.store().take_back(handle, CX) {
            Ok(block) => block,
            Err(refused) => {
                kept.all.insert(0, (refused.item, seed));
                if refused.why != StoreError::WrongKind {
                    return Err(refused.why.into());
                }
                load_first(kept)?
            }
        };
        let mut there = vec![0; len];
        assert_eq!((block.order().pages(), block.read_at(0, &mut there)), (pages, len));
        assert!(there == bytes(seed, len), "other bytes than were stored");
        kept.rig.free(block);
        kept.validate();
    }
    Ok(())
}

/// Only a copy is left: into a fresh block, and then the copy is dropped.
fn load_first(kept: &mut Kept<'_, '_>) -> Tried<Piece> {
    let home = kept.rig.home();
    let (handle, _) = &kept.all[0];
    let mut block = kept.rig.allocate(handle.order())?;
    if let Err(why) = home.store().load(handle, &mut block, NONE, CX) {
        kept.rig.free(block);
        return Err(why.into());
    }
    let (handle, _) = kept.all.remove(0);
    assert!(home.store().discard(handle).is_ok_and(|block| block.is_none()), "a copy, and no block");
    Ok(block)
}

fn to_the_brim(rig: &Rig<'_>, way: Way, free: usize, full: Full) -> Tried {
    let _hogged = [rig.ground.leave(ORDINARY, free), rig.ground.leave(LOW, 0), rig.ground.leave(COHERENT, 0)];
    let mut kept = Kept { rig, all: Vec::new() };
    same(store_all(&mut kept, way)?, full)?;
    take_all(&mut kept)
}

/// Rule: into a store that gets full goes what fits, and everything comes back; nothing fails but taking a block or storing
/// it, and what was refused is with the caller.
#[test]
fn scenario_34_the_store_gets_full() {
    let at_least = Calls { platform: 80, store: 80, ..Calls::default() };
    each_call_fails(&Ground::new(48), at_least, |rig| {
        to_the_brim(rig, Way::Transfer, 64, Full::Store)?;
        to_the_brim(rig, Way::Copy, 64, Full::Store)
    });
}

/// Rule: the same where the source comes to its end first, as all that it had was transferred.
#[test]
fn scenario_34_the_source_gets_empty() {
    let at_least = Calls { platform: 12, store: 20, ..Calls::default() };
    each_call_fails(&Ground::new(48), at_least, |rig| to_the_brim(rig, Way::Transfer, 24, Full::Source));
}
