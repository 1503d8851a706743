//! What happens on a signal that ends a program: everything is taken back first.

use super::keeper::Keeper;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The keeper, shared with the thread that waits for signals.
pub(super) type Shared = Arc<Mutex<Keeper>>;

/// From now on such a signal has everything undone, before it ends the process. The keeper stays locked then, so the run can't change
/// anything any more.
pub(super) fn watch(keeper: &Shared) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let keeper = Arc::clone(keeper);
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let mut keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
            let name = signal_name(signal).unwrap_or("a signal");
            let said = match keeper.finish() {
                Ok(()) => "everything that was made is removed".to_owned(),
                Err(why) => why,
            };
            let _ = writeln!(io::stderr(), "lab: interrupted by {name}: {said}");
            let _ = emulate_default_handler(signal); // ends the process
        }
    })?;
    Ok(())
}
