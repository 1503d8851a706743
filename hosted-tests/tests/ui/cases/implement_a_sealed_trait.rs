//! What a reclaim evicts, and lists of it, are implemented by this crate only.
use forebay::buffer::{Class, EvictRequest, Moved};
use forebay::stats::Evicted;
use forebay::{Candidates, Evictable, Pages};

struct Mine;

impl Evictable for Mine {
    //~^ E0277: Sealed
    fn evict_or_skip(&self, _: &EvictRequest, _: &mut Evicted) -> bool {
        false
    }
    fn evict_selected(&self, _: &EvictRequest, _: &mut Evicted) -> bool {
        false
    }
    fn transfer_or_skip(&self, _: Pages) -> Option<Moved> {
        None
    }
    fn class(&self) -> Class {
        Class::RESIDENT
    }
}

impl Candidates for Mine {
    //~^ E0277: Sealed
    fn candidate_count(&self) -> usize {
        1
    }
    fn find_candidate(&self, _: Class, _: std::ops::Range<usize>) -> Option<usize> {
        Some(0)
    }
    fn evict_at(&self, _: usize, _: &EvictRequest, _: &mut Evicted) -> bool {
        false
    }
}

fn main() {}
