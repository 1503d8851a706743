//! The free blocks of one chunk, which is as large as the largest block: 1,024 pages.
//!
//! A tree has a bit for each block that the chunk could be split into. First come the bits of order 0, from the lowest page on, then
//! those of order 1, and so on; the last but one bit is the chunk itself. A bit is set if that very block is free. So the buddy of
//! node `n` is `n ^ 1`, the block of both is node `CHUNK + n / 2`, and the first set bit from the first node of an order on is the
//! smallest block that is large enough, and of those the lowest. Summary words have a bit for each word of the tree that is not zero.

use super::{BITS, ORDERS};

/// The largest order.
pub(super) const TOP: usize = ORDERS - 1;
/// Pages of a chunk.
pub(super) const CHUNK: usize = 1 << TOP;
/// Words of the bits, and words of their summary.
const NODES: usize = 2 * CHUNK / BITS;
const SUMMARY: usize = NODES.div_ceil(BITS);
/// Words of a tree.
pub(super) const WORDS: usize = 1 + SUMMARY + NODES;
/// The first node of the last word.
const LAST: usize = 2 * CHUNK - BITS;

/// A tree in words of the caller: the number of its list plus one (0 if nothing is free), the summary, the bits.
pub(super) type Tree = [usize; WORDS];

/// Where the bits of a word of nodes are.
const fn place(word: usize) -> usize {
    1 + SUMMARY + word % NODES
}

/// Where the summary of a word of nodes is.
const fn summary(word: usize) -> usize {
    1 + ((word / BITS) & (SUMMARY - 1))
}

/// The first node of an order.
const fn start(order: usize) -> usize {
    2 * CHUNK - ((2 * CHUNK) >> order)
}

/// The smallest of the large orders. Their blocks are in chunks of their own, as long as there are whole chunks.
pub(super) const LARGE: usize = 8;
/// Lists: one for each order, by the largest free block of a chunk; and behind them those of chunks that are for large blocks.
pub(super) const LISTS: usize = ORDERS + TOP - LARGE;

/// The list of a chunk, plus one; 0 if nothing is free.
#[inline]
pub(super) const fn list(tree: &Tree) -> usize {
    tree[0]
}

/// The order of the largest free block of a chunk in a list.
#[inline]
pub(super) const fn order_of(list: usize) -> usize {
    if list > TOP { list - (ORDERS - LARGE) } else { list }
}

/// The list, plus one, of a chunk for large blocks, of the largest order plus one that is free in it.
#[inline]
const fn for_large(largest: usize) -> usize {
    if largest > LARGE && largest <= TOP { largest + ORDERS - LARGE } else { largest }
}

/// All of the chunk is free.
pub(super) fn fill(tree: &mut Tree) {
    flip(tree, NODES - 1, 1 << (BITS - 2));
    tree[0] = TOP + 1;
}

/// By how many orders a block is split in one step, so that the step is short where cores are slow.
const STEP: usize = if BITS < 64 { 3 } else { TOP };
/// Whether a call may end without a block though there is one.
pub(super) const HAS_STEPS: bool = STEP < TOP;

/// Takes the lowest block among the smallest that are large enough, of a tree that is in that list. Returns its first page in the
/// chunk. `None`: a much larger one was split, and nothing was taken.
#[inline]
pub(super) fn take(tree: &mut Tree, order: usize, list: usize) -> Option<usize> {
    // Nothing else is free in a chunk that is free as a whole.
    let found = if list == TOP { start(TOP) } else { best(tree, order)? };
    let is_far = HAS_STEPS && found >= start(order + STEP + 1);
    let to = if is_far { order + STEP } else { order };
    let node = split(tree, found, to);
    took(tree, to, list, found);
    if is_far {
        flip(tree, node / BITS, 1 << (node % BITS));
        return None;
    }
    Some((node - start(order)) << order)
}

/// A block of the order `part` was taken, of the free block `found` of a chunk in that list.
#[inline]
fn took(tree: &mut Tree, part: usize, list: usize, found: usize) {
    let most = order_of(list);
    let is_large = part >= LARGE && list >= TOP;
    if list != TOP && (found < start(most) || has_from(tree, most)) {
        if list > TOP && !is_large {
            tree[0] = most + 1; // with a small block it is for others
        }
        return;
    }
    // Of a block that was split, the upper half is the largest now.
    let largest = if part < most { most } else { largest_below(tree, most) };
    tree[0] = if is_large { for_large(largest) } else { largest };
}

/// Several blocks of one order whose bits are in one word.
pub(super) struct Taken {
    /// A bit for each block.
    pub(super) bits: usize,
    /// The page of the block of the lowest bit of the word: perhaps none, so sums with it wrap.
    pub(super) first: usize,
}

/// Takes several blocks at the cost of one: up to `count`, a power of two below `BITS`, but at least one. Those that are free as such
/// are taken first; else a larger block is split no further than needed. As [`take`].
#[inline]
pub(super) fn take_several(tree: &mut Tree, order: usize, list: usize, count: usize) -> Option<Taken> {
    let found = if list == TOP { start(TOP) } else { best(tree, order)? };
    let is_far = HAS_STEPS && found >= start(order + STEP + 1);
    let (word, bits);
    let mut part = order;
    if found >= start(order + 1) {
        let mut larger = 0;
        while found >= start(order + larger + 1) && 2 << larger <= count {
            larger += 1;
        }
        part = if is_far { order + STEP } else { order + larger };
        let node = split(tree, found, part);
        if is_far {
            flip(tree, node / BITS, 1 << (node % BITS));
            (word, bits) = (0, 0);
        } else {
            let first = start(order) + ((node - start(part)) << larger);
            (word, bits) = (first / BITS, usize::MAX >> (BITS - (1 << larger)) << (first % BITS));
        }
    } else {
        word = found / BITS;
        let end = (start(order + 1) - word * BITS).min(BITS);
        let all = tree[place(word)] & usize::MAX >> (BITS - end) & usize::MAX << (found % BITS);
        let mut rest = all;
        for _ in 0..count {
            rest &= rest.wrapping_sub(1);
        }
        bits = all ^ rest;
        flip(tree, word, bits);
    }
    took(tree, part, list, found);
    if is_far { None } else { Some(Taken { bits, first: (word * BITS).wrapping_sub(start(order)) << order }) }
}

/// Frees a block, given by its first page in the chunk. Joins it with its buddies.
#[inline]
pub(super) fn put(tree: &mut Tree, page: usize, order: usize) {
    let joined = join(tree, start(order) + (page >> order), order);
    let is_large = tree[0] > ORDERS || (tree[0] == 0 && order >= LARGE);
    let now = if is_large { for_large(joined + 1) } else { joined + 1 };
    tree[0] = if joined < TOP { tree[0].max(now) } else { now };
}

/// The order of the free block that a page is in.
#[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
pub(super) fn free_block(tree: &Tree, page: usize) -> Option<usize> {
    (0..ORDERS).find(|order| {
        let node = start(*order) + (page >> order);
        tree[place(node / BITS)] >> (node % BITS) & 1 != 0
    })
}

/// Takes the free block of that order with that first page.
#[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
pub(super) fn remove(tree: &mut Tree, page: usize, order: usize) {
    let node = start(order) + (page >> order);
    flip(tree, node / BITS, 1 << (node % BITS));
    if !has_from(tree, order) {
        tree[0] = largest_below(tree, order);
    }
}

/// Orders that have whole words.
const WORDED: usize = TOP + 1 - BITS.ilog2() as usize;

/// The largest order below `most` that is free, plus one; 0 if there is none. Nothing larger is free.
fn largest_below(tree: &Tree, most: usize) -> usize {
    let (last, sum) = (tree[place(NODES - 1)], tree[SUMMARY]);
    let mut order = most;
    if last != 0 {
        while last >> (start(order) % BITS) == 0 {
            order -= 1;
        }
        return order + 1;
    }
    if sum == 0 && tree[1] == 0 {
        return 0;
    }
    order = order.min(WORDED);
    while order > 1 && sum >> (start(order - 1) / BITS % BITS) == 0 {
        order -= 1;
    }
    order
}

/// Whether a block of that order or above is free.
#[inline]
fn has_from(tree: &Tree, order: usize) -> bool {
    let first = start(order);
    if first >= LAST {
        return tree[place(NODES - 1)] >> (first % BITS) != 0;
    }
    let word = first / BITS;
    tree[summary(word)] >> (word % BITS) != 0 || (SUMMARY > 1 && word < BITS && tree[SUMMARY] != 0)
}

/// The node of the smallest block that is large enough, and of those the lowest.
#[inline]
fn best(tree: &Tree, order: usize) -> Option<usize> {
    let first = start(order);
    if first >= LAST {
        let bits = tree[place(NODES - 1)] & usize::MAX << (first % BITS);
        return (bits != 0).then(|| LAST + bits.trailing_zeros() as usize);
    }
    let from = first / BITS;
    let (mut at, mut some) = (from / BITS, tree[summary(from)] & usize::MAX << (from % BITS));
    if SUMMARY > 1 && some == 0 && at == 0 {
        (at, some) = (1, tree[SUMMARY]);
    }
    if some == 0 {
        return None;
    }
    let word = at * BITS + some.trailing_zeros() as usize;
    Some(word * BITS + tree[place(word)].trailing_zeros() as usize)
}

/// Takes a free block, and splits it down to an order. Returns the node of the lowest part; the rest stays free.
#[inline]
fn split(tree: &mut Tree, mut node: usize, order: usize) -> usize {
    let end = start(order + 1);
    let (word, mut bits) = (node / BITS, 1 << (node % BITS));
    // First as far as the halves are in the last word, as the block is.
    while node >= end && node >= LAST + BITS / 2 {
        node = 2 * (node - CHUNK);
        bits |= 1 << ((node + 1) % BITS);
    }
    flip(tree, word, bits);
    while node >= end {
        node = 2 * (node - CHUNK);
        // Nothing else of this order is free, or that would have been taken.
        tree[place(node / BITS)] = 1 << ((node + 1) % BITS);
        tree[summary(node / BITS)] |= 1 << (node / BITS % BITS);
    }
    node
}

/// Frees a block, and joins it with its buddies as far as they are free. Returns the order that it has then.
#[inline]
fn join(tree: &mut Tree, mut node: usize, mut order: usize) -> usize {
    while node < LAST {
        let bits = &mut tree[place(node / BITS)];
        let buddy = 1 << ((node ^ 1) % BITS);
        if *bits & buddy == 0 {
            flip(tree, node / BITS, 1 << (node % BITS));
            return order;
        }
        *bits ^= buddy;
        if *bits == 0 {
            tree[summary(node / BITS)] ^= 1 << (node / BITS % BITS);
        }
        (node, order) = (CHUNK + node / 2, order + 1);
    }
    let was = tree[place(NODES - 1)];
    let mut bits = was;
    while order < TOP && bits >> ((node ^ 1) % BITS) & 1 != 0 {
        bits ^= 1 << ((node ^ 1) % BITS);
        (node, order) = (CHUNK + node / 2, order + 1);
    }
    flip(tree, NODES - 1, was ^ bits ^ 1 << (node % BITS));
    order
}

/// Changes bits of a word, and its summary.
#[inline]
fn flip(tree: &mut Tree, word: usize, bits: usize) {
    let was = tree[place(word)];
    tree[place(word)] = was ^ bits;
    if was == 0 || was == bits {
        tree[summary(word)] ^= 1 << (word % BITS);
    }
}
