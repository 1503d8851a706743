//! Guards: they hold the contents of a buffer resident while their owner uses the bytes.

use crate::buffer::cell::{Held, Owner, Reader};
use crate::buffer::contents::Contents;
use crate::buffer::slot::covering;
use crate::buffer::{Buffer, OneSlot, OwnerOf, RawMutexOf, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{Context, DmaAddr, Order, Segment};
use crate::port::{DmaMap, LinearMap, OwnedBlock, Platform};
use crate::sync::RawMutex;
use core::fmt;
use core::ops::{Deref, DerefMut, Range};

mod sealed {
    use super::{Contents, Held, Owner, RawMutex, Reader, Slots};
    use core::ops::Deref;

    pub trait Access {
        type Lease<'c, R: RawMutex + 'c, T: Slots + 'c, O: Owner + 'c>: Deref<Target = Contents<T>>;
    }

    impl Access for super::Shared {
        type Lease<'c, R: RawMutex + 'c, T: Slots + 'c, O: Owner + 'c> = Reader<'c, R, Contents<T>, O>;
    }

    impl Access for super::Exclusive {
        type Lease<'c, R: RawMutex + 'c, T: Slots + 'c, O: Owner + 'c> = Held<'c, R, Contents<T>, O>;
    }
}

/// How a guard holds its buffer: [`Shared`] or [`Exclusive`].
pub trait Access: sealed::Access {}
impl<A: sealed::Access> Access for A {}

/// Access for reading; any number at a time.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Shared {}

/// Access for writing; one at a time.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Exclusive {}

/// Holds the contents resident for reading. Any number at a time.
pub type ReadGuard<'g, H, T = [Slot<<H as Home>::Platform>; 1]> = Guard<'g, H, T, Shared>;

/// Holds the contents resident for writing. One at a time.
pub type WriteGuard<'g, H, T = [Slot<<H as Home>::Platform>; 1]> = Guard<'g, H, T, Exclusive>;

/// Holds the contents of a buffer resident, for reading ([`ReadGuard`]) or for writing ([`WriteGuard`]). The buffer can't be
/// evicted while a guard lives.
///
/// Ordinary memory that nothing else writes derefs to `[u8]` where it is one slot ([`OneSlot`]), and may be had as one slice
/// where it is several ([`contiguous`](Guard::contiguous)); everything else is copied.
///
/// Dropping a guard is interrupt-safe and O(1). A guard that is leaked keeps its buffer busy until the buffer is dropped; a
/// buffer in a static, for ever.
#[must_use]
pub struct Guard<'g, H: Home, T: Slots<Platform = H::Platform>, A: Access> {
    buffer: &'g Buffer<H, T>,
    lease: <A as sealed::Access>::Lease<'g, RawMutexOf<T>, T, OwnerOf<H>>,
}

impl<'g, H: Home, T: Slots<Platform = H::Platform>, A: Access> Guard<'g, H, T, A> {
    pub(super) fn new(
        buffer: &'g Buffer<H, T>,
        lease: <A as sealed::Access>::Lease<'g, RawMutexOf<T>, T, OwnerOf<H>>,
    ) -> Self {
        Guard { buffer, lease }
    }

    fn slots(&self) -> &[Slot<H::Platform>] {
        self.lease.slots.slots()
    }

    fn unit(&self) -> Order {
        self.buffer.unit
    }

    fn dma(&self) -> &<H::Platform as Platform>::Dma {
        self.buffer.platform().dma()
    }

    /// Copies bytes from offset `at` to `to`, across blocks. Returns how many: less than asked only at the end.
    pub fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some((head, offset)) = locate(self.slots(), self.unit(), at.saturating_add(done)) else {
                break;
            };
            let block = self.slots().get(head).and_then(|slot| slot.block.as_ref());
            match block.map_or(0, |block| block.read_at(offset, rest)) {
                0 => break,
                n => done += n.min(rest.len()), // a block may claim more
            }
        }
        done
    }

    /// The size of the buffer in bytes. A guard of one block of ordinary memory derefs to them; for others there are
    /// [`read_at`](Guard::read_at), [`blocks`](Guard::blocks) and [`contiguous`](Guard::contiguous).
    pub fn bytes(&self) -> usize {
        bytes(self.slots(), self.unit())
    }

    /// Its blocks in order, each with the offset of its first byte: what a page table needs.
    ///
    /// The frames and orders, for a device that sees physical memory, are
    /// `guard.blocks().map(|(_, block)| (block.pfn(), block.order()))`; addresses are in [`segments`](Guard::segments).
    pub fn blocks(&self) -> impl Iterator<Item = (usize, &H::Block)> {
        let per_slot = H::Block::PAGE << self.unit().get();
        self.slots().iter().enumerate().filter_map(move |(i, slot)| {
            let block = slot.block.as_ref()?;
            Some((i * per_slot, &block.block))
        })
    }

    /// Where a device finds byte `at`.
    fn address(&self, at: usize) -> Option<DmaAddr> {
        let per_slot = H::Block::PAGE << self.unit().get();
        let first = (*self.lease.slots.addresses().get(at.checked_div(per_slot)?)?)?;
        first.checked_add((at % per_slot) as u64)
    }

    /// The scatter list for a device: each block in order, with its address. Nothing if the buffer keeps no
    /// addresses ([`Addressed`](crate::buffer::Addressed)).
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        self.blocks()
            .filter_map(|(at, block)| Some(Segment { at, address: self.address(at)?, bytes: block.bytes() }))
    }

    /// All bytes as one slice, if the platform gives one ([`LinearMap::contiguous`]): the blocks are neighbours in one range of
    /// ordinary memory, or it has mapped them side by side. `None` otherwise: copy then. The answer may differ after the next
    /// restore, as blocks differ.
    ///
    /// No device and no guest may write while the slice is in use.
    ///
    /// # Context
    /// As the platform's, which receives `cx` since it may have to map. Linear in the blocks.
    pub fn contiguous(&self, cx: Context) -> Option<&[u8]> {
        let mode = mode(self.slots())?;
        let blocks = self.slots().iter().filter_map(|slot| slot.block.as_ref()).map(|block| &block.block);
        let linear = self.buffer.platform().linear();
        let slice = linear.contiguous(self.buffer.id(), mode, blocks, cx)?;
        (slice.len() == self.bytes()).then_some(slice)
    }

    /// Makes what the CPU wrote to these bytes visible to the device: call it before a device reads or writes them. Returns the
    /// number of bytes of the buffer that were meant.
    ///
    /// # Context
    /// As the platform's [`sync_for_device`](DmaMap::sync_for_device), once for each block.
    pub fn sync_for_device(&self, bytes: Range<usize>) -> usize {
        self.each(bytes, |block, part| self.dma().sync_for_device(block, part))
    }

    /// Makes what a device wrote to these bytes visible to the CPU: call it after the device wrote, before the CPU reads. Returns
    /// the number of bytes of the buffer that were meant.
    ///
    /// Discards what the CPU wrote since `sync_for_device`. If the buffer has no addresses, that includes what zeroed or restored
    /// it. From `sync_for_device` to this call the CPU writes neither to what the device writes nor to other bytes of the same
    /// cache lines: one of the two would be lost.
    ///
    /// # Context
    /// As the platform's [`sync_for_cpu`](DmaMap::sync_for_cpu), once for each block.
    pub fn sync_for_cpu(&self, bytes: Range<usize>) -> usize {
        self.each(bytes, |block, part| self.dma().sync_for_cpu(block, part))
    }

    /// Calls `f` for each block with the bytes of it that are meant. Returns how many bytes of the buffer that were.
    fn each(&self, bytes: Range<usize>, f: impl Fn(&H::Block, Range<usize>)) -> usize {
        let mut done = 0;
        while let Some((head, offset)) = locate(self.slots(), self.unit(), bytes.start.saturating_add(done)) {
            let left = bytes.len() - done;
            let Some(block) = self.slots().get(head).and_then(|slot| slot.block.as_ref()) else { break };
            let part = left.min(block.bytes().saturating_sub(offset));
            if part == 0 {
                break;
            }
            f(&block.block, offset..offset + part);
            done += part;
        }
        done
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> WriteGuard<'_, H, T> {
    /// Copies `from` to offset `at`, across blocks. Returns how many bytes: less than given only at the end.
    pub fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let unit = self.buffer.unit;
        let slots = self.lease.slots.slots_mut();
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let Some((head, offset)) = locate(slots, unit, at.saturating_add(done)) else { break };
            let block = slots.get_mut(head).and_then(|slot| slot.block.as_mut());
            match block.map_or(0, |block| block.write_at(offset, rest)) {
                0 => break,
                n => done += n.min(rest.len()), // a block may claim more
            }
        }
        done
    }

    /// As [`contiguous`](Guard::contiguous), for writing.
    pub fn contiguous_mut(&mut self, cx: Context) -> Option<&mut [u8]> {
        let slots = self.lease.slots.slots_mut();
        let (bytes, mode) = (bytes(slots, self.buffer.unit), mode(slots)?);
        let blocks = slots.iter_mut().filter_map(|slot| slot.block.as_mut()).map(|block| &mut block.block);
        let linear = self.buffer.platform().linear();
        let slice = linear.contiguous_mut(self.buffer.id(), mode, blocks, cx)?;
        if slice.len() == bytes { Some(slice) } else { None }
    }
}

/// The mode of everything under a guard. `None` for a buffer without slots, which nothing maps.
fn mode<P: Platform>(slots: &[Slot<P>]) -> Option<P::Mode> {
    slots.first()?.block.as_ref().map(|block| block.mode)
}

fn bytes<P: Platform>(slots: &[Slot<P>], unit: Order) -> usize {
    slots.len() * (P::Block::PAGE << unit.get())
}

/// The slot whose block has byte `at`, and the offset in that block.
fn locate<P: Platform>(slots: &[Slot<P>], unit: Order, at: usize) -> Option<(usize, usize)> {
    let per_slot = P::Block::PAGE << unit.get();
    let head = covering(slots, unit, at.checked_div(per_slot)?)?;
    Some((head, at - head * per_slot))
}

/// One block of ordinary memory is bytes, with or without side tables.
impl<H, T, A> Deref for Guard<'_, H, T, A>
where
    H: Home<Block: Deref<Target = [u8]>>,
    T: OneSlot<Platform = H::Platform>,
    A: Access,
{
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let block = self.slots().first().and_then(|slot| slot.block.as_ref());
        block.map_or(&[], |block| &block.block)
    }
}

impl<H, T> DerefMut for WriteGuard<'_, H, T>
where
    H: Home<Block: DerefMut<Target = [u8]>>,
    T: OneSlot<Platform = H::Platform>,
{
    fn deref_mut(&mut self) -> &mut [u8] {
        let slot = self.lease.slots.slots_mut().first_mut();
        slot.and_then(|slot| slot.block.as_mut()).map_or(&mut [], |block| &mut block.block)
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>, A: Access> fmt::Debug for Guard<'_, H, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<H: Home, T: Slots<Platform = H::Platform>, A: Access> defmt::Format for Guard<'_, H, T, A> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Guard({=usize} bytes)", self.bytes());
    }
}
