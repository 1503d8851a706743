//! A firmware with three sizes of buffers and memory that is not aligned: it never starves.

use super::PAGE;
use forebay::sync::SpinRawMutex;
use forebay::{AccessError, AllocError, Context};
use forebay_backends::{RamBuffer, RamForebay};
use hosted_tests::conformance::pattern;
use hosted_tests::memory::{leak, words};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

type Ram = RamForebay<SpinRawMutex, PAGE, 8>;
type Unit = RamBuffer<SpinRawMutex, PAGE, 8>;

static RAM: Ram = Ram::new();
static LARGE: [Unit; 8] = [const { RAM.buffer::<{ 16 * PAGE }>() }; 8];
static MIDDLE: [Unit; 16] = [const { RAM.buffer::<{ 4 * PAGE }>() }; 16];
static SMALL: [Unit; 64] = [const { RAM.buffer::<PAGE>() }; 64];
/// What each buffer has, by its place in the three lists.
static SEEDS: [AtomicUsize; 88] = [const { AtomicUsize::new(0) }; 88];

fn unit(n: usize) -> &'static Unit {
    let all = LARGE.iter().chain(&MIDDLE).chain(&SMALL);
    all.into_iter().nth(n).expect("there are 88")
}

/// The timer, as in the README: it keeps room for the largest buffer, pending blocks included.
fn tick() {
    let most = 16 * PAGE;
    if !RAM.has_room(most) && RAM.pending() < most {
        RAM.transfer((&LARGE, &MIDDLE, &SMALL), most);
    }
}

/// Rule (R5, R5b): over 100,000 steps with three sizes, SRAM at an odd address, a timer, and an idle loop that runs seldom, each access
/// that makes room succeeds; one that does not says that there is no room, and succeeds after the idle loop and at most as many
/// more tries as there are buffers. The timer never has more on its way than it wants and a buffer.
#[test]
fn a_firmware_never_starves() {
    let (fast, slow) = (53 * PAGE, 512 * (PAGE + size_of::<usize>()));
    let added = RAM.init(leak(fast, 5 * PAGE), leak(slow, 0), words(Ram::metadata_words(fast)));
    assert_eq!(added.expect("good memory"), (fast, 512 * PAGE));
    assert_eq!(
        (RAM.fits(16 * PAGE), RAM.fits(4 * PAGE), RAM.fits(PAGE)),
        (2, 12, 53),
        "what the address leaves"
    );
    let all = (&LARGE, &MIDDLE, &SMALL);
    let mut x = 0x9e37_79b9_u64;
    let mut random = |below: usize| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as usize % below
    };
    let (mut waits, mut most) = (0, 0);
    for step in 1..=100_000 {
        let n = random(88);
        let (seed, bytes) =
            (SEEDS[n].load(Relaxed), [16, 4, 1][usize::from(n >= 8) + usize::from(n >= 24)] * PAGE);
        let is = |is: &[u8]| {
            if seed == 0 { is.iter().all(|b| *b == 0) } else { is == pattern(seed as u64, bytes) }
        };
        match random(3) {
            0 => {
                RAM.write(unit(n), all).expect("there is always room").copy_from_slice(&pattern(step, bytes));
                SEEDS[n].store(step as usize, Relaxed);
            }
            1 => assert!(
                is(&RAM.read(unit(n), all).expect("there is always room")),
                "buffer {n} has other bytes"
            ),
            _ => {
                let mut tries = 0;
                loop {
                    match unit(n).read_in(Context::THREAD) {
                        Ok(guard) => break assert!(is(&guard), "buffer {n} has other bytes"),
                        Err(AccessError::Alloc(AllocError::Exhausted)) => {}
                        Err(why) => panic!("buffer {n}: {why}"),
                    }
                    // It said that there is no room: so the timer and the idle loop make some.
                    tries += 1;
                    waits += 1;
                    assert!(tries <= 88, "it starves: {RAM:?}");
                    tick();
                    while RAM.write_out(2048) > 0 {}
                }
            }
        }
        tick();
        most = most.max(RAM.pending());
        if random(20) == 0 {
            while RAM.write_out(2048) > 0 {}
        }
    }
    assert!(waits > 1_000, "{waits}");
    assert!(most < 3 * 16 * PAGE, "{most} bytes were on their way");
    let largest = RAM.platform().largest_free().get() * PAGE;
    assert_eq!((RAM.has_room(largest.max(1)), RAM.has_room(2 * largest.max(PAGE))), (largest > 0, false));
    let lowest = RAM.platform().lowest_unused().get();
    assert!(lowest < 16 && RAM.store().lowest_space().get() > 512 - 8 * 16 - 16 * 4 - 64 - 1, "{lowest}");
    assert!(RAM.stats().in_interrupts.get() > 1_000, "the timer's transfers are counted");
}
