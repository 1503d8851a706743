//! What both images say at their end.

use crate::bare::{self, Console, Exit};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

/// Says whether a limit is kept.
pub fn check(out: &mut dyn Write, kept: bool, what: fmt::Arguments) -> bool {
    let _ = writeln!(out, "{}: {what}", if kept { "passed" } else { "failed" });
    kept
}

/// Ends the image, with all limits kept or not; `None` if something did not do what was to be measured.
pub fn end(all_kept: Option<bool>) -> ! {
    let kept = all_kept.unwrap_or_else(|| check(&mut Console, false, format_args!("it ran to its end")));
    bare::exit(if kept { Exit::Pass } else { Exit::Fail })
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let _ = writeln!(Console, "counts: {info}");
    bare::exit(Exit::Panic)
}
