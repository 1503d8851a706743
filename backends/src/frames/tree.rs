//! The free blocks of one chunk, which is as large as the largest block: 1,024 pages.
//!
//! A tree has a bit for each block that the chunk could be split into. First come the bits of order 0, from the lowest page on, then
//! those of order 1, and so on; the last but one bit is the chunk itself. A bit is set if that very block is free. So the buddy of
//! node `n` is `n ^ 1`, the block of both is node `CHUNK + n / 2`, and the first set bit from the first node of an order on is the
//! smallest block that is large enough, and of those the lowest. Summary words have a bit for each word of the tree that is not zero.

use super::{BITS, ORDERS, SHORT_SECTIONS};

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

/// To which order a block of the last word is first split for one of a lower order, so that both steps are short.
const HALF_WAY: usize = 3;

/// The first page of a node.
#[inline]
const fn page(node: usize, order: usize) -> usize {
    (node - start(order)) << order
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

/// The first free node from that one on, which is the first one of an order: the smallest block that is large enough, and of those the
/// lowest.
#[inline]
fn best(tree: &Tree, first: usize) -> Option<usize> {
    if tree[0] == ORDERS {
        return Some(start(TOP)); // nothing else is free
    }
    let mut word = first / BITS;
    let mut some = tree[summary(word)] & usize::MAX << (word % BITS);
    if SUMMARY > 1 && some == 0 && word < BITS {
        (word, some) = (BITS, tree[SUMMARY]);
    }
    word = word / BITS * BITS + some.trailing_zeros() as usize;
    // Only the last word has nodes of several orders.
    let bits = tree[place(word)] & usize::MAX << (first % BITS);
    (some != 0 && bits != 0).then(|| word * BITS + bits.trailing_zeros() as usize)
}

/// The largest order up to `most` that is free, plus one; 0 if there is none. Nothing larger is free.
#[inline]
fn largest(tree: &Tree, most: usize) -> usize {
    // The bits of the last word are those of the orders from that one on; the upper half of them are from the next order on, half of those
    // from the one after it, and so on. The last word of the summary is like that.
    let in_last = ORDERS - BITS.ilog2() as usize;
    let (bits, all, first) = match (tree[place(NODES - 1)], tree[SUMMARY]) {
        (0, 0) => return usize::from(SUMMARY > 1 && tree[1] != 0),
        (0, some) => (some, NODES.min(BITS), SUMMARY - 1),
        (last, _) => (last, BITS, in_last),
    };
    let mut order = if first < in_last { most.min(in_last - 1) } else { most };
    while bits >> (all - (all >> (order - first))) == 0 {
        order -= 1;
    }
    order + 1
}

/// Notes the list of a chunk of which a block was taken, which is for large blocks or is not.
#[inline]
fn relist(tree: &mut Tree, is_large: bool) {
    let largest = largest(tree, order_of(tree[0].saturating_sub(1)));
    tree[0] = if is_large { for_large(largest) } else { largest };
}

/// Takes the lowest block among the smallest that are large enough. Returns its first page in the chunk. `None`: a much larger one was
/// split, and nothing was taken.
#[inline(always)]
pub(super) fn take(tree: &mut Tree, order: usize, is_for_large: bool) -> Option<usize> {
    let (first, list) = (start(order), tree[0]);
    let found = best(tree, first)?;
    let is_far = SHORT_SECTIONS && found >= LAST && order < HALF_WAY;
    let end = if is_far { start(HALF_WAY + 1) } else { first + (CHUNK >> order) };
    // First as far as the halves are in the last word, as the block is.
    let (mut node, mut bits) = (found, 1 << (found % BITS));
    while node >= end && node >= LAST + BITS / 2 {
        node = 2 * (node - CHUNK);
        bits |= 2 << (node % BITS);
    }
    flip(tree, found / BITS, bits);
    while node >= end {
        node = 2 * (node - CHUNK);
        // Nothing else of this order is free, or that would have been taken.
        tree[place(node / BITS)] = 2 << (node % BITS);
        tree[summary(node / BITS)] |= 1 << (node / BITS % BITS);
    }
    if is_far {
        tree[place(node / BITS)] |= 1 << (node % BITS);
    }
    if list > ORDERS || found >= start(list - 1) {
        relist(tree, is_for_large && list > TOP);
    }
    (!is_far).then(|| (node - first) << order)
}

/// Takes several blocks at the cost of one, of an order up to [`SEVERAL`](super::SEVERAL): up to `count`, a power of two below `BITS`, but at least one. Those that
/// are free as such are taken first; else a larger block is split no further than needed. Returns the first page of the first one, and a
/// bit for each block, from that one on. As [`take`].
#[inline]
pub(super) fn take_several(tree: &mut Tree, order: usize, count: usize) -> Option<(usize, usize)> {
    let node = best(tree, start(order))?;
    let mut larger = 0;
    while node >= start(order + larger + 1) && 2 << larger <= count {
        larger += 1;
    }
    if larger > 0 {
        return Some((take(tree, order + larger, false)?, usize::MAX >> (BITS - (1 << larger))));
    }
    if node >= start(order + 1) {
        return Some((take(tree, order, false)?, 1));
    }
    let all = (tree[place(node / BITS)] & usize::MAX >> BITS.saturating_sub(CHUNK >> order)) >> (node % BITS);
    let mut rest = all;
    for _ in 0..count {
        rest &= rest.wrapping_sub(1);
    }
    flip(tree, node / BITS, (all ^ rest) << (node % BITS));
    relist(tree, false);
    Some((page(node, order), all ^ rest))
}

/// Frees all of a chunk of which nothing is free.
#[inline]
pub(super) fn fill(tree: &mut Tree) {
    flip(tree, NODES - 1, 1 << (start(TOP) % BITS));
    tree[0] = ORDERS;
}

/// Frees a block, given by its first page in the chunk. Joins it with its buddies.
#[inline(always)]
pub(super) fn put(tree: &mut Tree, page: usize, order: usize) {
    let joined = join(tree, start(order) + (page >> order), order);
    let was = tree[0];
    let is_large = was > ORDERS || (was == 0 && order >= LARGE);
    let now = if is_large { for_large(joined + 1) } else { joined + 1 };
    tree[0] = if joined < TOP { was.max(now) } else { now };
}

/// Frees a node of that order, and joins it with its buddies as far as they are free. Returns the order that it has then.
#[inline]
fn join(tree: &mut Tree, mut node: usize, mut order: usize) -> usize {
    while node < LAST {
        let (word, buddy) = (node / BITS, 1 << ((node ^ 1) % BITS));
        if tree[place(word)] & buddy == 0 {
            flip(tree, word, 1 << (node % BITS));
            return order;
        }
        flip(tree, word, buddy);
        (node, order) = (CHUNK + node / 2, order + 1);
    }
    let was = tree[place(NODES - 1)];
    let mut bits = was;
    // The chunk has no buddy: that bit is never set.
    while bits >> ((node ^ 1) % BITS) & 1 != 0 {
        bits ^= 1 << ((node ^ 1) % BITS);
        (node, order) = (CHUNK + node / 2, order + 1);
    }
    flip(tree, NODES - 1, was ^ bits ^ 1 << (node % BITS));
    order
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
    relist(tree, tree[0] > ORDERS);
}
