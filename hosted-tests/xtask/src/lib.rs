//! The commands of this repository: `cargo xtask --help` lists them. One file for each.
//!
//! A command checks or measures. Only `setup` installs. A command that lacks a tool says so, and does nothing.
//!
//! | | |
//! | --- | --- |
//! | `failure` `tally` `place` `process` `tools` | how a command ends, where files are, how programs run, what must be installed |
//! | `firmware` | builds an image for a small machine, reads it, boots it |
//! | `counts` `sizes` `panic_free` | what is measured on such images |
//! | `rivals` | forebay beside other allocators |
//! | `tsan` `fuzz` `msrv` | other compilers and sanitizers |
//! | `sources` `rules` [`surface`] | what can be read from the sources |
//! | `mutants` | breaks core and backends on purpose |
//! | `reclaims` | counts what a reclaim costs among many buffers |
//! | `traces` | records what programs do |
//! | `picture` | draws the picture of the README |
//! | `setup` `gate` | installs everything, runs everything |
//! | `cli` | the command line |
//!
//! Each file uses only those above it.

mod failure;
mod place;
mod process;
mod tally;
mod tools;

mod firmware;

mod counts;
mod panic_free;
mod sizes;

mod rivals;

mod fuzz;
mod msrv;
mod tsan;

mod sources;

mod reclaims;
mod rules;
pub mod surface;

mod mutants;

mod traces;

mod picture;

mod gate;
mod setup;

mod cli;

pub use cli::main;
