//! Guards: what holds a buffer's contents resident while somebody looks at them.

use crate::cell::{Held, Reader};
use crate::slot::covering;
use crate::state::Inner;
use crate::{BufferId, Context, DmaAddr, OneSlot, Order, OwnedBlock, Platform, Pooled, Segment, Slot, Slots};
use core::fmt;
use core::ops::{Deref, DerefMut, Range};

/// Holds the contents resident for reading. Many at a time. The buffer can't be evicted while it lives.
///
/// Ordinary memory that nobody else writes simply derefs to `[u8]` where it is one slot ([`OneSlot`]), and may be had as one
/// slice where it is several ([`contiguous`](Read::contiguous)); everything else is copied out.
///
/// Dropping it is interrupt-safe and O(1). A guard that is leaked keeps its buffer busy until that is dropped, so one
/// of a buffer in a static keeps it for ever.
#[must_use]
pub struct Read<'g, P: Platform, T: Slots<P> = [Slot<P>; 1]> {
    held: Reader<'g, P::Lock, Inner<P, T>>,
    platform: &'g P,
    unit: Order,
    id: BufferId,
}

/// Holds the contents resident for writing. One at a time. The buffer can't be evicted while it lives. Its bytes are reached
/// as those of [`Read`].
#[must_use]
pub struct Write<'g, P: Platform, T: Slots<P> = [Slot<P>; 1]> {
    held: Held<'g, P::Lock, Inner<P, T>>,
    platform: &'g P,
    unit: Order,
    id: BufferId,
}

impl<'g, P: Platform, T: Slots<P>> Read<'g, P, T> {
    pub(crate) fn new(
        held: Reader<'g, P::Lock, Inner<P, T>>,
        platform: &'g P,
        unit: Order,
        id: BufferId,
    ) -> Self {
        Read { held, platform, unit, id }
    }

    /// Copies bytes out, from offset `at`, across blocks; returns how many: less than asked only at the end.
    pub fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
        copy_out(self.held.slots.slots(), self.unit, at, to)
    }

    /// Bytes of the buffer.
    pub fn bytes(&self) -> usize {
        bytes(self.held.slots.slots(), self.unit)
    }

    /// Its blocks in order, each with the byte of the buffer at which it begins: what a page table needs.
    ///
    /// The frames and orders, for a device that sees physical memory, are
    /// `guard.blocks().map(|(_, block)| (block.pfn(), block.order()))`; addresses are in [`segments`](Self::segments).
    pub fn blocks(&self) -> impl Iterator<Item = (usize, &P::Block)> {
        blocks(self.held.slots.slots(), self.unit)
    }

    /// Where a device finds byte `at`. `None` past the end, and if the buffer keeps no addresses
    /// ([`Addressed`](crate::Addressed)). O(1).
    pub fn address(&self, at: usize) -> Option<DmaAddr> {
        address(self.held.slots.addresses(), P::Block::PAGE << self.unit.get(), at)
    }

    /// The scatter list for a device: each block in order, with its address. Nothing if the buffer keeps no addresses.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        segments(&self.held.slots, self.unit)
    }

    /// All its bytes as one slice, where the platform gives one ([`Platform::contiguous`]): the blocks are neighbours in one
    /// piece of ordinary memory, or it has mapped them side by side. `None` otherwise: copy then. What was given once may
    /// not be again, as blocks differ from one restore to the next.
    ///
    /// No device and no guest writes while somebody has the slice.
    ///
    /// # Context
    /// As the platform's, which is told `cx` since it may have to map. Linear in the blocks.
    pub fn contiguous(&self, cx: Context) -> Option<&[u8]> {
        contiguous(self.platform, self.held.slots.slots(), self.unit, self.id, cx)
    }

    /// What the CPU wrote to these bytes the device sees from now on: call it before a device reads or writes them. Returns
    /// how many bytes of the buffer that were.
    ///
    /// # Context
    /// As the platform's [`sync_for_device`](Platform::sync_for_device), once for each block.
    pub fn sync_for_device(&self, bytes: Range<usize>) -> usize {
        each(self.held.slots.slots(), self.unit, bytes, |block, part| {
            self.platform.sync_for_device(block, part)
        })
    }

    /// What a device wrote to these bytes the CPU sees from now on: call it after the device wrote, before anybody looks.
    /// Returns how many bytes of the buffer that were.
    ///
    /// What the CPU wrote to them since the last [`sync_for_device`] may be lost; and if the buffer keeps no addresses, also
    /// what forebay did: fresh zeros, or what was restored. From [`sync_for_device`] to this call the CPU writes neither to
    /// what the device writes nor to other bytes of the same cache lines: one of the two would be lost.
    ///
    /// # Context
    /// As the platform's [`sync_for_cpu`](Platform::sync_for_cpu), once for each block.
    ///
    /// [`sync_for_device`]: Self::sync_for_device
    pub fn sync_for_cpu(&self, bytes: Range<usize>) -> usize {
        each(self.held.slots.slots(), self.unit, bytes, |block, part| self.platform.sync_for_cpu(block, part))
    }
}

impl<'g, P: Platform, T: Slots<P>> Write<'g, P, T> {
    pub(crate) fn new(
        held: Held<'g, P::Lock, Inner<P, T>>,
        platform: &'g P,
        unit: Order,
        id: BufferId,
    ) -> Self {
        Write { held, platform, unit, id }
    }

    /// Copies bytes out, from offset `at`, across blocks; returns how many: less than asked only at the end.
    pub fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
        copy_out(self.held.slots.slots(), self.unit, at, to)
    }

    /// Copies bytes in at offset `at`, across blocks; returns how many: less than given only at the end.
    pub fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
        let unit = self.unit;
        let slots = self.held.slots.slots_mut();
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|r| !r.is_empty()) {
            let Some((head, offset)) = locate(slots, unit, at.saturating_add(done)) else { break };
            match slots.get_mut(head).and_then(|s| s.block.as_mut()) {
                Some(block) => match block.block_mut().copy_in(offset, rest) {
                    0 => break,
                    n => done += n,
                },
                None => break,
            }
        }
        done
    }

    /// Its blocks in order, each with the byte of the buffer at which it begins: what a page table needs.
    ///
    /// The frames and orders, for a device that sees physical memory, are
    /// `guard.blocks().map(|(_, block)| (block.pfn(), block.order()))`; addresses are in [`segments`](Self::segments).
    pub fn blocks(&self) -> impl Iterator<Item = (usize, &P::Block)> {
        blocks(self.held.slots.slots(), self.unit)
    }

    /// Where a device finds byte `at`. `None` past the end, and if the buffer keeps no addresses
    /// ([`Addressed`](crate::Addressed)). O(1).
    pub fn address(&self, at: usize) -> Option<DmaAddr> {
        address(self.held.slots.addresses(), P::Block::PAGE << self.unit.get(), at)
    }

    /// The scatter list for a device: each block in order, with its address. Nothing if the buffer keeps no addresses.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        segments(&self.held.slots, self.unit)
    }

    /// All its bytes as one slice, where the platform gives one ([`Platform::contiguous`]): the blocks are neighbours in one
    /// piece of ordinary memory, or it has mapped them side by side. `None` otherwise: copy then. What was given once may
    /// not be again, as blocks differ from one restore to the next.
    ///
    /// No device and no guest writes while somebody has the slice.
    ///
    /// # Context
    /// As the platform's, which is told `cx` since it may have to map. Linear in the blocks.
    pub fn contiguous(&self, cx: Context) -> Option<&[u8]> {
        contiguous(self.platform, self.held.slots.slots(), self.unit, self.id, cx)
    }

    /// The same, to write. As [`contiguous`](Self::contiguous) in everything else.
    pub fn contiguous_mut(&mut self, cx: Context) -> Option<&mut [u8]> {
        let slots = self.held.slots.slots_mut();
        let bytes = bytes(slots, self.unit);
        let mode = mode(slots)?;
        let blocks = slots.iter_mut().filter_map(|slot| slot.block.as_mut()).map(Pooled::block_mut);
        self.platform.contiguous_mut(self.id, mode, blocks, cx).filter(|slice| slice.len() == bytes)
    }

    /// What the CPU wrote to these bytes the device sees from now on: call it before a device reads or writes them. Returns
    /// how many bytes of the buffer that were.
    ///
    /// # Context
    /// As the platform's [`sync_for_device`](Platform::sync_for_device), once for each block.
    pub fn sync_for_device(&self, bytes: Range<usize>) -> usize {
        each(self.held.slots.slots(), self.unit, bytes, |block, part| {
            self.platform.sync_for_device(block, part)
        })
    }

    /// What a device wrote to these bytes the CPU sees from now on: call it after the device wrote, before anybody looks.
    /// Returns how many bytes of the buffer that were.
    ///
    /// What the CPU wrote to them since the last [`sync_for_device`] may be lost; and if the buffer keeps no addresses, also
    /// what forebay did: fresh zeros, or what was restored. From [`sync_for_device`] to this call the CPU writes neither to
    /// what the device writes nor to other bytes of the same cache lines: one of the two would be lost.
    ///
    /// # Context
    /// As the platform's [`sync_for_cpu`](Platform::sync_for_cpu), once for each block.
    ///
    /// [`sync_for_device`]: Self::sync_for_device
    pub fn sync_for_cpu(&self, bytes: Range<usize>) -> usize {
        each(self.held.slots.slots(), self.unit, bytes, |block, part| self.platform.sync_for_cpu(block, part))
    }

    /// Bytes of the buffer.
    pub fn bytes(&self) -> usize {
        bytes(self.held.slots.slots(), self.unit)
    }
}

fn blocks<P: Platform>(slots: &[Slot<P>], unit: Order) -> impl Iterator<Item = (usize, &P::Block)> {
    let per_slot = P::Block::PAGE << unit.get();
    slots.iter().enumerate().filter_map(move |(i, slot)| {
        let block = slot.block.as_ref()?;
        Some((i * per_slot, block.block()))
    })
}

/// The bytes as one slice, if the platform gives just that.
fn contiguous<'b, P: Platform>(
    platform: &'b P,
    slots: &'b [Slot<P>],
    unit: Order,
    id: BufferId,
    cx: Context,
) -> Option<&'b [u8]> {
    let mode = mode(slots)?;
    let blocks = slots.iter().filter_map(|slot| slot.block.as_ref()).map(Pooled::block);
    platform.contiguous(id, mode, blocks, cx).filter(|slice| slice.len() == bytes(slots, unit))
}

/// The mode of what is under a guard, which is one and the same; `None` of a buffer without slots, which nobody maps.
fn mode<P: Platform>(slots: &[Slot<P>]) -> Option<P::Mode> {
    slots.first()?.block.as_ref().map(Pooled::mode)
}

/// The address of byte `at`, where each slot is of so many bytes.
fn address(addresses: &[Option<DmaAddr>], per_slot: usize, at: usize) -> Option<DmaAddr> {
    let first = (*addresses.get(at.checked_div(per_slot)?)?)?;
    first.checked_add((at % per_slot) as u64)
}

fn segments<'s, P: Platform + 's, T: Slots<P>>(slots: &'s T, unit: Order) -> impl Iterator<Item = Segment> {
    let per_slot = P::Block::PAGE << unit.get();
    blocks(slots.slots(), unit).filter_map(move |(at, block)| {
        let address = address(slots.addresses(), per_slot, at)?;
        Some(Segment { at, address, bytes: block.bytes() })
    })
}

/// Calls `f` for each block with the bytes of it that are meant; returns how many bytes of the buffer that were.
fn each<P: Platform>(
    slots: &[Slot<P>],
    unit: Order,
    bytes: Range<usize>,
    f: impl Fn(&P::Block, Range<usize>),
) -> usize {
    let mut done = 0;
    while let Some((head, offset)) = locate(slots, unit, bytes.start.saturating_add(done)) {
        let left = bytes.len() - done;
        let Some(block) = slots.get(head).and_then(|s| s.block.as_ref()).map(Pooled::block) else { break };
        let part = left.min(block.bytes().saturating_sub(offset));
        if part == 0 {
            break;
        }
        f(block, offset..offset + part);
        done += part;
    }
    done
}

fn bytes<P: Platform>(slots: &[Slot<P>], unit: Order) -> usize {
    slots.len() * (P::Block::PAGE << unit.get())
}

/// The slot whose block has byte `at`, and where in the block that is.
fn locate<P: Platform>(slots: &[Slot<P>], unit: Order, at: usize) -> Option<(usize, usize)> {
    let per_slot = P::Block::PAGE << unit.get();
    let head = covering(slots, unit, at.checked_div(per_slot)?)?;
    Some((head, at - head * per_slot))
}

fn copy_out<P: Platform>(slots: &[Slot<P>], unit: Order, at: usize, to: &mut [u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|r| !r.is_empty()) {
        let Some((head, offset)) = locate(slots, unit, at.saturating_add(done)) else { break };
        let block = slots.get(head).and_then(|s| s.block.as_ref()).map(Pooled::block);
        match block.map_or(0, |b| b.copy_out(offset, rest)) {
            0 => break,
            n => done += n,
        }
    }
    done
}

// One block of ordinary memory is simply bytes, whatever is kept beside its slot.
impl<P: Platform<Block: Deref<Target = [u8]>>, T: OneSlot<P>> Deref for Read<'_, P, T> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        only(self.held.slots.slots())
    }
}

impl<P: Platform<Block: Deref<Target = [u8]>>, T: OneSlot<P>> Deref for Write<'_, P, T> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        only(self.held.slots.slots())
    }
}

impl<P: Platform<Block: DerefMut<Target = [u8]>>, T: OneSlot<P>> DerefMut for Write<'_, P, T> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let slot = self.held.slots.slots_mut().first_mut();
        slot.and_then(|slot| slot.block.as_mut()).map_or(&mut [], |block| block.block_mut())
    }
}

/// The bytes of the one slot.
fn only<P: Platform<Block: Deref<Target = [u8]>>>(slots: &[Slot<P>]) -> &[u8] {
    slots.first().and_then(|slot| slot.block.as_ref()).map_or(&[], |block| block.block())
}

impl<P: Platform, T: Slots<P>> fmt::Debug for Read<'_, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").finish_non_exhaustive()
    }
}

impl<P: Platform, T: Slots<P>> fmt::Debug for Write<'_, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, T: Slots<P>> defmt::Format for Read<'_, P, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Read({=usize} bytes)", self.bytes());
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, T: Slots<P>> defmt::Format for Write<'_, P, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Write({=usize} bytes)", self.bytes());
    }
}
