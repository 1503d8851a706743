//! Raw mutexes: the integrator's way to exclude other contexts.
#![allow(unsafe_code)]

use core::cell::Cell;
#[cfg(feature = "spin")]
use core::fmt;
use core::marker::PhantomData;
#[cfg(feature = "spin")]
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Mutual exclusion as a closure, so that a critical section fits. Shape and contract are those of embassy-sync.
///
/// forebay holds one only while it changes a few words: never while it calls a port, never while it copies or zeroes,
/// and never two at once, so there is no lock order.
///
/// | raw mutex | for |
/// | --- | --- |
/// | `NoopRawMutex` | one thread and no interrupt; a static of it does not compile |
/// | `CriticalSectionRawMutex` | one core with interrupts, or whatever the `critical-section` implementation excludes |
/// | `SpinRawMutex` | several cores; with an [`IrqGuard`] also interrupts |
/// | `EmbassyRawMutex` | any raw mutex of `embassy-sync` |
/// | `ScopedRawMutex` | any raw mutex of `mutex-traits` |
///
/// # Safety
/// - While `f` runs, no other thread, core or interrupt runs a closure of the same mutex, and `f` sees everything that earlier
///   closures wrote.
/// - If [`IS_EXCLUSIVE`](RawMutex::IS_EXCLUSIVE) is true, the context that runs `f` does not run another closure of the same mutex
///   before `f` ends: such a call of `lock` hangs or panics, and never runs its closure.
///
/// If `IS_EXCLUSIVE` is false, an implementation may let the same context enter twice:
/// [`Mutex::lock`](crate::sync::Mutex::lock) notices it. An implementation that would hang should panic, if it knows who holds the
/// mutex.
pub unsafe trait RawMutex {
    /// An unlocked mutex.
    const INIT: Self;

    /// Whether no context enters it twice: it hangs or panics instead. `true` is a part of the promise of this trait (see *Safety*):
    /// [`Mutex::lock`](crate::sync::Mutex::lock) then gives out `&mut` to its value without a check.
    const IS_EXCLUSIVE: bool = false;

    /// Runs `f` alone.
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R;
}

/// No exclusion: for a single thread. It is not `Sync`, so nothing built on it can be shared.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoopRawMutex(PhantomData<Cell<()>>);

// SAFETY: the type is not `Sync`, so only one thread can reach a value of it. An interrupt handler can't reach it either,
// as a `static` of it does not compile.
unsafe impl RawMutex for NoopRawMutex {
    const INIT: Self = NoopRawMutex(PhantomData);
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// What surrounds the closure of a `SpinRawMutex`: interrupts are off, for example.
///
/// Safe to implement: the spin lock is sound whatever this does. It only keeps the lock from hanging.
pub trait IrqGuard {
    /// The number of the running core, below 255 and different for each core. With it a lock that its own core enters again is
    /// noticed, and ends with the message of [`Mutex::lock`](crate::sync::Mutex::lock) instead of a hang; each lock section then
    /// costs one call and two stores more. Not known by default.
    const CORE: Option<fn() -> u8> = None;

    /// Runs `f` with interrupts off.
    fn with<R>(f: impl FnOnce() -> R) -> R;
}

/// Nothing surrounds it.
impl IrqGuard for () {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// The mutex of the `spin` crate inside an [`IrqGuard`].
///
/// **A plain `SpinRawMutex` that is shared with an interrupt handler hangs**: on one core the handler spins for a lock
/// that the interrupted code can't release. Give it a guard that masks that interrupt, or use
/// `CriticalSectionRawMutex` (feature `critical-section`). A closure that locks the same mutex again hangs too, unless the guard
/// knows its [`CORE`](IrqGuard::CORE): a spin lock without an owner can't tell its own core from a busy other one.
#[cfg(feature = "spin")]
pub struct SpinRawMutex<G = ()> {
    lock: spin::mutex::SpinMutex<()>,
    /// The number of the core that holds it, plus one. Zero: none, or not known.
    owner: AtomicU8,
    guard: PhantomData<fn() -> G>,
}

#[cfg(feature = "spin")]
impl<G> fmt::Debug for SpinRawMutex<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinRawMutex").field("locked", &self.lock.is_locked()).finish()
    }
}

#[cfg(all(feature = "spin", feature = "defmt"))]
impl<G> defmt::Format for SpinRawMutex<G> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SpinRawMutex(locked: {=bool})", self.lock.is_locked());
    }
}

#[cfg(feature = "spin")]
// SAFETY: 1. the mutex admits one closure at a time, and locking synchronises with the last unlock. 2. `IS_EXCLUSIVE`: it is locked
// while the closure runs, so the same context, too, waits for it, for ever. With the owner the wait ends in a panic or in a loop.
unsafe impl<G: IrqGuard> RawMutex for SpinRawMutex<G> {
    const INIT: Self =
        SpinRawMutex { lock: spin::mutex::SpinMutex::new(()), owner: AtomicU8::new(0), guard: PhantomData };
    const IS_EXCLUSIVE: bool = true;
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        G::with(|| {
            let Some(core) = G::CORE else {
                let _held = self.lock.lock();
                return f();
            };
            let me = core().saturating_add(1);
            if self.owner.load(Relaxed) == me {
                entered_twice() // only this core stores its number, and it clears it before it unlocks
            }
            let _held = self.lock.lock();
            self.owner.store(me, Relaxed);
            let _owner = ClearOwner(&self.owner);
            f()
        })
    }
}

/// Clears the owner of a lock, before it is unlocked, also by a panic.
#[cfg(feature = "spin")]
struct ClearOwner<'l>(&'l AtomicU8);

#[cfg(feature = "spin")]
impl Drop for ClearOwner<'_> {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

/// Ends a context that enters a mutex a second time, as [`Mutex::lock`](crate::sync::Mutex::lock) says.
#[cold]
#[inline(never)]
pub(super) fn entered_twice() -> ! {
    #[cfg(any(debug_assertions, panic = "unwind"))]
    panic!("{ENTERED_TWICE}");
    #[cfg(not(any(debug_assertions, panic = "unwind")))]
    {
        #[cfg(feature = "defmt")]
        defmt::error!("{=str}", ENTERED_TWICE);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        log::error!(target: "forebay", "{ENTERED_TWICE}");
        loop {
            core::hint::spin_loop();
        }
    }
}

#[cfg(any(debug_assertions, panic = "unwind", feature = "defmt", feature = "log"))]
const ENTERED_TWICE: &str = "a closure of `Mutex::lock` locked the same mutex again, or an interrupt did";

/// The critical section that the firmware registered with the `critical-section` crate. It nests.
///
/// If none is registered, the linker misses `_critical_section_1_0_acquire`: turn on the feature for it of the crate of your
/// chip (`cortex-m/critical-section-single-core`, for example), or `critical-section/std` on a host.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CriticalSectionRawMutex;

#[cfg(feature = "critical-section")]
// SAFETY: a critical section excludes every other context by the contract of `critical_section::Impl`.
unsafe impl RawMutex for CriticalSectionRawMutex {
    const INIT: Self = CriticalSectionRawMutex;
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        critical_section::with(|_| f())
    }
}

/// Any raw mutex of `embassy-sync`.
#[cfg(feature = "embassy-sync")]
#[derive(Debug)]
pub struct EmbassyRawMutex<R>(R);

#[cfg(all(feature = "embassy-sync", feature = "defmt"))]
impl<R> defmt::Format for EmbassyRawMutex<R> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "EmbassyRawMutex");
    }
}

#[cfg(feature = "embassy-sync")]
// SAFETY: the contract of embassy's `RawMutex` is that of this one.
unsafe impl<M: embassy_sync::blocking_mutex::raw::RawMutex> RawMutex for EmbassyRawMutex<M> {
    const INIT: Self = EmbassyRawMutex(M::INIT);
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        self.0.lock(f)
    }
}

/// Any raw mutex of `mutex-traits`. One that panics when it is entered twice panics here too. One that stays locked after a
/// panic in its closure, as those of the crate `mutex` do, stays locked here too: forebay's own closures call nothing that
/// panics.
#[cfg(feature = "mutex-traits")]
#[derive(Debug)]
pub struct ScopedRawMutex<R>(R);

#[cfg(all(feature = "mutex-traits", feature = "defmt"))]
impl<R> defmt::Format for ScopedRawMutex<R> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "ScopedRawMutex");
    }
}

#[cfg(feature = "mutex-traits")]
// SAFETY: `mutex_traits::ScopedRawMutex` excludes every other context while the closure runs, by its contract.
unsafe impl<M: mutex_traits::ScopedRawMutex + mutex_traits::ConstInit> RawMutex for ScopedRawMutex<M> {
    const INIT: Self = ScopedRawMutex(M::INIT);
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        self.0.with_lock(f)
    }
}
