//! Two stores in a row.

use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError,
    frame::Charge,
    port::{Capabilities, Rooms, Settled, Space, StoreIds},
};

/// What the first store refuses goes to the second: the same block.
///
/// The two need different [`StoreId`](forebay::StoreId)s; with the same, everything is refused ([`StoreError::SameId`]). A tier may
/// consist of tiers.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tiered<A, B>(pub A, pub B);

/// Which of the two a handle belongs to.
enum Tier {
    First,
    Second,
}

impl<A, B> Tiered<A, B> {
    fn tier<T: OwnedBlock>(&self, handle: &Handle) -> Option<Tier>
    where
        A: BackingStore<T>,
        B: BackingStore<T>,
    {
        match (self.0.ids().contains(handle.store().into()), self.1.ids().contains(handle.store().into())) {
            (true, _) => Some(Tier::First),
            (false, true) => Some(Tier::Second),
            (false, false) => None,
        }
    }

    fn check<T: OwnedBlock>(&self) -> Result<(), StoreError>
    where
        A: BackingStore<T>,
        B: BackingStore<T>,
    {
        if self.0.ids().intersects(self.1.ids()) { Err(StoreError::SameId) } else { Ok(()) }
    }
}

impl<T: OwnedBlock, A: BackingStore<T>, B: BackingStore<T>> BackingStore<T> for Tiered<A, B> {
    fn ids(&self) -> StoreIds {
        self.0.ids().union(self.1.ids())
    }

    /// What either can do; a handle can do what its own tier can. [`Capabilities::NEEDS_IO`] only if both need it: each store checks
    /// the context itself. [`Capabilities::LOADS_ALL`] if both promise it.
    fn capabilities(&self) -> Capabilities {
        let (a, b) = (self.0.capabilities(), self.1.capabilities());
        let copies = |c: Capabilities| c.contains(Capabilities::COPY);
        let io = match (copies(a), copies(b)) {
            (true, true) => a & b,
            (true, false) => a,
            (false, _) => b,
        };
        let promises =
            |c: Capabilities| c.contains(Capabilities::LOADS_ALL) || !c.contains(Capabilities::LOAD);
        let mut both = ((a | b) - Capabilities::NEEDS_IO) | (io & Capabilities::NEEDS_IO);
        both.set(Capabilities::LOADS_ALL, both.contains(Capabilities::LOAD) && promises(a) && promises(b));
        both
    }

    fn space(&self) -> Space {
        let (a, b) = (self.0.space(), self.1.space());
        Space { pages: a.pages + b.pages, transfers: a.transfers.saturating_add(b.transfers) }
    }

    fn room_of(&self, handle: &Handle) -> Pages {
        match self.tier(handle) {
            Some(Tier::First) => self.0.room_of(handle),
            Some(Tier::Second) => self.1.room_of(handle),
            None => Pages::ZERO,
        }
    }

    fn transfer(&self, block: T, payer: Option<Charge>) -> Result<Handle, Refused<T, StoreError>> {
        if let Err(why) = self.check() {
            return Err(Refused { item: block, why });
        }
        self.0.transfer(block, payer).or_else(|refused| {
            let last = self.1.transfer(refused.item, payer);
            last.map_err(|last| Refused { item: last.item, why: worse(refused.why, last.why) })
        })
    }

    fn take_back(&self, handle: Handle, cx: Context) -> Result<T, Refused<Handle, StoreError>> {
        match self.tier(&handle) {
            Some(Tier::First) => self.0.take_back(handle, cx),
            Some(Tier::Second) => self.1.take_back(handle, cx),
            None => Err(Refused { item: handle, why: StoreError::WrongStore }),
        }
    }

    fn save(
        &self,
        block: &T,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.check()?;
        let second = || self.1.save(block, order, payer, cx);
        self.0.save(block, order, payer, cx).or_else(|first| second().map_err(|why| worse(first, why)))
    }

    fn load(&self, handle: &Handle, block: &mut T, at: Pages, cx: Context) -> Result<(), StoreError> {
        match self.tier(handle) {
            Some(Tier::First) => self.0.load(handle, block, at, cx),
            Some(Tier::Second) => self.1.load(handle, block, at, cx),
            None => Err(StoreError::WrongStore),
        }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        match self.tier(&handle) {
            Some(Tier::First) => self.0.split(handle),
            Some(Tier::Second) => self.1.split(handle),
            None => Err(Refused { item: handle, why: StoreError::WrongStore }),
        }
    }

    fn discard(&self, handle: Handle) -> Result<Option<T>, Refused<Handle, StoreError>> {
        match self.tier(&handle) {
            Some(Tier::First) => self.0.discard(handle),
            Some(Tier::Second) => self.1.discard(handle),
            None => Err(Refused { item: handle, why: StoreError::WrongStore }),
        }
    }

    /// If both keep room: what is loaded from the first may lie in the lobby too.
    fn rooms(&self) -> Option<&dyn Rooms<T>> {
        if self.0.rooms().is_some() && self.1.rooms().is_some() { Some(self) } else { None }
    }

    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(T)) -> Settled {
        let a = self.0.settle(budget, cx, owner);
        let mut both = self.1.settle(budget - a.written, cx, owner);
        both.written += a.written;
        both.freed += a.freed;
        both.reclaimable += a.reclaimable;
        both.pending += a.pending;
        both.held += a.held;
        both.error = a.error.or(both.error);
        both
    }
}

impl<A, B> Tiered<A, B> {
    /// The tier of a handle, as one that keeps room.
    fn rooms_of<T: OwnedBlock>(&self, handle: &Handle) -> Result<&dyn Rooms<T>, StoreError>
    where
        A: BackingStore<T>,
        B: BackingStore<T>,
    {
        let rooms = match self.tier(handle) {
            Some(Tier::First) => self.0.rooms(),
            Some(Tier::Second) => self.1.rooms(),
            None => return Err(StoreError::WrongStore),
        };
        rooms.ok_or(StoreError::Unsupported)
    }
}

/// Room is reserved in the second store, unless only the first has some.
impl<T: OwnedBlock, A: BackingStore<T>, B: BackingStore<T>> Rooms<T> for Tiered<A, B> {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        self.check()?;
        let reserve = |rooms: Option<&dyn Rooms<T>>| rooms.ok_or(StoreError::Unsupported)?.reserve(order);
        reserve(self.1.rooms()).or_else(|last| reserve(self.0.rooms()).map_err(|_| last))
    }

    fn transfer_into(&self, room: Handle, block: T) -> Result<Handle, Refused<(Handle, T), StoreError>> {
        match self.rooms_of(&room) {
            Ok(rooms) => rooms.transfer_into(room, block),
            Err(why) => Err(Refused { item: (room, block), why }),
        }
    }

    fn save_into(&self, room: &Handle, block: &T, cx: Context) -> Result<(), StoreError> {
        self.rooms_of(room)?.save_into(room, block, cx)
    }

    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, T), Refused<Handle, StoreError>> {
        match self.rooms_of(&handle) {
            Ok(rooms) => rooms.take_back_from(handle, cx),
            Err(why) => Err(Refused { item: handle, why }),
        }
    }
}

/// The answer that helps the caller most: a smaller part would fit, else a store would take it later, else the answer of the
/// second, unless that store never does this.
fn worse(first: StoreError, second: StoreError) -> StoreError {
    use StoreError::{Backlog, Busy, TooLarge, Unsupported};
    [TooLarge, Backlog, Busy].into_iter().find(|e| *e == first || *e == second).unwrap_or(match second {
        Unsupported => first,
        _ => second,
    })
}
