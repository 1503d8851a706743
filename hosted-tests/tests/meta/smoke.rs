//! The shortest way through everything.
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;

fn ram(pages: usize) -> Near {
    let r = Near::new();
    assert_eq!(
        r.add(memory::leak(pages * 512, 0), memory::words(Near::metadata_words(pages * 512))).unwrap(),
        pages * 512
    );
    r
}

#[test]
fn smoke() {
    let world = World::new(Contents::Compared);
    let region = RamRegion::<SpinRawMutex, 512, 4>::new(StoreId::DEFAULT);
    region
        .init(
            memory::leak(64 * 512, 7),
            memory::words(RamRegion::<SpinRawMutex, 512, 4>::metadata_words(64 * 512)),
        )
        .unwrap();
    let home = &forebay_with_lists::<_, _, 4, 2>(ram(32), &region, &world);
    let mut slots = [const { Slot::EMPTY }; 16];
    let big = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let tile = Buffer::new(home, Order::new(2).unwrap());
    let text: Vec<u8> = (0..16 * 512).map(|i| (i / 7) as u8).collect();
    for how in [Evict::TRANSFER, Evict::COPY, Evict::SPLIT, Evict::ANY] {
        big.write().unwrap().write_at(0, &text);
        tile.write().unwrap().fill(9);
        world.begin_shrink();
        let e = big.evict(Pages::MAX, how, Context::THREAD).unwrap();
        let e2 = tile.evict(Pages::MAX, how, Context::THREAD).unwrap();
        println!("{how:?} {e:?} {e2:?} peak {:?} {:?}", world.peak_extra(), region);
        world.validate();
        home.settle(Pages::MAX, Context::THREAD);
        world.validate();
        let mut back = vec![0; 16 * 512];
        assert_eq!(big.read().unwrap().read_at(0, &mut back), 16 * 512);
        assert_eq!(back, text);
        assert!(tile.read().unwrap().iter().all(|b| *b == 9));
    }
    println!("{home:?}");
    drop((big, tile));
    home.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
    world.assert_empty();
    assert_eq!(region.space().pages, region.total());
}
