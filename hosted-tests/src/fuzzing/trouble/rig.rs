//! A machine that runs, step by step, and what is true after each.

use super::acts::{Act, Machine, Mode, Step, TILES};
use super::script::{Caller, OnPurpose, Script};
use super::tiles::{Found, ROM, Tile};
use super::{Home, Told};
use crate::World;
use crate::fuzzing::buffers::{self, Guard, Room};
use crate::fuzzing::index::{self, Index};
use crate::fuzzing::ops::{Asked, Indexing, Kind, Over, Shape, budget, context, methods, mode, order};
use crate::fuzzing::platform::SMALL;
use crate::fuzzing::trail::{Quiet, Trail};
use crate::fuzzing::{Swap, pages};
use forebay::{
    AccessError, AllocRequest, BackingStore, Buffer, Caching, Candidates, Context, Evictable, FrameSource,
    Order, Outcome, OwnedBlock, Pages, Platform, Zones,
    frame::DmaAddr,
    pool::{Pool, PooledBlock},
    reclaim::Clock,
    stats::Refusals,
    sync::NoopRawMutex,
};
use forebay_backends::{Ram, Region, Rom};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Pages that one panic costs at most: the largest block, which was in hand.
const IN_HAND: Pages = Pages::new(16);
/// Blocks held at a time.
const HELD: usize = 6;

/// What there is besides the forebay.
#[derive(Clone, Copy)]
pub(super) struct Around<'r, 's> {
    pub(super) mode: Mode,
    pub(super) script: &'s Script,
    pub(super) world: &'s World,
    pub(super) ram: &'s Ram<NoopRawMutex, SMALL, 2>,
    pub(super) regions: &'r [Swap<Told<'s>, SMALL>],
    /// ROM, if it is in the store.
    pub(super) rom: Option<&'r Rom<'r, SMALL>>,
    pub(super) index: &'r Index,
}

pub(super) struct Rig<'h, 'r, 's> {
    home: &'h Home<'r, 's>,
    around: Around<'r, 's>,
    held: Vec<PooledBlock<Told<'s>, Caching>>,
    /// Buffers that may be damaged by what went wrong in an operation on many, and were not found yet.
    unfound: Cell<usize>,
    /// Pages of handles that panics may have cost.
    lost: Pages,
    /// Pages of ROM that were attached.
    rom_used: Cell<usize>,
    total: Pages,
}

impl<'h, 'r, 's> Rig<'h, 'r, 's> {
    pub(super) fn new(home: &'h Home<'r, 's>, around: Around<'r, 's>) -> Self {
        let total = around.ram.unused();
        Rig {
            home,
            around,
            held: Vec::new(),
            unfound: Cell::new(0),
            lost: Pages::ZERO,
            rom_used: Cell::new(0),
            total,
        }
    }

    pub(super) fn run(self, machine: &Machine, steps: &[Step]) {
        let mut trail = Trail::new(machine, steps);
        let mut me = Quiet::new(self);
        let (home, index) = (me.home, me.around.index);
        // A buffer that is made again needs slots of its own.
        let mut rooms = [const { Room::EMPTY }; 2 * TILES];
        let mut spare = rooms.iter_mut();
        let mut make = |shape: Shape, zones, id| {
            let buffer = buffers::make(home, shape, id, zones, index, &mut spare)?;
            Some(Tile::new(buffer, shape, zones, SMALL))
        };
        let made =
            machine.tiles().into_iter().zip(0..).filter_map(|((shape, zones), id)| make(shape, zones, id));
        let mut tiles = Quiet::new(made.collect::<Vec<_>>());
        for step in steps {
            match step.act {
                Act::Recreate { tile } => {
                    let at = usize::from(tile) % TILES;
                    let (shape, zones, id) = (tiles[at].shape, tiles[at].zones, tiles[at].id.0);
                    if let Some(new) = make(shape, zones, id) {
                        tiles[at] = new;
                    }
                }
                _ => me.step(step, &mut tiles),
            }
            me.check(&tiles);
            trail.at += 1;
        }
        me.take_down(tiles);
    }

    /// One operation, and what went wrong in it.
    fn step(&mut self, step: &Step, tiles: &mut [Tile<'_>]) {
        let Around { script, mode, .. } = self.around;
        let (dropped, leaked) = (script.dropped(), self.home.stats().leaked);
        script.begin(step.due(mode));
        let ended = catch_unwind(AssertUnwindSafe(|| self.act(step.act, tiles)));
        let fired = script.fired();
        script.begin(None);
        match ended {
            Err(why) if !why.is::<OnPurpose>() => resume_unwind(why),
            Err(_) => self.lost += IN_HAND,
            Ok(()) => {}
        }
        if fired {
            match step.act.tile() {
                Some(at) => tiles[at].is_hit(mode),
                None => self.unfound.set(self.unfound.get() + usize::from(step.act.may_touch_any())),
            }
        }
        let (lost, leaked) = (script.dropped() - dropped, self.home.stats().leaked - leaked);
        let most = if fired && mode == Mode::Panics { leaked + IN_HAND } else { leaked };
        assert!(lost <= most, "{lost} pages were dropped, {most} may be");
    }

    fn act(&mut self, act: Act, tiles: &mut [Tile<'_>]) {
        let home = self.home;
        let of = |n: u8| usize::from(n) % TILES;
        match act {
            Act::Read { tile, cx } => {
                let tile = &tiles[of(tile)];
                let result = tile.buffer.read(context(cx));
                drop(self.opened(tile, result));
            }
            Act::Write { tile, at, len, byte, cx } => {
                let tile = &tiles[of(tile)];
                let result = tile.buffer.write(context(cx));
                if let Some(guard) = self.opened(tile, result) {
                    self.write(tile, guard, usize::from(at), usize::from(len) % 2100, byte);
                }
            }
            Act::Evict { tile, budget: b, how, cx } => {
                let tile = &tiles[of(tile)];
                assert!(tile.buffer.evict(budget(b), methods(how), context(cx)).is_ok(), "no guard is alive");
                tile.catch_up();
            }
            Act::EvictMut { tile, budget: b, how, cx } => {
                let tile = &mut tiles[of(tile)];
                let _ = tile.buffer.evict_mut(budget(b), methods(how), context(cx));
                tile.catch_up();
            }
            Act::Restore { tile, budget: b, cx } => {
                let _ = tiles[of(tile)].buffer.restore(budget(b), context(cx)).total();
            }
            Act::Populate { tile, budget: b, cx } => {
                let _ = tiles[of(tile)].buffer.populate(budget(b), context(cx)).total();
            }
            Act::Purge { tile } => {
                let tile = &tiles[of(tile)];
                if tile.buffer.purge(Context::THREAD).is_ok() && !self.around.script.fired() {
                    tile.is_empty_now();
                }
            }
            Act::SetPurgeable { tile, yes } => tiles[of(tile)].set_purgeable(yes),
            Act::DiscardCopies { tile } => {
                assert!(tiles[of(tile)].buffer.discard_copies().is_ok(), "no guard is alive");
            }
            Act::Attach { tile, at, order: o, rom } => self.attach(&tiles[of(tile)], at, order(o % 4), rom),
            Act::Recreate { .. } => {}
            Act::Reclaim { want, how, cx } => self.reclaim(Asked::of(want, how, cx), tiles),
            Act::Settle { budget: b, cx } => drop(home.settle(budget(b), context(cx)).to_string()),
            Act::WriteOut { region, bytes } => self.write_out(region, usize::from(bytes)),
            Act::Trim { pages } => drop(home.pool().trim(Zones::ALL, budget(pages), Context::THREAD)),
            Act::Take { order: o, mode: m, cx } if self.held.len() < HELD => {
                if let Ok(block) =
                    Pool::take(home.pool(), AllocRequest::new(order(o % 5)), mode(m), context(cx))
                {
                    self.held.push(block);
                }
            }
            Act::Put { which } if !self.held.is_empty() => {
                let block = self.held.swap_remove(usize::from(which) % self.held.len());
                if let Err(refused) = home.pool().put(block, Context::THREAD) {
                    self.held.push(refused.item);
                }
            }
            Act::Look => self.look(tiles),
            Act::Show => self.show(),
            Act::Take { .. } | Act::Put { .. } => {}
        }
    }

    /// Everything as text, and what it counts.
    fn show(&self) {
        let Around { ram, regions, .. } = self.around;
        let home = AsRef::as_ref(self.home);
        let refused: u32 = Refusals::iter(&home.stats().refusals).map(|(_, times)| times).sum();
        let text = format!("{home} {:?} {refused} {}", home.pool(), home.stats());
        assert!(!text.is_empty());
        for list in home.pool().lists() {
            assert_eq!(Order::for_pages(list.order.pages()), Some(list.order));
            assert_eq!(Order::new(Order::get(list.order)), Some(list.order));
        }
        assert!(Ram::unused(ram) <= Ram::total(ram), "more than there is");
        for region in regions {
            assert!(region.pending() <= Region::total(region), "more than there is");
            let at = DmaAddr::new(Pages::get(region.total()) as u64);
            assert_eq!(at.map(DmaAddr::get), Some(Pages::get(region.total()) as u64));
        }
    }

    /// A guard, compared with what is known; or nothing, for a good reason.
    fn opened<'g>(&self, tile: &Tile<'_>, result: Result<Guard<'g>, AccessError>) -> Option<Guard<'g>> {
        let Around { script, mode, .. } = self.around;
        let fired = script.fired();
        match result {
            Ok(guard) => {
                // Once through blocks that may panic or lie, and then the truth.
                let mut bytes = vec![0; tile.shape.pages() * SMALL + 1];
                let read = guard.look().read_at(0, &mut bytes);
                assert!(read <= bytes.len(), "{read} bytes of {}", bytes.len() - 1);
                if script.fired() {
                    tile.is_hit(mode);
                }
                script.by(Caller::Oracle, || self.look_at(tile, &guard));
                Some(guard)
            }
            Err(AccessError::Lost) => {
                let hit = fired || !tile.is_sound.get() || self.is_found();
                assert!(hit, "{:?} is lost, and nothing went wrong", tile.id);
                if !fired {
                    script.by(Caller::Oracle, || tile.purge());
                }
                None
            }
            Err(AccessError::Alloc(_) | AccessError::Context) => None,
            Err(why) => {
                let hit = fired || !tile.is_known.get() || mode == Mode::Lies && self.is_found();
                if hit && !tile.is_known.get() {
                    return None;
                }
                assert!(hit, "{:?}: {why:?}, and nothing went wrong", tile.id);
                tile.is_hit(mode);
                None
            }
        }
    }

    /// Whether a buffer may be one of those that are damaged and were not found. One less is left.
    fn is_found(&self) -> bool {
        let left = self.unfound.get().checked_sub(1);
        self.unfound.set(left.unwrap_or(0));
        left.is_some()
    }

    /// All that a guard shows, without trouble.
    fn look_at(&self, tile: &Tile<'_>, guard: &Guard<'_>) {
        let (bytes, look) = (tile.shape.pages() * SMALL, guard.look());
        let is_whole = (look.sync(3..bytes - 7), look.block_bytes()) == ([bytes - 10; 2], bytes);
        let found = tile.compare(guard);
        if !tile.is_known.get() || is_whole && found == Found::Right {
            return;
        }
        let hit = self.around.mode == Mode::Lies && self.is_found();
        assert!(hit, "{:?} has holes, or other bytes: {found:?}", tile.id);
        tile.is_hit(self.around.mode);
    }

    fn write(&self, tile: &Tile<'_>, mut guard: Guard<'_>, at: usize, len: usize, byte: u8) {
        let bytes = tile.pattern(len, byte);
        let at = at % (tile.shape.pages() * SMALL + 9);
        tile.may_have(at, &bytes);
        if let Guard::Write(guard) = &mut guard {
            let written = guard.write_at(at, &bytes);
            assert!(written <= bytes.len());
        }
        tile.has_now();
        if self.around.script.fired() {
            tile.is_hit(self.around.mode);
        }
        self.around.script.by(Caller::Oracle, || self.look_at(tile, &guard));
    }

    /// Begins a buffer with contents of ROM, or of a block that a store took.
    fn attach(&self, tile: &Tile<'_>, at: u8, order: Order, rom: bool) {
        let Around { script, rom: memory, .. } = self.around;
        let store = self.home.store();
        let (handle, bytes) = if rom {
            // No page of it has two handles: the oracle knows contents by their handles.
            let first = self.rom_used.get().next_multiple_of(order.pages().get());
            let Some(handle) = memory.and_then(|rom| rom.handle(pages(first), order)) else { return };
            self.rom_used.set(first + order.pages().get());
            let bytes = vec![ROM[0]; SMALL << order.get()];
            store.inner().was_there(&handle, &bytes);
            (handle, bytes)
        } else {
            let source = self.home.platform().source();
            let Ok(mut block) = source.allocate(AllocRequest::new(order), Context::THREAD) else { return };
            let bytes = tile.pattern(SMALL << script.by(Caller::Oracle, || block.order()).get(), at);
            script.by(Caller::Oracle, || block.write_at(0, &bytes));
            match store.transfer(block, None) {
                Ok(handle) => (handle, bytes),
                Err(refused) => return source.free(refused.item),
            }
        };
        let slot = usize::from(at) % tile.shape.slots().unwrap_or(1);
        match tile.buffer.attach_stored(slot, handle, Context::THREAD) {
            Ok(()) => tile.has(slot * (SMALL << tile.shape.unit().get()), &bytes),
            Err(refused) => {
                if let Ok(Some(block)) = store.discard(refused.item) {
                    self.home.platform().source().free(block);
                }
            }
        }
    }

    fn reclaim(&self, asked: Asked, tiles: &[Tile<'_>]) {
        let each: Vec<&dyn Evictable> = tiles.iter().map(|tile| &*tile.buffer as &dyn Evictable).collect();
        match asked.over {
            Over::Slice if asked.extra & 16 == 0 => self.reclaim_from(&asked, &each[..], tiles),
            Over::Slice => self.reclaim_from(&asked, &Clock::new(&each[..]), tiles),
            Over::Tuple => {
                self.reclaim_from(&asked, &each.split_at(usize::from(asked.extra) % (TILES + 1)), tiles)
            }
            Over::Index => {
                let Around { index, .. } = self.around;
                let blank = Buffer::new(&index.nowhere, Order::PAGE);
                let indexed = tiles.iter().filter(|tile| tile.shape.indexing() != Indexing::No);
                let entries = indexed.map(|tile| (index.entry(tile.id.0), &*tile.buffer));
                let all = index::in_order(entries, &blank);
                self.reclaim_from(&asked, &index.index.candidates(&all), tiles);
            }
        }
        tiles.iter().for_each(Tile::catch_up);
    }

    fn reclaim_from(&self, asked: &Asked, over: &(impl Candidates + ?Sized), tiles: &[Tile<'_>]) {
        let Around { script, world, .. } = self.around;
        let Asked { kind, how, cx, .. } = *asked;
        let reclaim = || match kind {
            Kind::KeepFree => self.home.keep_free(over, asked.pages, how, cx).unwrap_or_default(),
            _ => self.home.reclaim(over, asked.target(), how, cx),
        };
        if kind == Kind::OrReclaim {
            let tile = &tiles[usize::from(asked.extra) % TILES];
            let attempt = || tile.buffer.read(cx);
            let result = self.home.or_reclaim(over, asked.target(), how, cx, attempt);
            // Nothing is compared: it is not known which buffer was hit.
            drop(result);
            return;
        }
        let report = reclaim();
        drop(report.to_string());
        if report.outcome == Outcome::Nothing && self.is_honest(tiles) {
            let out = world.frames_out();
            let again = reclaim();
            let nothing = (again.evicted.moved(), again.gained, again.outcome)
                == (Pages::ZERO, Pages::ZERO, Outcome::Nothing);
            assert!(script.fired() || nothing, "there was nothing: {again:?} for {asked:?}");
            assert!(
                script.fired() || world.frames_out() == out,
                "frames were returned: {again:?} for {asked:?}"
            );
        }
    }

    /// Nothing went wrong yet that may still matter.
    fn is_honest(&self, tiles: &[Tile<'_>]) -> bool {
        let sound = tiles.iter().all(|tile| tile.is_sound.get() && tile.is_known.get());
        sound && self.unfound.get() == 0 && !self.around.script.fired()
    }

    fn write_out(&self, which: u8, bytes: usize) {
        let Around { script, regions, .. } = self.around;
        let Some(region) = regions.get(usize::from(which) % regions.len().max(1)) else { return };
        let home = self.home;
        let mut back = |block: Told<'s>| {
            script.by(Caller::Oracle, || home.store().inner().note_settled(&block));
            script.by(Caller::Forebay, || home.free_settled(block));
        };
        script.by(Caller::Store, || region.write_out_now(bytes, &mut back));
    }

    /// Compares every byte of every buffer that can be read.
    fn look(&self, tiles: &[Tile<'_>]) {
        let mut all = true;
        for tile in tiles {
            let result = tile.buffer.read(Context::THREAD);
            all &= result.is_ok() || result.as_ref().err() == Some(&AccessError::Lost);
            drop(self.opened(tile, result));
        }
        if all {
            self.unfound.set(0);
        }
    }

    /// What is true after every operation.
    fn check(&self, tiles: &[Tile<'_>]) {
        let Around { script, world, regions, mode, .. } = self.around;
        tiles.iter().for_each(Tile::catch_up);
        let sound = self.is_honest(tiles);
        let (mut resident, mut stored) = (Pages::ZERO, Pages::ZERO);
        for tile in tiles {
            let Ok(is) = tile.buffer.residency() else { panic!("{:?} is busy without a guard", tile.id) };
            assert!(is.clean <= is.resident || !tile.is_known.get(), "{:?}: {is:?}", tile.id);
            resident += is.resident;
            stored += is.stored + is.clean;
        }
        let held: Pages = self.held.iter().map(|block| block.order().pages()).sum();
        let pending: Pages = regions.iter().map(|region| region.pending()).sum();
        let ready = self.home.pool().ready(Zones::ALL);
        let known = ready + held + pending + self.home.store().keeps() + script.dropped();
        let out = world.frames_out();
        assert!(known <= out, "{known} pages are accounted for, but only {out} are out of the source");
        if sound {
            assert_eq!(known + resident, out, "pages out of the source, by where they are");
        }
        if sound && mode == Mode::Panics {
            assert!(stored <= world.stored(), "{stored} pages have handles, {} are stored", world.stored());
            assert!(
                world.stored() <= stored + self.lost,
                "{} pages are stored, {stored} have handles",
                world.stored()
            );
        }
    }

    /// Returns everything; every byte of every buffer compared once more.
    fn take_down(&mut self, mut tiles: Quiet<Vec<Tile<'_>>>) {
        let Around { script, world, ram, regions, mode, .. } = self.around;
        script.begin(None);
        self.home.store().give_back();
        for block in self.held.drain(..) {
            assert!(self.home.pool().put(block, Context::THREAD).is_ok(), "a mode is refused for no reason");
        }
        for n in 0..TILES {
            let tile = &tiles[n];
            let result = tile.buffer.read(Context::THREAD);
            drop(self.opened(tile, result));
            tile.purge();
        }
        self.check(&tiles);
        tiles.clear();
        for region in regions {
            self.home.settle(Pages::MAX, Context::THREAD);
            assert_eq!(region.pending(), Pages::ZERO, "a settle left something");
        }
        self.home.store().give_back();
        self.home.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
        assert_eq!(self.home.pool().ready(Zones::ALL), Pages::ZERO);
        assert_eq!(world.frames_out(), script.dropped(), "frames that were never returned");
        assert_eq!(ram.unused() + script.dropped(), self.total, "frames of the source are missing");
        let most = if mode == Mode::Panics { self.lost } else { Pages::ZERO };
        assert!(world.stored() <= most, "{} pages of contents are in no buffer", world.stored());
    }
}
