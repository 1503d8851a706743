//! Stands for the kernel's own code: an owned segment of frames, its page cache, its interrupt guard.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const FRAME: usize = 4096;

/// Contiguous frames: the first one's number, and the bytes of each.
pub(crate) struct Segment(usize, Vec<Box<[u8; FRAME]>>);
pub(crate) struct Reader<'s>(&'s Segment, usize);
pub(crate) struct Writer<'s>(&'s mut Segment, usize);

impl Segment {
    pub(crate) fn address(&self) -> usize {
        self.0 * FRAME
    }
    pub(crate) fn frames(&self) -> usize {
        self.1.len()
    }
    pub(crate) fn halves(mut self) -> Result<(Segment, Segment), Segment> {
        if self.1.len() < 2 {
            return Err(self);
        }
        let right = self.1.split_off(self.1.len() / 2);
        let middle = self.0 + self.1.len();
        Ok((self, Segment(middle, right)))
    }
    pub(crate) fn reader(&self, at: usize) -> Reader<'_> {
        Reader(self, at)
    }
    pub(crate) fn writer(&mut self, at: usize) -> Writer<'_> {
        Writer(self, at)
    }
    fn bytes(&self) -> usize {
        self.1.len() * FRAME
    }
}

impl Reader<'_> {
    pub(crate) fn read(self, to: &mut [u8]) -> usize {
        let here = self.1.min(self.0.bytes())..self.0.bytes();
        to.iter_mut().zip(here).map(|(b, i)| *b = self.0.1[i / FRAME][i % FRAME]).count()
    }
}

impl Writer<'_> {
    pub(crate) fn write(self, from: &[u8]) -> usize {
        let here = self.1.min(self.0.bytes())..self.0.bytes();
        from.iter().zip(here).map(|(b, i)| self.0.1[i / FRAME][i % FRAME] = *b).count()
    }
}

pub(crate) struct IrqOff;

pub(crate) fn disable_irq() -> impl Drop {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {}
    }
    Guard
}

/// The machine's frames: how many are out, and the next number.
pub(crate) struct Machine(AtomicUsize, AtomicUsize);

impl Machine {
    pub(crate) const fn new() -> Machine {
        Machine(AtomicUsize::new(0), AtomicUsize::new(1024))
    }
    pub(crate) fn segment(&self, frames: usize, _may_block: bool) -> Option<Segment> {
        self.0.fetch_add(frames, Relaxed);
        let first = self.1.fetch_add(1024, Relaxed);
        Some(Segment(first, vec![Box::new([0; FRAME]); frames]))
    }
    pub(crate) fn put_back(&self, segment: Segment) {
        self.0.fetch_sub(segment.frames(), Relaxed);
    }
    pub(crate) fn unmap_and_wait(&self, _: usize) -> Result<(), ()> {
        Ok(())
    }
    pub(crate) fn outstanding(&self) -> usize {
        self.0.load(Relaxed)
    }
}

pub(crate) struct PageCache(Mutex<Vec<Option<Segment>>>);

impl PageCache {
    pub(crate) const fn new() -> PageCache {
        PageCache(Mutex::new(Vec::new()))
    }
    pub(crate) fn insert(&self, segment: Segment) -> Result<usize, Segment> {
        let mut all = self.0.lock().unwrap();
        if all.len() == 100 {
            return Err(segment);
        }
        all.push(Some(segment));
        Ok(all.len() - 1)
    }
    pub(crate) fn remove(&self, index: usize) -> Option<Segment> {
        self.0.lock().unwrap().get_mut(index)?.take()
    }
}
