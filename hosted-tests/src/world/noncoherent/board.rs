//! What platform, blocks, devices and engines of one machine share.

use super::cache::{Adversary, Cache};
use super::iommu::Iommu;
use forebay::Caching;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A duty that is left out, to see that it is missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forget {
    /// All of them are done.
    Nothing,
    /// [`map`](forebay::port::DmaMap::map) cleans.
    CleanAtMap,
    /// [`unmap`](forebay::port::DmaMap::unmap) cleans before it invalidates.
    CleanAtUnmap,
    /// [`unmap`](forebay::port::DmaMap::unmap) invalidates.
    InvalidateAtUnmap,
    /// [`sync_for_device`](forebay::port::DmaMap::sync_for_device) cleans.
    CleanForDevice,
    /// [`sync_for_cpu`](forebay::port::DmaMap::sync_for_cpu) invalidates.
    InvalidateForCpu,
    /// [`sync_for_cpu`](forebay::port::DmaMap::sync_for_cpu) first cleans the lines that are meant in part.
    CleanEdges,
    /// [`set_mode`](forebay::port::CachingControl::set_mode) cleans before a block is no longer cached.
    CleanAtMode,
    /// [`set_mode`](forebay::port::CachingControl::set_mode) invalidates when a block is no longer cached.
    InvalidateAtMode,
    /// A [copy engine](forebay_backends::CopyEngine) cleans what it will read.
    CleanInEngine,
}

impl Forget {
    /// Each duty.
    pub const ALL: [Forget; 9] = [
        Forget::CleanAtMap,
        Forget::CleanAtUnmap,
        Forget::InvalidateAtUnmap,
        Forget::CleanForDevice,
        Forget::InvalidateForCpu,
        Forget::CleanEdges,
        Forget::CleanAtMode,
        Forget::InvalidateAtMode,
        Forget::CleanInEngine,
    ];
}

/// What the machine refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refuse {
    /// Nothing.
    Nothing,
    /// To map anything.
    Map,
    /// To bring a block into that mode.
    ModeTo(Caching),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) cache: Cache,
    pub(super) iommu: Iommu,
    pub(super) forget: Forget,
    pub(super) refuse: Refuse,
}

impl State {
    /// Does a duty, unless it is the one that is left out.
    pub(super) fn unless(&mut self, forgotten: Forget, duty: impl FnOnce(&mut Cache)) {
        if self.forget != forgotten {
            duty(&mut self.cache);
        }
    }
}

/// Memory, cache and IOMMU.
#[derive(Debug)]
pub(super) struct Board(Mutex<State>);

impl Board {
    pub(super) fn new(line: usize, adversary: Adversary) -> Self {
        Board(Mutex::new(State {
            cache: Cache::new(line, adversary),
            iommu: Iommu::new(),
            forget: Forget::Nothing,
            refuse: Refuse::Nothing,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // one panic is enough
    }
}
