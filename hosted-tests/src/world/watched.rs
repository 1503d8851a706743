//! What stands between forebay and a platform or a store, and tells the oracle.

use super::{Contents, Frame, Owner, State, Stored, World, frames, key};
use forebay::{
    AllocError, AllocRequest, BackingStore, BufferId, Busy, Context, Handle, Order, OwnedBlock, Pages, Pfn,
    Platform, Refused, StoreError, Zones,
    frame::{Charge, DmaAddr, Mode, ModeRefused},
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::ops::Range;

/// A platform or a store, watched.
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

    /// What it stands around.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// What is under this handle was there before anybody looked.
    #[track_caller]
    pub fn was_there(&self, handle: &Handle, bytes: &[u8]) {
        let bytes = (self.world.contents == Contents::Compared).then(|| bytes.to_vec());
        let order = handle.order();
        self.world.lock().put(handle, Stored { order, bytes, block: None, charge: None });
    }

    /// For a write-out that goes past the store trait: the store gave this block up. It goes home next.
    #[track_caller]
    pub fn gave_home<B: OwnedBlock>(&self, block: &B) {
        let mut s = self.world.lock();
        s.hand(block.pfn(), block.order(), Owner::Store, Owner::Pool);
        s.counts.written_out += block.order().pages().get();
        s.measure();
    }
}

impl<P: Platform> Platform for Watched<'_, P> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    type Mode = P::Mode;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, order: Order, cx: Context) -> Result<P::Block, AllocError> {
        self.allocate(AllocRequest::new(order), cx)
    }

    fn allocate(&self, ask: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        let order = ask.order;
        let block = self.inner.allocate(AllocRequest::new(ask), cx)?;
        assert_eq!(block.order(), order, "asked for {order:?}");
        assert!(block.pfn().is_aligned(order), "{:?} is not aligned to {order:?}", block.pfn());
        let mut s = self.world.lock();
        for n in frames(block.pfn(), order) {
            let old = s.frames.insert(n, Frame { owner: Owner::Pool, mode: 0 });
            assert!(old.is_none(), "frame {n:x} was given out twice: {old:?}");
        }
        s.pool_frames += order.pages().get();
        s.measure();
        Ok(block)
    }

    fn release(&self, block: P::Block) {
        let mut s = self.world.lock();
        for n in frames(block.pfn(), block.order()) {
            let frame = s.frames.remove(&n).unwrap_or_else(|| panic!("frame {n:x} came home twice"));
            assert_eq!((frame.owner, frame.mode), (Owner::Pool, 0), "frame {n:x} came home like that");
            assert!(!s.unflushed.contains(&n), "frame {n:x} came home before its mode was flushed");
            assert!(!s.mapped.contains_key(&n), "frame {n:x} came home, and a device can reach it");
        }
        s.pool_frames -= block.order().pages().get();
        s.counts.released += block.order().pages().get();
        drop(s);
        self.inner.free(block);
    }

    const ZONES: u8 = P::ZONES;

    fn zone(&self, block: &P::Block) -> Zone {
        self.inner.zone(block)
    }

    fn zones_for(&self, mode: P::Mode) -> Zones {
        self.inner.zones_for(mode)
    }

    fn keep(&self, block: &P::Block, mode: P::Mode) -> Keep {
        self.world.lock().assert_unmapped(block.pfn(), block.order(), "is given to its pool");
        self.inner.keep(block, mode)
    }
    fn wiped(&self, block: &P::Block) -> Wiped {
        self.inner.wiped(block)
    }

    fn available(&self, zones: Zones) -> Option<Pages> {
        self.inner.free_pages(zones)
    }

    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.join(left, right)
    }

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
        self.inner.set_mode(block, from, to, cx)?;
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
        self.inner.flush(cx);
        let mut s = self.world.lock();
        s.unflushed.clear();
        s.counts.flushes += 1;
    }

    fn map(&self, block: &P::Block, cx: Context) -> Result<DmaAddr, MapRefused> {
        let mine = frames(block.pfn(), block.order());
        {
            let s = self.world.lock();
            s.assert_unmapped(block.pfn(), block.order(), "is mapped");
            for n in mine.clone() {
                let f = s.frames.get(&n).unwrap_or_else(|| panic!("frame {n:x} is in the source"));
                assert_eq!(f.owner, Owner::Pool, "frame {n:x} is mapped, and is not a buffer's");
            }
        }
        let at = self.inner.map(block, cx)?;
        self.world.lock().mapped.extend(mine.map(|n| (n, (block.pfn(), block.order(), at))));
        Ok(at)
    }
    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        self.inner.unmap(block, at);
        let mut s = self.world.lock();
        for n in frames(block.pfn(), block.order()) {
            let was = s.mapped.remove(&n);
            assert_eq!(was, Some((block.pfn(), block.order(), at)), "frame {n:x} is unmapped");
            s.unflushed.insert(n);
        }
    }
    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        assert!(bytes.end <= block.bytes(), "{:?} has no bytes {bytes:?}", block.pfn());
        self.inner.sync_for_device(block, bytes);
    }
    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        assert!(bytes.end <= block.bytes(), "{:?} has no bytes {bytes:?}", block.pfn());
        self.inner.sync_for_cpu(block, bytes);
    }
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Result<Charge, OverLimit> {
        let charge = self.inner.charge(id, pages, cx)?;
        *self.world.lock().charged.entry(charge).or_default() += pages.get();
        Ok(charge)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.uncharge(charge, pages);
        let mut s = self.world.lock();
        let paid = s.charged.get(&charge).copied().unwrap_or(0).checked_sub(pages.get());
        match paid.unwrap_or_else(|| panic!("{charge:?} did not pay for {pages:?}")) {
            0 => s.charged.remove(&charge),
            left => s.charged.insert(charge, left),
        };
    }
    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.before_evict(id, cx)
    }

    fn before_evict_with<'b>(
        &self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy>
    where
        P::Block: 'b,
    {
        self.inner.before_evict_with(id, blocks, cx)
    }

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
        let slice = self.inner.contiguous(id, mode, blocks.into_iter(), cx)?;
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
        let slice = self.inner.contiguous_mut(id, mode, blocks.into_iter(), cx)?;
        assert!(expected.is_none_or(|bytes| bytes == slice), "{id:?} has other bytes as one slice");
        Some(slice)
    }

    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.after_restore(id, cx)
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

impl<S> Watched<'_, S> {
    fn save_by<B: OwnedBlock>(
        &self,
        block: &B,
        order: Order,
        save: impl FnOnce() -> Result<Handle, StoreError>,
    ) -> Result<Handle, StoreError>
    where
        S: BackingStore<B>,
    {
        assert!(order <= block.order());
        self.world.lock().assert_unmapped(block.pfn(), block.order(), "is copied to a store");
        let before = self.world.bytes(block, 0, B::PAGE << order.get());
        let result = save();
        let mut s = self.world.lock();
        match &result {
            Ok(handle) => {
                assert!(handle.order() <= order, "{handle:?} is more than {order:?}");
                assert!(self.inner.owns(handle));
                let bytes = before.map(|mut b| {
                    b.truncate(B::PAGE << handle.order().get());
                    b
                });
                s.put(handle, Stored { order: handle.order(), bytes, block: None, charge: None });
                s.counts.saved += handle.order().pages().get();
                s.measure();
            }
            Err(_) => s.counts.refused += order.pages().get(),
        }
        result
    }

    fn transfer_by<B: OwnedBlock>(
        &self,
        block: B,
        transfer: impl FnOnce(B) -> Result<Handle, Refused<B, StoreError>>,
    ) -> Result<Handle, Refused<B, StoreError>>
    where
        S: BackingStore<B>,
    {
        let (pfn, order) = (block.pfn(), block.order());
        let bytes = self.world.bytes(&block, 0, block.bytes());
        self.world.lock().hand(pfn, order, Owner::Pool, Owner::Store);
        match transfer(block) {
            Ok(handle) => {
                assert_eq!(handle.order(), order, "a transfer is never short");
                assert!(self.inner.owns(&handle));
                let mut s = self.world.lock();
                s.put(&handle, Stored { order, bytes, block: Some(pfn), charge: None });
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
                s.hand(pfn, order, Owner::Store, Owner::Pool);
                s.counts.refused += order.pages().get();
                Err(refused)
            }
        }
    }
}

impl<B: OwnedBlock, S: BackingStore<B>> BackingStore<B> for Watched<'_, S> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn owns(&self, handle: &Handle) -> bool {
        self.inner.owns(handle)
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

    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        self.save_by(block, order, || self.inner.save(block, order, None, cx))
    }

    fn save_for(&self, charge: Charge, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        self.save_by(block, order, || self.inner.save_for(charge, block, order, cx)).inspect(|handle| {
            self.world.lock().pays(handle, charge);
        })
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.inner.load(handle, block, at, cx)?;
        let bytes = self.world.bytes(block, at.get() * B::PAGE, B::PAGE << handle.order().get());
        let mut s = self.world.lock();
        let stored = s.stored.get(&key(handle)).unwrap_or_else(|| panic!("nobody stored {handle:?}"));
        assert!(bytes.is_none() || bytes == stored.bytes, "{handle:?} was loaded with other bytes");
        s.counts.loaded += handle.order().pages().get();
        Ok(())
    }

    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        self.transfer_by(block, |block| self.inner.transfer(block, None))
    }

    fn transfer_for(&self, charge: Charge, block: B) -> Result<Handle, Refused<B, StoreError>> {
        self.transfer_by(block, |block| self.inner.transfer_for(charge, block)).inspect(|handle| {
            self.world.lock().pays(handle, charge);
        })
    }

    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let wanted = key(&handle);
        // Forgotten before the call: once the store has given it up, it may hand out the same handle again.
        let stored = self.world.lock().take(wanted);
        match self.inner.take_back(handle, cx) {
            Ok(block) => {
                let bytes = self.world.bytes(&block, 0, block.bytes());
                let mut s = self.world.lock();
                assert_eq!(stored.block, Some(block.pfn()), "another block was taken back");
                assert_eq!(stored.order, block.order(), "another block was taken back");
                assert!(bytes == stored.bytes, "{:?} was taken back with other bytes", block.pfn());
                s.hand(block.pfn(), block.order(), Owner::Store, Owner::Pool);
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
                let moved = block.map(|b| Pfn::new(b.get() + half.pages().get()));
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
        let stored = self.world.lock().take(key(&handle));
        match self.inner.discard(handle) {
            Ok(Some(block)) => {
                assert_eq!(stored.block, Some(block.pfn()), "another block came to light");
                let mut s = self.world.lock();
                s.hand(block.pfn(), block.order(), Owner::Store, Owner::Pool);
                // Not measured: it only passes through the hands of whoever drops it.
                s.counts.uncovered += block.order().pages().get();
                Ok(Some(block))
            }
            Ok(None) => Ok(None),
            Err(refused) => {
                panic!("{:?} was stored, and its discard is refused: {}", refused.item, refused.why)
            }
        }
    }

    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let mut freed = Pages::ZERO;
        let settled = self.inner.settle(budget, cx, &mut |block: B| {
            freed += block.order().pages();
            self.gave_home(&block);
            home(block);
        });
        assert_eq!(settled.freed, freed, "what settle counts as freed is what it gave home");
        settled
    }
}
