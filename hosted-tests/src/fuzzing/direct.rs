//! Operations on the pool, on blocks outside buffers, and on the store past the buffers.

use super::buffers::pattern;
use super::ops::{Op, budget, context, mode, order};
use super::platform::Source;
use super::rig::{Loose, Plain, Rig, bytes_of};
use super::{TRANSFERS, pages};
use forebay::{
    AllocError, AllocRequest, BackingStore, Caching, Context, FrameSource, Handle, Order, OwnedBlock, Pages,
    Platform, StoreError, StoreId, Zones, frame::Mode,
};

/// Blocks and handles held at a time, of each sort.
const HELD: usize = 6;

/// The one that a number names, out of the list.
fn pick<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(usize::from(which) % from.len()))
}

impl<S: Source, const PAGE: usize> Rig<'_, '_, S, PAGE> {
    pub(super) fn step_direct(&mut self, op: &Op) {
        match *op {
            Op::Take { most, least, mode: m, cx } if self.pooled.len() < HELD => {
                self.take(order(most % 5), order(least % 3), mode(m), context(cx));
            }
            Op::Put { which } => self.put(which),
            Op::Trim { pages } => self.trim(budget(pages)),
            Op::Unpool { which } if self.raw.len() < HELD => self.unpool(which),
            Op::Pool { which } if self.pooled.len() < HELD => {
                let Some(block) = self.take_raw(which) else { return };
                let order = block.order();
                self.free(block);
                self.take(order, order, Caching::WriteBack, Context::THREAD);
            }
            Op::Split { which } if self.raw.len() < HELD => self.split_block(which),
            Op::Join { left, right } => self.join(left, right),
            Op::Free { which } => {
                if let Some(block) = self.take_raw(which) {
                    self.free(block);
                }
            }
            Op::Scribble { which, byte } => {
                let count = self.raw.len().max(1);
                if let Some(loose) = self.raw.get_mut(usize::from(which) % count) {
                    loose.bytes = pattern(loose.bytes.len(), byte);
                    assert_eq!(loose.item.write_at(0, &loose.bytes), loose.bytes.len());
                }
            }
            Op::Transfer { which } if self.handles.len() < HELD => {
                let Some(block) = self.take_raw(which) else { return };
                match self.home.store().transfer(block, None) {
                    Ok(handle) => self.handles.push(handle),
                    Err(refused) => {
                        self.expect_store(refused.why, &[StoreError::Full, StoreError::Backlog]);
                        self.push_raw(refused.item);
                    }
                }
            }
            Op::Save { which, order: o, cx } if self.handles.len() < HELD => {
                let count = self.raw.len().max(1);
                let Some(loose) = self.raw.get(usize::from(which) % count) else { return };
                let most = order(o % 5).min(loose.item.order());
                match self.home.store().save(&loose.item, most, None, context(cx)) {
                    Ok(handle) => self.handles.push(handle),
                    Err(why) => {
                        self.expect_store(why, &[StoreError::Full, StoreError::TooLarge, StoreError::Context])
                    }
                }
                assert_eq!(bytes_of(&loose.item), loose.bytes, "a save changed the block");
            }
            Op::Load { handle, which, at, cx } => self.load(handle, which, at, context(cx)),
            Op::TakeBack { handle } if self.raw.len() < HELD => {
                let Some(handle) = pick(&mut self.handles, handle) else { return };
                let mut all = vec![StoreError::WrongKind, StoreError::Busy];
                if self.memfd.as_ref().is_some_and(|memfd| memfd.is_over(handle.order().pages())) {
                    all.push(StoreError::Limit);
                }
                match self.home.store().take_back(handle, Context::THREAD) {
                    Ok(block) => self.push_raw(block),
                    Err(refused) => {
                        self.expect_store(refused.why, &all);
                        self.handles.push(refused.item);
                    }
                }
            }
            Op::SplitHandle { handle } if self.handles.len() < HELD => {
                let Some(handle) = pick(&mut self.handles, handle) else { return };
                let all = [StoreError::WrongKind, StoreError::Busy, StoreError::TooLarge];
                match self.home.store().split(handle) {
                    Ok((lower, upper)) => self.handles.extend([lower, upper]),
                    Err(refused) => {
                        self.expect_store(refused.why, &all);
                        self.handles.push(refused.item);
                    }
                }
            }
            Op::Discard { handle } => {
                if let Some(handle) = pick(&mut self.handles, handle) {
                    self.discard(handle);
                }
            }
            Op::Export { which } => {
                let count = self.raw.len().max(1);
                let Some(loose) = self.raw.get(usize::from(which) % count) else { return };
                let Some(memfd) = &self.memfd else { return };
                if let Some(offset) = memfd.export(self.source, &loose.item) {
                    assert_eq!(Some(offset), self.source.offset(&loose.item));
                    self.hooks.export(&loose.item);
                }
            }
            Op::Alias { which, byte } => self.write_past(which, byte),
            Op::SettleMemfd { cx } => {
                let Some(memfd) = &self.memfd else { return };
                let settled = memfd.flush(context(cx));
                assert_eq!((settled.error, settled.freed), (None, Pages::ZERO));
                assert_eq!(
                    (settled.pending + settled.reclaimable).get(),
                    self.in_memfd().iter().sum::<usize>()
                );
                memfd.check_settled(context(cx), self.world, self.hooks, self.home.store());
            }
            Op::Forge { store, order, page, entry, call } => self.forge(store, order, page, entry, call),
            _ => {}
        }
    }

    /// Whether a store may say that of a good handle or block.
    fn expect_store(&self, why: StoreError, allowed: &[StoreError]) {
        let busy_for_nothing = why == StoreError::Busy && !self.engine.is_at_work();
        let always = [StoreError::Unsupported, StoreError::SameId, StoreError::Io];
        let io_for_nothing = why == StoreError::Io && self.injected() == 0;
        assert!(
            (allowed.contains(&why) || always.contains(&why)) && !busy_for_nothing && !io_for_nothing,
            "{why:?}, where {allowed:?} might be"
        );
    }

    fn push_raw(&mut self, item: Plain<S>) {
        let bytes = bytes_of(&item);
        self.raw.push(Loose { item, bytes });
    }

    /// A block outside buffers, unchanged.
    fn take_raw(&mut self, which: u8) -> Option<Plain<S>> {
        let Loose { item, bytes } = pick(&mut self.raw, which)?;
        assert_eq!(bytes_of(&item), bytes, "a block outside buffers changed");
        Some(item)
    }

    /// Takes a block of the largest order, from `most` down to `least`, that the pool has.
    fn take(&mut self, most: Order, least: Order, mode: Caching, cx: Context) {
        let (pool, injected) = (self.home.pool(), self.injected());
        let mut order = most.max(least);
        let taken = loop {
            match (pool.take(AllocRequest::new(order), mode, cx), order.lower()) {
                (Err(_), Some(lower)) if lower >= least => order = lower,
                (taken, _) => break taken,
            }
        };
        let injected = self.injected() > injected;
        match taken {
            Ok(block) => {
                assert_eq!(block.order(), order);
                assert!(format!("{block:?}").ends_with(&format!(" mode {}", mode.index())), "{block:?}");
                let bytes = bytes_of(&*block);
                assert!(bytes == vec![0; bytes.len()], "the pool gave a block that is not zeroed");
                self.pooled.push(Loose { item: block, bytes });
            }
            Err(AllocError::ModeRefused) => assert!(injected, "a mode was refused without a fault"),
            Err(_) => {
                let there = super::has_block(self.source, least, cx);
                assert!(injected || !there, "there is a block of {least:?}");
            }
        }
    }

    fn put(&mut self, which: u8) {
        let Some(Loose { item, bytes }) = pick(&mut self.pooled, which) else { return };
        assert_eq!(bytes_of(&*item), bytes, "a block outside buffers changed");
        let (was, injected) = (format!("{item:?}"), self.injected());
        if let Err(refused) = self.home.pool().put(item, Context::THREAD) {
            assert!(self.injected() > injected, "a mode was refused without a fault");
            assert_eq!(format!("{:?}", refused.item), was, "another block or mode came back");
            self.pooled.push(Loose { item: refused.item, bytes });
        }
    }

    fn trim(&self, want: Pages) {
        let pool = self.home.pool();
        let (ready, out, injected) = (pool.ready(Zones::ALL), self.world.frames_out(), self.injected());
        let done = pool.trim(Zones::ALL, want, Context::THREAD);
        assert_eq!(ready - pool.ready(Zones::ALL), done);
        assert_eq!(out - self.world.frames_out(), done);
        assert!(done >= want.min(ready) || self.injected() > injected);
    }

    /// Puts a block into the pool, and allocates one of its order from the source.
    fn unpool(&mut self, which: u8) {
        let count = self.pooled.len();
        let Some(order) = self.pooled.get(usize::from(which) % count.max(1)).map(|l| l.item.order()) else {
            return;
        };
        self.put(which);
        if self.pooled.len() == count {
            return; // its mode was refused
        }
        let injected = self.injected();
        match self.home.platform().source().allocate(AllocRequest::new(order), Context::THREAD) {
            Ok(block) => self.push_raw(block),
            Err(_) => {
                let there = super::has_block(self.source, order, Context::THREAD);
                assert!(self.injected() > injected || !there, "there is a block of {order:?}");
            }
        }
    }

    fn split_block(&mut self, which: u8) {
        let Some(block) = self.take_raw(which) else { return };
        let (pfn, order) = (block.pfn(), block.order());
        match (block.split(), order.lower()) {
            (Ok((lower, upper)), Some(half)) => {
                assert_eq!((lower.order(), upper.order()), (half, half));
                let middle = pfn.0 + half.pages().get();
                assert_eq!((lower.pfn(), upper.pfn().0), (pfn, middle));
                self.push_raw(lower);
                self.push_raw(upper);
            }
            (Ok(_), None) => panic!("half a page"),
            (Err(whole), _) => {
                assert_eq!((whole.pfn(), whole.order()), (pfn, order));
                self.push_raw(whole);
            }
        }
    }

    fn join(&mut self, left: u8, right: u8) {
        let Some(left) = self.take_raw(left) else { return };
        let Some(right) = self.take_raw(right) else { return self.push_raw(left) };
        let (pfn, order) = (left.pfn(), left.order());
        match self.home.platform().source().join(left, right) {
            Ok(both) => {
                assert_eq!((both.pfn(), both.order().lower()), (pfn, Some(order)));
                self.push_raw(both);
            }
            Err((left, right)) => {
                self.push_raw(left);
                self.push_raw(right);
            }
        }
    }

    /// A guest reads and writes a block through the other mapping.
    fn write_past(&mut self, which: u8, byte: u8) {
        let count = self.raw.len().max(1);
        let Some(loose) = self.raw.get_mut(usize::from(which) % count) else { return };
        let Some((memfd, offset)) = self.memfd.as_ref().zip(self.source.offset(&loose.item)) else { return };
        assert_eq!(memfd.read(offset, loose.bytes.len()), loose.bytes, "the mappings differ");
        loose.bytes = pattern(loose.bytes.len(), byte);
        memfd.write(offset, &loose.bytes);
        assert_eq!(bytes_of(&loose.item), loose.bytes, "the mappings differ");
    }

    fn load(&mut self, handle: u8, which: u8, at: u8, cx: Context) {
        let (handles, blocks) = (self.handles.len().max(1), self.raw.len().max(1));
        let Some(handle) = self.handles.get(usize::from(handle) % handles) else { return };
        let Some(loose) = self.raw.get_mut(usize::from(which) % blocks) else { return };
        let at = if at == u8::MAX { Pages::MAX } else { pages(usize::from(at) % 5) };
        let fits = at + handle.order().pages() <= loose.item.order().pages();
        let result = self.home.store().load(handle, &mut loose.item, at, cx);
        loose.bytes = bytes_of(&loose.item);
        match result {
            Ok(()) => assert!(fits, "{handle:?} was loaded past the end of a block"),
            Err(why) => {
                assert!(why != StoreError::TooLarge || !fits);
                let all =
                    [StoreError::WrongKind, StoreError::Busy, StoreError::TooLarge, StoreError::Context];
                self.expect_store(why, &all);
            }
        }
    }

    pub(super) fn discard(&self, handle: Handle) {
        if let Ok(Some(block)) = self.home.store().discard(handle) {
            self.free(block);
        }
    }

    /// A handle that no store gave out: refused, and it changes nothing for those that a store did. Past the oracle.
    ///
    /// One that says the same as a real one, or names the same contents in another way, can't be told from it; a
    /// store promises nothing about those, and they are left out.
    fn forge(&mut self, store: u8, forged: u8, page: u8, entry: u8, call: u8) {
        let Some(id) = StoreId::new(store % 4) else { return };
        let forged = order(forged % 12);
        let value = if entry == u8::MAX {
            Handle::VALUES - 1 - usize::from(page)
        } else if self.region_ids.contains(id.into()) {
            usize::from(page) % 48 * (TRANSFERS + 1) + usize::from(entry) % (TRANSFERS + 1)
        } else {
            usize::from(page) % if self.memfd.is_some() { 64 } else { 16 }
        };
        let per_page = if self.region_ids.contains(id.into()) { TRANSFERS + 1 } else { 1 };
        let there = self.home.store().orders(id.into(), |v| v / per_page == value / per_page);
        if there.contains(&forged.get()) {
            return;
        }
        let Some(handle) = Handle::new(id, forged, value) else { return };
        let bare = self.home.store().bare();
        match call % 4 {
            0 => assert!(bare.take_back(handle, Context::THREAD).is_err(), "a forged handle was taken back"),
            1 => assert!(bare.split(handle).is_err(), "a forged handle was split"),
            2 => assert!(bare.discard(handle).is_err(), "a forged handle was discarded"),
            _ => {
                let Some(loose) = self.raw.first_mut() else { return };
                let result = bare.load(&handle, &mut loose.item, Pages::ZERO, Context::THREAD);
                assert!(result.is_err(), "a forged handle was loaded");
                loose.bytes = bytes_of(&loose.item);
                assert_eq!(loose.bytes.len(), PAGE << loose.item.order().get());
            }
        }
    }
}
