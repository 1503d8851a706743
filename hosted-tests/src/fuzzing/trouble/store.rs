//! A store that panics or lies, in front of the oracle; and the honest one behind it, to which blocks may lie.

use super::script::{Caller, Script};
use super::told::{GARBAGE, Told};
use forebay::{
    AllocRequest, BackingStore, Context, FrameSource, Handle, Order, OwnedBlock, Pages, Platform, Refused,
    StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

type Back<'s> = Result<Handle, Refused<Told<'s>, StoreError>>;

/// The real store: blocks may panic in its hands, or lie to it about bytes.
pub(super) struct Real<'r, 's> {
    inner: &'r dyn BackingStore<Told<'s>>,
    script: &'s Script,
}

impl<'r, 's> Real<'r, 's> {
    pub(super) fn new(inner: &'r dyn BackingStore<Told<'s>>, script: &'s Script) -> Self {
        Real { inner, script }
    }
}

impl<'s> BackingStore<Told<'s>> for Real<'_, 's> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }
    fn save(
        &self,
        block: &Told<'s>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.script.by(Caller::Store, || self.inner.save(block, order, payer, cx))
    }
    fn load(&self, handle: &Handle, block: &mut Told<'s>, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.script.by(Caller::Store, || self.inner.load(handle, block, at, cx))
    }
    fn transfer(&self, block: Told<'s>, payer: Option<Charge>) -> Back<'s> {
        self.inner.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Told<'s>, Refused<Handle, StoreError>> {
        self.inner.take_back(handle, cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.inner.split(handle)
    }
    fn discard(&self, handle: Handle) -> Result<Option<Told<'s>>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(Told<'s>)) -> Settled {
        let owner = &mut |block| self.script.by(Caller::Oracle, || owner(block));
        self.script.by(Caller::Store, || self.inner.settle(budget, cx, owner))
    }
}

/// Store, order, value.
type Key = (u8, u8, usize);

fn key(handle: &Handle) -> Key {
    (handle.store().into(), handle.order().get(), handle.value())
}

/// Around a store `S` that is watched, with a source `P` of other blocks.
pub(super) struct Unreliable<'s, S, P> {
    inner: S,
    source: &'s P,
    script: &'s Script,
    /// Handles that it made up.
    made_up: RefCell<BTreeSet<Key>>,
    /// Handles of the store inside that it kept to itself.
    hidden: RefCell<Vec<Handle>>,
    /// Blocks that it kept to itself.
    kept: RefCell<Vec<Told<'s>>>,
    /// What it says next of something that it made up.
    next: Cell<u8>,
}

impl<'s, S: BackingStore<Told<'s>>, P: Platform<Block = Told<'s>>> Unreliable<'s, S, P> {
    pub(super) fn new(inner: S, source: &'s P, script: &'s Script) -> Self {
        Unreliable {
            inner,
            source,
            script,
            made_up: RefCell::default(),
            hidden: RefCell::default(),
            kept: RefCell::default(),
            next: Cell::new(0),
        }
    }

    /// The store inside.
    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    /// Pages of the blocks that it keeps.
    pub(super) fn keeps(&self) -> Pages {
        self.script.by(Caller::Oracle, || self.kept.borrow().iter().map(|block| block.order().pages()).sum())
    }

    /// Discards and returns all that it kept.
    pub(super) fn give_back(&self) {
        self.script.by(Caller::Oracle, || {
            for handle in self.hidden.take() {
                match self.inner.discard(handle) {
                    Ok(block) => self.kept.borrow_mut().extend(block),
                    Err(refused) => panic!("{:?} was hidden, and is gone: {}", refused.item, refused.why),
                }
            }
            self.kept.take().into_iter().for_each(|block| self.source.source().free(block));
        });
    }

    /// One call of the store inside.
    fn call<R>(&self, f: impl FnOnce(&S) -> R) -> R {
        self.script.call(|| self.script.by(Caller::Oracle, || f(&self.inner)))
    }

    /// What this call lies about; of a handle that it made up there is nothing but lies.
    fn lie(&self, of: Option<&Handle>) -> Option<u8> {
        let lie = self.script.lie();
        let is_made_up = of.is_some_and(|handle| self.made_up.borrow().contains(&key(handle)));
        lie.or_else(|| is_made_up.then(|| self.next.replace(self.next.get().wrapping_add(37))))
    }

    /// A handle that the store inside does not know.
    fn make_up(&self, like: Order, what: u8) -> Handle {
        let mut made_up = self.made_up.borrow_mut();
        let order =
            [like.lower().unwrap_or(like), Order::new(like.get() + 1).unwrap_or(like), like, Order::MAX];
        let id = if what & 4 == 0 { StoreId::DEFAULT } else { StoreId::new(9).unwrap_or(StoreId::DEFAULT) };
        let value = Handle::VALUES - 1 - made_up.len();
        let handle = Handle::new(id, order[usize::from(what) % 4], value).expect("it is small enough");
        made_up.insert(key(&handle));
        handle
    }

    fn is_made_up(&self, handle: &Handle) -> bool {
        self.made_up.borrow().contains(&key(handle))
    }

    /// Another block, if there is one. It may say that it is of another order than was wanted. (One that says the order that was
    /// wanted, and is of another, can't be told from a block that has fewer bytes than it should.)
    fn foreign(&self, order: Order, wanted: Order) -> Option<Told<'s>> {
        let allocate = || self.source.source().allocate(AllocRequest::new(order), Context::INTERRUPT).ok();
        let mut block = self.script.by(Caller::Oracle, allocate)?;
        self.garble(&mut block, Pages::ZERO);
        let next = self.next.replace(self.next.get().wrapping_add(37));
        if next.is_multiple_of(4) && order == wanted {
            block.lies_of_order(next / 4);
        }
        Some(block)
    }

    /// Garbage from a page of a block on.
    fn garble(&self, block: &mut Told<'s>, from: Pages) {
        self.script.by(Caller::Oracle, || {
            for page in from.get()..block.order().pages().get() {
                block.write_at(page * Told::PAGE, &[GARBAGE; Told::PAGE]);
            }
        });
    }

    /// Keeps a handle, unless it is made up.
    fn hide(&self, handle: Handle) {
        if !self.is_made_up(&handle) {
            self.hidden.borrow_mut().push(handle);
        }
    }
}

/// Any error.
fn error(what: u8) -> StoreError {
    use StoreError::{Backlog, Full, Io, Limit, NotStored, TooLarge, Unsupported, WrongKind};
    [Unsupported, Full, Backlog, TooLarge, Limit, NotStored, WrongKind, Io][usize::from(what) % 8]
}

impl<'s, S: BackingStore<Told<'s>>, P: Platform<Block = Told<'s>>> BackingStore<Told<'s>>
    for Unreliable<'s, S, P>
{
    fn ids(&self) -> StoreIds {
        let is = self.call(S::ids);
        self.lie(None).map_or(is, |what| [StoreIds::empty(), StoreIds::ALL][usize::from(what) % 2])
    }

    fn capabilities(&self) -> Capabilities {
        let is = self.call(S::capabilities);
        self.lie(None).map_or(is, |what| is ^ Capabilities::from_bits_truncate(what.into()))
    }

    fn space(&self) -> Space {
        let is = self.call(S::space);
        match self.lie(None).map(|what| what % 3) {
            None => is,
            Some(0) => Space { pages: Pages::ZERO, transfers: 0 },
            Some(1) => Space::UNKNOWN,
            Some(_) => Space { pages: Pages::MAX, transfers: 1 },
        }
    }

    fn room_of(&self, handle: &Handle) -> Pages {
        match self.lie(Some(handle)) {
            None => self.call(|inner| inner.room_of(handle)),
            Some(what) => [Pages::ZERO, Pages::MAX, handle.order().pages()][usize::from(what) % 3],
        }
    }

    /// A handle that is made up, of any order; or an error.
    fn save(
        &self,
        block: &Told<'s>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        if order > self.script.by(Caller::Oracle, || block.order()) {
            return Err(StoreError::TooLarge); // the block lied
        }
        let lie = self.lie(None);
        match lie {
            None => self.call(|inner| inner.save(block, order, payer, cx)),
            Some(what) if what % 3 == 0 => Err(error(what / 3)),
            Some(what) => Ok(self.make_up(order, what)),
        }
    }

    /// Less than it says, or an error.
    fn load(&self, handle: &Handle, block: &mut Told<'s>, at: Pages, cx: Context) -> Result<(), StoreError> {
        match self.lie(Some(handle)) {
            None => self.call(|inner| inner.load(handle, block, at, cx)),
            Some(what) if what % 2 == 0 => Err(error(what / 2)),
            Some(_) => {
                self.garble(block, at);
                Ok(())
            }
        }
    }

    /// A handle that is made up, or a refusal with another block.
    fn transfer(&self, block: Told<'s>, payer: Option<Charge>) -> Back<'s> {
        let order = self.script.by(Caller::Oracle, || block.order());
        let Some(what) = self.lie(None) else { return self.call(|inner| inner.transfer(block, payer)) };
        let foreign = if what % 2 == 0 { self.foreign(order, order) } else { None };
        let why = error(what / 2);
        match foreign {
            Some(foreign) => {
                self.kept.borrow_mut().push(block);
                Err(Refused { item: foreign, why })
            }
            None if what % 4 == 0 => Err(Refused { item: block, why }),
            None => {
                self.kept.borrow_mut().push(block);
                Ok(self.make_up(order, what / 4))
            }
        }
    }

    /// Another block, of any order; or an error with a handle that is made up. (That one is of the same order: a larger one would
    /// hide what is in the slots behind it.)
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Told<'s>, Refused<Handle, StoreError>> {
        let Some(what) = self.lie(Some(&handle)) else {
            return self.call(|inner| inner.take_back(handle, cx));
        };
        let order = handle.order();
        let orders = [order, order.lower().unwrap_or(order), Order::PAGE];
        let foreign =
            if what % 2 == 0 { self.foreign(orders[usize::from(what / 2) % 3], order) } else { None };
        match foreign {
            Some(foreign) => {
                self.hide(handle);
                Ok(foreign)
            }
            None if what % 4 == 1 => Err(Refused { item: handle, why: error(what / 4) }),
            None => {
                self.hide(handle);
                Err(Refused { item: self.make_up(order, ((what / 4) & 4) | 2), why: error(what / 32) })
            }
        }
    }

    /// Two handles that are made up; or an error with another handle. Their orders are right: no buffer looks at them, so others
    /// would take the place of what is in its slots.
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let Some(what) = self.lie(Some(&handle)) else { return self.call(|inner| inner.split(handle)) };
        let order = handle.order();
        match what % 3 {
            0 => Err(Refused { item: handle, why: error(what / 3) }),
            1 => {
                self.hide(handle);
                Err(Refused { item: self.make_up(order, ((what / 3) & 4) | 2), why: error(what / 32) })
            }
            _ => {
                self.hide(handle);
                Ok((self.make_up(order, (what / 3) & 4), self.make_up(order, (what / 12) & 4)))
            }
        }
    }

    /// Nothing, another block, or an error.
    fn discard(&self, handle: Handle) -> Result<Option<Told<'s>>, Refused<Handle, StoreError>> {
        let Some(what) = self.lie(Some(&handle)) else { return self.call(|inner| inner.discard(handle)) };
        let order = handle.order();
        match what % 3 {
            0 => Err(Refused { item: self.make_up(order, what / 3), why: error(what / 12) })
                .inspect_err(|_| self.hide(handle)),
            1 => {
                self.hide(handle);
                Ok(None)
            }
            _ => {
                self.hide(handle);
                Ok(self.foreign(order.lower().unwrap_or(order), order))
            }
        }
    }

    /// Counts that are made up, and perhaps a block that was never given to it.
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(Told<'s>)) -> Settled {
        let back = &mut |block| self.script.by(Caller::Forebay, || owner(block));
        let mut settled = self.call(|inner| inner.settle(budget, cx, back));
        let Some(what) = self.lie(None) else { return settled };
        match what % 8 {
            0 => settled.freed = Pages::MAX,
            1 => settled.pending = Pages::MAX,
            2 => settled.reclaimable = Pages::MAX,
            3 => settled.written = Pages::MAX,
            4 => settled.held = Pages::MAX,
            5 => settled.error = Some(error(what / 8)),
            6 => settled = Settled::default(),
            _ => self.foreign(Order::PAGE, Order::PAGE).into_iter().for_each(owner),
        }
        settled
    }
}
