//! A platform that panics in what surrounds a buffer's blocks: modes, addresses, charges.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Port {
    SetMode,
    Flush,
    Map,
    Unmap,
    Charge,
    Uncharge,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Before,
    After,
}

/// Around the oracle: it panics in one call, before or after it did what it was to do.
struct Panicky<'w> {
    inner: Watched<'w, AllPorts<Accounts<'w>>>,
    due: Cell<Option<(Port, u32, When)>>,
}

impl Panicky<'_> {
    /// The call with this number from now on panics.
    fn panic_in(&self, port: Port, nth: u32, when: When) {
        self.due.set(Some((port, nth, when)));
    }

    fn call<R>(&self, port: Port, f: impl FnOnce() -> R) -> R {
        let now = match self.due.get() {
            Some((due, 0, when)) if due == port => {
                self.due.set(None);
                Some(when)
            }
            Some((due, n, when)) if due == port => {
                self.due.set(Some((due, n - 1, when)));
                None
            }
            _ => None,
        };
        assert!(now != Some(When::Before), "a platform's own fault");
        let result = f();
        assert!(now != Some(When::After), "a platform's own fault");
        result
    }
}

/// A machine with modes on which the present client pays; each mapping has other addresses.
struct Accounts<'n> {
    machine: AllPorts<Machine<&'n Near>>,
    client: Cell<usize>,
    next: Cell<u64>,
    room: Cell<usize>,
}

impl FrameSource for Accounts<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = NoopRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.machine.allocate(request, cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.machine.free(block);
    }
}

impl CachingControl<RamBlock<PAGE>> for Accounts<'_> {
    type Mode = Caching;
    fn set_mode(
        &self,
        block: &mut RamBlock<PAGE>,
        from: Caching,
        to: Caching,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        self.machine.set_mode(block, from, to, cx)
    }
}

impl DmaMap<RamBlock<PAGE>> for Accounts<'_> {
    fn map(&self, block: &RamBlock<PAGE>, _: Context) -> Option<DmaAddr> {
        self.room.set(self.room.get().checked_sub(1)?);
        let at = self.next.get();
        self.next.set(at + block.bytes() as u64);
        DmaAddr::new(at)
    }
}

impl Accounting for Accounts<'_> {
    fn charge(&self, _: BufferId, _: Pages, _: Context) -> Option<Charge> {
        core::num::NonZeroUsize::new(self.client.get() + 1).map(Charge)
    }
}

impl EvictHooks<RamBlock<PAGE>> for Accounts<'_> {}
impl LinearMap<RamBlock<PAGE>, Caching> for Accounts<'_> {}

impl FrameSource for Panicky<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = NoopRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.inner.allocate(request, cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.inner.free(block);
    }
    fn is_poolable(&self, block: &RamBlock<PAGE>) -> bool {
        self.inner.is_poolable(block)
    }
}

impl CachingControl<RamBlock<PAGE>> for Panicky<'_> {
    type Mode = Caching;
    fn set_mode(
        &self,
        block: &mut RamBlock<PAGE>,
        from: Caching,
        to: Caching,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        self.call(Port::SetMode, || self.inner.set_mode(block, from, to, cx))
    }
    fn flush(&self, cx: Context) {
        self.call(Port::Flush, || self.inner.flush(cx));
    }
}

impl DmaMap<RamBlock<PAGE>> for Panicky<'_> {
    fn map(&self, block: &RamBlock<PAGE>, cx: Context) -> Option<DmaAddr> {
        self.call(Port::Map, || self.inner.map(block, cx))
    }
    fn unmap(&self, block: &RamBlock<PAGE>, at: DmaAddr) {
        self.call(Port::Unmap, || self.inner.unmap(block, at));
    }
}

impl Accounting for Panicky<'_> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        self.call(Port::Charge, || self.inner.charge(id, pages, cx))
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.call(Port::Uncharge, || self.inner.uncharge(charge, pages));
    }
}

impl EvictHooks<RamBlock<PAGE>> for Panicky<'_> {}
impl LinearMap<RamBlock<PAGE>, Caching> for Panicky<'_> {}

type Plat<'w> = AllPorts<Panicky<'w>>;
type Home<'w> = Forebay<Plat<'w>, Watched<'w, &'w Far>>;
type Both<'m, 'w> = Charged<'m, Addressed<'m, &'m mut [Slot<Plat<'w>>]>>;

fn home<'w>(near: &'w Near, far: &'w Far, world: &'w World) -> Home<'w> {
    let accounts = Accounts {
        machine: Machine::new(near),
        client: Cell::new(0),
        next: Cell::new(0x4000),
        room: Cell::new(usize::MAX),
    };
    let panicky = Panicky { inner: Watched::new(AllPorts(accounts), world), due: Cell::new(None) };
    Forebay::new(AllPorts(panicky), Watched::new(far, world))
}

/// Eight slots and their side tables.
type Arrays<'w> = ([Slot<Plat<'w>>; 8], [Option<DmaAddr>; 8], [Option<Charge>; 8]);

fn arrays<'w>() -> Arrays<'w> {
    ([const { Slot::EMPTY }; 8], [None; 8], [None; 8])
}

/// A filled buffer of single pages, of which every two have a payer of their own.
fn buffer<'h, 'm, 'w>(
    home: &'h Home<'w>,
    (slots, addresses, charges): &'m mut Arrays<'w>,
    mode: Caching,
) -> Buffer<&'h Home<'w>, Both<'m, 'w>> {
    let addressed = Addressed::new(&mut slots[..], addresses).unwrap();
    let slots = Charged::new(addressed, charges).unwrap();
    let buffer = Buffer::with_slots(home, slots, Order::PAGE).with_mode(mode);
    for page in 0..8 {
        home.platform().inner.inner().client.set(page / 2);
        assert_eq!(buffer.populate(pages(1), CX).total(), pages(1));
    }
    fill(&buffer, 1);
    buffer
}

/// Whether the call panics that is to, and nothing else does.
#[track_caller]
fn panics(platform: &Panicky<'_>, f: impl FnOnce()) -> bool {
    let caught = catch_unwind(AssertUnwindSafe(f)).is_err();
    assert_eq!(caught, platform.due.take().is_none(), "one call panics, if that call is reached");
    caught
}

/// Sweeps over the calls of a port: each panics once, before and after it did what it was to do. `run` as for [`sweep`], and
/// says whether there is such a call; blocks are leaked, so it has an oracle of its own.
#[track_caller]
fn each_call_panics(port: Port, mode: Caching, at_least: u32, run: impl Fn(u32, When) -> bool) {
    for when in [When::Before, When::After] {
        sweep((port, mode, when), |_, nth| u32::from(run(nth, when))).at_least(at_least);
    }
}

/// Each block that a guard shows is mapped, at the address that the guard says.
#[track_caller]
fn assert_mapped<H: forebay::Home, T: Slots<Platform = H::Platform>>(world: &World, buffer: &Buffer<H, T>) {
    let guard = buffer.read().unwrap();
    let list: Vec<_> = guard.segments().collect();
    assert_eq!(list.len(), guard.blocks().count(), "each block has an address");
    for ((_, block), segment) in guard.blocks().zip(list) {
        assert_eq!(world.address(block.pfn()), Some(segment.address), "the address under a guard is stale");
    }
}

const MODES: [Caching; 2] = [Caching::WriteBack, Caching::WriteCombined];

/// How many of these calls there are, if there are `calls` with several modes: with one mode no call changes a mode.
fn in_mode(mode: Caching, port: Port, calls: u32) -> u32 {
    if mode == Caching::WriteBack && port == Port::SetMode { 0 } else { calls }
}

/// Rule: whatever panics in an eviction: after a purge no guard shows an address that is none, nothing went on before a
/// flush, and there is no charge for what is gone.
#[test]
fn an_eviction_that_panics_leaves_no_address_and_owes_its_flush() {
    for mode in MODES {
        for (port, calls) in [(Port::SetMode, 8), (Port::Flush, 1), (Port::Unmap, 8)] {
            each_call_panics(port, mode, in_mode(mode, port, calls), |nth, when| {
                let (near, far, world) = (near(16), far(16), World::new(Contents::Ignored));
                let home = home(&near, &far, &world);
                let mut arrays = arrays();
                let buffer = buffer(&home, &mut arrays, mode);
                home.platform().panic_in(port, nth, when);
                let evict =
                    || assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(8));
                if !panics(home.platform(), evict) {
                    return false;
                }
                assert_eq!(buffer.read().err(), Some(AccessError::Lost), "{nth} {when:?}");
                if nth % 2 == 0 {
                    buffer.evict(ALL, Evict::TRANSFER, CX).unwrap(); // it may be tried: the oracle looks
                }
                buffer.purge(CX).unwrap();
                for client in 0..4 {
                    assert_eq!(
                        world.charged(core::num::NonZeroUsize::new(client + 1).map(Charge).unwrap()),
                        NONE
                    );
                }
                assert_mapped(&world, &buffer);
                true
            });
        }
    }
}

/// Rule: the same if a purge panics: another one ends it.
#[test]
fn a_purge_that_panics_leaves_no_address_and_owes_its_flush() {
    for mode in MODES {
        for (port, calls) in [(Port::Flush, 1), (Port::Unmap, 8), (Port::Uncharge, 4)] {
            each_call_panics(port, mode, calls, |nth, when| {
                let (near, far, world) = (near(32), far(16), World::new(Contents::Ignored));
                let home = home(&near, &far, &world);
                let mut arrays = arrays();
                let buffer = buffer(&home, &mut arrays, mode);
                home.platform().panic_in(port, nth, when);
                if !panics(home.platform(), || buffer.purge(CX).unwrap()) {
                    return false;
                }
                assert_eq!(buffer.read().err(), Some(AccessError::Lost), "{nth} {when:?}");
                buffer.purge(CX).unwrap();
                for client in 0..4 {
                    let never = (port, nth, when) == (Port::Uncharge, client as u32, When::Before);
                    let charge = core::num::NonZeroUsize::new(client + 1).map(Charge).unwrap();
                    assert_eq!(
                        world.charged(charge),
                        pages(if never { 2 } else { 0 }),
                        "{charge:?}, {nth} {when:?}"
                    );
                }
                assert_mapped(&world, &buffer);
                true
            });
        }
    }
}

/// Rule: the same if a reclaim purges: the contents are not said to be dropped before they are, and the next reclaim ends
/// it.
#[test]
fn a_reclaim_that_panics_while_it_purges_is_ended_by_the_next() {
    for mode in MODES {
        for (port, calls) in [(Port::SetMode, 8), (Port::Flush, 1), (Port::Unmap, 8), (Port::Uncharge, 4)] {
            each_call_panics(port, mode, in_mode(mode, port, calls), |nth, when| {
                let (near, far, world) = (near(32), far(16), World::new(Contents::Ignored));
                let home = home(&near, &far, &world);
                let mut arrays = arrays();
                let buffer = buffer(&home, &mut arrays, mode);
                assert_eq!(buffer.set_purgeable(true), Ok(true));
                home.platform().panic_in(port, nth, when);
                if !panics(home.platform(), || _ = home.reclaim([&buffer], ALL, Evict::PURGE, CX)) {
                    assert_eq!(buffer.set_purgeable(true), Ok(false));
                    return false;
                }
                match port {
                    Port::Flush => check(&buffer, 1), // nothing was dropped yet
                    _ => assert_eq!(buffer.read().err(), Some(AccessError::Lost), "{nth} {when:?}"),
                }
                assert_eq!(buffer.set_purgeable(true), Ok(true), "not all of it");
                let _ = home.reclaim([&buffer], ALL, Evict::PURGE, CX);
                assert_eq!(buffer.set_purgeable(true), Ok(false));
                assert_mapped(&world, &buffer);
                true
            });
        }
    }
}

/// Rule: a buffer that was to begin stored and could not, since charging panicked, is empty, and of use.
#[test]
fn a_beginning_that_panics_begins_nothing() {
    for when in [When::Before, When::After] {
        let (near, far, world) = (near(16), far(16), World::new(Contents::Ignored));
        let home = home(&near, &far, &world);
        let mut arrays = arrays();
        let buffer = buffer(&home, &mut arrays, Caching::WriteBack);
        buffer.purge(CX).unwrap();
        let block = home.platform().allocate(AllocRequest::new(order(2)), CX).unwrap();
        let [lost, kept] = [(); 2].map(|()| home.store().save(&block, order(2), None, CX).unwrap());
        home.platform().panic_in(Port::Charge, 0, when);
        assert!(panics(home.platform(), || drop(buffer.attach_stored(0, lost, CX))));
        assert_eq!(buffer.residency(), residency(0, 0, 0), "{when:?}");
        buffer.attach_stored(0, kept, CX).unwrap();
        assert_mapped(&world, &buffer);
        home.platform().free(block);
    }
}

/// Rule: if taking the addresses away panics, because one was refused, the next guard has none that is stale; a block that
/// was in the platform's hands is said to be lost.
#[test]
fn a_refused_mapping_whose_undoing_panics_leaves_no_address() {
    for (port, calls) in [(Port::Unmap, 7), (Port::Flush, 1)] {
        each_call_panics(port, Caching::WriteBack, calls, |nth, when| {
            let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
            let home = home(&near, &far, &world);
            let mut arrays = arrays();
            let buffer = buffer(&home, &mut arrays, Caching::WriteBack);
            buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
            home.platform().inner.inner().room.set(7);
            home.platform().panic_in(port, nth, when);
            let read = || assert_eq!(buffer.read().map(drop), Err(AccessError::MapRefused));
            let panicked = panics(home.platform(), read);
            home.platform().inner.inner().room.set(usize::MAX);
            if panicked && port == Port::Unmap {
                assert_eq!(buffer.read().err(), Some(AccessError::Lost), "{nth} {when:?}");
                buffer.purge(CX).unwrap();
                assert_mapped(&world, &buffer);
                return true;
            }
            if when == When::Before {
                buffer.evict(ALL, Evict::TRANSFER, CX).unwrap(); // the oracle sees that it was flushed
            }
            assert_mapped(&world, &buffer);
            check(&buffer, 1);
            panicked
        });
    }
}

/// Rule: a block without a charge, since charging panicked, does not leak, and no guard shows what has no payer.
#[test]
fn a_charge_that_panics_costs_no_block() {
    for when in [When::Before, When::After] {
        let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
        let home = home(&near, &far, &world);
        let mut arrays = arrays();
        let buffer = buffer(&home, &mut arrays, Caching::WriteBack);
        buffer.purge(CX).unwrap();
        home.platform().panic_in(Port::Charge, 0, when);
        assert!(panics(home.platform(), || buffer.read().map(drop).unwrap()));
        assert_eq!(buffer.read().err(), Some(AccessError::Lost), "{when:?}");
        buffer.purge(CX).unwrap();
        assert_eq!(world.frames_out(), NONE, "{when:?}");
    }
}

/// Rule: a guard whose making panics, in a change of mode or in a mapping, leaves no address and no block in a mode that is not
/// known; a block that was in the platform's hands is said to be lost.
#[test]
fn a_guard_whose_making_panics_leaves_no_address() {
    for (port, calls) in [(Port::SetMode, 8), (Port::Flush, 1), (Port::Map, 8)] {
        each_call_panics(port, Caching::WriteCombined, calls, |nth, when| {
            let (near, far, world) = (near(24), far(16), World::new(Contents::Compared));
            let home = home(&near, &far, &world);
            let mut arrays = arrays();
            let buffer = buffer(&home, &mut arrays, Caching::WriteCombined);
            buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
            home.platform().panic_in(port, nth, when);
            let panicked = panics(home.platform(), || buffer.read().map(drop).unwrap());
            match (panicked, port) {
                (false, _) | (true, Port::Flush) => check(&buffer, 1), // every block is in its slot
                _ => {
                    assert_eq!(buffer.read().err(), Some(AccessError::Lost), "{nth} {when:?}");
                    if nth % 2 == 0 {
                        buffer.evict(ALL, Evict::TRANSFER, CX).unwrap(); // it may be tried: the oracle looks
                    }
                    buffer.purge(CX).unwrap();
                }
            }
            assert_mapped(&world, &buffer);
            panicked
        });
    }
}
