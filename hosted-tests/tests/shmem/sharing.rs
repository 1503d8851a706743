//! Windows, descriptors, and memory that another party made.

use super::*;
use forebay_backends::shmem::{CreateError, Mapped, OsLock};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Rule: a block is the same bytes in every window and through the descriptor, at the offset that the arena says.
#[test]
fn everybody_sees_the_same_bytes() {
    let arena = builder(4).mappings(3).create().expect("an arena");
    let (other, _) = take(&arena, 4, 1);
    let (mut block, bytes) = take(&arena, 3, 2);
    let at = arena.export(&block).expect("it is of this arena");
    assert_eq!(arena.offset(&block), Some(at));
    assert_eq!(arena.mapping(3), None);
    let file = File::from(arena.as_fd().try_clone_to_owned().expect("a descriptor"));
    let mut seen = vec![0; block.bytes()];
    file.read_exact_at(&mut seen, at).expect("it is in the file");
    assert!(seen == bytes);
    for window in 1..3 {
        let there = arena.mapping(window).expect("there are three").cast::<u8>();
        // SAFETY: the window is mapped, and nothing writes it now.
        let first = unsafe { there.add(at as usize).read_volatile() };
        assert_eq!(first, bytes[0]);
        // SAFETY: as above.
        unsafe { there.add(at as usize + 5).write_volatile(window as u8) };
        let mut byte = [0];
        assert_eq!((block.read_at(5, &mut byte), byte[0]), (1, window as u8));
    }
    file.write_all_at(b"from outside", at + 100).expect("it is in the file");
    let mut text = [0; 12];
    block.read_at(100, &mut text);
    assert_eq!(&text, b"from outside");
    block.write_at(100, b"from  within");
    file.read_exact_at(&mut text, at + 100).expect("it is in the file");
    assert_eq!(&text, b"from  within");
    // No pages can be taken away from under the mapping.
    assert!(file.set_len(4096).is_err() && file.set_len(1 << 40).is_err());
    let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", arena.as_fd().as_raw_fd()));
    let flags = flags.expect("there is one");
    let flags =
        flags.lines().find_map(|line| line.strip_prefix("flags:")).expect("it has flags").trim().to_owned();
    assert!(u32::from_str_radix(&flags, 8).expect("octal") & libc::O_CLOEXEC as u32 != 0, "closed on exec");
    arena.free(other);
    arena.free(block);
}

/// Rule: the windows are neither in children nor in core dumps, and ask for huge pages, unless one would be larger than a
/// chunk: its memory would come with one chunk and not go with it.
#[test]
fn windows_have_their_advice() {
    let usual = Arena::builder(1 << 20).mappings(2).create().expect("an arena");
    for (arena, advice) in [(usual, "hg"), (arena(4), "nh")] {
        let huge_page = arena.host_report().huge_page_size;
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("there is one");
        for window in (0..).map_while(|number| arena.mapping(number)) {
            let heading = format!("{:x}-", window.cast::<u8>().addr());
            let mut lines = smaps.lines().skip_while(|l| !l.starts_with(&heading));
            let flags = lines.find_map(|l| l.strip_prefix("VmFlags:")).expect("the window has flags");
            let flags: Vec<_> = flags.split_whitespace().collect();
            assert!(["sh", "dc", "dd"].iter().all(|flag| flags.contains(flag)), "{flags:?}");
            assert!(huge_page.is_none() || flags.contains(&advice), "{advice}: {flags:?}");
        }
    }
}

/// Rule: an exported block never has another owner, and its memory goes with its chunk.
#[test]
fn what_was_exported_has_no_second_owner() {
    let arena = arena(2);
    let (block, _) = take(&arena, 2, 3);
    let exported = arena.export(&block).expect("it is of this arena");
    let gone = exported..exported + 4 * PAGE as u64;
    // Transferring, taking back and splitting change nothing of that.
    let handle = transferred(&arena, block);
    settles(&arena, 0, 4, 0);
    let (lower, upper) = arena.split(handle).expect("it is stored");
    let lower = arena.take_back(lower, THREAD).expect("it is stored");
    arena.free(arena.discard(upper).expect("it is stored").expect("a block"));
    assert_eq!(arena.usage().retired, Pages::new(2));
    arena.free(lower);
    assert_eq!(arena.usage().retired, Pages::new(4));
    for _ in 0..3 {
        let mut all = Vec::new();
        while let Ok(mut block) = arena.allocate(AllocRequest::new(Order::PAGE), THREAD) {
            assert!(!gone.contains(&arena.offset(&block).expect("it is of this arena")), "a second owner");
            fill(&mut block, 4);
            all.push(block);
        }
        assert_eq!(all.len(), 32 - 4);
        all.into_iter().for_each(|block| arena.free(block));
        settles(&arena, 0, 0, 0);
        assert_eq!(arena.memory_bytes().expect("a descriptor"), 0, "also that of the retired pages");
    }
}

/// Rule: it is so behind a pool too.
#[test]
fn what_was_exported_is_not_pooled() {
    let arena = arena(1);
    let home = Forebay::new(with_lists::<_, 11, 4>(&arena), &arena);
    let tile = Buffer::new(&home, order(2));
    let exported = tile.write().expect("there is room").blocks().find_map(|(_, block)| arena.export(block));
    drop(tile);
    let tile = Buffer::new(&home, order(2));
    let next = tile.write().expect("there is room").blocks().find_map(|(_, block)| arena.offset(block));
    assert_ne!(next, exported, "a second owner");
}

/// Rule: what a guest wrote into a block of a pool is zeroed before the next owner gets it from a free list.
#[test]
fn what_a_guest_wrote_is_zeroed() {
    let arena = arena(1);
    let pool = forebay::pool::Pool::new(with_lists::<_, 1, 1>(&arena));
    let block = pool.take(AllocRequest::new(Order::PAGE), (), THREAD).expect("there is room");
    let first = range(&arena, &block).cast::<u8>();
    // SAFETY: the range is mapped, and nothing else is at it.
    unsafe { first.write_volatile(7) };
    pool.put(block, THREAD).expect("there is a list");
    let block = pool.take(AllocRequest::new(Order::PAGE), (), THREAD).expect("it is in its list");
    assert_eq!(range(&arena, &block).cast::<u8>(), first);
    assert!(content(&*block).iter().all(|byte| *byte == 0), "the guest's bytes");
    pool.put(block, THREAD).expect("there is a list");
}

/// Rule: the arena says of a page that had no owner that it is zeros, so the pool need not write them; of another page it does not.
#[test]
fn fresh_pages_are_zeros() {
    let arena = arena(1);
    let request = AllocRequest::new(order(2));
    let block = arena.allocate(request, THREAD).expect("there is room");
    assert!(arena.is_zeroed(&block));
    let (mut lower, upper) = block.split().expect("it can be split");
    assert!(arena.is_zeroed(&lower) && arena.is_zeroed(&upper));
    lower.write_at(0, &[1]);
    let block = arena.join(lower, upper).expect("neighbours");
    assert!(!arena.is_zeroed(&block), "a part was written to");
    arena.free(block);
    assert!(!arena.is_zeroed(&arena.allocate(request, THREAD).expect("there is room")));
}

/// Rule: zeroing makes zeros, whatever was written before.
#[test]
fn what_others_wrote_is_zeroed() {
    let arena = arena(1);
    let mut block = arena.allocate(AllocRequest::new(Order::PAGE), THREAD).expect("there is room");
    let first = range(&arena, &block).cast::<u8>();
    // SAFETY: the range is mapped, and nothing else is at it.
    unsafe { first.write_volatile(7) };
    block.zero();
    assert!(content(&block).iter().all(|byte| *byte == 0), "old bytes");
}

pub(crate) fn memfd(bytes: u64, flags: libc::c_uint) -> OwnedFd {
    // SAFETY: a name that ends with a zero; the descriptor is new, and nothing else has it.
    let fd = unsafe {
        let fd = libc::memfd_create(c"guest".as_ptr(), flags);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    };
    File::from(fd.try_clone().expect("a descriptor")).set_len(bytes).expect("memory");
    fd
}

pub(crate) fn map(fd: &OwnedFd, offset: u64, bytes: usize, align: usize) -> NonNull<[u8]> {
    // SAFETY: addresses anywhere, and then a mapping over a part of just these. They are never unmapped.
    unsafe {
        let all = libc::mmap(
            std::ptr::null_mut(),
            bytes + align,
            0,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(all, libc::MAP_FAILED);
        let at = all.byte_add(all.align_offset(align));
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let at = libc::mmap(at, bytes, access, flags, fd.as_raw_fd(), offset as libc::off_t);
        assert_ne!(at, libc::MAP_FAILED);
        NonNull::slice_from_raw_parts(NonNull::new(at.cast()).expect("not at 0"), bytes)
    }
}

pub(crate) fn over(
    builder: &Builder,
    fd: OwnedFd,
    offset: u64,
    maps: &[NonNull<[u8]>],
) -> Result<Arena, CreateError> {
    // SAFETY: shared mappings of that descriptor, which stay for ever, and to which there are no references.
    builder.create_over::<PAGE, OsLock>(unsafe { Mapped::new(fd, offset, maps) })
}

const SEALABLE: libc::c_uint = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
const MIB: usize = 1 << 20;

/// Rule: an arena over the memfd and mappings of another party is one like any other; the mappings stay when it goes, and
/// what was in the memory before is not to be seen.
#[test]
fn over_memory_of_another_party() {
    let fd = memfd(8 * MIB as u64, SEALABLE);
    File::from(fd.try_clone().expect("a descriptor")).write_all_at(&[7; 4 * MIB], 0).expect("room");
    let maps = [MIB as u64; 2].map(|offset| map(&fd, offset, 4 * MIB, MIB));
    let outside = File::from(fd.try_clone().expect("a descriptor"));
    let arena = over(&Arena::builder(0).chunk(MIB), fd, MIB as u64, &maps).expect("an arena");
    assert_eq!(
        (arena.total(), arena.mapping(0), arena.mapping(1)),
        (Pages::new(1024), Some(maps[0]), Some(maps[1]))
    );
    let mut block = arena.allocate(AllocRequest::new(order(8)), THREAD).expect("there is room");
    assert_eq!(arena.offset(&block), Some(MIB as u64));
    block.zero();
    assert!(content(&block).iter().all(|byte| *byte == 0), "what was there before");
    let mut next = arena.allocate(AllocRequest::new(order(8)), THREAD).expect("there is room");
    next.zero();
    assert!(content(&next).iter().all(|byte| *byte == 0), "what was there before");
    arena.free(next);
    let bytes = fill(&mut block, 5);
    let mut seen = vec![0; MIB];
    outside.read_exact_at(&mut seen, MIB as u64).expect("it is in the file");
    assert!(seen == bytes);
    let handle = transferred(&arena, block);
    let settled = settle(&arena);
    assert_eq!((settled.reclaimable, settled.held, settled.error), (Pages::new(256), Pages::ZERO, None));
    assert!(maps.iter().all(|map| !is_mapped(*map)));
    arena.free(comes_back(&arena, handle, &bytes));
    settle(&arena);
    outside.read_exact_at(&mut seen, 0).expect("it is in the file");
    assert!(seen == [7; MIB], "what lies before the arena is not its own");
    drop(arena);
    // SAFETY: the mapping is the test's, and still there.
    assert_eq!(unsafe { maps[0].cast::<u8>().read_volatile() }, 0);
}

/// Rule: what can't serve as an arena is refused, and says why.
#[test]
fn memory_that_does_not_serve() {
    let builder = Arena::builder(0).chunk(MIB);
    let fd = || memfd(4 * MIB as u64, SEALABLE);
    let whole = |fd: &OwnedFd| map(fd, 0, 4 * MIB, MIB);

    assert!(matches!(over(&builder, fd(), 0, &[]), Err(CreateError::Empty)));
    let f = fd();
    let short = [map(&f, 0, MIB / 2, MIB)];
    assert!(matches!(over(&builder, f, 0, &short), Err(CreateError::Empty)));
    let f = fd();
    let skewed = map(&f, 0, 2 * MIB, MIB);
    let skewed = NonNull::slice_from_raw_parts(skewed.cast::<u8>().map_addr(|a| a.saturating_add(4096)), MIB);
    assert!(matches!(over(&builder, f, 0, &[skewed]), Err(CreateError::Misaligned { chunk: MIB })));
    let f = fd();
    let map_of = [map(&f, 4096, MIB, MIB)];
    assert!(matches!(over(&builder, f, 4096, &map_of), Err(CreateError::Misaligned { .. })));

    let f = memfd(2 * MIB as u64, SEALABLE);
    let long = [map(&f, 0, 4 * MIB, MIB)];
    assert!(matches!(over(&builder, f, 0, &long), Err(CreateError::NotShmem(_))), "it would end in a signal");
    let far = over(&builder, fd(), 0_u64.wrapping_sub(MIB as u64), &[whole(&fd())]);
    assert!(matches!(far, Err(CreateError::TooLarge)), "it ends beyond the last byte that a file can have");

    let f = fd();
    const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    // SAFETY: a system call on a descriptor.
    let sealed = unsafe { libc::fcntl(f.as_raw_fd(), libc::F_ADD_SEALS, SEALS) };
    assert_eq!(sealed, 0);
    let maps = [whole(&f)];
    let read_only = File::open(format!("/proc/self/fd/{}", f.as_raw_fd())).expect("it is there");
    let why = over(&builder, read_only.into(), 0, &maps).expect_err("nothing could be punched");
    assert!(matches!(why, CreateError::NotShmem(_)), "{why}");

    let f = memfd(4 * MIB as u64, libc::MFD_CLOEXEC);
    let unsealable = [whole(&f)];
    assert!(matches!(over(&builder, f, 0, &unsealable), Err(CreateError::Seal(_))));
    let plain = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    plain.set_len(4 * MIB as u64).expect("room");
    let f = OwnedFd::from(plain);
    let map_of = [whole(&f)];
    let why = over(&builder, f, 0, &map_of).expect_err("a file on a disk");
    assert!(matches!(why, CreateError::NotShmem(_)), "{why}");
}

/// Rule: another process that has the descriptor can add no seal: one would keep memory from being freed.
#[test]
fn others_can_add_no_seal() {
    let arena = arena(4);
    for seal in [libc::F_SEAL_FUTURE_WRITE, libc::F_SEAL_WRITE, libc::F_SEAL_GROW] {
        // SAFETY: a system call on a descriptor.
        let added = unsafe { libc::fcntl(arena.as_fd().as_raw_fd(), libc::F_ADD_SEALS, seal) };
        assert_eq!((added, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
    }
    let (block, _) = take(&arena, 4, 1);
    arena.free(block);
    assert_eq!(settle(&arena).error, None);
    assert_eq!(arena.memory_bytes().expect("it is counted"), 0);
}
