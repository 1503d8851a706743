//! The hook for an allocation that failed.

use forebay_backends::RamBlock;
use hosted_tests::kit::*;
use std::cell::RefCell;

/// What it was told.
#[derive(Default)]
struct Failed(RefCell<Vec<(usize, AllocError)>>);

impl EvictHooks<RamBlock<PAGE>> for Failed {
    fn allocation_failed(&self, id: BufferId, why: AllocError) {
        self.0.borrow_mut().push((id.0, why));
    }
}

/// Rule: each access that fails for want of a block is told once, with the buffer and the reason; one that succeeds, or is refused for
/// another reason, is not.
#[test]
fn an_allocation_that_failed_is_told() {
    let home = &Forebay::new(WithHooks(near(4), Failed::default()), far(8));
    let told = || home.platform().1.0.take();
    let [small, large, huge] = [1, 2, 3].map(|k| Buffer::new(home, order(k)).with_id(BufferId(k.into())));
    fill(&small, 1);
    assert_eq!(told(), []);
    assert_eq!(large.read().err(), Some(AccessError::Alloc(AllocError::Exhausted)));
    assert_eq!(told(), [(2, AllocError::Exhausted)]);
    assert_eq!(huge.populate(ALL, CX).why, Some(AccessError::Alloc(AllocError::Never)));
    assert_eq!(told(), [(3, AllocError::Never)]);
    assert_eq!(large.read_in(Context::INTERRUPT).err(), Some(AccessError::Context), "it would be zeroed");
    let guard = small.write().unwrap();
    assert_eq!(small.read().err(), Some(AccessError::Busy));
    drop(guard);
    small.evict(ALL, Evict::COPY, CX).unwrap();
    fill(&large, 2);
    assert_eq!(told(), []);
    assert_eq!(
        small.read().err(),
        Some(AccessError::Alloc(AllocError::Exhausted)),
        "nor is there one to load into"
    );
    assert_eq!(told(), [(1, AllocError::Exhausted)]);
}
