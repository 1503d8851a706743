//! The cases: how blocks leave, what happens to those that are kept, and whether there is swap meanwhile.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How every other block of the pool leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// By forebay, to the store, out of a pinned arena.
    TransferPinned,
    /// The same, out of an arena that is not pinned.
    Transfer,
    /// By forebay, copied into another arena. It looks for head-room first.
    CopyChecked,
    /// Written whole into shmem, then freed.
    CopyWhole,
    /// Written into shmem page by page; each page is freed at once.
    CopySplit,
}

impl Way {
    /// Whether the block itself becomes the store's.
    pub fn is_transfer(self) -> bool {
        matches!(self, Way::Transfer | Way::TransferPinned)
    }
}

/// What the blocks that are kept are used for meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Nothing, and for the kernel no page was used lately.
    Idle,
    /// Each page is written before each step of the limit.
    Hot,
}

/// Whether the kernel may swap while blocks leave. Afterwards it may in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swapping {
    /// No page can make room for another.
    Forbidden,
    /// Other pages can make room.
    Allowed,
}

/// One case. It runs in a process and in a control group of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Case {
    /// How blocks leave.
    pub way: Way,
    /// What the kept ones are used for.
    pub kept: Kept,
    /// Whether there is swap while blocks leave.
    pub swapping: Swapping,
}

impl Case {
    /// All of them, in the order of the table.
    pub const ALL: [Case; 9] = [
        Case::new(Way::TransferPinned, Kept::Idle, Swapping::Forbidden),
        Case::new(Way::TransferPinned, Kept::Hot, Swapping::Forbidden),
        Case::new(Way::Transfer, Kept::Hot, Swapping::Forbidden),
        Case::new(Way::Transfer, Kept::Idle, Swapping::Forbidden),
        Case::new(Way::CopyChecked, Kept::Idle, Swapping::Forbidden),
        Case::new(Way::CopyWhole, Kept::Idle, Swapping::Forbidden),
        Case::new(Way::CopyWhole, Kept::Idle, Swapping::Allowed),
        Case::new(Way::CopySplit, Kept::Idle, Swapping::Forbidden),
        Case::new(Way::CopySplit, Kept::Idle, Swapping::Allowed),
    ];

    const fn new(way: Way, kept: Kept, swapping: Swapping) -> Case {
        Case { way, kept, swapping }
    }
}

/// The first column of the table.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.way {
            Way::TransferPinned => "transfer, pinned",
            Way::Transfer => "transfer, not pinned",
            Way::CopyChecked => "copy by forebay",
            Way::CopyWhole => "copy whole",
            Way::CopySplit => "copy split",
        })?;
        f.write_str(match (self.way.is_transfer(), self.kept, self.swapping) {
            (true, Kept::Idle, _) => ", kept idle",
            (true, Kept::Hot, _) => ", kept hot",
            (false, _, Swapping::Forbidden) => ", no swap",
            (false, _, Swapping::Allowed) => ", swap",
        })
    }
}
