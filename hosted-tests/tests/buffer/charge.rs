//! Who pays: charged once, for contents wherever they are, whichever client reclaims (`ttm-semantics.md` §4 P6; B12).

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::{Cell, RefCell};

/// Accounts in which the present client pays, up to a limit.
#[derive(Debug)]
struct Accounts {
    present: Cell<usize>,
    limit: Cell<usize>,
    paid: Cell<usize>,
    log: RefCell<Vec<(&'static str, usize, usize)>>,
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts {
            present: Cell::new(1),
            limit: Cell::new(usize::MAX),
            paid: Cell::default(),
            log: RefCell::default(),
        }
    }
}

impl Accounting for Accounts {
    fn charge(&self, _: BufferId, pages: Pages, _: Context) -> Option<Charge> {
        if self.paid.get() + pages.get() > self.limit.get() {
            return None;
        }
        self.paid.set(self.paid.get() + pages.get());
        self.log.borrow_mut().push(("charge", self.present.get(), pages.get()));
        core::num::NonZeroUsize::new(self.present.get()).map(Charge)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.paid.set(self.paid.get() - pages.get());
        self.log.borrow_mut().push(("uncharge", charge.0.get(), pages.get()));
    }
}

/// A machine with modes, and accounts.
type Paid<'n> = AllPorts<Machine<WithAccounting<&'n Near, Accounts>>>;

fn machine(near: &Near) -> Paid<'_> {
    Machine::new(WithAccounting(near, Accounts::default()))
}

type Plat<'w> = AllPorts<Watched<'w, &'w Paid<'w>>>;
type Charges = [Option<Charge>; 8];
type Slots8<'w> = [Slot<Plat<'w>>; 8];

fn client(n: usize) -> Charge {
    core::num::NonZeroUsize::new(n).map(Charge).unwrap()
}

fn arrays<'w>() -> (Slots8<'w>, Charges) {
    ([const { Slot::EMPTY }; 8], [None; 8])
}

/// Eight slots with charges.
type Slots8WithCharges<'m, 'w> = Charged<'m, &'m mut [Slot<Plat<'w>>]>;

fn charged<'h, 'm, 'w, S: BackingStore<RamBlock<PAGE>>>(
    home: &'h Forebay<Plat<'w>, S>,
    arrays: &'m mut (Slots8<'w>, Charges),
) -> Buffer<&'h Forebay<Plat<'w>, S>, Slots8WithCharges<'m, 'w>> {
    let slots: &mut [Slot<Plat<'_>>] = &mut arrays.0;
    Buffer::with_slots(home, Charged::new(slots, &mut arrays.1).unwrap(), Order::PAGE)
}

/// Rule: contents are charged once, when they get their first block. Moving them charges nothing, so a limit can't refuse
/// it. Dropping them ends the charge.
#[test]
fn contents_are_charged_once() {
    for how in METHODS {
        let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
        let machine = machine(&near);
        let accounts = &machine.inner.1;
        let home = forebay(&machine, &far, &world);
        let mut arrays = arrays();
        let buffer = charged(&home, &mut arrays);
        accounts.limit.set(8);
        fill(&buffer, 0);
        assert_eq!(accounts.log.take(), [("charge", 1, 8)]);
        accounts.present.set(2);
        for seed in 0..3 {
            fill(&buffer, seed);
            assert_eq!(buffer.evict(pages(3), how, CX).unwrap().why, None);
            assert_eq!(buffer.evict(ALL, how, CX).unwrap().why, None);
            assert_eq!((world.charged(client(1)), world.stored_for(client(1))), (pages(8), pages(8)));
            home.settle(ALL, CX);
            check(&buffer, seed);
        }
        assert_eq!(accounts.log.take(), []);
        buffer.purge(CX).unwrap();
        assert_eq!(accounts.log.take(), [("uncharge", 1, 8)]);
        fill(&buffer, 9);
        buffer.evict(pages(1), how, CX).unwrap();
        accounts.log.take();
        drop(buffer);
        assert_eq!(accounts.log.take(), [("uncharge", 2, 8)]);
        all_returned(&world, &near, &far);
    }
}

/// Rule: each method tells the store who pays, also one that follows a refused one.
#[test]
fn each_method_tells_who_pays() {
    for why in [StoreError::Full, StoreError::Backlog] {
        for largest in [Order::MAX, order(1)] {
            let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
            let machine = machine(&near);
            let store = Scripted::new(&far);
            let home = forebay(&machine, &store, &world);
            let mut arrays = arrays();
            let buffer = charged(&home, &mut arrays);
            fill(&buffer, 1);
            store.answer(Script { transfer: Some(why), largest, ..Script::default() });
            assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().copied, pages(8));
            assert_eq!(world.stored_for(client(1)), pages(8), "{why:?} {largest:?}");
            check(&buffer, 1);
            drop(buffer);
            all_returned(&world, &near, &far);
        }
    }
}

/// Rule: the owner of what is evicted pays for its stored contents, not the client that reclaims.
#[test]
fn the_owner_pays_whichever_client_reclaims() {
    for how in METHODS {
        let (near, far, world) = (near(16), far(64), World::new(Contents::Compared));
        let machine = machine(&near);
        let accounts = &machine.inner.1;
        let home = forebay(&machine, &far, &world);
        let (mut mine, mut theirs) = (arrays(), arrays());
        let mine = charged(&home, &mut mine);
        let theirs = charged(&home, &mut theirs).with_id(BufferId(1));
        fill(&mine, 1);
        accounts.present.set(2);
        fill(&theirs, 2);
        drop(mine.read().unwrap()); // lately used
        let all = [&mine, &theirs];
        let report = home.reclaim(all, pages(8), how, CX); // the second client reclaims, and the first is first in the list
        assert_eq!(report.evicted.moved(), pages(8));
        assert_eq!(world.stored_for(client(1)), mine.residency().unwrap().stored);
        assert_eq!(world.stored_for(client(2)), theirs.residency().unwrap().stored);
        assert_eq!((world.stored_for(client(1)), world.stored_for(client(2))), (pages(8), NONE));
        assert_eq!((world.charged(client(1)), world.charged(client(2))), (pages(8), pages(8)));
        check(&mine, 1);
        check(&theirs, 2);
        drop((mine, theirs));
        all_returned(&world, &near, &far);
    }
}

/// Rule: a payer at its limit gets no block. What was charged stays. It goes on once the limit permits.
#[test]
fn over_the_limit_there_is_no_block() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let machine = machine(&near);
    let accounts = &machine.inner.1;
    let home = forebay(&machine, &far, &world);
    let hogged = leave(&near, (0..64).step_by(2)); // single pages
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays);
    accounts.limit.set(5);
    let free = near.unused();
    assert_eq!(buffer.write().err(), Some(AccessError::OverLimit));
    assert_eq!(buffer.residency(), residency(5, 0, 0));
    assert_eq!((world.charged(client(1)), free - near.unused()), (pages(5), pages(5)));
    accounts.limit.set(8);
    fill(&buffer, 4);
    check(&buffer, 4);
    assert_eq!(world.charged(client(1)), pages(8));
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: where several pay for one buffer, each pays for its part, and the store is told so at each eviction: parts of
/// several payers do not come back in one block.
#[test]
fn several_pay_for_one_buffer() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let machine = machine(&near);
    let accounts = &machine.inner.1;
    let home = forebay(&machine, &far, &world);
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays);
    for (who, n) in [(1, 2), (2, 2), (3, 4)] {
        accounts.present.set(who);
        assert_eq!(buffer.populate(pages(n), CX).total(), pages(n));
    }
    fill(&buffer, 6);
    for how in METHODS {
        assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().copied, pages(8));
        check(&buffer, 6);
        assert_eq!(buffer.read().unwrap().blocks().count(), 3, "one for each payer");
        fill(&buffer, 6);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
        for (who, n) in [(1, 2), (2, 2), (3, 4)] {
            assert_eq!(world.stored_for(client(who)), pages(n));
        }
        fill(&buffer, 6);
    }
    accounts.log.take();
    buffer.purge(CX).unwrap();
    assert_eq!(accounts.log.take(), [("uncharge", 1, 2), ("uncharge", 2, 2), ("uncharge", 3, 4)]);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a block that can't be purged is charged until its buffer is dropped.
#[test]
fn what_stays_after_a_purge_is_charged() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let machine = machine(&near);
    let home = forebay(&machine, &far, &world);
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays).with_mode(Caching::Uncached);
    fill(&buffer, 6);
    machine.say_no(No::Mode);
    buffer.purge(CX).unwrap();
    assert_eq!((buffer.residency(), world.charged(client(1))), (residency(8, 0, 0), pages(8)));
    machine.say_no(No::Never);
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    assert_eq!(world.charged(client(1)), pages(8));
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a block that is leaked with its buffer is no longer charged.
#[test]
fn what_is_leaked_is_not_charged() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let machine = machine(&near);
    let home = forebay(&machine, &far, &world);
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays).with_mode(Caching::Uncached);
    fill(&buffer, 6);
    machine.say_no(No::Mode);
    drop(buffer);
    assert_eq!((home.stats().leaked, world.charged(client(1))), (pages(8), NONE));
}

/// Rule: what a store lost is charged until it is purged.
#[test]
fn what_is_lost_is_charged_until_it_is_purged() {
    let (near, world) = (near(64), World::new(Contents::Ignored));
    let machine = machine(&near);
    let store = Scripted::<Far, RamBlock<PAGE>>::new(far(64));
    let home = &Forebay::new(Watched::platform(&machine, &world), &store);
    let mut arrays = arrays();
    let buffer = charged(home, &mut arrays);
    fill(&buffer, 6);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(8));
    store.answer(Script { steals: true, ..Script::default() });
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    assert_eq!(world.charged(client(1)), pages(8));
    buffer.purge(CX).unwrap();
    assert_eq!(world.charged(client(1)), NONE);
}

/// Rule: a buffer without an array for charges charges nothing.
#[test]
fn a_buffer_without_charges_charges_nothing() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let machine = machine(&near);
    let accounts = &machine.inner.1;
    accounts.limit.set(0);
    let home = forebay(&machine, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
    fill(&buffer, 6);
    buffer.evict(ALL, Evict::ANY, CX).unwrap();
    check(&buffer, 6);
    drop(buffer);
    assert_eq!(accounts.log.take(), []);
}

/// Rule: addresses and charges go together, whichever is around the other.
#[test]
fn addresses_and_charges_together() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let machine = machine(&near);
    let home = forebay(&machine, &far, &world);
    let (mut slots, mut charges) = arrays();
    let mut addresses = [None; 8];
    let slots: &mut [Slot<Plat<'_>>] = &mut slots;
    let inner = Charged::new(slots, &mut charges).unwrap();
    let buffer = Buffer::with_slots(&home, Addressed::new(inner, &mut addresses).unwrap(), Order::PAGE);
    fill(&buffer, 1);
    assert_eq!((world.mapped(), world.charged(client(1))), (pages(8), pages(8)));
    assert_eq!(buffer.read().unwrap().segments().count(), 1);
    assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().moved(), pages(8));
    assert_eq!((world.mapped(), world.stored_for(client(1))), (NONE, pages(8)));
    check(&buffer, 1);
    drop(buffer);
    let (mut slots, mut charges) = arrays();
    let slots: &mut [Slot<Plat<'_>>] = &mut slots;
    let inner = Addressed::new(slots, &mut addresses).unwrap();
    let charged = Charged::new(inner, &mut charges).unwrap();
    let buffer = Buffer::with_slots(&home, charged, Order::PAGE).with_id(BufferId(1));
    fill(&buffer, 2);
    assert_eq!((world.mapped(), world.charged(client(1))), (pages(8), pages(8)));
    assert_eq!(buffer.read().unwrap().segments().count(), 1);
    drop(buffer);
    let (mut slots, mut few) = ([const { Slot::<Plat<'_>>::EMPTY }; 8], [None; 3]);
    let slots: &mut [Slot<Plat<'_>>] = &mut slots;
    assert_eq!(Charged::new(slots, &mut few).err(), Some(TooShort { given: 3, slots: 8 }));
    all_returned(&world, &near, &far);
}

/// A store that remembers which payer it was told, and takes nothing without a payer, or nothing at all.
struct Told {
    inner: Far,
    full: bool,
    who: RefCell<Vec<(&'static str, Charge)>>,
}

impl BackingStore<RamBlock<PAGE>> for Told {
    fn ids(&self) -> StoreIds {
        <Far as BackingStore<RamBlock<PAGE>>>::ids(&self.inner)
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<RamBlock<PAGE>, Refused<Handle, StoreError>> {
        self.inner.take_back(handle, cx)
    }
    fn save(
        &self,
        block: &RamBlock<PAGE>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.who.borrow_mut().push(("save", payer.ok_or(StoreError::Unsupported)?));
        if self.full { Err(StoreError::Full) } else { self.inner.save(block, order, payer, cx) }
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        payer: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        let Some(told) = payer else { return Err(Refused { item: block, why: StoreError::Unsupported }) };
        self.who.borrow_mut().push(("transfer", told));
        if self.full {
            Err(Refused { item: block, why: StoreError::Full })
        } else {
            self.inner.transfer(block, payer)
        }
    }
}

fn told(id: u8, full: bool) -> Told {
    Told { inner: far_with_id(16, id), full, who: RefCell::default() }
}

/// Rule: each layer around a store passes on who pays, and so does a reference. A tier tells each store that it asks.
#[test]
fn layers_tell_the_store_who_pays() {
    let near = near(16);
    let (first, second) = (told(0, true), told(1, false));
    let log = Log::default();
    let tiers = Tiered(&first, &second);
    let store = Traced::new(Faulty::<_, SpinRawMutex>::new(&tiers), &log);
    let store: &dyn BackingStore<RamBlock<PAGE>> = &store;
    let block = near.allocate(AllocRequest::new(order(1)), CX).unwrap();
    let copy = store.save(&block, order(1), Some(client(3)), CX).unwrap();
    assert_eq!(first.who.take(), [("save", client(3))]);
    assert_eq!(second.who.take(), [("save", client(3))]);
    store.discard(copy).unwrap();
    let handle = store.transfer(block, Some(client(4))).unwrap();
    assert_eq!(first.who.take(), [("transfer", client(4))]);
    assert_eq!(second.who.take(), [("transfer", client(4))]);
    near.free(store.take_back(handle, CX).unwrap());
    let seen = log.take();
    assert!(
        matches!(seen[..], [Event::Save(..), Event::Discard(..), Event::Transfer(..), Event::TakeBack(..)]),
        "{seen:?}"
    );
}

/// Rule: a token is a word. Unless the platform has its own accounting, it is the number of the buffer plus one.
#[test]
fn tokens() {
    assert_eq!(format!("{:?}", client(7)), "C7");
    assert_eq!(size_of::<Option<Charge>>(), size_of::<usize>());
    assert_eq!(().charge(BufferId(9), pages(1), CX), Some(client(10)));
    assert_eq!(().charge(BufferId(usize::MAX), pages(1), CX), None);
    ().uncharge(client(9), pages(1));
}
