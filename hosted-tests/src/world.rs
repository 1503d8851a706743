//! The oracle: it knows the owner, the caching mode and the contents of every frame, and panics at the first
//! violation.
//!
//! It stands around a platform and a store and counts what passes between them and forebay, so it shares nothing
//! with the code under test. One [`World`] watches one source and any stores in front of which the same buffers
//! work.

use forebay::{
    BackingStore, BufferId, Busy, Capabilities, Context, Handle, Mode, ModeRefused, Order, OutOfFrames,
    OwnedBlock, Pages, Pfn, Platform, Refused, Settled, Space, StoreError, StoreIds,
};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// Whether contents are compared too; that costs a copy of everything stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contents {
    /// Every byte that comes back is compared with what went in.
    Compared,
    /// Only owners, modes and counts.
    Ignored,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    /// Pool, buffers, or whoever called.
    Pool,
    Store,
}

#[derive(Debug)]
struct Frame {
    owner: Owner,
    mode: usize,
}

#[derive(Debug)]
struct Stored {
    order: Order,
    bytes: Option<Vec<u8>>,
    /// The block, as long as that is what is stored.
    block: Option<Pfn>,
}

type Key = (u8, u8, usize);

fn key(h: &Handle) -> Key {
    (h.store().get(), h.order().get(), h.value())
}

#[derive(Debug, Default)]
struct State {
    frames: HashMap<usize, Frame>,
    stored: HashMap<Key, Stored>,
    pool_frames: usize,
    stored_pages: usize,
    peak_frames: usize,
    base: usize,
    peak: usize,
    counts: Counts,
}

/// What passed the oracle, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks handed over.
    pub transferred: usize,
    /// Blocks taken back.
    pub taken_back: usize,
    /// Copied into a store.
    pub saved: usize,
    /// Copied out of a store.
    pub loaded: usize,
    /// Given home by a settle or a write-out: they are in the store's own memory now.
    pub written_out: usize,
    /// Released to the source.
    pub released: usize,
    /// Refused by a transfer or a save.
    pub refused: usize,
    /// Brought to light by a discard.
    pub uncovered: usize,
}

/// Everything that is known of one source and the stores beside it.
#[derive(Debug)]
pub struct World {
    contents: Contents,
    state: Mutex<State>,
}

impl World {
    /// Nothing is known yet.
    pub fn new(contents: Contents) -> Self {
        World { contents, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What passed since the beginning.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Frames that are not in the source.
    pub fn frames_out(&self) -> Pages {
        Pages::new(self.lock().frames.len())
    }

    /// Numbers of the frames that are not in the source, in no order.
    pub fn frames(&self) -> Vec<usize> {
        self.lock().frames.keys().copied().collect()
    }

    /// The most frames that were ever out of the source.
    pub fn peak_frames(&self) -> Pages {
        Pages::new(self.lock().peak_frames)
    }

    /// Pages under handles.
    pub fn stored(&self) -> Pages {
        Pages::new(self.lock().stored_pages)
    }

    /// A shrink begins: the ledger (pages of pool and buffers, and pages stored) is measured from here.
    pub fn begin_shrink(&self) {
        let mut s = self.lock();
        s.base = s.ledger();
        s.peak = s.base;
    }

    /// The most pages that the ledger was above its mark since [`begin_shrink`](World::begin_shrink).
    pub fn peak_extra(&self) -> Pages {
        let s = self.lock();
        Pages::new(s.peak - s.base)
    }

    /// Every frame is home, and nothing is stored.
    ///
    /// # Panics
    /// If something leaked.
    #[track_caller]
    pub fn assert_empty(&self) {
        let s = self.lock();
        assert!(s.frames.is_empty(), "{} frames never came home: {:?}", s.frames.len(), s.sample());
        assert!(
            s.stored.is_empty(),
            "{} handles were never discarded: {:?}",
            s.stored.len(),
            s.stored.keys()
        );
    }

    /// The sums agree with the single facts.
    ///
    /// # Panics
    /// If they don't.
    #[track_caller]
    pub fn validate(&self) {
        let s = self.lock();
        assert_eq!(s.pool_frames, s.frames.values().filter(|f| f.owner == Owner::Pool).count());
        assert_eq!(s.stored_pages, s.stored.values().map(|h| h.order.pages().get()).sum::<usize>());
        let in_stores: usize =
            s.stored.values().filter(|h| h.block.is_some()).map(|h| h.order.pages().get()).sum();
        let owned = s.frames.len() - s.pool_frames;
        assert!(owned <= in_stores, "stores own {owned} frames, but only {in_stores} are under a handle");
    }

    fn bytes<B: OwnedBlock>(&self, block: &B, at: usize, len: usize) -> Option<Vec<u8>> {
        (self.contents == Contents::Compared).then(|| {
            let mut bytes = vec![0; len];
            assert_eq!(block.copy_out(at, &mut bytes), len, "a block shorter than it says");
            bytes
        })
    }
}

impl State {
    fn ledger(&self) -> usize {
        self.pool_frames + self.stored_pages
    }

    fn measure(&mut self) {
        self.peak = self.peak.max(self.ledger());
        self.peak_frames = self.peak_frames.max(self.frames.len());
    }

    fn sample(&self) -> Vec<(&usize, &Frame)> {
        self.frames.iter().take(4).collect()
    }

    #[track_caller]
    fn hand(&mut self, pfn: Pfn, order: Order, from: Owner, to: Owner) {
        for n in frames(pfn, order) {
            let frame = self.frames.get_mut(&n).unwrap_or_else(|| panic!("frame {n:x} is in the source"));
            assert_eq!(frame.owner, from, "frame {n:x} changes hands from one who does not own it");
            assert_eq!(frame.mode, 0, "frame {n:x} changes hands in mode {}", frame.mode);
            frame.owner = to;
        }
        let pages = order.pages().get();
        match to {
            Owner::Pool => self.pool_frames += pages,
            Owner::Store => self.pool_frames -= pages,
        }
    }

    #[track_caller]
    fn put(&mut self, handle: &Handle, stored: Stored) {
        self.stored_pages += stored.order.pages().get();
        let old = self.stored.insert(key(handle), stored);
        assert!(old.is_none(), "{handle:?} is under two owners");
    }

    #[track_caller]
    fn take(&mut self, handle: Key) -> Stored {
        let stored = self.stored.remove(&handle).unwrap_or_else(|| panic!("nobody stored {handle:?}"));
        self.stored_pages -= stored.order.pages().get();
        stored
    }
}

fn frames(pfn: Pfn, order: Order) -> std::ops::Range<usize> {
    pfn.get()..pfn.get() + order.pages().get()
}

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

    /// For a write-out that goes past the store trait: the store gave this block up. It goes home next.
    #[track_caller]
    pub fn gave_home<B: OwnedBlock>(&self, block: &B) {
        let mut s = self.world.lock();
        s.hand(block.pfn(), block.order(), Owner::Store, Owner::Pool);
        s.counts.written_out += block.pages().get();
        s.measure();
    }
}

impl<P: Platform> Platform for Watched<'_, P> {
    type Block = P::Block;
    type Lock = P::Lock;
    type Mode = P::Mode;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, order: Order, cx: Context) -> Result<P::Block, OutOfFrames> {
        let block = self.inner.allocate(order, cx)?;
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
        }
        s.pool_frames -= block.pages().get();
        s.counts.released += block.pages().get();
        drop(s);
        self.inner.release(block);
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
        }
        Ok(())
    }

    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.before_evict(id, cx)
    }

    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.after_restore(id, cx)
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

    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        assert!(order <= block.order());
        let before = self.world.bytes(block, 0, B::PAGE << order.get());
        let result = self.inner.save(block, order, cx);
        let mut s = self.world.lock();
        match &result {
            Ok(handle) => {
                assert!(handle.order() <= order, "{handle:?} is more than {order:?}");
                assert!(self.inner.owns(handle));
                let bytes = before.map(|mut b| {
                    b.truncate(B::PAGE << handle.order().get());
                    b
                });
                s.put(handle, Stored { order: handle.order(), bytes, block: None });
                s.counts.saved += handle.pages().get();
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
        let stored = s.stored.get(&key(handle)).unwrap_or_else(|| panic!("nobody stored {handle:?}"));
        assert!(bytes.is_none() || bytes == stored.bytes, "{handle:?} was loaded with other bytes");
        s.counts.loaded += handle.pages().get();
        Ok(())
    }

    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        let (pfn, order) = (block.pfn(), block.order());
        let bytes = self.world.bytes(&block, 0, block.bytes());
        self.world.lock().hand(pfn, order, Owner::Pool, Owner::Store);
        match self.inner.transfer(block) {
            Ok(handle) => {
                assert_eq!(handle.order(), order, "a transfer is never short");
                assert!(self.inner.owns(&handle));
                let mut s = self.world.lock();
                s.put(&handle, Stored { order, bytes, block: Some(pfn) });
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
                s.counts.taken_back += block.pages().get();
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
                let Stored { order, bytes, block } = s.take(whole);
                let half = order.lower().expect("a single page was split");
                let (mut low, mut high) = (None, None);
                if let Some(mut all) = bytes {
                    high = Some(all.split_off(all.len() / 2));
                    low = Some(all);
                }
                let moved = block.map(|b| Pfn::new(b.get() + half.pages().get()));
                s.put(&lower, Stored { order: half, bytes: low, block });
                s.put(&upper, Stored { order: half, bytes: high, block: moved });
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
                s.counts.uncovered += block.pages().get();
                s.measure();
                Ok(Some(block))
            }
            Ok(None) => Ok(None),
            Err(refused) => {
                panic!("{:?} was stored, and its discard is refused: {}", refused.item, refused.why)
            }
        }
    }

    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(B)) -> Settled {
        let mut freed = Pages::ZERO;
        let settled = self.inner.settle(budget, cx, &mut |block: B| {
            freed += block.pages();
            self.gave_home(&block);
            home(block);
        });
        assert_eq!(settled.freed, freed, "what settle counts as freed is what it gave home");
        settled
    }
}
