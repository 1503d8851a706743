//! The lab: forebay on real files.
//!
//! [`roundtrip()`] loads every regular file of a tree into buffers whose memory is far smaller than the files, so that
//! they are evicted and restored all the time; then it reads every file back through the buffers, in another order,
//! and compares each byte with the disk. The frames are counted by the oracle ([`World`](crate::World)), and its
//! counts are compared with forebay's own.
//!
//! | | |
//! | --- | --- |
//! | [`text`] | how names, numbers and sizes are written |
//! | [`options`] | what may be chosen, and how a size is written |
//! | [`files`] | which files there are, and what is passed over |
//! | [`bad`] | stores that lose bytes or blocks, for tests of the lab itself |
//! | [`system`] | what the system says of memory |
//! | [`shape`] | how large everything is, and what is too large |
//! | [`parts`] | what may stand behind the buffers: a source and a store |
//! | [`machine`] | parts, oracle and pool put together; making room |
//! | [`output`] | where restored files go |
//! | [`report`] | the figures, also as JSON, and whether they agree |
//! | `table` | the figures as a table, and the verdict |
//! | [`run`] | loading and reading back |
//! | [`roundtrip`](mod@roundtrip) | all of it, over the parts that are asked for |
//!
//! [`replay()`] does the same with what a real program did: a trace of its accesses, page by page, replayed in a quarter
//! of the memory that it wants, beside exact LRU and an ideal memory. [`plan()`] says how much memory a trace needs.
//!
//! | | |
//! | --- | --- |
//! | [`trace`] | the format of traces |
//! | [`curve`] | the hit rate of exact LRU for every size of memory |
//! | [`policy`] | exact LRU and the ideal, with one size |
//! | [`arc`] | ARC, with one size |
//! | [`sieve`] | SIEVE, with one size |
//! | [`plan`](mod@plan) | how much memory a trace needs for a hit rate |
//! | [`replay`](mod@replay) | a trace on a real pool and store |
//! | `replay_table` | its figures as a table, and the verdict |
//! | [`policies`](mod@policies) | hit rates of all policies side by side |
//! | [`bench`](mod@bench) | the subcommands of `lab bench`; what they do is in [`bench`](mod@crate::bench) |
//! | [`pressure`](mod@pressure) | which pages the kernel swaps when memory is short; Linux |
//! | [`cli`] | the command line, and the progress bar |
//!
//! Each uses only those above it. For Unix: it tells FIFOs, sockets and devices from files.

pub mod arc;
pub mod bad;
pub mod bench;
pub mod cli;
pub mod curve;
pub mod files;
pub mod machine;
pub mod options;
pub mod output;
pub mod parts;
pub mod plan;
pub mod policies;
pub mod policy;
#[cfg(target_os = "linux")]
pub mod pressure;
pub mod replay;
mod replay_table;
pub mod report;
pub mod roundtrip;
pub mod run;
pub mod shape;
pub mod sieve;
pub mod system;
pub(crate) mod table;
pub mod text;
pub mod trace;

pub use bad::Sabotage;
pub use files::{Input, InputError, Skipped};
pub use machine::RoomError;
pub use options::{EvictKind, Options, OptionsError, PAGE, PolicyKind, SizeError, StoreKind, parse_size};
pub use output::OutputError;
pub use plan::{Plan, PlanOptions, plan};
pub use policies::{Policies, PoliciesOptions, policies};
pub use replay::{ReplayOptions, ReplayReport, replay};
pub use report::Report;
pub use roundtrip::{LabError, roundtrip};
pub use run::{Observer, Phase, RunError};
pub use shape::MachineError;
pub use trace::{Trace, TraceError};
