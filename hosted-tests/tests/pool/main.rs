//! Where blocks come from: sources, raw mutexes, platforms, and the pool in front of them.

mod adapters;
mod bad_source;
mod conformance_platform;
mod defaults;
mod kinds_of_buffers;
mod lists;
mod locks;
mod per_core;
mod pointers;
mod pool;
mod pool_kinds;
mod sources;
mod trim;
