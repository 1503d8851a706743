//! Room of the region that stays with a resident block.

use super::checksum::Checksum;
use super::rings::{Left, Wanted};
use super::store::{Lent, Region};
use super::table::StoredAt;
use forebay::{Context, Handle, Order, OwnedBlock, Refused, StoreError, port::Rooms, sync::RawMutex};

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> Rooms<B>
    for Region<L, B, PAGE, N, C>
{
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        let head = self.books.lock(|books| {
            let room = books.reserve(order)?;
            let head = room.head();
            books.give_back(room, Left::Reserved);
            Ok(head)
        })?;
        self.handle(head, order, N).ok_or(StoreError::Full) // `check` sees to it that there is one
    }

    fn transfer_into(&self, room: Handle, block: B) -> Result<Handle, Refused<(Handle, B), StoreError>> {
        let order = block.order();
        let place = match self.check_id(&room).map(|()| StoredAt::of(&room, N)) {
            Ok(_) if N == 0 => Err(StoreError::Unsupported),
            Ok(place) if place.order == order => Ok(place),
            Ok(_) => Err(StoreError::NotStored),
            Err(why) => Err(why),
        };
        let result = match place {
            Err(why) => Err(Refused { item: block, why }),
            Ok(place) => self.books.lock(|books| {
                let Some(entry) = books.table.take_free() else {
                    return Err(Refused { item: block, why: StoreError::Backlog });
                };
                match books.lend(place.head, order, Wanted::Room) {
                    Ok(to) => books.adopt(entry, block, to, |head, entry| self.handle(head, order, entry)),
                    Err(why) => {
                        books.table.put_free(entry);
                        Err(Refused { item: block, why })
                    }
                }
            }),
        };
        result.map_err(|Refused { item, why }| Refused { item: (room, item), why })
    }

    fn save_into(&self, room: &Handle, block: &B, cx: Context) -> Result<(), StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        self.check_id(room)?;
        let place = StoredAt::of(room, N);
        if place.order != block.order() {
            return Err(StoreError::NotStored);
        }
        let room = self.books.lock(|books| books.lend(place.head, place.order, Wanted::Room))?;
        self.fill(Lent::new(self, room, Left::Reserved), block)
    }

    fn take_back_from(&self, handle: Handle, _: Context) -> Result<(Handle, B), Refused<Handle, StoreError>> {
        let block = self
            .check_id(&handle)
            .and_then(|()| self.books.lock(|books| books.take_back(&handle, Left::Reserved)));
        match block {
            Ok(block) => Ok((handle, block)),
            Err(why) => Err(Refused { item: handle, why }),
        }
    }
}
