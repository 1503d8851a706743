//! What stands in front of the region: a bell that rings at a call of a port, as an interrupt would; and terms on which the
//! region takes anything.

use crate::card::*;
use forebay::{
    BackingStore, Context, Handle, Order, Pages, Refused, StoreError,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rings once, at one call of platform or store, and waits for what comes.
#[derive(Default)]
pub(crate) struct Bell(Mutex<Option<Ring>>);

struct Ring {
    /// Calls that come before it.
    left: u32,
    rings: Sender<()>,
    done: Receiver<()>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Option<Ring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It rings after `left` calls, until [`disarm`](Bell::disarm).
    pub(crate) fn arm(&self, left: u32, rings: Sender<()>, done: Receiver<()>) {
        *self.lock() = Some(Ring { left, rings, done });
    }

    /// How many calls were left, if it did not ring.
    pub(crate) fn disarm(&self) -> Option<u32> {
        self.lock().take().map(|ring| ring.left)
    }

    /// A port is called.
    pub(crate) fn call(&self) {
        let ring = {
            let mut bell = self.lock();
            match &mut *bell {
                Some(ring) if ring.left > 0 => {
                    ring.left -= 1;
                    None
                }
                _ => bell.take(),
            }
        };
        if let Some(Ring { rings, done, .. }) = ring {
            let _ = rings.send(());
            let _ = done.recv(); // what came may have panicked, and is joined later
        }
    }
}

/// What the region takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How many blocks or copies more it takes; then it refuses each.
    pub(crate) puts: u32,
    /// Why.
    pub(crate) why: StoreError,
    /// No copy above that order.
    pub(crate) largest: Order,
    /// Of a larger copy it takes only the first pages, as many as a block of that order has.
    pub(crate) short: Order,
}

impl Terms {
    /// Whatever there is room for.
    pub(crate) const ANY: Terms =
        Terms { puts: u32::MAX, why: StoreError::Full, largest: Order::MAX, short: Order::MAX };
}

/// Where the terms are, and how often it was asked to take something.
pub(crate) struct Door(Mutex<(Terms, u32)>);

impl Door {
    pub(crate) const fn new() -> Self {
        Door(Mutex::new((Terms::ANY, 0)))
    }

    fn with<R>(&self, f: impl FnOnce(&mut (Terms, u32)) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// These terms, until what this returns is dropped.
    pub(crate) fn on(&self, terms: Terms) -> OnTerms<'_> {
        self.with(|door| door.0 = terms);
        OnTerms(self)
    }

    /// How often it was asked since the last time.
    pub(crate) fn asked(&self) -> u32 {
        self.with(|door| std::mem::take(&mut door.1))
    }

    fn put(&self, copy: Option<Order>) -> Result<Terms, StoreError> {
        self.with(|(terms, asked)| {
            *asked += 1;
            if copy.is_some_and(|order| order > terms.largest) {
                return Err(StoreError::TooLarge);
            }
            let left = terms.puts.checked_sub(1).ok_or(terms.why)?;
            terms.puts = if terms.puts == u32::MAX { u32::MAX } else { left };
            Ok(*terms)
        })
    }
}

#[must_use]
pub(crate) struct OnTerms<'d>(&'d Door);

impl Drop for OnTerms<'_> {
    fn drop(&mut self) {
        self.0.with(|door| door.0 = Terms::ANY);
    }
}

/// The region, through that.
pub(crate) struct Entrance<'g>(pub(crate) &'g Ground);

impl Entrance<'_> {
    fn far(&self) -> &Depot {
        self.0.bell.call();
        &self.0.far
    }
}

impl BackingStore<Piece> for Entrance<'_> {
    fn ids(&self) -> StoreIds {
        self.0.far.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.far.capabilities()
    }
    fn space(&self) -> Space {
        self.0.far.space()
    }
    fn save(
        &self,
        block: &Piece,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        let far = self.far();
        let terms = self.0.door.put(Some(order))?;
        far.save(block, order.min(terms.short), payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Piece, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.far().load(handle, block, at, cx)
    }
    fn transfer(&self, block: Piece, payer: Option<Charge>) -> Result<Handle, Refused<Piece, StoreError>> {
        let far = self.far();
        match self.0.door.put(None) {
            Ok(_) => far.transfer(block, payer),
            Err(why) => Err(Refused { item: block, why }),
        }
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Piece, Refused<Handle, StoreError>> {
        self.far().take_back(handle, cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.far().split(handle)
    }
    fn discard(&self, handle: Handle) -> Result<Option<Piece>, Refused<Handle, StoreError>> {
        self.far().discard(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(Piece)) -> Settled {
        self.far().settle(budget, cx, owner)
    }
}
