//! Where blocks come from: sources, raw mutexes, platforms, and the pool in front of them.

mod bad_source;
mod conformance_platform;
mod lists;
mod locks;
mod pool;
mod pool_kinds;
mod ports;
mod sources;
mod trim;
