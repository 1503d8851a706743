//! What stands between forebay and a platform or a store, and tells the oracle.

use super::{Contents, Frame, Owner, State, Stored, World, frames, key};
use forebay::{
    AllocError, AllocRequest, BackingStore, BufferId, Busy, Context, FrameSource, Handle, Order, OwnedBlock,
    Pages, Pfn, Platform, Refused, StoreError, Zones,
    frame::{Charge, DmaAddr, Mode, ModeRefused},
    port::{
        Accounting, AllPorts, CachingControl, Capabilities, DmaMap, EvictHooks, LinearMap, Rooms, Settled,
        Space, StoreIds, Supply,
    },
};
use std::ops::Range;

/// A platform or a store, watched.
///
/// Around a platform it implements every port but free lists: [`Watched::platform`] makes the platform. A bare `Watched`
/// around a platform is a source without the other ports.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'w, T> {
    inner: T,
    world: &'w World,
}

impl<'w, T> Watched<'w, T> {
    /// Around `inner`.
    pub const fn new(inner: T, world: &'w World) -> Self {
        Watched { inner, world }
    }

    /// A platform with all ports of `inner` but its free lists.
    pub const fn platform(inner: T, world: &'w World) -> AllPorts<Self> {
        AllPorts(Watched::new(inner, world))
    }

    /// What it stands around.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// Contents that are in the store from the beginning, under this handle.
    #[track_caller]
    pub fn was_there(&self, handle: &Handle, bytes: &[u8]) {
        let bytes = (self.world.contents == Contents::Compared).then(|| bytes.to_vec());
        let order = handle.order();
        self.world.lock().put(handle, Stored { order, bytes, block: None, charge: None });
    }

    /// For a write-out that bypasses [`BackingStore::settle`]: the store returned this block. The source gets it next.
    #[track_caller]
    pub fn note_settled<B: OwnedBlock>(&self, block: &B) {
        let mut s = self.world.lock();
        s.pass(block.pfn(), block.order(), Owner::Store, Owner::Pool);
        s.counts.written_out += block.order().pages().get();
        s.measure();
    }
}

impl<P: Platform> FrameSource for Watched<'_, P> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    const MAX_ORDER: Order = P::Source::MAX_ORDER;
    const ZONES: u8 = P::Source::ZONES;
    const LOBBY: Zones = P::Source::LOBBY;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        let order = request.order;
        let block = self.inner.source().allocate(request, cx)?;
        assert_eq!(block.order(), order, "asked for {order:?}");
        assert!((block.pfn().0 % order.pages().get() == 0), "{:?} is not aligned to {order:?}", block.pfn());
        let mut s = self.world.lock();
        for n in frames(block.pfn(), order) {
            let old = s.frames.insert(n, Frame { owner: Owner::Pool, mode: 0 });
            assert!(old.is_none(), "frame {n:x} was given out twice: {old:?}");
        }
        s.pool_frames += order.pages().get();
        s.measure();
        Ok(block)
    }

    fn free(&self, block: P::Block) {
        let mut s = self.world.lock();
        for n in frames(block.pfn(), block.order()) {
            let frame = s.frames.remove(&n).unwrap_or_else(|| panic!("frame {n:x} was returned twice"));
            assert_eq!((frame.owner, frame.mode), (Owner::Pool, 0), "frame {n:x} was returned like that");
            assert!(!s.unflushed.contains(&n), "frame {n:x} was returned before its mode was flushed");
            assert!(!s.mapped.contains_key(&n), "frame {n:x} was returned, and a device can reach it");
        }
        s.pool_frames -= block.order().pages().get();
        s.counts.freed += block.order().pages().get();
        drop(s);
        self.inner.source().free(block);
    }

    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.source().join(left, right)
    }

    fn supply(&self, request: &AllocRequest) -> Supply {
        self.inner.source().supply(request)
    }

    fn zone(&self, block: &P::Block) -> u8 {
        self.inner.source().zone(block)
    }

    fn is_zeroed(&self, block: &P::Block) -> bool {
        self.inner.source().is_zeroed(block)
    }

    fn is_poolable(&self, block: &P::Block) -> bool {
        self.world.lock().assert_unmapped(block.pfn(), block.order(), "is put into its pool");
        self.inner.source().is_poolable(block)
    }
}

impl<P: Platform> CachingControl<P::Block> for Watched<'_, P> {
    type Mode = P::Mode;

    fn set_mode(
        &self,
        block: &mut P::Block,
        from: P::Mode,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        let mine = frames(block.pfn(), block.order());
        let check = |s: &State| {
            s.assert_unmapped_now(block.pfn(), block.order(), "changes its mode");
            for n in mine.clone() {
                let f = s.frames.get(&n).unwrap_or_else(|| panic!("frame {n:x} is in the source"));
                assert_eq!(
                    (f.owner, f.mode),
                    (Owner::Pool, from.index()),
                    "frame {n:x} before its mode changes"
                );
            }
        };
        check(&self.world.lock());
        self.inner.caching().set_mode(block, from, to, cx)?;
        let mut s = self.world.lock();
        for n in mine {
            if let Some(f) = s.frames.get_mut(&n) {
                f.mode = to.index();
            }
            s.unflushed.insert(n);
        }
        Ok(())
    }

    fn flush(&self, cx: Context) {
        self.inner.caching().flush(cx);
        let mut s = self.world.lock();
        s.unflushed.clear();
        s.counts.flushes += 1;
    }

    fn zones_for(&self, mode: P::Mode) -> Zones {
        self.inner.caching().zones_for(mode)
    }

    fn pools(&self, mode: P::Mode) -> bool {
        self.inner.caching().pools(mode)
    }
}

impl<P: Platform> DmaMap<P::Block> for Watched<'_, P> {
    fn map(&self, block: &P::Block, cx: Context) -> Option<DmaAddr> {
        let mine = frames(block.pfn(), block.order());
        {
            let s = self.world.lock();
            s.assert_unmapped(block.pfn(), block.order(), "is mapped");
            for n in mine.clone() {
                let f = s.frames.get(&n).unwrap_or_else(|| panic!("frame {n:x} is in the source"));
                assert_eq!(f.owner, Owner::Pool, "frame {n:x} is mapped, and is not a buffer's");
            }
        }
        let at = self.inner.dma().map(block, cx)?;
        self.world.lock().mapped.extend(mine.map(|n| (n, (block.pfn(), block.order(), at))));
        Some(at)
    }

    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        self.inner.dma().unmap(block, at);
        let mut s = self.world.lock();
        for n in frames(block.pfn(), block.order()) {
            let was = s.mapped.remove(&n);
            assert_eq!(was, Some((block.pfn(), block.order(), at)), "frame {n:x} is unmapped");
            s.unflushed.insert(n);
        }
    }

    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        assert!(bytes.end <= block.bytes(), "{:?} has no bytes {bytes:?}", block.pfn());
        self.inner.dma().sync_for_device(block, bytes);
    }

    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        assert!(bytes.end <= block.bytes(), "{:?} has no bytes {bytes:?}", block.pfn());
        self.inner.dma().sync_for_cpu(block, bytes);
    }
}

impl<P: Platform> EvictHooks<P::Block> for Watched<'_, P> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy> {
        self.inner.hooks().before_evict(id, blocks, cx)
    }

    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.hooks().after_restore(id, cx)
    }
    fn second_chance(&self, id: BufferId, cx: Context) -> bool {
        self.inner.hooks().second_chance(id, cx)
    }
    fn allocation_failed(&self, id: BufferId, why: AllocError) {
        self.inner.hooks().allocation_failed(id, why);
    }
    fn released(&self, id: BufferId) {
        self.inner.hooks().released(id);
    }
}

impl<P: Platform> Accounting for Watched<'_, P> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        let charge = self.inner.accounting().charge(id, pages, cx)?;
        *self.world.lock().charged.entry(charge).or_default() += pages.get();
        Some(charge)
    }

    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.accounting().uncharge(charge, pages);
        let mut s = self.world.lock();
        let paid = s.charged.get(&charge).copied().unwrap_or(0).checked_sub(pages.get());
        match paid.unwrap_or_else(|| panic!("{charge:?} did not pay for {pages:?}")) {
            0 => s.charged.remove(&charge),
            left => s.charged.insert(charge, left),
        };
    }
}

impl<P: Platform> LinearMap<P::Block, P::Mode> for Watched<'_, P> {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        mode: P::Mode,
        blocks: impl Iterator<Item = &'b P::Block>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        P::Block: 'b,
    {
        let blocks: Vec<_> = blocks.collect();
        let expected = self.seen_in(mode, blocks.iter().copied());
        let slice = self.inner.linear().contiguous(id, mode, blocks.into_iter(), cx)?;
        assert!(expected.is_none_or(|bytes| bytes == slice), "{id:?} has other bytes as one slice");
        Some(slice)
    }

    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        mode: P::Mode,
        blocks: impl Iterator<Item = &'b mut P::Block>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        P::Block: 'b,
    {
        let blocks: Vec<_> = blocks.collect();
        let expected = self.seen_in(mode, blocks.iter().map(|block| &**block));
        let slice = self.inner.linear().contiguous_mut(id, mode, blocks.into_iter(), cx)?;
        assert!(expected.is_none_or(|bytes| bytes == slice), "{id:?} has other bytes as one slice");
        Some(slice)
    }
}

impl<P: Platform> Watched<'_, P> {
    /// The bytes of these blocks, if contents are compared; each is a buffer's, and in that mode.
    #[track_caller]
    fn seen_in<'b>(&self, mode: P::Mode, blocks: impl Iterator<Item = &'b P::Block>) -> Option<Vec<u8>>
    where
        P::Block: 'b,
    {
        let mut all = Vec::new();
        for block in blocks {
            let s = self.world.lock();
            for n in frames(block.pfn(), block.order()) {
                let f = s.frames.get(&n).unwrap_or_else(|| panic!("frame {n:x} is in the source"));
                assert_eq!((f.owner, f.mode), (Owner::Pool, mode.index()), "frame {n:x} is seen");
                assert!(!s.unflushed.contains(&n), "frame {n:x} is seen before its mode was flushed");
            }
            drop(s);
            all.push(self.world.bytes(block, 0, block.bytes()));
        }
        let all: Option<Vec<Vec<u8>>> = all.into_iter().collect();
        all.map(|all| all.concat())
    }
}

impl<B: OwnedBlock, S: BackingStore<B>> BackingStore<B> for Watched<'_, S> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }

    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        assert!(order <= block.order());
        self.world.lock().assert_unmapped(block.pfn(), block.order(), "is copied to a store");
        let before = self.world.bytes(block, 0, B::PAGE << order.get());
        let result = self.inner.save(block, order, payer, cx);
        let mut s = self.world.lock();
        match &result {
            Ok(handle) => {
                assert!(handle.order() <= order, "{handle:?} is more than {order:?}");
                assert!(self.inner.ids().contains(handle.store().into()));
                let bytes = before.map(|mut b| {
                    b.truncate(B::PAGE << handle.order().get());
                    b
                });
                s.put(handle, Stored { order: handle.order(), bytes, block: None, charge: payer });
                s.counts.saved += handle.order().pages().get();
                s.measure();
            }
            Err(_) => s.counts.refused += order.pages().get(),
        }
        result
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.inner.load(handle, block, at, cx)?;
        let bytes = self.world.bytes(block, at.get() * B::PAGE, B::PAGE << handle.order().get());
        let mut s = self.world.lock();
        let stored =
            s.stored.get(&key(handle)).unwrap_or_else(|| panic!("nothing is stored under {handle:?}"));
        assert!(bytes.is_none() || bytes == stored.bytes, "{handle:?} was loaded with other bytes");
        s.counts.loaded += handle.order().pages().get();
        Ok(())
    }

    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        let (pfn, order) = (block.pfn(), block.order());
        let bytes = self.world.bytes(&block, 0, block.bytes());
        self.world.lock().pass(pfn, order, Owner::Pool, Owner::Store);
        match self.inner.transfer(block, payer) {
            Ok(handle) => {
                assert_eq!(handle.order(), order, "a transfer is never short");
                assert!(self.inner.ids().contains(handle.store().into()));
                let mut s = self.world.lock();
                s.put(&handle, Stored { order, bytes, block: Some(pfn), charge: payer });
                s.counts.transferred += order.pages().get();
                s.measure();
                Ok(handle)
            }
            Err(refused) => {
                assert_eq!(
                    (refused.item.pfn(), refused.item.order()),
                    (pfn, order),
                    "another block came back"
                );
                let after = self.world.bytes(&refused.item, 0, refused.item.bytes());
                assert!(after == bytes, "{pfn:?} came back from a refused transfer with other bytes");
                let mut s = self.world.lock();
                s.pass(pfn, order, Owner::Store, Owner::Pool);
                s.counts.refused += order.pages().get();
                Err(refused)
            }
        }
    }

    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let wanted = key(&handle);
        // Forgotten before the call: once the store has given it up, it may make the same handle again.
        let stored = self.world.lock().take(wanted);
        match self.inner.take_back(handle, cx) {
            Ok(block) => {
                let bytes = self.world.bytes(&block, 0, block.bytes());
                let mut s = self.world.lock();
                assert_eq!(stored.block, Some(block.pfn()), "another block was taken back");
                assert_eq!(stored.order, block.order(), "another block was taken back");
                assert!(bytes == stored.bytes, "{:?} was taken back with other bytes", block.pfn());
                s.pass(block.pfn(), block.order(), Owner::Store, Owner::Pool);
                s.counts.taken_back += block.order().pages().get();
                s.measure();
                Ok(block)
            }
            Err(refused) => {
                assert_eq!(key(&refused.item), wanted, "another handle came back");
                self.world.lock().put(&refused.item, stored);
                Err(refused)
            }
        }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let whole = key(&handle);
        match self.inner.split(handle) {
            Ok((lower, upper)) => {
                let mut s = self.world.lock();
                let Stored { order, bytes, block, charge } = s.take(whole);
                let half = order.lower().expect("a single page was split");
                let (mut low, mut high) = (None, None);
                if let Some(mut all) = bytes {
                    high = Some(all.split_off(all.len() / 2));
                    low = Some(all);
                }
                let moved = block.map(|b| Pfn(b.0 + half.pages().get()));
                s.put(&lower, Stored { order: half, bytes: low, block, charge });
                s.put(&upper, Stored { order: half, bytes: high, block: moved, charge });
                assert_eq!((lower.order(), upper.order()), (half, half));
                Ok((lower, upper))
            }
            Err(refused) => {
                assert_eq!(key(&refused.item), whole, "another handle came back");
                Err(refused)
            }
        }
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        if self.world.lock().rooms.remove(&key(&handle)) {
            let discarded = self.inner.discard(handle);
            assert!(matches!(discarded, Ok(None)), "room has no block");
            return discarded;
        }
        let stored = self.world.lock().take(key(&handle));
        match self.inner.discard(handle) {
            Ok(Some(block)) => {
                assert_eq!(stored.block, Some(block.pfn()), "another block was returned");
                let mut s = self.world.lock();
                s.pass(block.pfn(), block.order(), Owner::Store, Owner::Pool);
                // Not measured: the caller returns it to its source at once.
                s.counts.discarded += block.order().pages().get();
                Ok(Some(block))
            }
            Ok(None) => Ok(None),
            Err(refused) => {
                panic!("{:?} was stored, and its discard is refused: {}", refused.item, refused.why)
            }
        }
    }

    fn rooms(&self) -> Option<&dyn Rooms<B>> {
        self.inner.rooms().map(|_| self as &dyn Rooms<B>)
    }

    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let mut freed = Pages::ZERO;
        let settled = self.inner.settle(budget, cx, &mut |block: B| {
            freed += block.order().pages();
            self.note_settled(&block);
            owner(block);
        });
        assert_eq!(settled.freed, freed, "what settle counts as freed is what it returned");
        settled
    }
}

/// Room that stays with a block: empty, or with contents that are out of date.
impl<B: OwnedBlock, S: BackingStore<B>> Rooms<B> for Watched<'_, S> {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        let room = self.inner.rooms().expect("it has rooms").reserve(order)?;
        assert_eq!(room.order(), order);
        assert!(self.world.lock().rooms.insert(key(&room)), "{room:?} was made twice");
        Ok(room)
    }

    fn transfer_into(&self, room: Handle, block: B) -> Result<Handle, Refused<(Handle, B), StoreError>> {
        let (pfn, order, before) = (block.pfn(), block.order(), key(&room));
        assert_eq!(room.order(), order, "the room of another block");
        let bytes = self.world.bytes(&block, 0, block.bytes());
        self.world.lock().pass(pfn, order, Owner::Pool, Owner::Store);
        // Forgotten before the call: afterwards the store may make the same handle again.
        let old = self.world.lock().leave_room(before);
        match self.inner.rooms().expect("it has rooms").transfer_into(room, block) {
            Ok(handle) => {
                assert_eq!(handle.order(), order);
                let mut s = self.world.lock();
                s.put(&handle, Stored { order, bytes, block: Some(pfn), charge: None });
                s.counts.transferred += order.pages().get();
                s.measure();
                Ok(handle)
            }
            Err(refused) => {
                let (room, block) = &refused.item;
                assert_eq!((key(room), block.pfn(), block.order()), (before, pfn, order), "others came back");
                assert_ne!(refused.why, StoreError::Full, "there was room");
                assert!(
                    self.world.bytes(block, 0, block.bytes()) == bytes,
                    "{pfn:?} came back with other bytes"
                );
                let mut s = self.world.lock();
                s.pass(pfn, order, Owner::Store, Owner::Pool);
                s.enter_room(room, old);
                s.counts.refused += order.pages().get();
                Err(refused)
            }
        }
    }

    fn save_into(&self, room: &Handle, block: &B, cx: Context) -> Result<(), StoreError> {
        let order = block.order();
        assert_eq!(room.order(), order, "the room of another block");
        self.world.lock().assert_unmapped(block.pfn(), order, "is copied to a store");
        let bytes = self.world.bytes(block, 0, block.bytes());
        self.world.lock().leave_room(key(room));
        let result = self.inner.rooms().expect("it has rooms").save_into(room, block, cx);
        let mut s = self.world.lock();
        if result.is_ok() {
            s.put(room, Stored { order, bytes, block: None, charge: None });
            s.counts.saved += order.pages().get();
            s.measure();
        } else {
            assert_ne!(result, Err(StoreError::Full), "there was room");
            s.enter_room(room, None);
            s.counts.refused += order.pages().get();
        }
        result
    }

    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, B), Refused<Handle, StoreError>> {
        let wanted = key(&handle);
        let stored = self.world.lock().take(wanted);
        match self.inner.rooms().expect("it has rooms").take_back_from(handle, cx) {
            Ok((room, block)) => {
                let bytes = self.world.bytes(&block, 0, block.bytes());
                let mut s = self.world.lock();
                assert_eq!((stored.block, stored.order), (Some(block.pfn()), block.order()), "another block");
                assert_eq!(room.order(), stored.order, "other room");
                assert!(bytes == stored.bytes, "{:?} was taken back with other bytes", block.pfn());
                s.pass(block.pfn(), block.order(), Owner::Store, Owner::Pool);
                s.enter_room(&room, None);
                s.counts.taken_back += block.order().pages().get();
                s.measure();
                Ok((room, block))
            }
            Err(refused) => {
                assert_eq!(key(&refused.item), wanted, "another handle came back");
                self.world.lock().put(&refused.item, stored);
                Err(refused)
            }
        }
    }
}
