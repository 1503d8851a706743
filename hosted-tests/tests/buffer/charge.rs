//! Who pays: charged once, for contents wherever they are, whoever shrinks (`ttm-semantics.md` §4 P6; B12).

use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::{Contents, Watched, World};
use std::cell::{Cell, RefCell};

/// A machine on which the present client pays, up to a limit.
struct Accounts<'n> {
    machine: Machine<&'n Near>,
    present: Cell<usize>,
    limit: Cell<usize>,
    paid: Cell<usize>,
    log: RefCell<Vec<(&'static str, usize, usize)>>,
}

impl<'n> Accounts<'n> {
    fn new(near: &'n Near) -> Self {
        Accounts {
            machine: Machine::new(near),
            present: Cell::new(1),
            limit: Cell::new(usize::MAX),
            paid: Cell::default(),
            log: RefCell::default(),
        }
    }
}

impl Platform for Accounts<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = NoopRawMutex;
    type Mode = Caching;
    fn allocate(&self, order: Order, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.machine.allocate(AllocRequest::new(order), cx)
    }
    fn release(&self, block: RamBlock<PAGE>) {
        self.machine.free(block);
    }
    fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        self.machine.join(left, right)
    }
    fn set_mode(
        &self,
        block: &mut RamBlock<PAGE>,
        from: Caching,
        to: Caching,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        self.machine.set_mode(block, from, to, cx)
    }
    fn charge(&self, _: BufferId, pages: Pages, _: Context) -> Result<Charge, OverLimit> {
        if self.paid.get() + pages.get() > self.limit.get() {
            return Err(OverLimit);
        }
        self.paid.set(self.paid.get() + pages.get());
        self.log.borrow_mut().push(("charge", self.present.get(), pages.get()));
        Charge::new(self.present.get()).ok_or(OverLimit)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.paid.set(self.paid.get() - pages.get());
        self.log.borrow_mut().push(("uncharge", charge.get(), pages.get()));
    }
}

type Plat<'w> = Watched<'w, &'w Accounts<'w>>;
type Charges = [Option<Charge>; 8];
type Slots8<'w> = [Slot<Plat<'w>>; 8];

fn client(n: usize) -> Charge {
    Charge::new(n).unwrap()
}

fn arrays<'w>() -> (Slots8<'w>, Charges) {
    ([const { Slot::EMPTY }; 8], [None; 8])
}

fn charged<'h, 'm, 'w, S: BackingStore<RamBlock<PAGE>>>(
    home: &'h Forebay<Plat<'w>, S>,
    arrays: &'m mut (Slots8<'w>, Charges),
) -> Buffer<'h, Plat<'w>, S, Charged<'m, &'m mut [Slot<Plat<'w>>]>> {
    let slots: &mut [Slot<Plat<'_>>] = &mut arrays.0;
    Buffer::of(Charged::new(slots, &mut arrays.1).unwrap(), home)
}

/// Rule: contents are charged once, when they get their first block; moving them charges nobody, and so can't be refused
/// for want of a limit; dropping them ends it.
#[test]
fn contents_are_charged_once() {
    for how in RUNGS {
        let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
        let accounts = Accounts::new(&near);
        let home = forebay(&accounts, &far, &world);
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
        all_home(&world, &near, &far);
    }
}

/// Rule: the store is told who pays by each rung, also by that which comes after a refused one.
#[test]
fn each_rung_tells_who_pays() {
    for why in [StoreError::Full, StoreError::Backlog] {
        for largest in [Order::MAX, order(1)] {
            let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
            let accounts = Accounts::new(&near);
            let store = Scripted::new(&far);
            let home = forebay(&accounts, &store, &world);
            let mut arrays = arrays();
            let buffer = charged(&home, &mut arrays);
            fill(&buffer, 1);
            store.answer(Script { transfer: Some(why), largest, ..Script::default() });
            assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().copied, pages(8));
            assert_eq!(world.stored_for(client(1)), pages(8), "{why:?} {largest:?}");
            check(&buffer, 1);
            drop(buffer);
            all_home(&world, &near, &far);
        }
    }
}

/// Rule: the owner of what is evicted pays for its backup, not who shrinks.
#[test]
fn the_owner_pays_whoever_shrinks() {
    for how in RUNGS {
        let (near, far, world) = (near(16), far(64), World::new(Contents::Compared));
        let accounts = Accounts::new(&near);
        let home = forebay(&accounts, &far, &world);
        let (mut mine, mut theirs) = (arrays(), arrays());
        let (mine, theirs) = (charged(&home, &mut mine), charged(&home, &mut theirs));
        fill(&mine, 1);
        accounts.present.set(2);
        fill(&theirs, 2);
        drop(mine.read().unwrap()); // lately used
        let all: [&dyn Evictable; 2] = [&mine, &theirs];
        let report = home.reclaim(&all, pages(8), how, CX); // the second client shrinks, and the first is first in the walk
        assert_eq!(report.evicted.moved(), pages(8));
        assert_eq!(world.stored_for(client(1)), mine.residency().unwrap().stored);
        assert_eq!(world.stored_for(client(2)), theirs.residency().unwrap().stored);
        assert_eq!((world.stored_for(client(1)), world.stored_for(client(2))), (pages(8), NONE));
        assert_eq!((world.charged(client(1)), world.charged(client(2))), (pages(8), pages(8)));
        check(&mine, 1);
        check(&theirs, 2);
        drop((mine, theirs));
        all_home(&world, &near, &far);
    }
}

/// Rule: who may not pay gets no block; what was paid for stays; it goes on once they may.
#[test]
fn over_the_limit_there_is_no_block() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let accounts = Accounts::new(&near);
    let home = forebay(&accounts, &far, &world);
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
    all_home(&world, &near, &far);
}

/// Rule: what several paid for is paid for by each of them, and the store is told so as often as it is evicted: what they
/// paid for does not come back in one block.
#[test]
fn several_pay_for_one_buffer() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let accounts = Accounts::new(&near);
    let home = forebay(&accounts, &far, &world);
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays);
    for (who, n) in [(1, 2), (2, 2), (3, 4)] {
        accounts.present.set(who);
        assert_eq!(buffer.populate(pages(n), CX).total(), pages(n));
    }
    fill(&buffer, 6);
    for how in RUNGS {
        assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().copied, pages(8));
        check(&buffer, 6);
        assert_eq!(buffer.read().unwrap().blocks().count(), 3, "one for each");
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
    all_home(&world, &near, &far);
}

/// Rule: a block that can't be purged is paid for until its buffer is gone.
#[test]
fn what_stays_after_a_purge_is_paid_for() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let accounts = Accounts::new(&near);
    let home = forebay(&accounts, &far, &world);
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays).with_mode(Caching::Uncached);
    fill(&buffer, 6);
    accounts.machine.say_no(No::Mode);
    buffer.purge(CX).unwrap();
    assert_eq!((buffer.residency(), world.charged(client(1))), (residency(8, 0, 0), pages(8)));
    accounts.machine.say_no(No::Never);
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    assert_eq!(world.charged(client(1)), pages(8));
    drop(buffer);
    all_home(&world, &near, &far);
}

/// Rule: nobody pays for what was lost with its buffer.
#[test]
fn nobody_pays_for_what_is_stranded() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let accounts = Accounts::new(&near);
    let home = forebay(&accounts, &far, &world);
    let mut arrays = arrays();
    let buffer = charged(&home, &mut arrays).with_mode(Caching::Uncached);
    fill(&buffer, 6);
    accounts.machine.say_no(No::Mode);
    drop(buffer);
    assert_eq!((home.stats().leaked, world.charged(client(1))), (pages(8), NONE));
}

/// Rule: what a store lost is paid for until it is purged.
#[test]
fn what_is_lost_is_paid_for_until_it_is_purged() {
    let (near, world) = (near(64), World::new(Contents::Ignored));
    let accounts = Accounts::new(&near);
    let store = Scripted::<Far, RamBlock<PAGE>>::new(far(64));
    let home = Forebay::new(Watched::new(&accounts, &world), &store);
    let home = &home;
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

/// Rule: a buffer without an array for them charges nobody.
#[test]
fn a_buffer_without_charges_charges_nobody() {
    let (near, far, world) = (near(64), far(64), World::new(Contents::Compared));
    let accounts = Accounts::new(&near);
    accounts.limit.set(0);
    let home = forebay(&accounts, &far, &world);
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
    let accounts = Accounts::new(&near);
    let home = forebay(&accounts, &far, &world);
    let (mut slots, mut charges) = arrays();
    let mut addresses = [None; 8];
    let slots: &mut [Slot<Plat<'_>>] = &mut slots;
    let inner = Charged::new(slots, &mut charges).unwrap();
    let buffer = Buffer::of(Addressed::new(inner, &mut addresses).unwrap(), &home);
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
    let buffer = Buffer::of(Charged::new(inner, &mut charges).unwrap(), &home);
    fill(&buffer, 2);
    assert_eq!((world.mapped(), world.charged(client(1))), (pages(8), pages(8)));
    assert_eq!(buffer.read().unwrap().segments().count(), 1);
    drop(buffer);
    let (mut slots, mut few) = ([const { Slot::<Plat<'_>>::EMPTY }; 8], [None; 3]);
    let slots: &mut [Slot<Plat<'_>>] = &mut slots;
    assert_eq!(Charged::new(slots, &mut few).err(), Some(TooShort { given: 3, slots: 8 }));
    all_home(&world, &near, &far);
}

/// A store that remembers who it was told pays, and else refuses.
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
    fn save_for(
        &self,
        charge: Charge,
        block: &RamBlock<PAGE>,
        order: Order,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.who.borrow_mut().push(("save", charge));
        if self.full { Err(StoreError::Full) } else { self.inner.save(block, order, None, cx) }
    }
    fn transfer_for(
        &self,
        charge: Charge,
        block: RamBlock<PAGE>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        self.who.borrow_mut().push(("transfer", charge));
        if self.full { Err(Refused::new(block, StoreError::Full)) } else { self.inner.transfer(block, None) }
    }
}

fn told(id: u8, full: bool) -> Told {
    Told { inner: far_with_id(16, id), full, who: RefCell::default() }
}

/// Rule: each layer around a store tells it who pays, and so does a reference; a tier tells the one that takes it.
#[test]
fn layers_tell_the_store_who_pays() {
    let near = near(16);
    let (first, second) = (told(0, true), told(1, false));
    let log = Log::default();
    let tiers = Tiered(&first, &second);
    let store = Traced::new(Faulty::<_, SpinRawMutex>::new(&tiers), &log);
    let store: &dyn BackingStore<RamBlock<PAGE>> = &store;
    let block = near.allocate(AllocRequest::new(order(1)), CX).unwrap();
    let copy = store.save_for(client(3), &block, order(1), CX).unwrap();
    assert_eq!(first.who.take(), [("save", client(3))]);
    assert_eq!(second.who.take(), [("save", client(3))]);
    store.discard(copy).unwrap();
    let handle = store.transfer_for(client(4), block).unwrap();
    assert_eq!(first.who.take(), [("transfer", client(4))]);
    assert_eq!(second.who.take(), [("transfer", client(4))]);
    near.free(store.take_back(handle, CX).unwrap());
    let seen = log.take();
    assert!(
        matches!(seen[..], [Event::Save(..), Event::Discard(..), Event::Transfer(..), Event::TakeBack(..)]),
        "{seen:?}"
    );
}

/// Rule: a token is a word; unless the platform says otherwise it is the number of the buffer.
#[test]
fn tokens() {
    assert_eq!(Charge::new(usize::MAX), None);
    assert_eq!(Charge::new(0).map(Charge::get), Some(0));
    assert_eq!(format!("{:?}", client(7)), "C7");
    assert_eq!(size_of::<Option<Charge>>(), size_of::<usize>());
    let near = near(16);
    assert_eq!(near.charge(BufferId(9), pages(1), CX), Ok(client(9)));
    assert_eq!(near.charge(BufferId(usize::MAX), pages(1), CX), Err(OverLimit));
    near.uncharge(client(9), pages(1));
}
