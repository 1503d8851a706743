//! Where blocks come from: sources, locks, and the pool before them.

mod bad_source;
mod conformance_lock;
mod conformance_platform;
mod pool;
mod pool_kinds;
mod sources;
mod trim;
