//! What the image runs: each step uses the memory as a firmware would, looks at every byte, and says in a line what happened.
//!
//! After each step the contents of all buffers are dropped, and every page has to be free again.

mod busy;
#[cfg(target_arch = "aarch64")]
mod caching;
mod copying;
mod counters;
mod dma;
mod faults;
mod fill;
mod flash;
mod full;
mod heap;
mod home;
mod interrupt;
mod pattern;
mod readme;
mod screen;
mod timer;
mod transfer;
#[cfg(target_arch = "aarch64")]
mod two_cores;

use crate::log;
use crate::machine::{self, Memory, PAGE};
use core::fmt::{self, Write};
use forebay::{AccessError, AttachError, BackingStore, Busy, Handle, Pages, Refused, StoreError};
use forebay_backends::{InitError, MemoryError};
use home::HOME;

type Step = fn(&mut dyn Write) -> Result<(), Failure>;

const STEPS: &[(&str, Step)] = &[
    ("timer", timer::step),
    ("fill", fill::step),
    ("transfer", transfer::step),
    ("copying", copying::step),
    ("busy", busy::step),
    ("interrupt", interrupt::step),
    ("full", full::step),
    ("faults", faults::step),
    ("flash", flash::step),
    ("heap", heap::step),
    ("screen", screen::step),
    ("readme", readme::step),
    ("counters", counters::step),
    #[cfg(target_arch = "aarch64")]
    ("caching", caching::step),
    #[cfg(target_arch = "aarch64")]
    ("two cores", two_cores::step),
];

/// Why a step did not pass.
enum Failure {
    /// What should not be so.
    Check(&'static str),
    Access(AccessError),
    Store(StoreError),
    Attach(AttachError),
    Memory(MemoryError),
    Init(InitError),
}

/// Checks that something holds; `otherwise` says what is so if it does not.
fn check(holds: bool, otherwise: &'static str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Check(otherwise)) }
}

/// Runs on the machine's memory until a step fails. Returns whether none did.
pub fn run(out: &mut dyn Write, mut memory: Memory) -> bool {
    let begun = readme::begin(&mut memory).and_then(|()| begin(out, memory));
    if !ended(out, "begin", begun) {
        return false;
    }
    let passes = |(name, step): &&(&str, Step)| {
        let _ = write!(out, "{name}: ");
        let result = step(out).and_then(|()| everything_is_free());
        ended(out, name, result)
    };
    let passed = STEPS.iter().take_while(passes).count();
    let _ = writeln!(out, "{passed} of {} steps passed", STEPS.len());
    passed == STEPS.len()
}

/// Ends the line of a step.
fn ended(out: &mut dyn Write, name: &str, result: Result<(), Failure>) -> bool {
    let _ = match &result {
        Ok(()) => {
            log::passed(name);
            writeln!(out)
        }
        Err(why) => {
            log::failed(name);
            writeln!(out, "\nFAILED: {name}: {why}")
        }
    };
    result.is_ok()
}

/// Gives both pieces of fast memory to the source, and the slow memory to the region.
fn begin(out: &mut dyn Write, memory: Memory) -> Result<(), Failure> {
    let given = memory.fast.each_ref().map(|piece| piece.len());
    let whole = memory.fast.each_ref().map(|piece| whole_pages(piece));
    let (given_slow, whole_slow) = (memory.slow.len(), whole_pages(memory.slow));
    let (usable, usable_slow) = home::init(memory)?;
    write!(
        out,
        "begin: {} of {} and {} of {} bytes of fast memory, {usable_slow} of {given_slow} of slow memory usable",
        usable[0], given[0], usable[1], given[1],
    )?;
    check(
        usable == whole && usable_slow == whole_slow,
        "a whole page of it is not usable, or a part of one is",
    )?;
    machine::on_completion(dma::completed);
    everything_is_free()
}

/// The bytes of whole, aligned pages in some memory.
fn whole_pages(memory: &[u8]) -> usize {
    let addresses = memory.as_ptr_range();
    let first = addresses.start.addr().next_multiple_of(PAGE);
    (addresses.end.addr() / PAGE * PAGE).saturating_sub(first)
}

/// Drops the contents of all buffers. Then nothing may be missing, neither in the source nor in the region.
fn everything_is_free() -> Result<(), Failure> {
    home::clear()?;
    let (source, region) = (home::fast(), home::slow());
    check(home::free() + heap::taken() == source.total(), "pages of the source are missing")?;
    check(space() == region.total(), "pages of the region are missing")?;
    check(region.pending() == Pages::ZERO, "something is pending")
}

/// Pages of the region that are free.
fn space() -> Pages {
    HOME.store().space().pages
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Check(otherwise) => f.write_str(otherwise),
            Failure::Access(why) => why.fmt(f),
            Failure::Store(why) => why.fmt(f),
            Failure::Attach(why) => why.fmt(f),
            Failure::Memory(why) => why.fmt(f),
            Failure::Init(why) => why.fmt(f),
        }
    }
}

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Failure::Check("the console takes no text")
    }
}

impl From<AccessError> for Failure {
    fn from(why: AccessError) -> Self {
        Failure::Access(why)
    }
}

impl From<Busy> for Failure {
    fn from(why: Busy) -> Self {
        Failure::Access(why.into())
    }
}

impl From<StoreError> for Failure {
    fn from(why: StoreError) -> Self {
        Failure::Store(why)
    }
}

impl From<Refused<Handle, AttachError>> for Failure {
    fn from(refused: Refused<Handle, AttachError>) -> Self {
        Failure::Attach(refused.why)
    }
}

impl From<MemoryError> for Failure {
    fn from(why: MemoryError) -> Self {
        Failure::Memory(why)
    }
}

impl From<InitError> for Failure {
    fn from(why: InitError) -> Self {
        Failure::Init(why)
    }
}
