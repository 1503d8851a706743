//! An arena with contents that are known byte by byte, watched by the oracle.

use crate::common::{ALL, CX, NONE, order, pages};
use forebay::{
    AllocRequest, BackingStore, FrameSource, Handle, Order, OwnedBlock, port::Settled, sync::SpinRawMutex,
};
use forebay_backends::Ram;
use forebay_backends::shmem::{Arena, ArenaBlock};
use hosted_tests::{Contents, Watched, World, memory};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

pub(crate) type Block = ArenaBlock<4096>;

pub(crate) const PAGE: usize = 4096;
pub(crate) const MIB: usize = 1 << 20;

/// What page `number` contains: no two are alike, and none has a zero byte at its start.
pub(crate) fn page(number: usize) -> [u8; PAGE] {
    let mut bytes = [0; PAGE];
    for (n, word) in bytes.chunks_exact_mut(8).enumerate() {
        let value = (number * PAGE / 8 + n + 1) as u64;
        word.copy_from_slice(&value.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_ne_bytes());
    }
    bytes
}

/// Writes a block whose first page has that number.
#[track_caller]
pub(crate) fn write(block: &mut impl OwnedBlock, number: usize) {
    for n in 0..block.order().pages().get() {
        assert_eq!(block.write_at(n * PAGE, &page(number + n)), PAGE, "a short block");
    }
}

/// Compares every byte of a block.
#[track_caller]
pub(crate) fn compare(block: &impl OwnedBlock, number: usize) {
    for n in 0..block.order().pages().get() {
        let mut bytes = [0xA5; PAGE];
        assert_eq!(block.read_at(n * PAGE, &mut bytes), PAGE, "a short block");
        assert!(bytes == page(number + n), "page {} has other bytes than were written", number + n);
    }
}

/// Plain memory of `pages` pages.
pub(crate) fn ram(pages: usize) -> Ram<SpinRawMutex, PAGE> {
    let ram = Ram::new();
    let words = memory::words(Ram::<SpinRawMutex, PAGE>::metadata_words(pages * PAGE));
    ram.add(memory::leak(pages * PAGE, 0), words).expect("good memory");
    ram
}

pub(crate) struct Goods {
    pub(crate) arena: Arena,
    world: World,
}

/// Contents while something happens to the arena: 2 MiB in blocks, 4 MiB transferred and settled.
pub(crate) struct Kept {
    resident: Vec<Block>,
    stored: Vec<Handle>,
}

impl Goods {
    /// In an arena that was just made.
    pub(crate) fn new(arena: Arena) -> Goods {
        Goods { arena, world: World::new(Contents::Compared) }
    }

    /// In an arena of 32 MiB.
    pub(crate) fn usual() -> Goods {
        Goods::new(Arena::builder(32 * MIB as u64).create().expect("nothing is in the way yet"))
    }

    pub(crate) fn watched(&self) -> Watched<'_, &Arena> {
        Watched::new(&self.arena, &self.world)
    }

    /// Blocks with `bytes` bytes in all, zeroed and then written. A block's number is that of its first page.
    #[track_caller]
    pub(crate) fn fill(&self, bytes: usize, order: Order) -> Vec<Block> {
        let count = bytes / PAGE / order.pages().get();
        (0..count).map(|n| self.fresh(n * order.pages().get(), order)).collect()
    }

    #[track_caller]
    fn fresh(&self, number: usize, order: Order) -> Block {
        let mut block = self.watched().allocate(AllocRequest::new(order), CX).expect("there is memory");
        block.zero();
        assert_zeros(&block);
        write(&mut block, number);
        block
    }

    #[track_caller]
    pub(crate) fn check(&self, blocks: &[Block]) {
        let mut number = 0;
        for block in blocks {
            compare(block, number);
            number += block.order().pages().get();
        }
    }

    #[track_caller]
    pub(crate) fn transfer_all(&self, blocks: Vec<Block>) -> Vec<Handle> {
        let store = self.watched();
        blocks
            .into_iter()
            .map(|block| store.transfer(block, None).expect("an arena takes its blocks"))
            .collect()
    }

    #[track_caller]
    pub(crate) fn take_back(&self, handles: Vec<Handle>) -> Vec<Block> {
        let store = self.watched();
        handles.into_iter().map(|handle| store.take_back(handle, CX).expect("there is room")).collect()
    }

    pub(crate) fn settle(&self) -> Settled {
        self.watched().settle(ALL, CX, &mut |_| panic!("an arena returns nothing"))
    }

    /// Everything once: a few MiB are written, transferred, settled, taken back and compared.
    #[track_caller]
    pub(crate) fn round(&self) {
        let before = self.arena.usage();
        let blocks = self.fill(3 * MIB, order(3));
        let bytes = self.arena.memory_bytes().expect("nothing is filtered");
        assert!(bytes >= 3 * MIB as u64, "{bytes} bytes of memory for 3 MiB");
        let handles = self.transfer_all(blocks);
        let settled = self.settle();
        assert_eq!(settled.error, None);
        let stored = before.reclaimable + before.pending + pages(3 * MIB / PAGE);
        assert_eq!((settled.reclaimable, settled.pending), (stored, NONE));
        let blocks = self.take_back(handles);
        self.check(&blocks);
        self.free(blocks);
    }

    pub(crate) fn free(&self, blocks: Vec<Block>) {
        blocks.into_iter().for_each(|block| self.watched().free(block));
    }

    /// Some in blocks and some transferred, in chunks of their own.
    #[track_caller]
    pub(crate) fn keep(&self) -> Kept {
        let (resident, stored) = (self.fill(2 * MIB, order(3)), self.fill(4 * MIB, order(3)));
        let stored = self.transfer_all(stored);
        let settled = self.settle();
        assert_eq!((settled.error, settled.pending), (None, NONE));
        Kept { resident, stored }
    }

    /// Every byte is there, seen in the blocks, and in the memfd. That changes nothing.
    #[track_caller]
    pub(crate) fn intact(&self, kept: &Kept) {
        self.check(&kept.resident);
        let mut number = 0;
        for handle in &kept.stored {
            for n in 0..handle.order().pages().get() {
                let bytes = self.in_memfd(handle.value() + n);
                assert!(bytes == page(number), "page {number}, which is stored, has other bytes");
                number += 1;
            }
        }
        self.world.validate();
    }

    /// A page of the memfd, read without a window.
    pub(crate) fn in_memfd(&self, number: usize) -> [u8; PAGE] {
        let memfd = fs::File::from(self.arena.as_fd().try_clone_to_owned().expect("a descriptor"));
        let mut bytes = [0xA5; PAGE];
        memfd.read_exact_at(&mut bytes, (number * PAGE) as u64).expect("the memfd is so long");
        bytes
    }

    /// Takes back, compares, frees; then nothing is in use, and the memory is the system's again.
    #[track_caller]
    pub(crate) fn free_all(&self, kept: Kept) {
        self.intact(&kept);
        let blocks = self.take_back(kept.stored);
        self.check(&blocks);
        self.free(blocks);
        self.free(kept.resident);
        self.all_returned();
    }

    #[track_caller]
    pub(crate) fn all_returned(&self) {
        let settled = self.settle();
        assert_eq!((settled.error, settled.pending, settled.reclaimable), (None, NONE, NONE));
        self.world.validate();
        self.world.assert_empty();
        empty(&self.arena);
    }

    /// The first stored block, to try something with it.
    pub(crate) fn pick(kept: &mut Kept) -> Handle {
        kept.stored.remove(0)
    }

    /// The other side of [`pick`](Goods::pick).
    pub(crate) fn put(kept: &mut Kept, handle: Handle) {
        kept.stored.insert(0, handle);
    }
}

/// Nothing is resident, stored or held, and the memfd has no memory.
#[track_caller]
pub(crate) fn empty(arena: &Arena) {
    let usage = arena.usage();
    assert_eq!((usage.resident, usage.pending, usage.reclaimable), (NONE, NONE, NONE), "{usage}");
    assert_eq!((usage.held, usage.free), (NONE, usage.total), "{usage}");
    assert_eq!(arena.memory_bytes().expect("nothing is filtered"), 0);
}

#[track_caller]
pub(crate) fn assert_zeros(block: &impl OwnedBlock) {
    let mut bytes = [0xA5; PAGE];
    for n in 0..block.order().pages().get() {
        assert_eq!(block.read_at(n * PAGE, &mut bytes), PAGE, "a short block");
        assert!(bytes == [0; PAGE], "page {n} of a zeroed block has old bytes");
    }
}

/// What a process has that an arena could leave behind: open descriptors, mappings of arenas, and bytes of addresses that
/// large mappings take.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Belongings {
    descriptors: usize,
    arenas: usize,
    addresses: u64,
}

impl Belongings {
    pub(crate) fn now() -> Belongings {
        let maps = fs::read_to_string("/proc/self/maps").expect("there is a /proc");
        let size = |line: &str| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            Some(u64::from_str_radix(to, 16).ok()? - u64::from_str_radix(from, 16).ok()?)
        };
        // Heaps and stacks of threads come and go for other reasons.
        let large = maps.lines().filter_map(size).filter(|bytes| *bytes >= 512 * MIB as u64);
        Belongings {
            descriptors: fs::read_dir("/proc/self/fd").expect("there is a /proc").count(),
            arenas: maps.matches("memfd:forebay").count(),
            addresses: large.sum(),
        }
    }
}
