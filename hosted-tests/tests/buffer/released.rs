//! A buffer that was busy says when it is free: a context may sleep until then.

use forebay_backends::{Event, Faulty, Ram, RamBlock, RamRegion, Traced};
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::cell::RefCell;
use std::sync::{Condvar, Mutex};
use std::thread;

/// The numbers of the buffers that were released, and a place to wait for the next one; and what another context does while a
/// buffer is made ready.
#[derive(Default)]
struct Released(Mutex<Vec<usize>>, Condvar, Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl EvictHooks<RamBlock<PAGE>> for Released {
    fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        let meanwhile = self.2.lock().unwrap().take();
        meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        Ok(())
    }
    fn released(&self, id: BufferId) {
        self.0.lock().unwrap().push(id.0);
        self.1.notify_all();
    }
}

type Home = Forebay<WithHooks<Near, Released>, Far>;

fn home() -> Home {
    Forebay::new(WithHooks(near(16), Released::default()), far(32))
}

fn told(home: &Home) -> Vec<usize> {
    std::mem::take(&mut *home.platform().1.0.lock().unwrap())
}

/// Rule: if a call was refused, the end of the use is told, once, and by its number; if none was, nothing is.
#[test]
fn the_end_of_a_use_is_told_if_a_call_was_refused() {
    let home = &home();
    let buffer = Buffer::new(home, order(1)).with_id(BufferId(7));
    fill(&buffer, 1);
    type Call = fn(&Home, &Buffer<&Home>) -> bool;
    let calls: [(&str, Call, bool); 8] = [
        ("write", |_, b| b.write().err() == Some(AccessError::Busy), true),
        ("evict", |_, b| b.evict(ALL, Evict::ANY, CX).err() == Some(Busy), true),
        ("restore", |_, b| b.restore(ALL, CX).why == Some(AccessError::Busy), true),
        ("purge", |_, b| b.purge(CX).err() == Some(Busy), true),
        ("discard_copies", |_, b| b.discard_copies().err() == Some(Busy), true),
        (
            "attach_stored",
            |_, b| {
                let handle = Handle::new(StoreId::DEFAULT, order(1), 1).unwrap();
                b.attach_stored(0, handle, CX).err().map(|refused| refused.why) == Some(AttachError::Busy)
            },
            true,
        ),
        ("set_purgeable", |_, b| b.set_purgeable(true).err() == Some(Busy), false),
        ("reclaim", |home, b| home.reclaim([b], ALL, Evict::ANY, CX).evicted.moved() == NONE, false),
    ];
    for (name, call, wakes) in calls {
        let expected: &[usize] = if wakes { &[7] } else { &[] };
        let (first, second) = (buffer.read().unwrap(), buffer.read().unwrap());
        assert!(call(home, &buffer), "{name}");
        drop(first);
        assert_eq!(told(home), [0; 0], "{name}: a reader is left");
        drop(second);
        assert_eq!(told(home), expected, "{name}, refused by readers");
        let writer = buffer.write().unwrap();
        assert!(call(home, &buffer) && call(home, &buffer), "{name}");
        drop(writer);
        assert_eq!(told(home), expected, "{name}, refused by a writer");
        drop(buffer.read().unwrap());
        assert_eq!(told(home), [0; 0], "{name}: it is told once");
    }
    let writer = buffer.write().unwrap();
    assert_eq!(buffer.read().err(), Some(AccessError::Busy));
    drop(writer);
    assert_eq!(told(home), [7]);
    check(&buffer, 1);
    assert_eq!(told(home), [0; 0], "nothing was refused");
}

/// Rule: a reader that is refused while another one makes the buffer ready is told when that is done: it may read beside it.
#[test]
fn a_buffer_that_others_may_read_now_is_told() {
    let home: &'static Home = Box::leak(Box::new(home()));
    let buffer: &'static Buffer<&Home> = Box::leak(Box::new(Buffer::new(home, order(1))));
    fill(buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(2));
    let refused = || assert_eq!(buffer.read().err(), Some(AccessError::Busy));
    *home.platform().1.2.lock().unwrap() = Some(Box::new(refused));
    let reader = buffer.read().unwrap();
    assert_eq!(told(home), [0], "while the other one still reads");
    check(buffer, 1);
    drop(reader);
    assert_eq!(told(home), [0; 0]);
    // No context was refused this time, so none is told.
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().moved(), pages(2));
    drop(buffer.read().unwrap());
    assert_eq!(told(home), [0; 0]);
}

thread_local! {
    static AFTER: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Interrupts are on again after a section: one comes then.
struct After;

impl IrqGuard for After {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let result = f();
        let interrupt = AFTER.take();
        interrupt.into_iter().for_each(|interrupt| interrupt());
        result
    }
}

/// Rule: a refusal is noted in the section that refuses. A use that ends right after it is told, so the refused context does not
/// sleep for ever; and so is the end of another use that began in between.
#[test]
fn a_use_that_ends_right_after_the_refusal_is_told() {
    type Source = Ram<SpinRawMutex<After>, PAGE>;
    type Slow = RamRegion<SpinRawMutex<After>, PAGE, 4>;
    let (near, bytes) = (Source::new(), 4 * PAGE);
    near.add(memory::leak(bytes, 0), memory::words(Source::metadata_words(bytes))).unwrap();
    let home = forever(Forebay::new(WithHooks(near, Released::default()), Slow::new(StoreId::DEFAULT)));
    let home: &'static Forebay<_, _> = home;
    let buffer: &'static Buffer<_> = forever(Buffer::new(home, order(0)));
    for again in [false, true] {
        let guard = buffer.write().unwrap();
        AFTER.set(Some(Box::new(move || {
            drop(guard);
            if again {
                drop(buffer.write().unwrap());
            }
        })));
        assert_eq!(buffer.write().err(), Some(AccessError::Busy));
        let told = std::mem::take(&mut *home.platform().1.0.lock().unwrap());
        assert_eq!(told, [0], "another use between: {again}");
    }
}

const ROUNDS: usize = 2000;

/// Rule: a thread that sleeps after a refusal, until the end of a use is told, is always woken, if it looked at what was told
/// before it tried: threads that want one buffer all come to it as often as they want, and nothing else wakes them.
#[test]
fn no_wake_up_is_lost() {
    let home = &home();
    let buffer = &Buffer::new(home, order(0));
    let Released(told, released, _) = &home.platform().1;
    buffer.write().unwrap().fill(0);
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(move || {
                for round in 0..ROUNDS {
                    loop {
                        let seen = told.lock().unwrap().len();
                        match buffer.write() {
                            Ok(mut guard) => {
                                let count = u32::from_le_bytes(guard[..4].try_into().unwrap()) + 1;
                                if round % 64 == 0 {
                                    thread::yield_now(); // the others find it busy
                                }
                                guard[..4].copy_from_slice(&count.to_le_bytes());
                                break;
                            }
                            Err(why) => assert_eq!(why, AccessError::Busy),
                        }
                        drop(released.wait_while(told.lock().unwrap(), |told| told.len() == seen).unwrap());
                    }
                }
            });
        }
    });
    assert_eq!(buffer.read().unwrap()[..4], (3 * ROUNDS as u32).to_le_bytes());
}

/// Rule: middleware passes on what is told.
#[test]
fn middleware_passes_it_on() {
    let (near, far) = (near(16), far(32));
    let released = Released::default();
    let traced = AllPorts(Traced::new(WithHooks(&near, &released), |_: &Event| ()));
    let home = Forebay::new(AllPorts(Faulty::<_, SpinRawMutex>::new(&traced)), &far);
    let buffer = Buffer::new(&home, order(1)).with_id(BufferId(7));
    let writer = buffer.write().unwrap();
    assert_eq!(buffer.read().err(), Some(AccessError::Busy));
    drop(writer);
    assert_eq!(*released.0.lock().unwrap(), [7]);
}
