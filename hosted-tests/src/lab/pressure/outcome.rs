//! What a case tells: line by line while it runs, and together afterwards.

use super::case::Case;
use serde::{Deserialize, Serialize};

/// Where the pages of a case are at one moment. Together they are all pages of the pool and of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// What the case does then.
    pub phase: Phase,
    /// In blocks of the pool, and in memory.
    pub resident: usize,
    /// Stored, in memory, and not reclaimable yet.
    pub pending: usize,
    /// Stored, in memory; the kernel may swap them out.
    pub reclaimable: usize,
    /// Swapped out, of those that left the pool.
    pub swapped_stored: usize,
    /// Swapped out, of the pool's own.
    pub swapped_kept: usize,
}

impl Sample {
    /// All pages that are in swap.
    pub fn swapped(&self) -> usize {
        self.swapped_stored + self.swapped_kept
    }
}

/// What a case does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Every block of the pool has contents.
    #[default]
    Filled,
    /// Every other block leaves the pool.
    Shrinking,
    /// The limit of the group is lowered.
    Lowering,
    /// What left comes back.
    Restoring,
}

/// What the shrink call did: every other block leaves the pool, in a group with 256 KiB more than the pool takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shrunk {
    /// Blocks that left.
    pub blocks: usize,
    /// The most that was charged to the group, above what was charged at the start of the call. Bytes.
    pub peak_bytes: u64,
    /// How often a charge met the limit. `None` if the kernel does not tell.
    pub limit_hits: Option<u64>,
    /// What the kernel itself took for it, in bytes; less than nothing if it gave back more. `None` if it does not tell.
    pub kernel_bytes: Option<i64>,
    /// Huge pages that were split.
    pub splits: u64,
    /// Pages of the pool that were swapped out to make room.
    pub swapped_kept: usize,
    /// What the call took.
    pub microseconds: u64,
}

/// What the kernel swapped when the limit was lowered by 64 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Lowered {
    /// Pages that had left the pool.
    pub stored: usize,
    /// Pages of blocks that were kept.
    pub kept: usize,
    /// Huge pages that were written out whole.
    pub whole: u64,
    /// Huge pages that were split.
    pub splits: u64,
}

/// What coming back cost, by the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Restored {
    /// Nanoseconds for each page that was in swap, in blocks of which some was.
    pub swapped_page_ns: Option<u64>,
    /// Nanoseconds for each block of 2 MiB of which nothing was in swap.
    pub resident_block_ns: Option<u64>,
    /// Pages that were compared, of all blocks.
    pub compared: usize,
    /// Pages of these with other contents than they had.
    pub wrong: usize,
}

/// One line of a case that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The pool is filled: chunks of memory, and how many of these are huge pages.
    Filled { chunks: usize, huge: usize },
    /// So many blocks have left.
    Left(usize),
    /// Where the pages are.
    At(Sample),
    /// The shrink call has ended.
    Shrunk(Shrunk),
    /// Why not all that should have left did.
    Refused(String),
    /// The limit is lowered.
    Lowered(Lowered),
    /// All is back.
    Restored(Restored),
    /// The case could not go on.
    Failed(String),
}

/// How a case ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As it should.
    Complete,
    /// The kernel killed it, as its group was full.
    Killed,
    /// It can't be run here.
    Failed(String),
}

/// All about a case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which one.
    pub name: String,
    /// The same, by its parts.
    #[serde(flatten)]
    pub case: Case,
    /// How it ended.
    pub ending: Ending,
    /// Of the pool's chunks, how many were huge pages.
    pub huge: usize,
    /// All chunks of the pool.
    pub chunks: usize,
    /// Huge pages that were split while it ran.
    pub splits: u64,
    /// Blocks that had left when it ended.
    pub blocks_left: usize,
    /// Why not all did.
    pub refused: Option<String>,
    /// The shrink call; `None` if it did not come to its end.
    pub shrunk: Option<Shrunk>,
    /// The lower limit.
    pub lowered: Option<Lowered>,
    /// Coming back.
    pub restored: Option<Restored>,
    /// Where the pages were, step by step.
    pub samples: Vec<Sample>,
}

impl Outcome {
    /// Of a case that has said nothing yet.
    pub(super) fn new(case: Case) -> Outcome {
        Outcome {
            name: case.to_string(),
            case,
            ending: Ending::Complete,
            huge: 0,
            chunks: 0,
            splits: 0,
            blocks_left: 0,
            refused: None,
            shrunk: None,
            lowered: None,
            restored: None,
            samples: vec![],
        }
    }

    /// One line more.
    pub(super) fn hear(&mut self, told: Told) {
        match told {
            Told::Filled { chunks, huge } => (self.chunks, self.huge) = (chunks, huge),
            Told::Left(blocks) => self.blocks_left = blocks,
            Told::At(sample) => self.samples.push(sample),
            Told::Shrunk(shrunk) => {
                self.blocks_left = shrunk.blocks;
                self.shrunk = Some(shrunk);
            }
            Told::Refused(why) => self.refused = Some(why),
            Told::Lowered(lowered) => self.lowered = Some(lowered),
            Told::Restored(restored) => self.restored = Some(restored),
            Told::Failed(why) => self.ending = Ending::Failed(why),
        }
    }

    /// Whether all contents that were compared were right, and those of a case that came to its end were compared.
    pub fn is_intact(&self) -> bool {
        match (&self.ending, &self.restored) {
            (_, Some(restored)) => restored.wrong == 0 && restored.compared > 0,
            (Ending::Complete, None) => false,
            (_, None) => true,
        }
    }
}
