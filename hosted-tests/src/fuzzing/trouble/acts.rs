//! What the bytes of an input mean here: a machine, and steps, in some of which a call goes wrong.

use super::script::Trouble;
use crate::fuzzing::ops::{CopyingKind, Shape};
use arbitrary::Arbitrary;
use forebay::{Pages, Zones};

/// How many buffers there are: each has its own bytes, so that none can show those of another.
pub(super) const TILES: usize = 4;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Panics,
    Lies,
}

/// Where contents go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
pub(super) enum StoreKind {
    Region,
    TwoRegions,
    RegionBehindNull,
    RegionBehindCopying,
    Copying,
    RegionThenRom,
}

/// Everything that stays as it is during a run.
#[derive(Clone, Debug, Arbitrary)]
pub(super) struct Machine {
    pub(super) store: StoreKind,
    pub(super) copying: CopyingKind,
    pages: u8,
    regions: [u8; 2],
    limit: u8,
    shapes: [Shape; TILES],
    zones: [u8; TILES],
}

impl Machine {
    pub(super) fn pages(&self) -> usize {
        20 + usize::from(self.pages) % 44
    }

    /// Mostly few, so that they are full soon.
    pub(super) fn region_pages(&self) -> [usize; 2] {
        self.regions.map(|n| 1 + usize::from(n) % 40)
    }

    /// How many pages the free lists keep.
    pub(super) fn limit(&self) -> Pages {
        Pages::new(usize::from(self.limit) % 24)
    }

    pub(super) fn tiles(&self) -> [(Shape, Zones); TILES] {
        let zones = self.zones.map(|n| if n < 224 { Zones::ALL } else { Zones::of(n & 1) });
        std::array::from_fn(|n| (self.shapes[n], zones[n]))
    }
}

/// One operation. A number is taken modulo the number of buffers, pages or the like.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum Act {
    Read {
        tile: u8,
        cx: u8,
    },
    Write {
        tile: u8,
        at: u16,
        len: u16,
        byte: u8,
        cx: u8,
    },
    Evict {
        tile: u8,
        budget: u8,
        how: u8,
        cx: u8,
    },
    EvictMut {
        tile: u8,
        budget: u8,
        how: u8,
        cx: u8,
    },
    Restore {
        tile: u8,
        budget: u8,
        cx: u8,
    },
    Populate {
        tile: u8,
        budget: u8,
        cx: u8,
    },
    Purge {
        tile: u8,
    },
    SetPurgeable {
        tile: u8,
        yes: bool,
    },
    DiscardCopies {
        tile: u8,
    },
    Attach {
        tile: u8,
        at: u8,
        order: u8,
        rom: bool,
    },
    Recreate {
        tile: u8,
    },
    Reclaim {
        want: u8,
        how: u8,
        cx: u8,
    },
    Settle {
        budget: u8,
        cx: u8,
    },
    WriteOut {
        region: u8,
        bytes: u16,
    },
    Trim {
        pages: u8,
    },
    Take {
        order: u8,
        mode: u8,
        cx: u8,
    },
    Put {
        which: u8,
    },
    /// Every byte of every buffer is compared.
    Look,
    /// Everything is printed.
    Show,
}

impl Act {
    /// The buffer that it is about, if it is about one.
    pub(super) fn tile(self) -> Option<usize> {
        match self {
            Act::Read { tile, .. }
            | Act::Write { tile, .. }
            | Act::Evict { tile, .. }
            | Act::EvictMut { tile, .. }
            | Act::Restore { tile, .. }
            | Act::Populate { tile, .. }
            | Act::Purge { tile }
            | Act::SetPurgeable { tile, .. }
            | Act::DiscardCopies { tile }
            | Act::Attach { tile, .. }
            | Act::Recreate { tile } => Some(usize::from(tile) % TILES),
            _ => None,
        }
    }

    /// Whether it may change a buffer though it is about none.
    pub(super) fn may_touch_any(self) -> bool {
        matches!(self, Act::Reclaim { .. } | Act::Settle { .. } | Act::WriteOut { .. })
    }
}

/// An operation, and what goes wrong in it.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) struct Step {
    pub(super) act: Act,
    at: u8,
    how: u8,
}

impl Step {
    /// After how many calls something goes wrong, and what: in half of the steps nothing.
    pub(super) fn due(self, mode: Mode) -> Option<(u8, Trouble)> {
        // A drop that panics loses the whole buffer. A look is the harness's own.
        let never = matches!(self.act, Act::Recreate { .. } | Act::Look);
        let calls = if self.at < 96 { self.at % 16 } else { self.at - 96 };
        let trouble = match mode {
            Mode::Lies => Trouble::Lie(self.how),
            Mode::Panics if self.how.is_multiple_of(2) => Trouble::PanicBefore,
            Mode::Panics => Trouble::PanicAfter,
        };
        (!never && self.at < 144).then_some((calls, trouble))
    }
}
