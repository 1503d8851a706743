//! Where blocks go: stores, honest and bad, and what stands before them.

mod bad_store;
mod conformance_store;
mod gate;
mod losses;
mod middleware;
mod tiered;
mod wrong_handles;
mod wrong_store;
