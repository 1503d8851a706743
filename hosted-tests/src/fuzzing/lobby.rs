//! A forebay with a lobby, over stores that are small and sometimes fail: what was accepted is reached, whatever came before.

use super::buffers::{AnyBuffer, Guard};
use super::ops::{budget, context, methods, order};
use super::parts::{self, Parts};
use super::platform::SMALL;
use super::trail::{Quiet, Trail};
use super::{Swap, nothing_means_nothing, pages};
use crate::{Contents, Watched, World};
use arbitrary::{Arbitrary, Unstructured};
use forebay::{
    AccessError, AllocError, BackingStore, Buffer, BufferId, Context, Evict, Forebay, Pages, ReclaimTarget,
    Slot, StoreError, StoreId, sync::NoopRawMutex,
};
use forebay_backends::{Faults, Faulty, Ram, RamBlock, Tiered};

/// Pages of the lobby: as many as the largest buffer has.
const LOBBY: usize = 8;
type Near = Ram<NoopRawMutex, SMALL, 3, { LOBBY * SMALL }>;
type Block = RamBlock<SMALL>;
type Far = Swap<Block, SMALL>;
type Store<'f> = Faulty<&'f dyn BackingStore<Block>, NoopRawMutex>;
type Home<'w> = Forebay<Watched<'w, &'w Near>, Watched<'w, Store<'w>>>;

/// Operations of one input at most.
const OPERATIONS: usize = 200;

/// Everything that does not change during a run.
#[derive(Clone, Debug, Arbitrary)]
struct Machine {
    fast: u8,
    skew: u8,
    slow: [u8; 2],
    /// Two regions in a row.
    tiered: bool,
}

/// One operation. A number is taken modulo the number of buffers, pages or the like.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Act {
    Read { buffer: u8, how: u8 },
    Write { buffer: u8, byte: u8, how: u8 },
    Evict { buffer: u8, budget: u8, how: u8, cx: u8 },
    Restore { buffer: u8, budget: u8, cx: u8 },
    Populate { buffer: u8, budget: u8, cx: u8 },
    Purge { buffer: u8 },
    Purgeable { buffer: u8, is: bool },
    DiscardCopies { buffer: u8 },
    Reclaim { wanted: u8, freed: bool, how: u8, cx: u8 },
    Settle { budget: u8, cx: u8 },
    Faults { per_mille: u8, seed: u8 },
}

/// Runs the operations that the bytes describe.
///
/// # Panics
/// At the first violation, with the operations so far on standard error.
pub fn lobby(data: &[u8]) {
    let _ = many_in_a_lobby(data, OPERATIONS);
}

/// As [`lobby`], with `most` operations. Returns how many accesses were refused for lack of memory, how many made room, and how
/// many pages left by [`Forebay::transfer`].
///
/// # Panics
/// As [`lobby`].
pub fn many_in_a_lobby(data: &[u8], most: usize) -> [usize; 3] {
    let mut bytes = Unstructured::new(data);
    let Ok(machine) = bytes.arbitrary::<Machine>() else { return [0; 3] };
    let mut acts: Vec<Act> = Vec::new();
    while !bytes.is_empty() && acts.len() < most {
        let Ok(act) = bytes.arbitrary() else { break };
        acts.push(act);
    }
    let mut counts = [0; 3];
    parts::with(|parts| counts = on(&machine, &acts, parts));
    counts
}

fn on(machine: &Machine, acts: &[Act], mut parts: Parts) -> [usize; 3] {
    // The window needs a place at a multiple of its size.
    let (near, bytes) = (Near::new(), (2 * LOBBY + usize::from(machine.fast) % 12) * SMALL);
    let meta = parts.words(Near::metadata_words(bytes));
    near.add(parts.memory(bytes, usize::from(machine.skew) * SMALL / 4), meta).expect("there is a window");
    let total = near.unused();
    let regions = [StoreId::DEFAULT, StoreId::new(1).expect("below 16")].map(Far::new);
    for (region, slow) in regions.iter().zip(machine.slow) {
        let bytes = (LOBBY + usize::from(slow) % 16) * SMALL;
        let meta = parts.words(Far::metadata_words(bytes));
        region.init(parts.memory(bytes, 0), meta).expect("memory of its own");
    }
    let [first, second] = &regions;
    let both = Tiered(first, second);
    let store: &dyn BackingStore<Block> = if machine.tiered { &both } else { first };
    let room = store.space().pages;
    let world = World::new(Contents::Compared);
    let counts = {
        let home: Quiet<Home<'_>> =
            Quiet::new(Forebay::new(Watched::new(&near, &world), Watched::new(Faulty::new(store), &world)));
        let one: Vec<_> =
            (0..10).map(|n| Buffer::new(&*home, order(n % 4)).with_id(BufferId(n.into()))).collect();
        let several: Vec<_> = (10..16)
            .map(|n| Buffer::<_, [Slot<_>; LOBBY]>::inline(&*home, order(0)).with_id(BufferId(n)))
            .collect();
        let (one, several) = (Quiet::new(one), Quiet::new(several));
        let buffers: Vec<&dyn AnyBuffer> = one
            .iter()
            .map(|buffer| buffer as &dyn AnyBuffer)
            .chain(several.iter().map(|buffer| buffer as &dyn AnyBuffer))
            .collect();
        let sizes = (0..10).map(|n| SMALL << (n % 4)).chain([LOBBY * SMALL; 6]);
        let models = sizes.map(|bytes| Model { bytes: vec![0; bytes], has: Has::Nothing }).collect();
        let mut rig = Rig {
            home: &home,
            world: &world,
            buffers,
            models,
            fails: false,
            refused: 0,
            exchanged: 0,
            transferred: 0,
        };
        let mut trail = Trail::new(machine, acts);
        for act in acts {
            rig.act(act);
            world.validate();
            trail.at += 1;
        }
        rig.take_down();
        [rig.refused, rig.exchanged, rig.transferred]
    };
    assert_eq!((world.stored(), world.rooms()), (Pages::ZERO, 0), "what has room, and no buffer");
    world.assert_empty();
    assert_eq!((near.unused(), store.space().pages), (total, room));
    counts
}

/// What a buffer must read as.
struct Model {
    bytes: Vec<u8>,
    has: Has,
}

/// Whether a buffer has contents, as far as one can know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Has {
    /// Zeros, of which some may take memory.
    Nothing,
    Contents,
    /// Contents that a reclaim may drop.
    Purgeable,
}

struct Rig<'h, 'w> {
    home: &'h Home<'w>,
    world: &'w World,
    buffers: Vec<&'h dyn AnyBuffer>,
    models: Vec<Model>,
    /// Calls of the store fail now and then.
    fails: bool,
    refused: usize,
    exchanged: usize,
    transferred: usize,
}

impl<'h> Rig<'h, '_> {
    fn act(&mut self, act: &Act) {
        let of = |buffer: u8| usize::from(buffer) % self.buffers.len();
        match *act {
            Act::Read { buffer, how } => self.read(of(buffer), how),
            Act::Write { buffer, byte, how } => self.write(of(buffer), byte, how),
            Act::Evict { buffer, budget: b, how, cx } => {
                let how = methods(how) - Evict::PURGE;
                assert!(
                    self.buffers[of(buffer)].evict(budget(b), how, context(cx)).is_ok(),
                    "no guard is alive"
                );
            }
            Act::Restore { buffer, budget: b, cx } => {
                let n = of(buffer);
                let why = self.buffers[n].restore(budget(b), context(cx)).why;
                let full = why == Some(AccessError::Store(StoreError::Full));
                assert!(!full || self.fails, "buffer {n}: nothing is born by a restore, so it needs no room");
                self.expect(n, why, context(cx));
            }
            Act::Populate { buffer, budget: b, cx } => {
                let n = of(buffer);
                let why = self.buffers[n].populate(budget(b), context(cx)).why;
                self.expect(n, why, context(cx));
            }
            Act::Purge { buffer } => self.purge(of(buffer)),
            Act::Purgeable { buffer, is } => {
                let n = of(buffer);
                let there = self.buffers[n].set_purgeable(is).expect("no guard is alive");
                let model = &mut self.models[n];
                match (model.has, there) {
                    (Has::Purgeable, false) => {
                        *model = Model { bytes: vec![0; model.bytes.len()], has: Has::Nothing }
                    }
                    (Has::Contents, false) => panic!("it was dropped, and is needed"),
                    _ => {}
                }
                match (model.has, is) {
                    (Has::Nothing, _) => {}
                    (_, true) => model.has = Has::Purgeable,
                    (_, false) => model.has = Has::Contents,
                }
            }
            Act::DiscardCopies { buffer } => {
                assert!(self.buffers[of(buffer)].discard_copies().is_ok(), "no guard is alive");
            }
            Act::Reclaim { wanted, freed: false, how, cx }
                if (methods(how), context(cx)) == (Evict::TRANSFER, Context::INTERRUPT) =>
            {
                self.transfer(budget(wanted));
            }
            Act::Reclaim { wanted, freed, how, cx } => {
                let target = if freed { ReclaimTarget::freed } else { ReclaimTarget::moved };
                self.reclaim(target(budget(wanted)), methods(how), context(cx));
            }
            Act::Settle { budget: b, cx } => drop(self.home.settle(budget(b), context(cx))),
            Act::Faults { per_mille, seed } => self.set_faults(u16::from(per_mille & 3) * 150, seed),
        }
    }

    fn set_faults(&mut self, per_mille: u16, seed: u8) {
        self.fails = per_mille > 0;
        self.home.store().inner().set(Faults { kth: None, per_mille, seed: seed.into() });
    }

    /// An access as a program makes it: with room made for it, by transfers and perhaps by copies.
    fn access(
        &mut self,
        n: usize,
        how: u8,
        mut open: impl FnMut() -> Result<Guard<'h>, AccessError>,
    ) -> Option<Guard<'h>> {
        let also = [Evict::empty(), Evict::COPY | Evict::SPLIT][usize::from(how) % 2];
        let (pages, mut tries) = (pages(self.models[n].bytes.len() / SMALL), 0);
        let candidates = &self.buffers[..];
        let result = self.home.or_reclaim(candidates, pages, Evict::TRANSFER | also, Context::THREAD, || {
            tries += 1;
            open()
        });
        match result {
            Ok(guard) => {
                self.exchanged += usize::from(tries > 1);
                Some(guard)
            }
            Err(why) => {
                self.refused += 1;
                let is_short = matches!(
                    why,
                    AccessError::Store(StoreError::Full) | AccessError::Alloc(AllocError::Exhausted)
                );
                let may_fail = self.fails || (is_short && self.models[n].has == Has::Nothing);
                let may_be_gone = self.models[n].has == Has::Purgeable && is_short;
                assert!(may_fail || may_be_gone, "buffer {n} is not reached: {why:?}");
                None
            }
        }
    }

    fn read(&mut self, n: usize, how: u8) {
        let buffer = self.buffers[n];
        let Some(guard) = self.access(n, how, || buffer.read(Context::THREAD)) else { return };
        self.compare(n, &guard);
    }

    fn compare(&mut self, n: usize, guard: &Guard<'_>) {
        let model = &mut self.models[n];
        let mut bytes = vec![0x77; model.bytes.len() + 1];
        assert_eq!(guard.look().read_at(0, &mut bytes), model.bytes.len());
        bytes.pop();
        if bytes != model.bytes {
            let dropped = model.has == Has::Purgeable && bytes.iter().all(|byte| *byte == 0);
            assert!(dropped, "buffer {n} has other bytes");
            *model = Model { bytes, has: Has::Nothing };
        }
    }

    fn write(&mut self, n: usize, byte: u8, how: u8) {
        let buffer = self.buffers[n];
        let Some(guard) = self.access(n, how, || buffer.write(Context::THREAD)) else { return };
        self.compare(n, &guard);
        let Guard::Write(mut guard) = guard else { return };
        let model = &mut self.models[n];
        // A part, from a page on that depends on the byte.
        let at = usize::from(byte) * 37 % model.bytes.len();
        let new: Vec<u8> = (0..model.bytes.len() - at).map(|n| (n as u8).wrapping_mul(byte | 1)).collect();
        assert_eq!(guard.write_at(at, &new), new.len());
        model.bytes[at..].copy_from_slice(&new);
        if model.has == Has::Nothing {
            model.has = Has::Contents;
        }
        drop(guard);
        if self.models[n].has == Has::Contents {
            let _ = buffer.set_purgeable(false); // it may have been marked while it was empty
        }
    }

    /// These calls make no room: there may be no block, and no room in the store for new contents.
    fn expect(&self, n: usize, why: Option<AccessError>, cx: Context) {
        let allowed = match why {
            None | Some(AccessError::Alloc(AllocError::Exhausted)) => true,
            Some(AccessError::Context) => cx != Context::THREAD,
            Some(AccessError::Store(StoreError::Full)) => true,
            Some(_) => self.fails,
        };
        assert!(allowed, "buffer {n}: {why:?} in {cx:?}");
    }

    fn purge(&mut self, n: usize) {
        assert_eq!(self.buffers[n].purge(Context::THREAD), Ok(()));
        let model = &mut self.models[n];
        *model = Model { bytes: vec![0; model.bytes.len()], has: Has::Nothing };
        let _ = self.buffers[n].set_purgeable(false);
    }

    fn reclaim(&self, target: ReclaimTarget, how: Evict, cx: Context) {
        let reclaim = || self.home.reclaim(&self.buffers[..], target, how, cx);
        if self.fails {
            reclaim();
        } else {
            nothing_means_nothing(reclaim, &(target, how, cx));
        }
    }

    /// The pass of an interrupt. It does what it says, and no more than a block beyond what is wanted.
    fn transfer(&mut self, wanted: Pages) {
        let transfer = || {
            let before = self.home.stats().evicted;
            let moved = self.home.transfer(&self.buffers[..], wanted);
            let after = self.home.stats().evicted;
            assert_eq!(moved, after.moved() - before.moved(), "what left, as it is counted");
            assert_eq!((after.copied, after.purged), (before.copied, before.purged), "it only transfers");
            (moved, after.backlogs > before.backlogs)
        };
        let (moved, backlog) = transfer();
        let most = wanted.get().saturating_add(LOBBY - 1);
        assert!(moved.get() <= most && (wanted > Pages::ZERO || moved == Pages::ZERO), "{moved} of {wanted}");
        if !self.fails && !backlog && moved == Pages::ZERO {
            assert_eq!(transfer(), (moved, backlog), "nothing means nothing, with {wanted} wanted");
        }
        self.transferred += moved.get();
    }

    /// Reads every buffer once more: none is out of reach.
    fn take_down(&mut self) {
        self.set_faults(0, 0);
        for n in 0..self.buffers.len() {
            if self.models[n].has != Has::Nothing {
                self.read(n, n as u8);
            }
        }
        for n in 0..self.buffers.len() {
            self.purge(n);
        }
        while self.home.settle(Pages::MAX, Context::THREAD).freed > Pages::ZERO {}
        assert_eq!(self.world.frames_out(), Pages::ZERO);
    }
}
