//! What may be chosen about a round trip, and how a size is written.

use super::bad::Sabotage;
use clap::{Args, ValueEnum};
use forebay::Evict;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Bytes of a page in the lab.
pub const PAGE: usize = 4096;

/// Where evicted contents go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Linux shmem, which the system can swap out. Blocks that are transferred stay where they are: the buffers'
    /// memory is the same shmem, and only the owner changes. What is copied comes from plain RAM.
    #[cfg(target_os = "linux")]
    #[default]
    Shmem,
    /// A swap region in RAM, as large as the files and half as much again. Blocks that are transferred are written
    /// out to it later.
    #[cfg_attr(not(target_os = "linux"), default)]
    Ram,
}

impl StoreKind {
    /// Whether it is shmem.
    pub fn is_shmem(self) -> bool {
        self != StoreKind::Ram
    }
}

/// How contents leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvictKind {
    /// The store takes the block itself; nothing is copied, and nothing is needed.
    #[default]
    Transfer,
    /// Each block is copied whole, or in halves where the whole does not fit.
    Copy,
    /// Each block is split, and copied page by page, each page returned at once.
    Split,
}

impl EvictKind {
    /// The eviction methods that are permitted.
    pub fn methods(self) -> Evict {
        match self {
            EvictKind::Transfer => Evict::TRANSFER,
            EvictKind::Copy => Evict::COPY | Evict::SPLIT,
            EvictKind::Split => Evict::SPLIT,
        }
    }
}

/// Which buffers leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// A second-chance clock: what a plain list of buffers has.
    #[default]
    Clock,
    /// S3-FIFO with one bit for each buffer.
    S3Fifo,
}

/// What may be chosen. The last three are for tests and have no flag.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Where evicted contents go
    #[arg(long, value_enum, default_value_t)]
    pub store: StoreKind,

    /// How contents leave: transfer the block, copy it whole, or split it and copy page by page
    #[arg(long, value_enum, default_value_t)]
    pub evict: EvictKind,

    /// Memory for the buffers, such as 64MiB, 16M or 4096, rounded down to whole pages of 4 KiB; a tenth of the
    /// files if left out
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_hyphen_values = true)]
    pub budget: Option<u64>,

    /// Write the restored files into this new directory; their modes and times are not restored. A run
    /// that is interrupted leaves no file there that is not whole, but for one named .partial
    #[arg(long, value_name = "NEWDIR")]
    pub out: Option<PathBuf>,

    /// Pages that the store has room for; half as much again as the files if `None`. (Of shmem it is addresses, and
    /// rounded up to 2 MiB.)
    #[arg(skip)]
    pub region_pages: Option<usize>,

    /// What the store does wrong.
    #[arg(skip)]
    pub sabotage: Sabotage,

    /// Where the shuffle begins: the same seed gives the same order.
    #[arg(skip = Options::SEED)]
    pub seed: u64,
}

impl Options {
    const SEED: u64 = 0x666f_7265_6261_7931;

    /// Everything can be done.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn check(&self) -> Result<(), OptionsError> {
        match self.budget {
            Some(bytes) if bytes < PAGE as u64 => Err(OptionsError::BudgetTooSmall { bytes }),
            _ => Ok(()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            store: StoreKind::default(),
            evict: EvictKind::default(),
            budget: None,
            out: None,
            region_pages: None,
            sabotage: Sabotage::None,
            seed: Self::SEED,
        }
    }
}

/// Options that can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionsError {
    /// Not even one page would fit.
    BudgetTooSmall {
        /// What was asked for.
        bytes: u64,
    },
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionsError::BudgetTooSmall { bytes } => write!(
                f,
                "a budget of {bytes} bytes does not hold one page of {PAGE} bytes: pass --budget {PAGE} or more, or \
                 leave it out for a tenth of the files"
            ),
        }
    }
}

impl std::error::Error for OptionsError {}

/// Why a text is no size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SizeError {
    /// There is no number at its beginning.
    NoNumber,
    /// Behind the number there is something else than a unit.
    Unit(String),
    /// A unit that some take for a power of 1000; what to write instead.
    Decimal(String),
    /// More bytes than can be counted.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeError::NoNumber => f.write_str("no number: write a size such as 64MiB, 16M or 4096"),
            SizeError::Unit(unit) => write!(
                f,
                "unknown unit {unit:?}: write a whole number and nothing, B, K, M, G, T, or KiB, MiB, GiB, TiB \
                 (all powers of 1024), such as 64MiB"
            ),
            SizeError::Decimal(instead) => write!(f, "units are powers of 1024: write {instead}"),
            SizeError::TooLarge => f.write_str("more bytes than there can be: write a smaller size"),
        }
    }
}

impl std::error::Error for SizeError {}

/// Bytes, from a text such as `4096`, `16M`, `16Mi`, `64MiB` or `1 GiB`. Units are powers of 1024, in either case.
///
/// # Errors
/// [`SizeError`].
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err(SizeError::NoNumber);
    }
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    let unit = unit.trim();
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "ki" | "kib" => 10,
        "m" | "mi" | "mib" => 20,
        "g" | "gi" | "gib" => 30,
        "t" | "ti" | "tib" => 40,
        "kb" | "mb" | "gb" | "tb" => {
            let prefix = unit[..1].to_ascii_uppercase();
            return Err(SizeError::Decimal(format!("{number}{prefix}iB")));
        }
        _ => return Err(SizeError::Unit(unit.to_owned())),
    };
    number.checked_mul(1 << shift).ok_or(SizeError::TooLarge)
}

/// A text is no share of a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareError;

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "write a number above 0 and not above 1, such as 0.95, or the same in per cent, such as 95%",
        )
    }
}

impl std::error::Error for ShareError {}

/// A share of a whole, from a text such as `0.95` or `95%`: above 0, and 1 at most.
///
/// # Errors
/// [`ShareError`].
pub fn parse_share(text: &str) -> Result<f64, ShareError> {
    let (number, whole) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().map_err(|_| ShareError)? / whole;
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err(ShareError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a share is a number or per cent; nothing and more than all are none.
    #[test]
    fn shares() {
        for (text, share) in [("0.95", 0.95), (" 1 ", 1.0), ("25%", 0.25), ("100 %", 1.0), ("1e-3", 0.001)] {
            assert_eq!(parse_share(text), Ok(share), "{text}");
        }
        for text in ["", "%", "0", "-0.1", "1.01", "101%", "NaN", "inf", "half", "1/4", "0,9"] {
            assert_eq!(parse_share(text), Err(ShareError), "{text}");
        }
    }

    /// Rule: units are powers of 1024; whatever is no size says what is wrong.
    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("4096", 4096),
            ("16M", 16 << 20),
            ("16Mi", 16 << 20),
            ("64MiB", 64 << 20),
            (" 1 gib ", 1 << 30),
            ("0", 0),
            ("3k", 3072),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_size(""), Err(SizeError::NoNumber));
        assert_eq!(parse_size("-1"), Err(SizeError::NoNumber));
        assert_eq!(parse_size("MiB"), Err(SizeError::NoNumber));
        assert_eq!(parse_size("16mB"), Err(SizeError::Decimal("16MiB".into())));
        assert_eq!(parse_size("16MBit"), Err(SizeError::Unit("MBit".into())));
        assert_eq!(parse_size("1.5GiB"), Err(SizeError::Unit(".5GiB".into())));
        assert_eq!(parse_size("99999999999999999999"), Err(SizeError::TooLarge));
        assert_eq!(parse_size("18446744073709551615K"), Err(SizeError::TooLarge));
    }
}
