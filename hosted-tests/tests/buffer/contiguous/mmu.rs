//! Scattered blocks, which a platform maps side by side.
#![allow(unsafe_code)]

use forebay_backends::*;
use hosted_tests::conformance::{self, platform::Joins};
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a page of the kernel, or some of them.
const FRAME: usize = 4096;

type Block = RamBlock<FRAME>;

/// What is mapped at one range of addresses.
struct View {
    id: BufferId,
    /// Each page of the range.
    frames: Vec<usize>,
    at: NonNull<u8>,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for View {}

impl View {
    fn bytes(&self) -> usize {
        self.frames.len() * FRAME
    }
}

impl Drop for View {
    /// The caller knows that no slice of it is left.
    fn drop(&mut self) {
        // SAFETY: mapped by `Mmu::map`, this long.
        assert_eq!(unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes()) }, 0);
    }
}

/// A machine whose RAM is a memfd, mapped once from end to end, and in views.
///
/// # Invariants
/// Each page of a view is the page of RAM that `frames` says. A view stays as it is until one of its blocks is borrowed
/// exclusively or owned. A slice of it borrows all of them, so there is none by then.
struct Mmu {
    ram: Ram<SpinRawMutex, FRAME>,
    memfd: OwnedFd,
    /// The number of its first frame.
    first: usize,
    views: Mutex<Vec<View>>,
}

impl Mmu {
    fn new(pages: usize) -> Self {
        let bytes = pages * FRAME;
        // SAFETY: a new file of our own, so long, and all of it mapped anew, for ever: zeros that nothing else has.
        let (memfd, window) = unsafe {
            let memfd = OwnedFd::from_raw_fd(libc::memfd_create(c"ram".as_ptr(), libc::MFD_CLOEXEC));
            assert_eq!(libc::ftruncate(memfd.as_raw_fd(), bytes as libc::off_t), 0);
            let at = Mmu::window(&memfd, null_mut(), 0, bytes).unwrap();
            (memfd, std::slice::from_raw_parts_mut(at.as_ptr(), bytes))
        };
        let first = window.as_ptr().addr() / FRAME;
        let ram = Ram::new();
        ram.add(window, memory::words(Ram::<SpinRawMutex, FRAME>::metadata_words(bytes))).unwrap();
        Mmu { ram, memfd, first, views: Mutex::default() }
    }

    /// # Safety
    /// What is mapped at `at`, unless that is null, is the caller's, and is used no more.
    unsafe fn window(memfd: &OwnedFd, at: *mut u8, offset: usize, bytes: usize) -> Option<NonNull<u8>> {
        let fixed = if at.is_null() { 0 } else { libc::MAP_FIXED };
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | fixed);
        // SAFETY: the caller's promise.
        let at =
            unsafe { libc::mmap(at.cast(), bytes, access, flags, memfd.as_raw_fd(), offset as libc::off_t) };
        NonNull::new(at.cast::<u8>()).filter(|at| at.as_ptr().cast() != libc::MAP_FAILED)
    }

    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner) // one panic is enough
    }

    /// These pages side by side: the view that there is, or a new one.
    fn view(&self, id: BufferId, frames: Vec<usize>, cx: Context) -> Option<NonNull<[u8]>> {
        let mut views = self.views();
        let (at, bytes) = match views.iter().find(|view| view.frames == frames) {
            Some(view) => (view.at, view.bytes()),
            None if !cx.contains(Context::MAY_BLOCK) => return None,
            None => {
                let view = self.map(id, frames)?;
                views.push(view);
                views.last().map(|view| (view.at, view.bytes()))?
            }
        };
        Some(NonNull::slice_from_raw_parts(at, bytes))
    }

    fn map(&self, id: BufferId, frames: Vec<usize>) -> Option<View> {
        // SAFETY: a new range of addresses; nothing uses what is mapped there first.
        let at = unsafe { Mmu::window(&self.memfd, null_mut(), 0, frames.len() * FRAME) }?;
        let view = View { id, frames, at };
        for (n, frame) in view.frames.iter().enumerate() {
            // SAFETY: a page of that range.
            unsafe {
                let page = view.at.add(n * FRAME).as_ptr();
                Mmu::window(&self.memfd, page, (frame - self.first) * FRAME, FRAME)?;
            }
        }
        Some(view)
    }

    /// Ends each view that has a page of these blocks, which the caller has exclusively.
    fn end<'b>(&self, blocks: impl Iterator<Item = &'b mut Block>) {
        let gone: Vec<_> = blocks.flat_map(|block| frames(block)).collect();
        self.views().retain(|view| !view.frames.iter().any(|frame| gone.contains(frame)));
    }
}

fn frames(block: &Block) -> std::ops::Range<usize> {
    block.pfn().0..block.pfn().0 + block.order().pages().get()
}

impl FrameSource for Mmu {
    type Block = Block;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.ram.allocate(request, cx)
    }
    fn free(&self, mut block: Block) {
        self.end(std::iter::once(&mut block)); // of a buffer that was dropped while the hook refused
        self.ram.free(block);
    }
    fn join(&self, left: Block, right: Block) -> Result<Block, (Block, Block)> {
        self.ram.join(left, right)
    }
}

impl LinearMap<Block, ()> for Mmu {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        (): (),
        blocks: impl Iterator<Item = &'b Block>,
        cx: Context,
    ) -> Option<&'b [u8]> {
        let bytes = self.view(id, blocks.flat_map(frames).collect(), cx)?;
        // SAFETY: these pages are those of blocks that are borrowed so long, and the view stays so long; its invariant.
        Some(unsafe { bytes.as_ref() })
    }
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        (): (),
        blocks: impl Iterator<Item = &'b mut Block>,
        cx: Context,
    ) -> Option<&'b mut [u8]> {
        let mut bytes = self.view(id, blocks.flat_map(|block| frames(block)).collect(), cx)?;
        // SAFETY: as above, and exclusively.
        Some(unsafe { bytes.as_mut() })
    }
}

impl EvictHooks<Block> for Mmu {
    /// Ends the mappings of these blocks. Where one of that buffer is left, no block shows that no slice is in use.
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut Block>,
        _: Context,
    ) -> Result<(), Busy> {
        self.end(blocks);
        if self.views().iter().any(|view| view.id == id) { Err(Busy) } else { Ok(()) }
    }
}

impl CachingControl<Block> for Mmu {
    type Mode = ();
    fn set_mode(&self, _: &mut Block, (): (), (): (), _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

impl DmaMap<Block> for Mmu {}
impl Accounting for Mmu {}

type Far = Region<SpinRawMutex, Block, FRAME, 16>;
type Store<'w> = Scripted<&'w Far, Block>;

fn far() -> Far {
    let (far, bytes) = (Far::new(StoreId::DEFAULT), 16 * FRAME);
    far.init(memory::leak(bytes, 0), memory::words(Far::metadata_words(bytes))).unwrap();
    far
}

/// Takes pages so that only every other one is free: those from `odd` on.
fn scatter(mmu: &Mmu, odd: usize) -> Vec<Option<Block>> {
    let mut all: Vec<_> =
        std::iter::from_fn(|| mmu.ram.allocate(AllocRequest::new(Order::PAGE), CX).ok()).map(Some).collect();
    all.sort_by_key(|block| block.as_ref().map(OwnedBlock::pfn));
    all.iter_mut().skip(odd).step_by(2).filter_map(Option::take).for_each(|block| mmu.ram.free(block));
    all
}

/// Rule: what a platform maps side by side is one slice, the same for all readers, and for a writer after them. It ends
/// before anything moves, and the next guard gets one of wherever the blocks are by then.
#[test]
fn scattered_blocks_are_one_slice() {
    let (world, mmu, far) = (World::new(Contents::Compared), AllPorts(Mmu::new(32)), far());
    let home = &forebay(&mmu, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_id(BufferId(5));
    for (seed, how) in (0..).zip(METHODS) {
        let hogged = scatter(&mmu, usize::from(seed % 2));
        fill(&buffer, seed);
        let guards = [(); 2].map(|()| buffer.read().unwrap());
        assert_eq!((guards[0].blocks().count(), guards[0].contiguous(Context::INTERRUPT)), (8, None));
        let seen = std::thread::scope(|s| {
            let readers = guards.each_ref().map(|guard| s.spawn(|| guard.contiguous(CX).unwrap()));
            readers.map(|reader| reader.join().unwrap())
        });
        assert!(seen[0] == pattern(seed, 8 * FRAME));
        assert_eq!((seen[0].as_ptr(), mmu.views().len()), (seen[1].as_ptr(), 1));
        let at = seen[0].as_ptr();
        drop(guards);
        let mut guard = buffer.write().unwrap();
        let bytes = guard.contiguous_mut(Context::INTERRUPT).unwrap();
        assert_eq!(bytes.as_ptr(), at, "it is mapped already");
        bytes.copy_from_slice(&pattern(!seed, 8 * FRAME));
        drop(guard);
        check(&buffer, !seed);
        buffer.evict(pages(1), how, CX).unwrap();
        assert_eq!(mmu.views().len(), 0, "something left, and all of it was mapped");
        buffer.evict(ALL, how, CX).unwrap();
        home.settle(ALL, CX);
        hogged.into_iter().flatten().for_each(|block| mmu.ram.free(block));
        let hogged = scatter(&mmu, usize::from((seed + 1) % 2));
        let guard = buffer.read().unwrap();
        assert!(guard.contiguous(CX).unwrap() == pattern(!seed, 8 * FRAME));
        drop(guard);
        buffer.purge(CX).unwrap();
        assert_eq!(mmu.views().len(), 0, "it was purged while it was mapped");
        hogged.into_iter().flatten().for_each(|block| mmu.ram.free(block));
    }
    fill(&buffer, 1);
    assert!(buffer.read().unwrap().contiguous(CX).is_some());
    drop(buffer);
    assert_eq!(mmu.views().len(), 0, "it was dropped while it was mapped");
    world.assert_empty();
}

/// Rule: it follows the rules of every platform.
#[test]
fn a_machine_with_an_mmu_is_a_platform() {
    conformance::platform::suite(&AllPorts(Mmu::new(32)), &AllPorts(Mmu::new(8)), Joins::Always);
}

/// Rule: if nothing moves after all, what is mapped next is what there was.
#[test]
fn a_refused_eviction_costs_the_mapping_only() {
    let (world, mmu, far) = (World::new(Contents::Compared), AllPorts(Mmu::new(32)), far());
    let store = Store::new(&far);
    let faulty = AllPorts(Faulty::<_, SpinRawMutex>::new(&mmu));
    let layered = AllPorts(Traced::new(&faulty, |_: &Event| ()));
    let home = &forebay(layered, &store, &world);
    let hogged = scatter(&mmu, 0);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    let full = Some(StoreError::Full);
    store.answer(Script { transfer: full, save: full, ..Script::default() });
    for how in METHODS {
        let guard = buffer.read().unwrap();
        assert!(guard.contiguous(CX).unwrap() == pattern(1, 8 * FRAME));
        drop(guard);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), NONE);
        assert_eq!(mmu.views().len(), 0);
    }
    check(&buffer, 1);
    assert!(buffer.read().unwrap().contiguous(CX).is_some());
    faulty.set(Faults { kth: None, per_mille: 1000, seed: 0 });
    drop(buffer);
    assert_eq!(
        mmu.views().len(),
        0,
        "the hook refused what can't be refused, and then the blocks were freed"
    );
    hogged.into_iter().flatten().for_each(|block| mmu.ram.free(block));
    world.assert_empty();
}

/// Rule: a hook that is called without blocks ends no mapping: the platform answers that it is in use, and the slice stays
/// valid.
#[test]
fn a_mapping_outlives_a_hook_without_blocks() {
    let (mmu, far) = (AllPorts(Mmu::new(16)), far());
    let home = &Forebay::new(&mmu, &far);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    let guard = buffer.read().unwrap();
    let bytes = guard.contiguous(CX).unwrap();
    assert_eq!(mmu.before_evict(buffer.id(), &mut std::iter::empty(), CX), Err(Busy));
    assert!(bytes == pattern(1, 8 * FRAME));
}
