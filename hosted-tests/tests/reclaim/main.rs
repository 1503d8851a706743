//! Reclaiming: which buffers leave, how many, in which order, and who is looked at.

mod berth;
mod keep_free;
mod passes;
mod reclaim;
mod reclaim_ends;
mod refusals;
mod registration;
mod roster;
mod targets;
mod want_block;
mod zones;
