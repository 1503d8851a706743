//! The firmware of the README, for its size: `plain` is the same without Forebay.
#![no_std]
#![no_main]

#[path = "../app.rs"]
mod app;
mod body;
mod start;

use core::arch::global_asm;

// The static memory that was promised. It takes no byte of the image: a symbol of that value, for `sizes`.
global_asm!(
    ".global promised_bytes",
    ".set promised_bytes, {}",
    const size_of_val(&app::RAM) + size_of_val(&app::TILES) + body::WORDS * size_of::<usize>(),
);
