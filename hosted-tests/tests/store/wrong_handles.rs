//! A store that hands back handles of another order: they never stand for the contents, nor hide a neighbour's.

use forebay_backends::{Ram, RamRegion};
use hosted_tests::kit::*;
use hosted_tests::memory::{leak, words};

fn home(pages: usize, skew: usize) -> Forebay<Near, Wrong> {
    let source = Ram::new();
    source
        .add(leak(pages * PAGE, skew * PAGE), words(Near::metadata_words(pages * PAGE)))
        .expect("good memory");
    let far = RamRegion::new(StoreId::DEFAULT);
    far.init(leak(64 * PAGE, 0), words(64)).expect("good memory");
    Forebay::new(source, Wrong::new(far))
}

/// Rule: a refused take-back that hands back a larger handle costs that block's contents. The block behind it stays the buffer's:
/// it is not hidden, and a purge returns every frame.
#[test]
fn a_larger_handle_comes_back() {
    let home = home(2, 1); // no two pages are a block
    let buffer = Buffer::<_, [Slot<Near>; 2]>::inline(&home, Order::PAGE);
    buffer.write().unwrap().write_at(0, &[7; 2 * PAGE]);
    assert_eq!(buffer.evict(Pages::new(1), Evict::TRANSFER, CX).unwrap().transferred, Pages::new(1));
    home.store().does.set(Does::LargerTakeBack);
    assert_eq!(buffer.read().map(drop), Err(AccessError::Lost));
    home.store().does.set(Does::Right);
    let residency = buffer.residency().unwrap();
    assert_eq!((residency.resident, residency.stored), (Pages::new(1), Pages::ZERO));
    buffer.purge(CX).unwrap();
    assert_eq!(home.platform().unused(), Pages::new(1), "all but the block that the store lost");
}

/// Rule: halves of another size are no halves: the contents are lost, what was handed back is discarded, and the copies behind are
/// the buffer's as before.
#[test]
fn halves_of_another_size() {
    let home = home(4, 0);
    let buffer = Buffer::<_, [Slot<Near>; 4]>::inline(&home, Order::PAGE);
    buffer.write().unwrap().write_at(0, &[7; 4 * PAGE]);
    assert_eq!(buffer.evict(Pages::MAX, Evict::COPY, CX).unwrap().copied, Pages::new(4));
    // Fast memory has pages only, so the copy of four has to be split.
    let pages: Vec<_> = (0..4).map(|_| Buffer::new(&home, Order::PAGE)).collect();
    pages.iter().for_each(|page| page.write().unwrap().fill(1));
    pages.iter().step_by(2).for_each(|page| page.purge(CX).unwrap());
    home.store().does.set(Does::UnevenSplit);
    assert_eq!(buffer.read().map(drop), Err(AccessError::Lost));
    home.store().does.set(Does::Right);
    buffer.purge(CX).unwrap();
    assert_eq!(home.store().far.space().pages, Pages::new(64), "no room is lost");
    buffer.evict(Pages::MAX, Evict::COPY, CX).unwrap();
}
