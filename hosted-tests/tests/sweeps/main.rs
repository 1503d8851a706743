//! What may happen at any moment, tried at every one: faults, interrupts, panics, other threads.

mod between_steps;
mod fault_sweep;
mod interrupt_sweep;
mod panics;
mod panics_beside;
mod panics_cost;
mod reclaim_sweep;
mod threads;
