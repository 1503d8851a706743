//! Writing stored pages out to swap at once, instead of waiting until the kernel needs their memory.

use super::Arena;
use super::sys::{Huge, Mapping};
use forebay::{Pages, sync::RawMutex};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

impl<const PAGE: usize, L: RawMutex> Arena<PAGE, L> {
    /// Asks Linux to write out reclaimable pages now: chunks one after the other, until at least `most` pages left memory. Returns how
    /// many did. Without swap, or with too little, that is fewer, and none is no error: the kernel says yes in any case, so what counts
    /// is how many pages of the chunks are in memory before and after.
    ///
    /// The pages are reached through a mapping of their own, which is not locked and ends with the call, so it works for a
    /// [pinned](super::Builder::pinned) arena too.
    ///
    /// # Errors
    /// There are no addresses for the mapping, or the kernel does not know the advice (`MADV_PAGEOUT`, Linux 5.4).
    ///
    /// # Context
    /// Milliseconds for each chunk: it compresses, or writes to a device. No lock is held meanwhile. A chunk that is taken back at the
    /// same time keeps its contents, and may be written out nevertheless.
    pub fn page_out(&self, most: Pages) -> io::Result<Pages> {
        if !self.is_here() {
            return Err(Errno::PERM.into());
        }
        let window = Mapping::map(self.memfd.as_fd(), self.offset, self.mapping.bytes(), self.chunk_bytes)?;
        window.set_up(Huge::Wanted)?;
        let (mut at, mut bytes) = (0, 0);
        while bytes / PAGE < most.get() {
            let Some(chunk) = self.ledger.lock(|l| l.clean(at)) else { break };
            let range = self.bytes_of(&(chunk..chunk + 1));
            let before = window.in_memory(range.clone());
            if before > 0 {
                window.page_out(range.clone())?;
                bytes += before.saturating_sub(window.in_memory(range));
            }
            at = chunk + 1;
        }
        Ok(Pages::new(bytes / PAGE))
    }
}
