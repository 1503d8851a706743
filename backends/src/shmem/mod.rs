//! Memory that is shmem from birth: a page source and a store at once. Linux only, feature `shmem`.
//!
//! [`Arena`] is both; [`Copies`] keeps what other memory holds. [`HostReport`] says what the machine offers.
//!
//! | file | subject |
//! | --- | --- |
//! | `process` `lock` | which process this is; the usual lock *(unsafe)* |
//! | `sys` `folio` | system calls on a memfd and its mappings; what folios it got *(unsafe)* |
//! | `headroom` `host` | how much more may be taken; what the machine offers |
//! | `chunk` `ledger` `step` `usage` | whose each page is, and what there is to do about each chunk: numbers only |
//! | `block` | a page number becomes an address, and bytes *(unsafe)* |
//! | `pin` `page_out` | what keeps the pool's pages in RAM, and what writes stored ones out at once |
//! | `arena` `store` `copies` | the source, the store for its own blocks, the store for others |
//! | `builder` `create_error` | how an arena is made, and why it was not |

mod arena;
mod block;
mod builder;
mod chunk;
mod copies;
mod create_error;
#[cfg(test)]
mod fake;
mod folio;
mod headroom;
mod host;
mod ledger;
mod lock;
mod page_out;
mod pin;
mod process;
mod step;
mod store;
mod sys;
mod usage;

pub use arena::Arena;
pub use block::ArenaBlock;
pub use builder::{Builder, TakeBack, Unmap};
pub use copies::Copies;
pub use create_error::CreateError;
pub use folio::Folio;
pub use headroom::GroupLimit;
pub use host::{Features, HostReport, HugePageSetting, HugePages, Swap};
pub use lock::OsLock;
pub use sys::Mapped;
pub use usage::Usage;
