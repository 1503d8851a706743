//! The end: what passed through, and where everything is.

use super::home::{self, HOME};
use super::{Failure, check, dma, heap, space};
use crate::log;
use core::fmt::Write;
use forebay::Pages;

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let (stats, total, region) = (HOME.stats(), home::fast().total(), home::slow().total());
    let (evicted, restored) = (stats.evicted, stats.restored);
    log::counters(&stats);
    writeln!(out, "all that passed through, in pages")?;
    let rows: [(&str, [(&str, Pages); 3]); 4] = [
        ("out", [("transferred", evicted.transferred), ("copied", evicted.copied), ("clean", evicted.clean)]),
        (
            "back",
            [
                ("taken back", restored.taken_back),
                ("loaded", restored.loaded),
                ("populated", restored.populated),
            ],
        ),
        (
            "freed",
            [("written out", stats.settled), ("pending", home::slow().pending()), ("leaked", stats.leaked)],
        ),
        ("free", [("source", home::free()), ("heap", heap::taken()), ("region", space())]),
    ];
    for (name, counts) in rows {
        write!(out, "  {name:5}")?;
        for (what, pages) in counts {
            write!(out, "  {what:>11} {pages:6}")?;
        }
        writeln!(out)?;
    }
    write!(out, "  refused: {}; interrupts of the controller: {}", stats.refusals, dma::completions())?;
    check(home::free() + heap::taken() == total, "pages of the source are missing")?;
    check(space() == region, "pages of the region are missing")?;
    check(stats.leaked == Pages::ZERO, "blocks were leaked")?;
    check(evicted.purged == Pages::ZERO, "something was purged that nothing asked for")
}
