//! What the image itself tells `defmt`, in addition to what forebay does. Nothing, without that feature.

/// A step has passed.
pub fn passed(step: &str) {
    #[cfg(feature = "defmt")]
    defmt::info!("{=str}: passed", step);
    #[cfg(not(feature = "defmt"))]
    let _ = step;
}

/// A step has failed.
pub fn failed(step: &str) {
    #[cfg(feature = "defmt")]
    defmt::error!("{=str}: failed", step);
    #[cfg(not(feature = "defmt"))]
    let _ = step;
}

/// What passed through.
pub fn counters(stats: &forebay::stats::Stats) {
    #[cfg(feature = "defmt")]
    defmt::info!("{}", stats);
    #[cfg(not(feature = "defmt"))]
    let _ = stats;
}
