//! That ThreadSanitizer would notice: a lock that excludes and does not order, in the place of each lock that there is.
//!
//! Ignored, as they are wrong on purpose; `cargo xtask tsan` runs them, and fails if one of them is not reported.

use super::{FEW, over_a_region};
use hosted_tests::kit::*;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One at a time, as far as can be seen on most machines; but none is promised what the one before wrote.
pub(crate) struct Loose(AtomicBool);

// SAFETY: there is none: it breaks the second half of the guarantee. Only in tests that are not run without a sanitizer.
unsafe impl RawMutex for Loose {
    const INIT: Self = Loose(AtomicBool::new(false));
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        while self.0.swap(true, Relaxed) {
            std::thread::yield_now();
        }
        let result = f();
        self.0.store(false, Relaxed);
        result
    }
}

/// A source with another lock for what forebay keeps of it.
pub(crate) struct With<L, P> {
    pub(crate) inner: P,
    lock: PhantomData<fn() -> L>,
}

impl<L, P> With<L, P> {
    pub(crate) const fn new(inner: P) -> Self {
        With { inner, lock: PhantomData }
    }
}

impl<L: RawMutex, P: FrameSource> FrameSource for With<L, P> {
    type Block = P::Block;
    type RawMutex = L;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        self.inner.allocate(request, cx)
    }
    fn free(&self, block: P::Block) {
        self.inner.free(block);
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.inner.supply(request)
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.join(left, right)
    }
}

/// Rule: each of these locks orders, and a sanitizer sees whether it does.
#[test]
#[ignore = "a race on purpose: for `cargo xtask tsan`"]
fn buffers() {
    over_a_region::<Loose, SpinRawMutex, SpinRawMutex, SpinRawMutex>(FEW);
}

/// Rule: as above.
#[test]
#[ignore = "a race on purpose: for `cargo xtask tsan`"]
fn sources() {
    over_a_region::<SpinRawMutex, Loose, SpinRawMutex, SpinRawMutex>(FEW);
}

/// Rule: as above.
#[test]
#[ignore = "a race on purpose: for `cargo xtask tsan`"]
fn regions() {
    over_a_region::<SpinRawMutex, SpinRawMutex, Loose, SpinRawMutex>(FEW);
}

/// Rule: as above.
#[test]
#[ignore = "a race on purpose: for `cargo xtask tsan`"]
fn indices() {
    over_a_region::<SpinRawMutex, SpinRawMutex, SpinRawMutex, Loose>(FEW);
}
