//! Uses that an MMU saw and no guard: a reclaim asks for them when it looks at a buffer.

use crate::passes::{cool, make_clean};
use forebay_backends::RamBlock;
use hosted_tests::kit::*;
use std::cell::RefCell;

/// Accessed bits of eight buffers, and how often each was asked for.
#[derive(Default)]
struct Mmu(RefCell<[(Bit, usize); 8]>);

#[derive(Clone, Copy, PartialEq, Default)]
enum Bit {
    #[default]
    Clear,
    Set,
    /// The program uses the buffer all the time.
    Stuck,
}

impl Mmu {
    fn set(&self, n: usize, bit: Bit) {
        self.0.borrow_mut()[n].0 = bit;
    }
    fn asked(&self) -> [usize; 8] {
        self.0.borrow_mut().each_mut().map(|(_, asked)| std::mem::take(asked))
    }
}

impl EvictHooks<RamBlock<PAGE>> for Mmu {
    fn second_chance(&self, id: BufferId, _: Context) -> bool {
        let (bit, asked) = &mut self.0.borrow_mut()[id.0];
        let was = *bit;
        *asked += 1;
        if was == Bit::Set {
            *bit = Bit::Clear;
        }
        was != Bit::Clear
    }
}

type Home<'w> = Forebay<WithHooks<Near, Mmu>, &'w Far>;

/// Evicts one page of the buffers. Returns which one is not resident then.
fn gone<H: forebay::Home, T: Slots<Platform = H::Platform>>(
    buffers: &[Buffer<H, T>],
    evict: impl Fn() -> Pages,
) -> usize {
    assert_eq!(evict(), pages(1));
    let is_gone = |n: &usize| buffers[*n].residency().unwrap().resident == NONE;
    (0..buffers.len()).find(is_gone).unwrap()
}

/// What every kind of list does with the bits. The hand, or the oldest, is at 0 first, and no guard was taken lately.
fn rounds<H, T>(mmu: &Mmu, buffers: &[Buffer<H, T>; 4], evict: &dyn Fn() -> Pages)
where
    H: forebay::Home,
    T: Slots<Platform = H::Platform>,
{
    mmu.set(0, Bit::Set);
    mmu.set(1, Bit::Set);
    mmu.asked();
    assert_eq!(gone(buffers, evict), 2, "the bits of 0 and 1 were set");
    assert_eq!(mmu.asked()[..4], [1, 1, 1, 0], "each look asks once");
    check(&buffers[2], 2);
    mmu.set(3, Bit::Stuck);
    assert_eq!(gone(buffers, evict), 0, "its bit was cleared, and it was not used again");
    check(&buffers[0], 0);
    mmu.set(3, Bit::Clear);
}

/// Rule: what an MMU saw is worth a round, once, as a guard is: for a reclaim and a pass by transfer, over a plain list, an index
/// and a policy. It is no refusal.
#[test]
fn a_set_bit_is_worth_a_round() {
    let far = far(32);
    let home = &Home::new(WithHooks(near(16), Mmu::default()), &far);
    let mmu = &home.platform().1;
    let plain: [_; 4] = std::array::from_fn(|n| Buffer::new(home, Order::PAGE).with_id(BufferId(n)));
    let index = EvictionIndex::<NoopRawMutex, _>::new(vec![0; EvictionIndex::<NoopRawMutex>::words(4)]);
    let indexed: [_; 4] = std::array::from_fn(|n| {
        let slots = index.indexed(n, [Slot::EMPTY]).unwrap();
        Buffer::with_slots(home, slots, Order::PAGE).with_id(BufferId(n))
    });
    let policy = S3Fifo::<NoopRawMutex, _>::new([Link::NONE; 4]);
    let followed: [_; 4] = std::array::from_fn(|n| {
        Buffer::with_slots(home, Follow::new([Slot::EMPTY], &policy, n), Order::PAGE).with_id(BufferId(n))
    });
    let clocks = (Clock::new(&plain), Clock::new(index.candidates(&indexed)));
    let by_policy = ByPolicy::new(&followed, &policy);
    let reclaim = |list: &dyn Candidates| home.reclaim(list, pages(1), Evict::TRANSFER, CX).evicted.moved();
    let transfer = |list: &dyn Candidates| home.transfer(list, pages(1));
    for pass in [&reclaim as &dyn Fn(&dyn Candidates) -> Pages, &transfer] {
        for n in 0..4 {
            fill(&plain[n], n as u8);
            cool(&plain[n]);
            fill(&indexed[n], n as u8);
            cool(&indexed[n]);
        }
        rounds(mmu, &plain, &|| pass(&clocks.0));
        plain.iter().for_each(|buffer| buffer.purge(CX).map(drop).unwrap());
        rounds(mmu, &indexed, &|| pass(&clocks.1));
        indexed.iter().for_each(|buffer| buffer.purge(CX).map(drop).unwrap());
        (0..4).for_each(|n| fill(&followed[n], n as u8));
        mmu.set(0, Bit::Set);
        assert_eq!(gone(&followed, || pass(&by_policy)), 1, "0 is older, and was used");
        followed.iter().for_each(|buffer| buffer.purge(CX).map(drop).unwrap());
    }
    assert_eq!(home.stats().refusals.iter().count(), 0);
}

/// Rule: a use that both a guard and the MMU saw is worth one round, not two: a reclaim finds what leaves.
#[test]
fn two_uses_are_worth_one_round() {
    let far = far(32);
    let home = &Home::new(WithHooks(near(16), Mmu::default()), &far);
    let buffers: [_; 3] = std::array::from_fn(|n| Buffer::new(home, Order::PAGE).with_id(BufferId(n)));
    for (n, buffer) in buffers.iter().enumerate() {
        fill(buffer, n as u8);
        home.platform().1.set(n, Bit::Set);
    }
    assert_eq!(home.reclaim(&buffers, pages(1), Evict::TRANSFER, CX).outcome, Outcome::Reached);
    assert_eq!(buffers[0].residency().unwrap().resident, NONE);
    check(&buffers[0], 0);
}

/// Rule: the phase for clean blocks costs a set bit no second chance.
#[test]
fn a_look_for_clean_blocks_keeps_the_chance() {
    let far = far(32);
    let home = &Home::new(WithHooks(near(16), Mmu::default()), &far);
    let buffers: [_; 2] = std::array::from_fn(|n| Buffer::new(home, Order::PAGE).with_id(BufferId(n)));
    make_clean(&buffers[0], 0);
    cool(&buffers[0]);
    fill(&buffers[1], 1);
    cool(&buffers[1]);
    home.platform().1.set(0, Bit::Set);
    assert_eq!(gone(&buffers, || home.reclaim(&buffers, pages(1), Evict::TRANSFER, CX).evicted.moved()), 1);
}

/// Rule: what is used all the time stays, and the reclaim ends; a purge and an eviction by name do not ask.
#[test]
fn used_all_the_time() {
    let far = far(32);
    let home = &Home::new(WithHooks(near(16), Mmu::default()), &far);
    let buffers: [_; 3] = std::array::from_fn(|n| Buffer::new(home, Order::PAGE).with_id(BufferId(n)));
    for (n, buffer) in buffers.iter().enumerate() {
        fill(buffer, n as u8);
        home.platform().1.set(n, Bit::Stuck);
    }
    assert_eq!(home.reclaim(&buffers, pages(1), Evict::ANY, CX).outcome, Outcome::Nothing);
    assert_eq!(home.transfer(&buffers, pages(1)), NONE);
    home.platform().1.asked();
    buffers[1].set_purgeable(true).unwrap();
    assert_eq!(home.reclaim(&buffers, pages(1), Evict::PURGE, CX).evicted.purged, pages(1));
    assert_eq!(buffers[2].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(1));
    assert_eq!(home.platform().1.asked(), [0; 8]);
    [0, 2].into_iter().for_each(|n| check(&buffers[n], n as u8));
}
