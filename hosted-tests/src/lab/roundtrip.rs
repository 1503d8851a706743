//! The round trip: the files are found, the parts made, everything loaded, read back and compared.

use super::files::{Input, InputError, Tree};
use super::machine::{ChunkSlot, Machine, Rig};
#[cfg(target_os = "linux")]
use super::options::EvictKind;
use super::options::{Options, OptionsError, PAGE, StoreKind};
use super::output::{Output, OutputError};
#[cfg(target_os = "linux")]
use super::parts::{ArenaParts, CopiesParts};
use super::parts::{Parts, RamParts};
use super::report::{Oddness, Report};
use super::run::{Observer, Run, pages};
use super::shape::{MachineError, Shape};
use super::text::count;
use forebay::Slot;
use std::fmt;
use std::time::Instant;

/// Why a round trip did not begin. Nothing was loaded.
#[derive(Debug)]
pub enum LabError {
    /// The options.
    Options(OptionsError),
    /// The files.
    Input(InputError),
    /// The memory.
    Machine(MachineError),
    /// Where the restored files should go.
    Output(OutputError),
    /// There were files, and not one could be loaded.
    NothingLoaded {
        /// How many there were.
        found: usize,
        /// Why, for the first few.
        notes: Vec<String>,
    },
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabError::Options(e) => e.fmt(f),
            LabError::Input(e) => e.fmt(f),
            LabError::Machine(e) => e.fmt(f),
            LabError::Output(e) => e.fmt(f),
            LabError::NothingLoaded { found, .. } => {
                let found = count(*found, "file");
                write!(f, "none of the {found} could be loaded: nothing was compared")
            }
        }
    }
}

impl std::error::Error for LabError {}

/// Loads every file into buffers and compares what comes back, byte by byte.
///
/// What went wrong with the contents or the memory is in the report ([`Report::is_good`]), not an error.
///
/// # Errors
/// [`LabError`]: nothing was loaded.
///
/// # Panics
/// If the oracle sees a frame with two owners, or the like.
pub fn roundtrip(input: &Input, options: &Options, observer: &mut dyn Observer) -> Result<Report, LabError> {
    options.check().map_err(LabError::Options)?;
    let tree = Tree::find(input).map_err(LabError::Input)?;
    let data = tree.files.iter().map(|file| pages(file.stamp.size)).fold(0, usize::saturating_add);
    let shape = Shape::new(data, options.budget, options.region_pages);
    match options.store {
        StoreKind::Ram => over::<RamParts>(&tree, &shape, options, observer),
        #[cfg(target_os = "linux")]
        StoreKind::Shmem => match options.evict {
            EvictKind::Transfer => over::<ArenaParts>(&tree, &shape, options, observer),
            EvictKind::Copy | EvictKind::Split => over::<CopiesParts>(&tree, &shape, options, observer),
        },
    }
}

/// The same, over these parts.
fn over<T: Parts>(
    tree: &Tree,
    shape: &Shape,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Report, LabError> {
    let slots = shape.data.saturating_mul(size_of::<ChunkSlot<'_, T>>());
    let rig = Rig::new(T::new(shape, slots).map_err(LabError::Machine)?);
    let output = match &options.out {
        Some(out) => Some(Output::create(out, &tree.root, &tree.directories).map_err(LabError::Output)?),
        None => None,
    };
    let started = Instant::now();
    let mut report = Report {
        budget_pages: shape.budget,
        region_pages: rig.parts().room().get(),
        page_bytes: PAGE,
        store: options.store,
        evict: options.evict,
        skipped: tree.skipped,
        budget_asked: options.budget,
        notes: tree.notes.iter().take(Report::NOTES).cloned().collect(),
        ..Report::default()
    };
    let joined = rig.join(options.sabotage);
    let mut slots: Vec<ChunkSlot<'_, T>> = (0..shape.data).map(|_| Slot::EMPTY).collect();
    let machine = Machine::new(&rig, &joined, options.evict);
    Run {
        machine: &machine,
        tree,
        chunk: shape.chunk * PAGE,
        output: output.as_ref(),
        observer,
        slots: &mut slots,
        buffers: vec![],
        loaded: vec![],
        bytes: vec![0; shape.chunk * PAGE],
        disk: vec![0; shape.chunk * PAGE],
        odd: Oddness::None,
        report: &mut report,
    }
    .go(options.seed);
    report.leaked_pages = machine.leaked().get();
    let (own, seen) = machine.missing();
    if own != seen {
        report.disagreements.push(format!("pages not returned: the source misses {own}, the oracle {seen}"));
    }
    report.seconds = started.elapsed().as_secs_f64();
    if report.files == 0 && report.is_good() {
        output.into_iter().for_each(|output| output.abandon(&tree.directories));
        return Err(LabError::NothingLoaded { found: tree.files.len(), notes: report.notes });
    }
    Ok(report)
}
