//! How long Forebay's operations keep interrupts masked, in instructions: a table, and a limit.
//!
//! Not in `costs`, since noting it costs something.
#![no_std]
#![no_main]

mod bare;
mod checks;
mod home;
mod longest;
mod noted;
mod spin;

use bare::Console;
use checks::check;

/// The longest is a `free` that joins blocks through all orders.
const MOST_MASKED: u32 = 400;

extern "C" fn rust_main() -> ! {
    checks::end(counted(&mut Console))
}

/// Prints the table; whether the limit is kept.
fn counted(out: &mut Console) -> Option<bool> {
    let mut all =
        check(out, noted::is_exact(), format_args!("loops of known length are masked for exactly that"));
    home::init()?;
    let longest = longest::run()?;
    longest.print(out)?;
    for (what, most) in longest.rows() {
        let text = format_args!("interrupts masked by {what}: {most} of {MOST_MASKED} instructions at most");
        all &= check(out, most <= MOST_MASKED, text);
    }
    Some(all)
}
