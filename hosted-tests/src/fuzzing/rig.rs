//! A machine that runs: what the harness holds of it, what must be true after every operation, and the end.

use super::buffers::{Guard, Kept, Room};
use super::engine::Slow;
use super::index::Index;
use super::memfd::{COPIED, Inspector, OWN};
use super::ops::{Indexing, Machine, Op, Shape};
use super::platform::{Hooked, Hooks, Source};
use super::stores::Copying;
use super::trail::{Quiet, Trail};
use super::{Home, Machinery, Swap, pages, region_ids};
use crate::World;
use forebay::{
    AccessError, AllocError, BackingStore, Caching, Context, Evict, FrameSource, Handle, OwnedBlock, Pages,
    Platform, Zones,
    buffer::Residency,
    frame::Charge,
    pool::PooledBlock,
    port::{AllPorts, StoreIds},
    sync::NoopRawMutex,
};
use forebay_backends::{Faults, Faulty};

pub(super) type Plain<S> = <S as FrameSource>::Block;

/// A guard that lives on while other things happen.
pub(super) struct HeldGuard<'g> {
    pub(super) of: usize,
    pub(super) guard: Guard<'g>,
}

/// A block outside buffers, and what its bytes must be.
pub(super) struct Loose<T> {
    pub(super) item: T,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn bytes_of<B: OwnedBlock>(block: &B) -> Vec<u8> {
    let mut bytes = vec![0; OwnedBlock::bytes(block)];
    assert_eq!(block.read_at(0, &mut bytes), bytes.len());
    bytes
}

/// What knows of everything that happens.
#[derive(Clone, Copy)]
pub(super) struct Seen<'w> {
    pub(super) world: &'w World,
    pub(super) hooks: &'w Hooks,
    pub(super) index: &'w Index,
}

pub(super) struct Rig<'h, 'w, S: Source, const PAGE: usize> {
    pub(super) home: &'h Home<'w, S>,
    pub(super) world: &'w World,
    pub(super) hooks: &'w Hooks,
    pub(super) index: &'w Index,
    pub(super) source: &'w S,
    pub(super) regions: &'w [Swap<Plain<S>, PAGE>],
    pub(super) region_ids: StoreIds,
    pub(super) memfd: Option<Inspector<'w>>,
    pub(super) engine: Slow<Plain<S>, PAGE>,
    pub(super) pooled: Vec<Loose<PooledBlock<Plain<S>, Caching>>>,
    pub(super) raw: Vec<Loose<Plain<S>>>,
    pub(super) handles: Vec<Handle>,
    pub(super) splits: bool,
    total: Pages,
    pub(super) observed: bool,
    /// Whether there were faults ever.
    pub(super) faulted: bool,
    same_id: bool,
}

impl<'h, 'w, S: Source, const PAGE: usize> Rig<'h, 'w, S, PAGE> {
    pub(super) fn new(
        home: &'h Home<'w, S>,
        seen: Seen<'w>,
        source: &'w S,
        regions: &'w [Swap<Plain<S>, PAGE>],
        memfd: Option<Inspector<'w>>,
        machine: &Machine,
    ) -> Self {
        let Seen { world, hooks, index } = seen;
        Rig {
            home,
            world,
            hooks,
            index,
            source,
            regions,
            region_ids: region_ids(regions),
            memfd,
            engine: Slow::new(),
            pooled: Vec::new(),
            raw: Vec::new(),
            handles: Vec::new(),
            splits: super::splits(machine),
            total: source.unused(),
            observed: machine.observed,
            faulted: false,
            same_id: machine.same_id,
        }
    }

    pub(super) fn run(self, machine: &Machine, ops: &[Op]) {
        let mut trail = Trail::new(machine, ops);
        let mut me = Quiet::new(self);
        // A buffer that is made again needs slots of its own, since its borrow of the first ones lasts.
        let mut rooms = [const { Room::<Machinery<'w, S>>::EMPTY }; 8];
        let mut spare = rooms.iter_mut();
        let shapes: &[Shape] = machine.buffers();
        let made =
            shapes.iter().zip(0..).filter_map(|(s, id)| Kept::new(me.home, *s, id, me.index, &mut spare));
        let mut buffers = Quiet::new(made.collect::<Vec<_>>());
        while trail.at < ops.len() {
            // Guards borrow the buffers, so they go before an operation that needs a buffer alone.
            trail.at = me.run_shared(&buffers, &mut trail);
            match ops.get(trail.at) {
                Some(Op::EvictMut { buffer, budget, how, cx }) => {
                    let which = usize::from(*buffer) % buffers.len();
                    me.evict_mut(&mut buffers[which], *budget, *how, *cx);
                }
                Some(Op::Recreate { buffer }) => {
                    let which = usize::from(*buffer) % buffers.len();
                    let old = &buffers[which];
                    let (shape, id) = (old.shape, old.id);
                    if let Some(new) = Kept::new(me.home, shape, id.0, me.index, &mut spare) {
                        buffers[which] = new;
                        me.hooks.forget(id);
                    }
                }
                _ => {}
            }
            me.check(&buffers);
            trail.at += 1;
        }
        me.take_down(buffers);
    }

    /// Runs operations up to the next one that needs a buffer alone; returns its number.
    fn run_shared<'g>(&mut self, buffers: &'g [Kept<'_>], trail: &mut Trail<'_, Machine, Op>) -> usize {
        let mut guards: Quiet<Vec<HeldGuard<'g>>> = Quiet::new(Vec::new());
        while let Some(op) = trail.ops.get(trail.at) {
            if matches!(op, Op::EvictMut { .. } | Op::Recreate { .. }) {
                break;
            }
            self.step(op, buffers, &mut guards);
            self.check(buffers);
            trail.at += 1;
        }
        while !guards.is_empty() {
            self.let_go(0, buffers, &mut guards);
        }
        trail.at
    }

    /// What is true after every operation.
    fn check(&self, buffers: &[Kept<'_>]) {
        buffers.iter().for_each(Kept::catch_up);
        let store = self.home.store();
        if !store.may_have_orphans() {
            self.world.validate();
        }
        assert_eq!(
            self.regions.iter().map(|r| r.pending().get()).sum::<usize>() + store.live_pages(OWN.into()),
            store.transferred(),
            "pending is what was transferred and not given up"
        );
        if let Some(memfd) = &self.memfd {
            memfd.check(self.world, self.hooks, store);
        }
        if !self.same_id && !store.may_have_orphans() {
            for region in self.regions {
                let id = (0..16).find(|&n| {
                    forebay::StoreId::new(n).is_some_and(|id| {
                        <Swap<Plain<S>, PAGE> as BackingStore<Plain<S>>>::ids(region).contains(id.into())
                    })
                });
                let used = region.total() - region.space().pages;
                assert_eq!(used.get(), store.live_pages(id.unwrap_or(0)), "room taken in {region:?}");
            }
        }
        let held: Pages = self.pooled.iter().map(|l| l.item.order().pages()).sum();
        let raw: Pages = self.raw.iter().map(|l| l.item.order().pages()).sum();
        let ready = self.home.pool().ready(Zones::ALL);
        let known = ready + held + raw + pages(store.transferred()) + self.leaked();
        let out = self.world.frames_out();
        assert!(known <= out, "{known} pages are accounted for, but only {out} are out of the source");
        if !self.observed {
            return;
        }
        let indexed = self.index.look(); // before a closer look, which would mend it
        let (mut resident, mut stored) = (Pages::ZERO, Pages::ZERO);
        for kept in buffers {
            let all = pages(kept.shape.pages());
            let is = match kept.residency() {
                Ok(_) if kept.writer.get() => panic!("{:?} has a writer and a reader", kept.id),
                Ok(is) => is,
                Err(_) => {
                    assert!(kept.writer.get(), "{:?} is busy without a guard", kept.id);
                    Residency { resident: all, ..Residency::default() }
                }
            };
            assert!(is.clean <= is.resident && is.resident + is.stored <= all, "{:?}: {is:?}", kept.id);
            assert!(!kept.is_guarded() || is.resident == all, "{:?} is not resident under a guard", kept.id);
            if kept.shape.indexing() != Indexing::No && !kept.writer.get() {
                let missing = kept.class(is) - indexed[self.index.entry(kept.id.0)];
                assert!(missing.is_empty(), "{:?} is not indexed as {missing:?}: {is:?}", kept.id);
            }
            if kept.shape.is_full() {
                let payer = core::num::NonZeroUsize::new(kept.id.0 + 1).map(Charge); // as `Accounting` has it by default
                let (charged, contents) =
                    (payer.map(|payer| self.world.charged(payer)), is.resident + is.stored);
                assert_eq!(charged, Some(contents), "the charge for {:?}: {is:?}", kept.id);
            }
            resident += is.resident;
            stored += is.stored + is.clean;
        }
        assert_eq!(known + resident, out, "pages out of the source, by where they are");
        let loose: Pages = self.handles.iter().map(|handle| handle.order().pages()).sum();
        assert_eq!(stored + loose, self.world.stored(), "pages under handles, by where the handles are");
    }

    fn leaked(&self) -> Pages {
        self.home.stats().leaked
    }

    /// Pages of the arena under handles: those transferred, and copies.
    pub(super) fn in_memfd(&self) -> [usize; 2] {
        [OWN, COPIED].map(|id| self.home.store().live_pages(id.into()))
    }

    /// Calls so far that failed on purpose.
    pub(super) fn injected(&self) -> u32 {
        self.faulty().failed() + self.home.store().faulty().failed()
    }

    /// Where faults of the platform are set.
    pub(super) fn faulty(&self) -> &Faulty<AllPorts<Hooked<'w, S>>, NoopRawMutex> {
        self.home.platform().0.inner()
    }

    /// Returns a block to the source.
    pub(super) fn free(&self, block: Plain<S>) {
        self.home.platform().source().free(block);
    }

    /// Whether that error is possible for a guard that was asked for, `exclusive` or not, in `cx`. `injected` is
    /// the number of faults that had been injected before.
    pub(super) fn expect_pin(
        &self,
        error: AccessError,
        kept: &Kept<'_>,
        exclusive: bool,
        cx: Context,
        injected: u32,
    ) {
        use forebay::StoreError as E;
        let taken = kept.writer.get() || (exclusive && kept.readers.get() > 0);
        let injected = self.injected() > injected;
        let allowed = match error {
            AccessError::Busy => taken || injected || self.engine.is_at_work(),
            _ if taken => false,
            AccessError::Context => cx != Context::THREAD,
            AccessError::Store(E::Io | E::WrongKind) => injected,
            AccessError::Alloc(AllocError::ModeRefused) => injected,
            AccessError::MapRefused | AccessError::OverLimit => injected && kept.shape.is_full(),
            AccessError::Alloc(_) => {
                let least = if self.splits { kept.shape.unit() } else { kept.shape.largest() };
                let limited = self.memfd.as_ref().is_some_and(|m| m.is_over(kept.shape.largest().pages()));
                injected || limited || !super::has_block(self.source, least, cx)
            }
            _ => false,
        };
        assert!(allowed, "{:?}: {error:?} in {cx:?} is not what it should say", kept.id);
    }

    /// Returns everything; every byte of every buffer compared once more.
    fn take_down(&mut self, mut buffers: Quiet<Vec<Kept<'_>>>) {
        self.faulty().set(Faults::default());
        self.home.store().faulty().set(Faults::default());
        self.drain();
        assert!(!self.engine.is_at_work());
        self.world.validate();
        while let Some(handle) = self.handles.pop() {
            self.discard(handle);
        }
        while let Some(loose) = self.pooled.pop() {
            assert_eq!(bytes_of(&*loose.item), loose.bytes, "a block outside buffers changed");
            assert!(
                self.home.pool().put(loose.item, Context::THREAD).is_ok(),
                "a mode was refused without a fault"
            );
        }
        while let Some(loose) = self.raw.pop() {
            assert_eq!(bytes_of(&loose.item), loose.bytes, "a block outside buffers changed");
            self.free(loose.item);
        }
        let mut left: Vec<usize> = (0..buffers.len()).collect();
        while !left.is_empty() {
            let before = left.len();
            for way in [Evict::empty(), Evict::ANY - Evict::PURGE] {
                left.retain(|&n| !self.read_for_the_last_time(n, &buffers, way));
            }
            if left.len() == before {
                // Each holds frames that the others need, and the store is full: that is no fault.
                let n = left.remove(0);
                assert_eq!(buffers[n].purge(), Ok(()));
            }
        }
        self.check(&buffers);
        buffers.clear();
        self.home.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
        assert_eq!(self.home.pool().ready(Zones::ALL), Pages::ZERO);
        assert_eq!(self.world.frames_out(), self.leaked(), "frames that were never returned");
        if self.leaked() == Pages::ZERO {
            self.world.assert_empty();
            assert_eq!(self.source.unused(), self.total, "the source misses memory");
        }
        assert_eq!(self.world.stored(), Pages::ZERO);
    }

    /// Compares and empties a buffer, if there are frames for it; with `way`, after the others made room.
    fn read_for_the_last_time(&self, n: usize, buffers: &[Kept<'_>], way: Evict) -> bool {
        let kept = &buffers[n];
        if !way.is_empty() {
            for other in buffers {
                let _ = other.evict(Pages::MAX, way, Context::THREAD).map(|_| ());
            }
            self.home.settle(Pages::MAX, Context::THREAD);
            self.home.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
        }
        match kept.read(Context::THREAD) {
            Ok(guard) => kept.compare(&guard),
            Err(error) => {
                self.expect_pin(error, kept, false, Context::THREAD, self.injected());
                return false;
            }
        }
        assert_eq!(kept.purge(), Ok(()));
        true
    }
}

/// After everything was dropped: all room of the stores is free again.
pub(super) fn assert_nothing_left<S: Source, const PAGE: usize>(
    world: &World,
    source: &S,
    total: Pages,
    regions: &[Swap<S::Block, PAGE>],
    copying: &Copying,
) {
    if world.frames_out() == Pages::ZERO {
        assert_eq!(source.unused(), total);
    }
    for region in regions {
        assert_eq!(region.space().pages, region.total(), "room that is not free again: {region:?}");
        assert_eq!(region.pending(), Pages::ZERO);
        assert_eq!(region.space().transfers, super::TRANSFERS);
    }
    assert_eq!(copying.used(), 0, "{} bytes are still stored", copying.used() * S::Block::PAGE);
}
