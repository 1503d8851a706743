//! What a bench prints: one JSON array of rows.

use serde::{Deserialize, Serialize};

/// What an operation costs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CostRow {
    /// The id of the workload.
    pub workload: String,
    /// The order of all blocks.
    pub order: u8,
    /// Threads that run it at once.
    pub threads: usize,
    /// Whether several threads may use it: by a lock, or because it is made for that.
    pub locked: bool,
    /// `forebay` (a pool in front of the source; buffers), `forebay-source` (the source alone), `forebay-index` (buffers with an
    /// index), or the name of another one.
    pub who: String,
    /// The median of all batches. In W1 an operation is an allocation and the free of that block.
    pub ns_per_op: f64,
    /// The 99th percentile of all batches.
    pub p99_ns: f64,
    /// By callgrind; `None` if it was not asked for. Of W1 to W4 without the loop around, and of W4 without waiting.
    pub instructions: Option<f64>,
    /// Buffers in all, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffers: Option<usize>,
    /// What is different for this row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How much of the free memory is large blocks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ShareRow {
    /// The id of the workload.
    pub workload: String,
    /// The order of the blocks that are counted.
    pub order: u8,
    /// As in [`CostRow::who`].
    pub who: String,
    /// Free pages that could be allocated as such blocks, in per cent of all free pages: the mean over the seeds. Before they are
    /// counted, blocks that an allocator keeps ready are returned, so that they may be joined.
    pub percent: f64,
    /// Allocations of the mix that failed: the sum over the seeds.
    pub failed: usize,
    /// A trace for each seed. No test may use one of these seeds.
    pub seeds: Vec<u64>,
}

/// What a block of shmem costs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BlockRow {
    /// What is done with a block: see the table of `bench::shmem`.
    pub case: String,
    /// The machine's setting for huge pages of shmem, and whether the arena is pinned.
    pub mode: String,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// The median of the rounds, of the processor's time.
    pub ns_per_block: f64,
    /// Beside a copy from warm memory to warm memory in the same run.
    pub memcpy_ratio: f64,
}

/// One of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Row {
    /// Of a workload that is timed.
    Cost(CostRow),
    /// Of a workload that fragments.
    Share(ShareRow),
    /// Of shmem.
    Block(BlockRow),
}

/// All rows, on one line.
///
/// # Errors
/// None that can happen: it is plain data.
pub fn json(rows: &[Row]) -> Result<String, serde_json::Error> {
    serde_json::to_string(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a row that is written and read again is equal, and has the fields that the documentation promises.
    #[test]
    fn rows() {
        let cost = Row::Cost(CostRow {
            workload: "W1".into(),
            order: 3,
            threads: 1,
            locked: true,
            who: "forebay".into(),
            ns_per_op: 1.5,
            p99_ns: 2.5,
            instructions: None,
            buffers: None,
            note: None,
        });
        let share = Row::Share(ShareRow {
            workload: "W5".into(),
            order: 9,
            who: "forebay".into(),
            percent: 30.0,
            failed: 0,
            seeds: vec![1, 2],
        });
        let text = json(&[cost.clone(), share.clone()]).unwrap();
        assert_eq!(
            text,
            r#"[{"workload":"W1","order":3,"threads":1,"locked":true,"who":"forebay","ns_per_op":1.5,"p99_ns":2.5,"instructions":null},{"workload":"W5","order":9,"who":"forebay","percent":30.0,"failed":0,"seeds":[1,2]}]"#
        );
        assert_eq!(serde_json::from_str::<Vec<Row>>(&text).unwrap(), [cost, share]);
    }
}
