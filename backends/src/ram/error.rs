//! Why memory was refused.

use core::fmt;
use forebay::Refused;

/// Why memory was refused. It is untouched, and handed back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MemoryError {
    /// It has no whole page, once its ends are trimmed to page boundaries.
    NoWholePage,
    /// The metadata slice is too short.
    Metadata {
        /// The number of words that it needs; for a slice that is for several ranges, all of them.
        words: usize,
    },
    /// It overlaps memory that was added before.
    Overlap,
    /// The source has no room for another range.
    TooManyRanges,
    /// The metadata of its span has no room for another piece.
    TooManyPieces,
    /// It lies in no span.
    NoSpan,
    /// There is memory already, and only one range is accepted.
    Already,
    /// More pages than a handle can name.
    TooLarge,
    /// It has no aligned window that is as large as the lobby.
    NoLobby,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::NoWholePage => {
                f.write_str("no whole page in this range: give it more memory, or use smaller pages")
            }
            MemoryError::Metadata { words } => write!(f, "the metadata is too short: give it {words} words"),
            MemoryError::Overlap => {
                f.write_str("the range overlaps one that was added before: give each range once")
            }
            MemoryError::TooManyRanges => {
                f.write_str("too many ranges: raise the number of ranges in the type")
            }
            MemoryError::NoSpan => f.write_str("it lies in no span: register the span first, or add it as a range"),
            MemoryError::TooManyPieces => {
                f.write_str("too many pieces in this span: ask `span_words` for more of them")
            }
            MemoryError::Already => {
                f.write_str("there is memory already, and only one range is accepted: initialise it once, or use a second store")
            }
            MemoryError::NoLobby => {
                f.write_str("no aligned window for the lobby in this range: give it more memory, or use a smaller lobby")
            }
            MemoryError::TooLarge => {
                f.write_str("more pages than a handle can name: use larger pages or several stores")
            }
        }
    }
}

impl core::error::Error for MemoryError {}

/// Memory and its metadata that were refused.
pub type MemoryRefused = Refused<(&'static mut [u8], &'static mut [usize]), MemoryError>;
