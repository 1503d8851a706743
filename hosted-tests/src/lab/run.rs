//! Loading every file into buffers, and reading all back in another order.

use super::files::{self, Found, Stamp, Tree};
use super::machine::{Chunk, ChunkSlot, Machine, OpenError, RoomError};
use super::options::PAGE;
use super::output::{Output, OutputError};
use super::parts::Parts;
use super::report::{Oddness, Report};
use super::system::Usage;
use super::text::shown;
use forebay::{AccessError, Buffer, Context, Pages, StoreError};
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// A half of the round trip.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Files go into buffers.
    Loading,
    /// Buffers are compared with files.
    ReadingBack,
}

/// Watches, or meddles with the files meanwhile. `()` does neither.
pub trait Observer {
    /// A phase begins, over `bytes` bytes. The files are listed before.
    fn begin(&mut self, phase: Phase, bytes: u64) {
        let _ = (phase, bytes);
    }
    /// `bytes` bytes more are done.
    fn advance(&mut self, bytes: u64) {
        let _ = bytes;
    }
    /// Both phases are over.
    fn end(&mut self) {}
}

impl Observer for () {}

/// Why a round trip ended early.
#[derive(Debug)]
pub enum RunError {
    /// There was no room for a piece of this file.
    Room(PathBuf, RoomError),
    /// A new buffer could not be written.
    Write(PathBuf, AccessError),
    /// A buffer took less than it has room for: an error in forebay.
    Short(PathBuf),
    /// A restored file could not be written.
    Output(OutputError),
    /// When all was read, the store could not be settled.
    Settle(StoreError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Room(path, e) => write!(f, "at {}: {e}", shown(path)),
            RunError::Write(path, e) => write!(f, "at {}: a buffer can't be written: {e}", shown(path)),
            RunError::Short(path) => {
                write!(f, "at {}: a buffer took less than it has room for: report this", shown(path))
            }
            RunError::Output(e) => e.fmt(f),
            RunError::Settle(e) => write!(f, "what was evicted is safe, but the store can't settle it: {e}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Why a file is not among the loaded ones.
enum NotLoaded {
    /// It can't be read.
    Skipped(io::Error),
    /// It changed meanwhile, in this way.
    Changed(&'static str),
    /// Nothing more can be loaded at all.
    Over(RunError),
}

/// A file in buffers.
pub(super) struct Loaded {
    /// Its place in the tree.
    file: usize,
    /// Its first buffer.
    first: usize,
    /// Of the contents of each of its buffers. They tell whose fault a difference is.
    sums: Vec<u64>,
}

/// How many pages `bytes` bytes need.
pub(super) fn pages(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(PAGE as u64)).unwrap_or(usize::MAX)
}

fn sum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A round trip under way.
pub(super) struct Run<'r, 'h, 'w, T: Parts> {
    pub(super) machine: &'r Machine<'h, 'w, T>,
    pub(super) tree: &'r Tree,
    /// Bytes of the largest buffer.
    pub(super) chunk: usize,
    pub(super) output: Option<&'r Output>,
    pub(super) observer: &'r mut dyn Observer,
    /// Those that no buffer has yet.
    pub(super) slots: &'h mut [ChunkSlot<'w, T>],
    pub(super) buffers: Vec<Chunk<'h, 'w, T>>,
    pub(super) loaded: Vec<Loaded>,
    /// A piece of a file, as a buffer has it.
    pub(super) bytes: Vec<u8>,
    /// The same piece, as the disk has it.
    pub(super) disk: Vec<u8>,
    pub(super) odd: Oddness,
    pub(super) report: &'r mut Report,
}

impl<T: Parts> Run<'_, '_, '_, T> {
    /// All of it. The buffers are dropped at the end.
    pub(super) fn go(mut self, seed: u64) {
        let all = self.tree.files.iter().map(|file| file.stamp.size).sum();
        self.observer.begin(Phase::Loading, all);
        if let Err(e) = self.load_all() {
            self.fail(&e);
        }
        self.machine.validate();
        let loading = self.machine.evicted().get();
        self.observer.begin(Phase::ReadingBack, self.report.bytes);
        if let Err(e) = self.read_all(seed) {
            self.fail(&e);
        }
        self.machine.validate();
        let figures = self.machine.figures();
        if let Some(e) = figures.settled.error {
            self.fail(&RunError::Settle(e));
        }
        self.report.take(&figures, loading);
        self.report.usage = Usage::now();
        self.report.medium = self.machine.parts().medium();
        self.report.compare(&figures, self.odd);
        self.observer.end();
    }

    /// The first failure is the one that is told.
    fn fail(&mut self, why: &RunError) {
        self.report.failure.get_or_insert_with(|| why.to_string());
    }

    fn note(&mut self, note: String) {
        if self.report.notes.len() < Report::NOTES {
            self.report.notes.push(note);
        }
    }

    fn load_all(&mut self) -> Result<(), RunError> {
        let tree = self.tree;
        for (file, found) in tree.files.iter().enumerate() {
            let first = self.buffers.len();
            match self.load(found) {
                Ok(sums) => {
                    self.loaded.push(Loaded { file, first, sums });
                    self.report.files += 1;
                    self.report.bytes += found.stamp.size;
                    self.report.data_pages += pages(found.stamp.size);
                    continue;
                }
                Err(NotLoaded::Skipped(e)) => {
                    let note = self.report.skipped.note(&found.path, &e);
                    self.note(note);
                }
                Err(NotLoaded::Changed(how)) => {
                    self.report.changed += 1;
                    self.note(format!("{}: not loaded: {how}", shown(&found.path)));
                }
                Err(NotLoaded::Over(why)) => {
                    self.forget(first..self.buffers.len());
                    return Err(why);
                }
            }
            self.forget(first..self.buffers.len());
        }
        Ok(())
    }

    /// Drops the contents of some buffers, wherever they are.
    fn forget(&mut self, which: std::ops::Range<usize>) {
        for buffer in self.buffers.get(which).unwrap_or_default() {
            let _ = buffer.purge(Context::THREAD); // no guard is alive, so it is not busy
            self.odd = Oddness::Some;
        }
    }

    /// Puts a file into new buffers, piece by piece; gives a sum for each piece.
    fn load(&mut self, found: &Found) -> Result<Vec<u64>, NotLoaded> {
        let (mut file, stamp) =
            files::open(&self.tree.root.join(&found.path)).map_err(|e| match e.kind() {
                ErrorKind::InvalidInput => NotLoaded::Changed("it is no longer a regular file"),
                _ => NotLoaded::Skipped(e),
            })?;
        if stamp != found.stamp {
            return Err(NotLoaded::Changed("it changed before it was loaded"));
        }
        let mut sums = vec![];
        for len in pieces(stamp.size, self.chunk) {
            let bytes = &mut self.bytes[..len];
            if files::read_full(&mut file, bytes).map_err(NotLoaded::Skipped)? < len {
                return Err(odd_size(&file, stamp));
            }
            let pages = len.div_ceil(PAGE);
            let (own, rest) = std::mem::take(&mut self.slots)
                .split_at_mut_checked(pages)
                .expect("the tree's stamps gave every file its slots");
            self.slots = rest;
            self.buffers.push(self.machine.chunk(own));
            let all = &self.buffers;
            let last = all.len() - 1;
            let mut guard = match self.machine.open(all, last, Pages::new(pages), Buffer::write) {
                Ok(guard) => guard,
                Err(OpenError::Room(e)) => {
                    return Err(NotLoaded::Over(RunError::Room(found.path.clone(), e)));
                }
                Err(OpenError::Contents(e)) => {
                    return Err(NotLoaded::Over(RunError::Write(found.path.clone(), e)));
                }
            };
            if guard.write_at(0, bytes) < len {
                return Err(NotLoaded::Over(RunError::Short(found.path.clone())));
            }
            drop(guard);
            sums.push(sum(bytes));
            self.observer.advance(len as u64);
        }
        if !files::is_at_end(&mut file, stamp) {
            return Err(odd_size(&file, stamp));
        }
        Ok(sums)
    }

    /// Every file that was loaded, in another order. Where there is no room for one, it waits for the end; then,
    /// and after any failure, what has been compared is dropped, so that all can be compared that was loaded.
    fn read_all(&mut self, seed: u64) -> Result<(), RunError> {
        let mut queue: VecDeque<usize> = shuffled(self.loaded.len(), seed).into();
        let mut stuck = 0;
        while let Some(which) = queue.pop_front() {
            match self.compare(which) {
                Ok(()) => {
                    stuck = 0;
                    self.report.compared += 1;
                    if self.report.failure.is_some() {
                        let Loaded { first, sums, .. } = &self.loaded[which];
                        self.forget(*first..*first + sums.len());
                    }
                }
                Err(e @ RunError::Room(..)) if stuck < queue.len() => {
                    self.fail(&e);
                    stuck += 1;
                    queue.push_back(which);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads a file from its buffers and from the disk, and writes it out if that is wanted.
    fn compare(&mut self, which: usize) -> Result<(), RunError> {
        let tree = self.tree;
        let Loaded { file, first, sums } = &self.loaded[which];
        let found = &tree.files[*file];
        let mut out = match self.output {
            Some(output) => Some(output.file(&found.path).map_err(RunError::Output)?),
            None => None,
        };
        let mut changed = None;
        let mut wrong = None;
        let mut disk = match files::open(&tree.root.join(&found.path)) {
            Ok((file, stamp)) => {
                if stamp != found.stamp {
                    changed = Some("changed on disk: another size or time".to_owned());
                }
                Some(file)
            }
            Err(e) => {
                changed = Some(match e.kind() {
                    ErrorKind::NotFound => "changed on disk: it is gone".to_owned(),
                    _ => format!("changed on disk: {e}"),
                });
                None
            }
        };
        for ((len, buffer), expected) in pieces(found.stamp.size, self.chunk).zip(*first..).zip(sums) {
            let (bytes, other) = (&mut self.bytes[..len], &mut self.disk[..len]);
            let on_disk =
                disk.as_mut().is_some_and(|file| files::read_full(file, other).is_ok_and(|n| n == len));
            self.observer.advance(len as u64);
            let came = match self.machine.open(&self.buffers, buffer, Pages::ZERO, Buffer::read) {
                Ok(guard) => guard.read_at(0, bytes),
                Err(OpenError::Contents(e)) => {
                    wrong.get_or_insert_with(|| format!("did not come back: {e}"));
                    self.odd = Oddness::Some;
                    continue;
                }
                Err(OpenError::Room(e)) => {
                    return Err(RunError::Room(found.path.clone(), e));
                }
            };
            if let Some(out) = &mut out {
                out.write(bytes).map_err(RunError::Output)?;
            }
            if came == len && on_disk && bytes == other {
                continue;
            }
            if came < len || sum(bytes) != *expected {
                wrong.get_or_insert_with(|| "came back with other bytes than were loaded".to_owned());
            } else {
                changed.get_or_insert_with(|| "changed on disk: other bytes".to_owned());
            }
        }
        if disk.is_some_and(|mut file| !files::is_at_end(&mut file, found.stamp)) {
            changed.get_or_insert_with(|| "changed on disk: another size or time".to_owned());
        }
        if let Some(what) = changed {
            self.report.changed += 1;
            self.note(format!("{}: {what}", shown(&found.path)));
        }
        if let Some(what) = wrong {
            self.report.mismatches += 1;
            self.note(format!("{}: {what}", shown(&found.path)));
        } else if let Some(out) = out {
            out.keep().map_err(RunError::Output)?; // never a wrong file that looks like a restored one
        }
        Ok(())
    }
}

/// Why a file did not end where it should.
fn odd_size(file: &File, stamp: Stamp) -> NotLoaded {
    NotLoaded::Changed(match stamp.is_still(file) {
        true => "its size is not what the system says (a virtual file?)",
        false => "it changed while it was loaded",
    })
}

/// The lengths of the pieces of a file of `size` bytes: at most `chunk` each.
fn pieces(size: u64, chunk: usize) -> impl Iterator<Item = usize> {
    let mut left = size;
    std::iter::from_fn(move || {
        let len = usize::try_from(left).map_or(chunk, |left| left.min(chunk));
        left -= len as u64;
        (len > 0).then_some(len)
    })
}

/// The numbers below `count` in another order, drawn from `seed` (Fisher and Yates, with splitmix64).
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, (random() % (last as u64 + 1)) as usize);
    }
    if order.is_sorted() {
        order.reverse(); // the one order that it must not be
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: every number once, never in the old order, the same from the same seed.
    #[test]
    fn shuffling() {
        for count in 0..40 {
            for seed in 0..40 {
                let order = shuffled(count, seed);
                assert!(count < 2 || !order.is_sorted(), "{count} from {seed}");
                assert_eq!(order, shuffled(count, seed));
                let mut sorted = order;
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..count));
            }
        }
    }

    /// Rule: pieces add up, and only the last is shorter.
    #[test]
    fn cutting() {
        assert_eq!(pieces(0, 8).count(), 0);
        assert_eq!(pieces(8, 8).collect::<Vec<_>>(), [8]);
        assert_eq!(pieces(17, 8).collect::<Vec<_>>(), [8, 8, 1]);
    }
}
