//! Giving a store a block, and a buffer what is stored: what must hold for it (family e), and the ways back (f).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use forebay_backends::Region;
use hosted_tests::kit::*;

/// Blocks and handles in the hands of a test, which puts them where they belong, however it ends.
struct Own<'r, 'w> {
    rig: &'r Rig<'w>,
    blocks: Vec<Piece>,
    handles: Vec<Handle>,
}

impl<'r, 'w> Own<'r, 'w> {
    fn new(rig: &'r Rig<'w>) -> Self {
        Own { rig, blocks: Vec::new(), handles: Vec::new() }
    }

    fn store(&self) -> &'r Store<'w> {
        self.rig.home().store()
    }

    /// A block with these bytes.
    fn take(&self, k: u8, seed: usize) -> Tried<Piece> {
        let mut block = self.rig.allocate(order(k))?;
        block.write_at(0, bytes(seed, PAGE << k));
        Ok(block)
    }

    /// Is transferred; a refused one is in these hands again.
    fn transfer(&mut self, block: Piece) -> Tried {
        match self.store().transfer(block, None) {
            Ok(handle) => self.handles.push(handle),
            Err(refused) => {
                self.blocks.push(refused.item);
                return Err(refused.why.into());
            }
        }
        Ok(())
    }

    /// A block with these bytes is copied, and returned to the source.
    fn save(&mut self, k: u8, seed: usize) -> Tried {
        let block = self.take(k, seed)?;
        let saved = self.store().save(&block, block.order(), None, CX);
        self.rig.free(block);
        self.handles.push(saved?);
        Ok(())
    }

    /// Makes two of the n-th handle.
    fn halve(&mut self, n: usize) -> Tried {
        match self.store().split(self.handles.remove(n)) {
            Ok((lower, upper)) => {
                self.handles.insert(n, upper);
                self.handles.insert(n, lower);
                Ok(())
            }
            Err(refused) => {
                self.handles.insert(n, refused.item);
                Err(refused.why.into())
            }
        }
    }

    /// Gives the n-th handle to a buffer. A handle that is refused comes back, unchanged; the buffer is unchanged too.
    fn begin<T: Slots<Platform = Plat<'w>>>(
        &mut self,
        buffer: &Buf<'_, 'w, T>,
        at: usize,
        n: usize,
    ) -> Tried {
        let handle = self.handles.remove(n);
        let (is, there) = ((handle.store(), handle.order(), handle.value()), buffer.residency());
        buffer.attach_stored(at, handle, CX).map_err(|refused| {
            let back = &refused.item;
            assert_eq!(((back.store(), back.order(), back.value()), buffer.residency()), (is, there));
            self.handles.insert(n, refused.item);
            Failure::Attach(refused.why)
        })
    }

    fn drop_handle(&self, handle: Handle) {
        let Ok(block) = self.store().discard(handle) else { panic!("it is stored") };
        block.into_iter().for_each(|block| self.rig.free(block));
    }
}

impl Drop for Own<'_, '_> {
    fn drop(&mut self) {
        self.blocks.drain(..).for_each(|block| self.rig.free(block));
        for handle in std::mem::take(&mut self.handles) {
            self.drop_handle(handle);
        }
    }
}

fn same_bytes(block: &Piece, seed: usize) {
    let mut there = vec![0; block.bytes()];
    assert_eq!(block.read_at(0, &mut there), there.len());
    assert!(there == bytes(seed, there.len()), "other bytes than were written");
}

/// Checks that the block is refused for that reason, and comes back unchanged.
#[track_caller]
fn refused(
    block: Piece,
    seed: usize,
    why: StoreError,
    transfer: impl FnOnce(Piece) -> Result<Handle, Refused<Piece, StoreError>>,
) -> Piece {
    let (pfn, order) = (block.pfn(), block.order());
    let Err(refused) = transfer(block) else { panic!("it is taken, and should be refused: {why}") };
    assert_eq!((refused.item.pfn(), refused.item.order(), refused.why), (pfn, order, why));
    same_bytes(&refused.item, seed);
    refused.item
}

/// Rule: a transfer for which the store has no room, no place, no memory at all or no way to do it is refused by name, and
/// the block comes back: same frames, order, bytes; and may be transferred once there is room.
#[test]
fn family_e_a_refused_transfer_hands_the_block_back() {
    let at_least = Calls { platform: 18, store: 18, ..Calls::default() };
    each_call_fails(&Ground::new(24), at_least, refused_transfers);
}

fn refused_transfers(rig: &Rig<'_>) -> Tried {
    let mut own = Own::new(rig);
    let far = &rig.ground.far;
    // Places: sixteen pages take them all, though there is room for eight more.
    for n in 0..16 {
        let page = own.take(0, n)?;
        own.transfer(page)?;
    }
    let page = own.take(0, 99)?;
    let page = refused(page, 99, StoreError::Backlog, |block| far.transfer(block, None));
    assert_eq!((far.space(), far.pending()), (Space { pages: pages(8), transfers: 0 }, pages(16)));
    let settled = rig.home().settle(ALL, CX);
    own.blocks.push(page);
    same(settled.freed, pages(16))?;
    // Room: eight pages are left, but not in one piece once a page of them is gone.
    let page = own.blocks.remove(0);
    own.transfer(page)?;
    let large = own.take(3, 77)?;
    let large = refused(large, 77, StoreError::Full, |block| far.transfer(block, None));
    assert_eq!(far.space().pages, pages(7));
    let page = own.handles.pop().unwrap();
    own.drop_handle(page);
    own.transfer(large)?;
    let page = own.take(0, 98)?;
    let page = refused(page, 98, StoreError::Full, |block| far.transfer(block, None));
    // No memory was given to it yet, and one that only copies.
    let page =
        refused(page, 98, StoreError::Full, |block| Depot::new(StoreId::DEFAULT).transfer(block, None));
    let copies: Region<SpinRawMutex, Piece, PAGE, 0> = Region::new(StoreId::DEFAULT);
    own.blocks.push(refused(page, 98, StoreError::Unsupported, |block| copies.transfer(block, None)));
    Ok(())
}

/// Rule: a handle of another store, or under which nothing is stored, is handed back by every call, and nothing changes.
#[test]
fn family_e_a_wrong_handle_comes_back() {
    each_call_fails(&Ground::new(16), Calls { platform: 2, store: 1, ..Calls::default() }, wrong_handles);
}

fn wrong_handles(rig: &Rig<'_>) -> Tried {
    let mut own = Own::new(rig);
    let (far, block) = (&rig.ground.far, own.take(2, 5)?);
    own.blocks.push(block);
    own.save(2, 6)?;
    let (value, space) = (own.handles[0].value(), far.space());
    let other = StoreId::new(3).unwrap();
    let mine = StoreId::DEFAULT;
    // Of another store; behind its end; of another size than what is there; within what is there.
    let wrong = [
        (Handle::new(other, order(2), value), StoreError::WrongStore),
        (Handle::new(mine, order(2), value + 17 * 64), StoreError::NotStored),
        (Handle::new(mine, order(1), value), StoreError::NotStored),
        (Handle::new(mine, order(3), value), StoreError::NotStored),
        (Handle::new(mine, order(0), value + 17), StoreError::NotStored),
    ];
    for (handle, why) in wrong {
        let handle = handle.unwrap();
        let is = (handle.store(), handle.order(), handle.value());
        let back = |refused: Refused<Handle, StoreError>| {
            let item = &refused.item;
            assert_eq!(((item.store(), item.order(), item.value()), refused.why), (is, why));
            refused.item
        };
        let handle = back(far.take_back(handle, CX).err().unwrap());
        let handle = back(far.split(handle).err().unwrap());
        let handle = back(far.discard(handle).err().unwrap());
        assert_eq!(far.load(&handle, &mut own.blocks[0], NONE, CX), Err(why));
    }
    same_bytes(&own.blocks[0], 5);
    assert_eq!(far.space(), space);
    own.store().load(&own.handles[0], &mut own.blocks[0], NONE, CX)?;
    same_bytes(&own.blocks[0], 6);
    Ok(())
}

/// Rule: a buffer that can't begin with a handle (there is something already, before it, in it or behind; it would lie askew,
/// reach past the end, be less than the least or more than the largest block; it is of another store; a guard of the buffer
/// is alive; its payer is at its limit) hands it back, and is unchanged; where it fits it begins.
#[test]
fn family_e_what_does_not_fit_is_handed_back() {
    let at_least = Calls { platform: 14, store: 8, ..Calls::default() };
    let failures = each_call_fails(&Ground::new(32), at_least, does_not_fit);
    assert!(failures.contains(&Failure::Attach(AttachError::OverLimit)), "{failures:?}");
}

fn does_not_fit(rig: &Rig<'_>) -> Tried {
    let (mut slots, mut charges) = (slots(12), [None; 12]);
    let slots = Charged::new(&mut slots[..], &mut charges).unwrap();
    let buffer = rig.buffer_of(slots, order(1)).with_mode(WC);
    let payer = core::num::NonZeroUsize::new(buffer.id().0 + 1).map(Charge).unwrap();
    let mut own = Own::new(rig);
    for k in 0..4 {
        own.save(k, k.into())?;
    }
    // A page is less than the least; order 2 is askew in slot 1; order 3 behind the end, order 1 far behind it.
    for (at, k) in [(0, 0), (1, 2), (12, 3), (usize::MAX, 1), (12, 1), (10, 3)] {
        assert_eq!(own.begin(&buffer, at, k), Err(Failure::Attach(AttachError::DoesNotFit)), "{k} at {at}");
    }
    own.begin(&buffer, 4, 3)?; // in slots 4 to 7
    let foreign = |at, k, store| {
        let handle = Handle::new(store, order(k), 1).unwrap();
        let Err(refused) = buffer.attach_stored(at, handle, CX) else { panic!("order {k} at {at}") };
        assert_eq!((refused.item.order(), refused.item.store(), refused.item.value()), (order(k), store, 1));
        refused.why
    };
    assert_eq!(foreign(0, 1, StoreId::new(3).unwrap()), AttachError::WrongStore);
    assert_eq!(foreign(0, 4, StoreId::DEFAULT), AttachError::DoesNotFit, "larger than the platform's blocks");
    // At the head of what is there, behind that, within it, and over it.
    for (at, k) in [(4, 1), (4, 2), (5, 1), (6, 2), (4, 3)] {
        assert_eq!(foreign(at, k, StoreId::DEFAULT), AttachError::Occupied, "order {k} at {at}");
    }
    own.begin(&buffer, 2, 1)?;
    assert_eq!(foreign(0, 3, StoreId::DEFAULT), AttachError::Occupied, "in front of what is there");
    assert_eq!((rig.world.charged(payer), buffer.residency()?.stored), (pages(10), pages(10)));
    let guard = buffer.read()?;
    assert_eq!(own.begin(&buffer, 8, 1), Err(Failure::Attach(AttachError::Busy)), "a guard is alive");
    drop(guard);
    assert_eq!(
        own.begin(&buffer, 8, 1),
        Err(Failure::Attach(AttachError::Occupied)),
        "its zeros are contents"
    );
    let there = read(&buffer)?;
    assert!(
        there[8 * PAGE..16 * PAGE] == *bytes(3, 8 * PAGE) && there[4 * PAGE..6 * PAGE] == *bytes(1, 2 * PAGE)
    );
    let zeros = there[..4 * PAGE].iter().chain(&there[6 * PAGE..8 * PAGE]).chain(&there[16 * PAGE..]);
    assert!(zeros.into_iter().all(|byte| *byte == 0), "and nothing else");
    buffer.purge(CX)?;
    own.begin(&buffer, 8, 1)
}

/// Rule: as long as the store has a block itself, half written out or not, it comes back as it is: same frames, nothing
/// copied. What was written out to its end is copied back. At every point between.
#[test]
fn family_f_back_from_each_stage() {
    let (ground, world) = (Ground::new(16), World::new(Contents::Compared));
    let rig = Rig::new(&ground, &world);
    assert_eq!(from_each_stage(&rig, &[0, 1, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8]), Ok(()));
    rig.clear();
    let at_least = Calls { platform: 150, store: 60, ..Calls::default() };
    let stopped = Stopped { by_budget: 20, by_interrupts: 90 };
    fail_and_stop(&ground, at_least, stopped, |rig| from_each_stage(rig, &[0, 2], &[1, 4, 7]));
}

fn from_each_stage(rig: &Rig<'_>, orders: &[u8], budgets: &[usize]) -> Tried {
    for (m, budget) in orders.iter().flat_map(|m| budgets.iter().map(move |budget| (*m, *budget))) {
        let mut slots = slots(8);
        let buffer = rig.buffer(&mut slots[..]).with_zones(Zones::of(ORDINARY)).with_mode(WC);
        rig.card().refuse_above(order(m));
        let written = write(&buffer, 0xF);
        rig.card().refuse_above(LARGEST);
        written?;
        let frames = || {
            let guard = buffer.read()?;
            let of = |block: &Piece| block.pfn().0..block.pfn().0 + block.order().pages().get();
            Tried::Ok(guard.blocks().flat_map(|(_, block)| of(block)).collect::<Vec<_>>())
        };
        let before = frames()?;
        let known = Known(&buffer, bytes(0xF, 8 * PAGE));
        same(known.evict(rig, ALL, Evict::TRANSFER)?.transferred, pages(8))?;
        let settled = rig.home().settle(pages(budget), CX);
        assert_eq!(settled.freed + settled.pending, rig.world.stored());
        let freed = budget >> m << m;
        same((settled.freed, settled.pending), (pages(freed), pages(8 - freed)))?;
        let restored = known.restore(rig, ALL)?;
        same(restored.total(), pages(8))?;
        same((restored.taken_back, restored.loaded), (pages(8 - freed), pages(freed)))?;
        assert_eq!(frames()?[freed..], before[freed..], "the very same");
        known.compare()?;
        drop(buffer);
        rig.pool().trim(Zones::ALL, ALL, CX);
    }
    Ok(())
}

/// Rule: what is stored may be split and dropped piece by piece: what is left can be read, by itself and by a buffer that
/// begins with it, and what was dropped is room again. What is a block still can't be split, and is as before.
#[test]
fn family_f_a_part_is_dropped() {
    let at_least = Calls { platform: 40, store: 100, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, part_is_dropped);
}

fn part_is_dropped(rig: &Rig<'_>) -> Tried {
    for (dropped, transferred) in (0..4).flat_map(|n| [(n, false), (n, true)]) {
        let mut own = Own::new(rig);
        if transferred {
            let block = own.take(2, 40)?;
            own.transfer(block)?;
            same(own.halve(0), Err(Failure::Store(StoreError::WrongKind)))?;
            assert_eq!(own.handles[0].order().pages(), pages(4));
            same(rig.home().settle(ALL, CX).freed, pages(4))?;
        } else {
            own.save(2, 40)?;
        }
        own.halve(0)?;
        own.halve(1)?;
        own.halve(0)?;
        same(own.halve(0), Err(Failure::Store(StoreError::TooLarge)))?; // a page
        assert_eq!(own.handles.len(), 4);
        let page = own.handles.remove(dropped);
        own.drop_handle(page);
        assert_eq!(rig.ground.far.space().pages, rig.ground.far.total() - pages(3));
        let left: Vec<_> = (0..4).filter(|n| *n != dropped).collect();
        let block = own.take(0, 0)?;
        own.blocks.push(block);
        for (handle, n) in own.handles.iter().zip(&left) {
            rig.home().store().load(handle, &mut own.blocks[0], NONE, CX)?;
            same_bytes(&own.blocks[0], 40 + n);
        }
        let mut slots = slots(4);
        let buffer = rig.buffer(&mut slots[..]);
        for n in left {
            own.begin(&buffer, n, 0)?;
        }
        let mut expected = bytes(40, 4 * PAGE).to_vec();
        expected[dropped * PAGE..][..PAGE].fill(0);
        assert!(read(&buffer)? == expected);
    }
    Ok(())
}
