//! What memory there is: pieces that do not touch, in words of the caller.

use super::blocks;
use core::ops::Range;

/// Words of a piece: its first frame and its end. Both are 0 where there is none.
pub(super) const WORDS: usize = 2;

fn piece(words: &[usize]) -> Option<Range<usize>> {
    match words {
        [first, end] if first < end => Some(*first..*end),
        _ => None,
    }
}

/// All pieces.
pub(super) fn all(words: &[usize]) -> impl Iterator<Item = Range<usize>> {
    words.chunks_exact(WORDS).filter_map(piece)
}

/// Why a piece was not noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PieceError {
    /// It shares a frame with another one.
    Overlap,
    /// There are no words for one more.
    Full,
}

fn touch(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.end == other.start || other.end == one.start
}

/// Notes the first piece.
pub(super) fn first(words: &mut [usize], piece: &Range<usize>) {
    if let Some([first, end]) = words.first_chunk_mut() {
        (*first, *end) = (piece.start, piece.end);
    }
}

/// Notes a piece, as one with those that it touches. Nothing changes if it is not noted.
pub(super) fn note(words: &mut [usize], new: Range<usize>) -> Result<(), PieceError> {
    if all(words).any(|piece| piece.start < new.end && new.start < piece.end) {
        return Err(PieceError::Overlap);
    }
    let mut places = words.chunks_exact(WORDS).map(piece);
    if !places.any(|place| place.is_none_or(|piece| touch(&piece, &new))) {
        return Err(PieceError::Full);
    }
    let mut joined = new.clone();
    for place in words.chunks_exact_mut(WORDS) {
        if let Some(piece) = piece(place).filter(|piece| touch(piece, &new)) {
            joined = joined.start.min(piece.start)..joined.end.max(piece.end);
            place.fill(0);
        }
    }
    if let Some(place) = words.chunks_exact_mut(WORDS).find(|place| piece(place).is_none()) {
        first(place, &joined);
    }
    Ok(())
}

/// Pages in all blocks of an order, free or not.
pub(super) fn pages_in(words: &[usize], order: u8) -> usize {
    all(words).map(|piece| blocks(&piece, order).len() << order).sum()
}
