//! The scenarios of TTM's tests and rules (`ttm-semantics.md` §5: 1 to 13, 30 to 35, families g, h, i and j), each for what
//! it is about; DESIGN.md has the table. Each runs as it is, and then while every call of every port fails once.

mod common;

#[path = "scenarios/card.rs"]
mod card;
#[path = "scenarios/dma.rs"]
mod dma;
#[path = "scenarios/fill.rs"]
mod fill;
#[path = "scenarios/limit.rs"]
mod limit;
#[path = "scenarios/pool.rs"]
mod pool;
#[path = "scenarios/rig.rs"]
mod rig;
#[path = "scenarios/store.rs"]
mod store;
#[path = "scenarios/swap.rs"]
mod swap;
#[path = "scenarios/teardown.rs"]
mod teardown;
