//! Reclaims of every kind while any one call fails, in a thread and in an interrupt: nothing is lost, nothing leaks, and all
//! goes on afterwards (`ttm-semantics.md` §5.4 a–d).

use forebay_backends::*;
use hosted_tests::kit::*;

type Base<'w> = WatchedPlatform<'w, AllPorts<Faulty<AllPorts<Machine<&'w Near>>, SpinRawMutex>>>;
/// Free lists for three modes and orders 0 to 3.
type Plat<'w> = WithLists<Base<'w>, FreeListArray<Base<'w>, 12, 16>>;
type Store<'w> = Watched<'w, Faulty<&'w Far, SpinRawMutex>>;
type Home<'w> = Forebay<Plat<'w>, Store<'w>>;
type Words = [usize; EvictionIndex::<SpinRawMutex>::words(BUFFERS)];
type Index = EvictionIndex<SpinRawMutex, Words>;
type Buf<'h, 'w> = Buffer<&'h Home<'w>, Indexed<'h, [Slot<Plat<'w>>; 4], SpinRawMutex, Words>>;

const BUFFERS: usize = 4;

/// What a reclaim is asked for.
#[derive(Clone, Copy, Debug)]
enum Call {
    Moved,
    Freed,
    Block,
    KeepFree,
    OrReclaim,
}

const CALLS: [Call; 5] = [Call::Moved, Call::Freed, Call::Block, Call::KeepFree, Call::OrReclaim];

/// How the buffers end.
#[derive(Clone, Copy, Debug)]
enum End {
    Resume,
    EvictAgain,
    Destroy,
}

const ENDS: [End; 3] = [End::Resume, End::EvictAgain, End::Destroy];

/// What a buffer should have in it: the number that was written last, or zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Model {
    seed: Option<u8>,
    purgeable: bool,
}

/// Writes, if it can.
fn write(buffer: &Buf<'_, '_>, model: &mut Model, seed: u8) {
    if let Ok(mut guard) = buffer.write() {
        let bytes = pattern(seed, guard.bytes());
        assert_eq!(guard.write_at(0, &bytes), bytes.len());
        model.seed = Some(seed);
    }
}

/// Compares, if the contents can be reached. What was not needed may be zeros.
fn read(buffer: &Buf<'_, '_>, model: &mut Model) -> Result<(), AccessError> {
    let guard = buffer.read()?;
    let mut bytes = vec![0xA5; guard.bytes()];
    assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
    let zeros = bytes.iter().all(|b| *b == 0);
    drop(guard);
    let expected = model.seed.map_or(vec![0; bytes.len()], |seed| pattern(seed, bytes.len()));
    if zeros && model.purgeable {
        let told = buffer.set_purgeable(true).unwrap();
        assert!(!told || model.seed.is_none(), "dropped, and the buffer does not say so");
        model.seed = None;
    } else {
        assert!(bytes == expected, "{:?} has other bytes", buffer.id());
    }
    Ok(())
}

/// One life of four buffers; how many calls failed, of platform and store.
fn live<'w>(world: &World, home: &Home<'w>, call: Call, cx: Context, end: End) -> [u32; 2] {
    let index = Index::new([0; EvictionIndex::<SpinRawMutex>::words(BUFFERS)]);
    let modes = [Caching::WriteBack, Caching::WriteCombined, Caching::WriteBack, Caching::Uncached];
    let buffers: [Buf<'_, '_>; BUFFERS] = std::array::from_fn(|i| {
        let slots = index.indexed(i, [const { Slot::EMPTY }; 4]).unwrap();
        Buffer::with_slots(home, slots, Order::PAGE).with_id(BufferId(i)).with_mode(modes[i])
    });
    let mut models = [Model { seed: None, purgeable: false }; BUFFERS];
    for (round, how) in METHODS.into_iter().enumerate() {
        let seed = round as u8;
        for (i, (buffer, model)) in buffers.iter().zip(&mut models).enumerate() {
            write(buffer, model, 16 * seed + i as u8 + 1);
            if i == 2 && round % 2 == 0 {
                let _ = buffer.evict(pages(3), Evict::COPY, CX);
                let _ = read(buffer, model); // clean, as far as it goes
            }
            if i == round % BUFFERS {
                let _ = buffer.set_purgeable(true).unwrap();
                model.purgeable = true;
            }
        }
        let indexed = index.candidates(&buffers);
        let all: &dyn Candidates = if round < 3 { &indexed } else { &buffers };
        for n in 0..2 {
            let report = match call {
                Call::Moved => home.reclaim(all, pages(5), how, cx),
                Call::Freed => home.reclaim(all, ReclaimTarget::freed(pages(5)), how, cx),
                Call::Block => home.reclaim(all, ReclaimTarget::block(order(3 + n)), how, cx),
                Call::KeepFree => home.keep_free(all, pages(20 + 5 * usize::from(n)), how, cx).unwrap(),
                Call::OrReclaim => {
                    let mut tries = 0;
                    let attempt = || {
                        tries += 1;
                        home.pool()
                            .take(AllocRequest::new(order(4)), Caching::WriteBack, cx)
                            .map_err(AccessError::from)
                    };
                    if let Ok(block) = home.or_reclaim(all, pages(4), how, cx, attempt) {
                        home.pool()
                            .put(block, cx)
                            .unwrap_or_else(|_| panic!("a cached block is never refused"));
                    }
                    assert!((1..=BUFFERS + 2).contains(&tries));
                    Report::default()
                }
            };
            let reached = report.outcome == Outcome::Reached;
            assert!(reached || report.evicted.moved() + report.settled.freed < pages(64), "{report:?}");
            world.validate();
        }
        home.settle(pages(4), CX);
        for (buffer, model) in buffers.iter().zip(&mut models) {
            let _ = read(buffer, model);
            if let Ok(told) = buffer.set_purgeable(false) {
                model.seed = model.seed.filter(|_| told);
                model.purgeable = false;
            }
        }
        world.validate();
    }
    let failed = [home.platform().0.inner().failed(), home.store().inner().failed()];
    home.platform().0.inner().set(NEVER);
    home.store().inner().set(NEVER);
    home.pool().trim(Zones::ALL, ALL, CX); // what is in the lists of other modes may be what is missing
    match end {
        End::Resume => {}
        End::EvictAgain => {
            let report = home.reclaim(index.candidates(&buffers), ReclaimTarget::freed(ALL), Evict::ANY, CX);
            assert_eq!((report.evicted.refused, report.settled.pending), (NONE, NONE), "{report:?}");
            assert_eq!(world.frames_out(), NONE, "all of it is free");
        }
        End::Destroy => return failed,
    }
    for (buffer, model) in buffers.iter().zip(&mut models) {
        assert_eq!(read(buffer, model), Ok(()));
    }
    failed
}

fn home<'w>(near: &'w Near, far: &'w Far, world: &'w World) -> Home<'w> {
    let platform = Watched::platform(AllPorts(Faulty::new(Machine::new(near))), world);
    Forebay::new(WithLists(platform, FreeListArray::new()), Watched::new(Faulty::new(far), world))
}

/// The same with these faults, and everything is in the source at the end.
fn run(
    call: Call,
    cx: Context,
    end: End,
    (near, far): (&Near, &Far),
    world: &World,
    faults: [Faults; 2],
) -> [u32; 2] {
    let home = home(near, far, world);
    home.platform().0.inner().set(faults[0]);
    home.store().inner().set(faults[1]);
    let failed = live(world, &home, call, cx, end);
    assert_eq!(home.stats().leaked, NONE);
    home.pool().trim(Zones::ALL, ALL, CX);
    drop(home);
    all_returned(world, near, far);
    failed
}

/// Rule: any one call of platform or store may fail, in each kind of reclaim, in each context.
#[test]
fn each_call_fails_once() {
    let (near, far) = (near(24), far(64));
    for call in CALLS {
        for (cx, least) in [(CX, 61), (Context::INTERRUPT, 41)] {
            let swept = sweep_calls((call, cx), |world, k, faults| {
                let end = ENDS[k as usize % ENDS.len()];
                run(call, cx, end, (&near, &far), world, faults)
            });
            println!("{call:?} {cx:?}: {swept:?}");
            swept.into_iter().for_each(|swept| swept.at_least(least));
        }
    }
}

/// Rule: however many fail, on both sides at once.
#[test]
fn many_calls_fail() {
    let (near, far) = (near(24), far(64));
    let mut sum = 0;
    for seed in 1..=60 {
        let n = seed as usize;
        let faults = |seed| Faults { per_mille: [30, 150, 400, 800][n % 4], seed, ..NEVER };
        let cx = [CX, Context::NO_IO, Context::INTERRUPT][n % 3];
        let (world, faults) = (World::new(Contents::Compared), [faults(seed), faults(seed * 7919)]);
        let failed = run(CALLS[n % 5], cx, ENDS[n % 3], (&near, &far), &world, faults);
        sum += failed[0] + failed[1];
    }
    assert!(sum > 1000, "only {sum} failed");
}

/// Rule: a reclaim may stop after each page and go on in any other way, each target and method after each other; no byte is lost
/// and all is in the source at the end.
#[test]
fn reclaims_stop_anywhere() {
    let (near, far) = (near(24), far(64));
    for program in 0..5_usize.pow(4) {
        let world = World::new(Contents::Compared);
        let home = &home(&near, &far, &world);
        let index = Index::new([0; EvictionIndex::<SpinRawMutex>::words(BUFFERS)]);
        let buffers: [Buf<'_, '_>; BUFFERS] = std::array::from_fn(|i| {
            let slots = index.indexed(i, [const { Slot::EMPTY }; 4]).unwrap();
            let buffer = Buffer::with_slots(home, slots, Order::PAGE);
            buffer.with_id(BufferId(i)).with_mode([Caching::WriteBack, Caching::WriteCombined][i % 2])
        });
        for (i, buffer) in buffers.iter().enumerate() {
            fill(buffer, i as u8);
        }
        let mut rest = program;
        for step in 0..4 {
            let (how, cx) = (METHODS[(rest + step) % 6], [CX, Context::INTERRUPT][(program + step) % 2]);
            let target = match rest % 5 {
                0 => ReclaimTarget::moved(pages(1)),
                1 => ReclaimTarget::freed(pages(1)),
                2 => ReclaimTarget::freed(pages(7)),
                3 => ReclaimTarget::block(order(2)),
                _ => ReclaimTarget::moved(pages(3)),
            };
            home.reclaim(index.candidates(&buffers), target, how, cx);
            let there: Pages =
                buffers.iter().map(|b| b.residency().unwrap()).map(|r| r.resident + r.stored).sum();
            assert_eq!(there, pages(16), "{program} {step}");
            world.validate();
            let one = &buffers[rest % BUFFERS];
            match rest % 3 {
                0 => check(one, (rest % BUFFERS) as u8),
                1 => assert_eq!(one.restore(pages(1), CX).why, None),
                _ => {}
            }
            rest /= 5;
        }
        if program % 2 == 0 {
            buffers.iter().enumerate().for_each(|(i, b)| check(b, i as u8));
        }
        drop(buffers);
        home.pool().trim(Zones::ALL, ALL, CX);
        all_returned(&world, &near, &far);
    }
}
