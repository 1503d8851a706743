//! The lobby: what lies there has room in the store, so it can always leave ([`FrameSource::LOBBY`]).

use crate::buffer::contents::{Contents, Marks};
use crate::buffer::evict::Eviction;
use crate::buffer::restore::Kept;
use crate::buffer::{Buffer, Slots};
use crate::forebay::Home;
use crate::frame::{AllocError, AllocRequest, Context, Evict, Pages, Refused, Zones};
use crate::port::{
    BackingStore, CachingControl, FrameSource, Handle, OwnedBlock, Platform, PooledBlock, StoreError,
};
use crate::stats::{AccessError, RefusalReason};

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// The zones of the lobby. Where there is none, none of this is compiled in.
    pub(super) const LOBBY: Zones = <<H::Platform as Platform>::Source as FrameSource>::LOBBY;

    /// Whether a block lies in the lobby, and the store keeps room for it.
    pub(super) fn is_in_lobby(&self, block: &H::Block) -> bool {
        !Self::LOBBY.is_empty()
            && Self::LOBBY.intersects(Zones::of(self.forebay().source().zone(block)))
            && self.forebay().store().rooms().is_some()
    }

    /// Whether copies beside blocks may be out of date.
    pub(super) fn is_stale(contents: &Contents<T>) -> bool {
        !Self::LOBBY.is_empty() && contents.marks.contains(Marks::STALE)
    }

    /// Whether the buffer fits into the lobby, if it may lie there: else it might never be resident again.
    pub(super) fn check_lobby(&self, contents: &Contents<T>) -> Result<(), AccessError> {
        if Self::LOBBY.is_empty() || self.forebay().store().rooms().is_none() {
            return Ok(());
        }
        let zones =
            Self::LOBBY.intersection(self.zones).intersection(self.platform().caching().zones_for(self.mode));
        if zones.is_empty() {
            return Ok(());
        }
        let pages = Pages::new(contents.slots.slots().len() << self.unit.get());
        let request = AllocRequest::new(self.unit).within(zones);
        match self.forebay().source().supply(&request).ever {
            Some(ever) if ever < pages => Err(AllocError::Never.into()),
            _ => Ok(()),
        }
    }

    /// Room for new contents of a block, if it lies in the lobby.
    pub(super) fn reserve_for(&self, block: &H::Block) -> Result<Option<Handle>, AccessError> {
        if !self.is_in_lobby(block) {
            return Ok(None);
        }
        let rooms = self.forebay().store().rooms().ok_or(StoreError::Unsupported)?;
        match rooms.reserve(block.order()) {
            Ok(room) if room.order() == block.order() => Ok(Some(room)),
            Ok(other) => {
                self.forebay().discard(other);
                Err(StoreError::Io.into())
            }
            Err(StoreError::TooLarge) => Err(StoreError::Full.into()),
            Err(why) => Err(why.into()),
        }
    }

    /// A copy beside a block is room only, from now on: the block is written to, or fresh.
    pub(super) fn keep_room(contents: &mut Contents<T>) {
        contents.marks.remove(Marks::CLEAN);
        contents.marks.insert(Marks::STALE);
    }

    /// Without blocks no copy is out of date.
    pub(super) fn forget_rooms(contents: &mut Contents<T>) {
        if !Self::LOBBY.is_empty() && contents.slots.slots().iter().all(|slot| slot.block.is_none()) {
            contents.marks.remove(Marks::STALE);
        }
    }

    /// Takes back a transferred block, and where there is a lobby its room, which stays only if the block lies there.
    pub(super) fn take_back_block(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(H::Block, Option<Handle>), Refused<Handle, StoreError>> {
        let store = self.forebay().store();
        match if Self::LOBBY.is_empty() { None } else { store.rooms() } {
            Some(rooms) => rooms.take_back_from(handle, cx).map(|(room, block)| (block, Some(room))),
            None => store.take_back(handle, cx).map(|block| (block, None)),
        }
    }

    /// Writes back the block in slot `i` into its own room: transfers it, else copies it. A refused block is in its slot again.
    pub(super) fn write_into_room(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        room: Handle,
        block: H::Block,
        eviction: &mut Eviction<'_, H>,
    ) {
        let forebay = eviction.forebay;
        let (pfn, order) = (block.pfn(), block.order());
        let Some(slot) = contents.slots.slots_mut().get_mut(i) else { return };
        let mut why = eviction.why_none.unwrap_or(RefusalReason::NotPermitted);
        let (mut room, mut block) = (room, block);
        let rooms = forebay.store().rooms();
        if let Some(rooms) = rooms.filter(|_| eviction.methods.contains(Evict::TRANSFER)) {
            match rooms.transfer_into(room, block) {
                Ok(handle) if handle.order() == order => {
                    slot.copy = Some(handle);
                    return eviction.count(order.pages(), |sum| sum.transferred += order.pages());
                }
                Ok(other) => {
                    forebay.discard(other); // of something else: it would hide the slots behind
                    return eviction.lose();
                }
                Err(refused) => {
                    why = RefusalReason::Store(refused.why);
                    (room, block) = refused.item;
                    eviction.note_backlog(refused.why);
                }
            }
        }
        if (block.pfn(), block.order(), room.order()) != (pfn, order, order) {
            forebay.source().free(block);
            forebay.discard(room);
            return eviction.lose();
        }
        // In their places while the store borrows them: a panic loses neither.
        slot.copy = Some(room);
        let mut kept = Kept::<H> { forebay, cx: eviction.cx, block: Some(PooledBlock::cached(block)) };
        let both = kept.block.as_ref().zip(slot.copy.as_ref());
        let copies = rooms.filter(|_| eviction.methods.intersects(Evict::COPY | Evict::SPLIT));
        if let Some((rooms, (block, room))) = copies.zip(both) {
            match rooms.save_into(room, block, eviction.cx) {
                Ok(()) => {
                    eviction.count(order.pages(), |sum| sum.copied += order.pages());
                    return kept
                        .block
                        .take()
                        .into_iter()
                        .for_each(|block| forebay.source().free(block.block));
                }
                Err(refused) => why = RefusalReason::Store(refused),
            }
        }
        slot.block = kept.block.take();
        eviction.refuse(order.pages(), why);
    }
}
