//! A store that answers as a test tells it.

use super::*;
use std::sync::Mutex;

/// What a [`Scripted`] store answers instead of asking the real one.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// To a transfer.
    pub transfer: Option<StoreError>,
    /// To a take-back.
    pub take_back: Option<StoreError>,
    /// To a save.
    pub save: Option<StoreError>,
    /// To a load.
    pub load: Option<StoreError>,
    /// To a split.
    pub split: Option<StoreError>,
    /// A save of more than this is too large.
    pub largest: Order,
    /// A save of more than a page takes half.
    pub short: bool,
    /// Taking back brings half of the block only; the other half waits in [`Scripted::stolen`].
    pub steals: bool,
    /// Capabilities that it denies.
    pub without: Capabilities,
    /// Capabilities that it claims.
    pub with: Capabilities,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            transfer: None,
            take_back: None,
            save: None,
            load: None,
            split: None,
            largest: Order::MAX,
            short: false,
            steals: false,
            without: Capabilities::empty(),
            with: Capabilities::empty(),
        }
    }
}

/// A store that answers as a test tells it.
#[derive(Debug)]
pub struct Scripted<S, B> {
    /// The real one.
    pub inner: S,
    script: Mutex<Script>,
    stolen: Mutex<Vec<B>>,
}

impl<S, B> Scripted<S, B> {
    /// Around that one, which it asks until it is told what to answer.
    pub fn new(inner: S) -> Self {
        Scripted { inner, script: Mutex::default(), stolen: Mutex::default() }
    }

    /// From now on it answers like that.
    pub fn answer(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    fn script(&self) -> Script {
        *self.script.lock().unwrap()
    }

    /// What was stolen since the last time.
    pub fn stolen(&self) -> Vec<B> {
        std::mem::take(&mut *self.stolen.lock().unwrap())
    }
}

impl<B: OwnedBlock, S: BackingStore<B>> BackingStore<B> for Scripted<S, B> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        let s = self.script();
        (self.inner.capabilities() - s.without) | s.with
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        let s = self.script();
        match s.save {
            Some(why) => Err(why),
            None if order > s.largest => Err(StoreError::TooLarge),
            None if s.short => self.inner.save(block, order.lower().unwrap_or(order), payer, cx),
            None => self.inner.save(block, order, payer, cx),
        }
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        match self.script().load {
            Some(why) => Err(why),
            None => self.inner.load(handle, block, at, cx),
        }
    }
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        match self.script().transfer {
            Some(why) => Err(Refused { item: block, why }),
            None => self.inner.transfer(block, payer),
        }
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let s = self.script();
        if let Some(why) = s.take_back {
            return Err(Refused { item: handle, why });
        }
        let block = self.inner.take_back(handle, cx)?;
        if !s.steals {
            return Ok(block);
        }
        let (lower, upper) = block.split().unwrap_or_else(|_| panic!("it can't be split"));
        self.stolen.lock().unwrap().push(upper);
        Ok(lower)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        match self.script().split {
            Some(why) => Err(Refused { item: handle, why }),
            None => self.inner.split(handle),
        }
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        self.inner.settle(budget, cx, owner)
    }
}
