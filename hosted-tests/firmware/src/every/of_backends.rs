//! The functions of `forebay-backends`: plain RAM, the region behind it, and what joins them.

use crate::machine::{Block, PAGE, Plain, Slow, Tiers};
use crate::{At, keep};
use core::fmt::Display;
use core::ops::{Deref, DerefMut};
use core::ptr::drop_in_place;
use core::slice::{Iter, IterMut};
use core::task::Poll;
use forebay::{frame::*, port::*, sync::*, *};
use forebay_backends::*;

pub fn everything() {
    ram();
    region();
    engine();
    facade();
}

/// The stores that are not for plain RAM.
pub fn others() {
    rom();
    tiered();
    gate();
    null();
}

/// As text.
pub fn shown() {
    keep([<InitError as Display>::fmt as At, <InitErrorKind as Display>::fmt as At]);
    keep([<MemoryError as Display>::fmt as At]);
}

fn ram() {
    keep([Plain::new as At, Plain::metadata_words as At, Plain::add as At, Plain::check as At]);
    keep([Plain::add_span as At, Plain::add_piece as At, Plain::span_words as At]);
    keep([Plain::largest_free as At, Plain::lowest_unused as At]);
    keep([Plain::unused as At, Plain::total as At]);
    keep([<Plain as FrameSource>::allocate as At, <Plain as FrameSource>::free as At]);
    keep([<Plain as FrameSource>::allocate_more as At]);
    keep([<Plain as FrameSource>::join as At, <Plain as FrameSource>::supply as At]);
    type Get = fn(&'static Plain, BufferId, (), Iter<'static, Block>, Context) -> Option<&'static [u8]>;
    type GetMut =
        fn(&'static Plain, BufferId, (), IterMut<'static, Block>, Context) -> Option<&'static mut [u8]>;
    let (view, view_mut): (Get, GetMut) =
        (<Plain as LinearMap<Block, ()>>::contiguous, <Plain as LinearMap<Block, ()>>::contiguous_mut);
    keep([view as At, view_mut as At]);

    keep([<Block as Deref>::deref as At, <Block as DerefMut>::deref_mut as At]);
    keep([<Block as OwnedBlock>::pfn as At, <Block as OwnedBlock>::order as At]);
    keep([<Block as OwnedBlock>::split as At, <Block as OwnedBlock>::zero as At]);
    keep([<Block as OwnedBlock>::read_at as At, <Block as OwnedBlock>::write_at as At]);

    type Whole = HeapBlock<PAGE>;
    keep([<Whole as Deref>::deref as At, <Whole as DerefMut>::deref_mut as At]);
    keep([<Whole as OwnedBlock>::pfn as At, <Whole as OwnedBlock>::order as At]);
    keep([<Whole as OwnedBlock>::split as At, <Whole as OwnedBlock>::zero as At]);
    keep([<Whole as OwnedBlock>::read_at as At, <Whole as OwnedBlock>::write_at as At]);
}

fn region() {
    keep([
        Slow::new as At,
        Slow::metadata_words as At,
        Slow::init as At,
        Slow::init_within as At,
        Slow::check as At,
    ]);
    keep([Slow::total as At, Slow::pending as At, Slow::finish as At, Slow::write_out_now as At]);
    type WriteOut =
        fn(&Slow, &mut Processor, usize, &mut dyn FnMut(Block)) -> Poll<Result<(), Job<Block, PAGE>>>;
    let write_out: WriteOut = Slow::write_out;
    keep([write_out as At]);
    keep([<Slow as BackingStore<Block>>::ids as At, <Slow as BackingStore<Block>>::capabilities as At]);
    keep([<Slow as BackingStore<Block>>::space as At, <Slow as BackingStore<Block>>::discard as At]);
    keep([<Slow as BackingStore<Block>>::transfer as At, <Slow as BackingStore<Block>>::take_back as At]);
    keep([<Slow as BackingStore<Block>>::save as At, <Slow as BackingStore<Block>>::load as At]);
    keep([<Slow as BackingStore<Block>>::split as At, <Slow as BackingStore<Block>>::settle as At]);
    keep([<Slow as BackingStore<Block>>::rooms as At, <Slow as Rooms<Block>>::reserve as At]);
    keep([<Slow as Rooms<Block>>::transfer_into as At, <Slow as Rooms<Block>>::save_into as At]);
    keep([<Slow as Rooms<Block>>::take_back_from as At, Slow::engine_was_reset as At, Slow::lost as At]);
    keep([Slow::lowest_space as At]);
}

type Processor = Cpu<Block, PAGE>;

fn engine() {
    type Piece = Job<Block, PAGE>;
    keep([Piece::from as At, Piece::to as At, Piece::at as At, Piece::len as At]);
    keep([Piece::copy as At, Piece::fell_short as At, Piece::ends as At]);
    keep([<Processor as CopyEngine<Block, PAGE>>::start as At]);
    keep([<Processor as CopyEngine<Block, PAGE>>::poll as At]);
}

fn rom() {
    type Flash = Rom<'static, PAGE>;
    keep([Flash::new as At, Flash::pages as At, Flash::handle as At]);
    keep([<Flash as BackingStore<Block>>::ids as At, <Flash as BackingStore<Block>>::capabilities as At]);
    keep([<Flash as BackingStore<Block>>::room_of as At, <Flash as BackingStore<Block>>::discard as At]);
    keep([<Flash as BackingStore<Block>>::load as At, <Flash as BackingStore<Block>>::split as At]);
    keep([<Flash as BackingStore<Block>>::space as At]);
}

fn tiered() {
    keep([<Tiers as BackingStore<Block>>::ids as At, <Tiers as BackingStore<Block>>::capabilities as At]);
    keep([<Tiers as BackingStore<Block>>::space as At, <Tiers as BackingStore<Block>>::room_of as At]);
    keep([<Tiers as BackingStore<Block>>::save as At, <Tiers as BackingStore<Block>>::transfer as At]);
    keep([<Tiers as BackingStore<Block>>::load as At, <Tiers as BackingStore<Block>>::take_back as At]);
    keep([<Tiers as BackingStore<Block>>::split as At, <Tiers as BackingStore<Block>>::discard as At]);
    keep([<Tiers as BackingStore<Block>>::settle as At]);
    keep([<Tiers as BackingStore<Block>>::rooms as At, <Tiers as Rooms<Block>>::reserve as At]);
    keep([<Tiers as Rooms<Block>>::transfer_into as At, <Tiers as Rooms<Block>>::save_into as At]);
    keep([<Tiers as Rooms<Block>>::take_back_from as At]);
}

fn gate() {
    type Lock = CriticalSectionRawMutex;
    type Gated = Gate<Lock, Slow>;
    keep([Gated::new as At, Gated::inner as At, Gated::close as At, Gated::is_closed as At]);
    keep([drop_in_place::<Closed<'static, Lock, Slow>> as At]);
    keep([<Gated as BackingStore<Block>>::ids as At, <Gated as BackingStore<Block>>::capabilities as At]);
    keep([<Gated as BackingStore<Block>>::space as At, <Gated as BackingStore<Block>>::room_of as At]);
    keep([<Gated as BackingStore<Block>>::save as At, <Gated as BackingStore<Block>>::transfer as At]);
    keep([<Gated as BackingStore<Block>>::load as At, <Gated as BackingStore<Block>>::take_back as At]);
    keep([<Gated as BackingStore<Block>>::split as At, <Gated as BackingStore<Block>>::discard as At]);
    keep([<Gated as BackingStore<Block>>::settle as At]);
    keep([<Gated as BackingStore<Block>>::rooms as At, <Gated as Rooms<Block>>::reserve as At]);
    keep([<Gated as Rooms<Block>>::transfer_into as At, <Gated as Rooms<Block>>::save_into as At]);
    keep([<Gated as Rooms<Block>>::take_back_from as At]);
    keep([<Gated as RegionBacked<Lock, PAGE, 16>>::region as At]);
    keep([<Gated as RegionBacked<Lock, PAGE, 16>>::write_out_now as At]);
    keep([<Slow as RegionBacked<Lock, PAGE, 16>>::region as At]);
    keep([<Slow as RegionBacked<Lock, PAGE, 16>>::write_out_now as At]);
    keep([<() as Checksum>::update as At]);
    // With a checksum.
    type Summed = Region<Lock, Block, PAGE, 16, Sum>;
    keep([Summed::new as At, Summed::init as At, Summed::finish as At, Summed::write_out_now as At]);
    keep([<Summed as BackingStore<Block>>::save as At, <Summed as BackingStore<Block>>::load as At]);
    keep([<Summed as BackingStore<Block>>::settle as At, <Summed as Rooms<Block>>::save_into as At]);
}

/// A checksum that the compiler can't foresee.
struct Sum;

impl Checksum for Sum {
    fn update(sum: u32, bytes: &[u8]) -> u32 {
        core::hint::black_box((sum, bytes)).0
    }
}

fn null() {
    keep([<Null as BackingStore<Block>>::ids as At, <Null as BackingStore<Block>>::discard as At]);
    keep([<Null as BackingStore<Block>>::space as At]);
}

fn facade() {
    type All = RamForebay<CriticalSectionRawMutex, PAGE, 16>;
    keep([All::new as At, All::metadata_words as At, All::init as At, All::buffer::<8192> as At]);
    keep([All::with_store as At, All::init_apart as At, All::metadata_words_apart as At]);
    keep([All::free as At, All::pending as At, All::write_out as At, All::home as At]);
    keep([All::make_room::<Tiles> as At, All::transfer::<Tiles> as At, <All as Deref>::deref as At]);
    keep([<All as AsRef<<All as Deref>::Target>>::as_ref as At, All::has_room as At, All::fits as At]);
    keep([All::test_memory as At]);
    keep([All::write::<OfOne, Tiles> as At, All::read::<OfOne, Tiles> as At]);
}

type OfOne = [Slot<Ram<CriticalSectionRawMutex, PAGE>>; 1];
type Tiles = &'static [&'static RamBuffer<CriticalSectionRawMutex, PAGE, 16>];
