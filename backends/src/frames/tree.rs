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
    word = word / BITS * BITS + (some | 1 << ((NODES - 1) % BITS)).trailing_zeros() as usize;
    // Only the last word has nodes of several orders.
    let bits = tree[place(word)] & usize::MAX << (first % BITS);
    (bits != 0).then(|| word * BITS + bits.trailing_zeros() as usize)
}

/// The largest order that is free, plus one; 0 if there is none.
#[inline]
fn largest(tree: &Tree) -> usize {
    // The bits of the last word are those of the orders from that one on. The highest bit is unused, the next one is of the largest order,
    // the next two are of the order below, the next four of the one below that. The last word of the summary is like that.
    let in_last = ORDERS - BITS.ilog2() as usize;
    let (bits, orders) = match (tree[place(NODES - 1)], tree[SUMMARY]) {
        (0, 0) => return usize::from(SUMMARY > 1 && tree[1] != 0),
        (0, some) => (some << (BITS - NODES.min(BITS)), in_last),
        (last, _) => (last, ORDERS),
    };
    orders - (bits.leading_zeros() | 1).ilog2() as usize
}

/// Whether a chunk, which is still in its old list, is for large blocks after a block of that order was taken.
#[inline]
pub(super) const fn is_large_without(tree: &Tree, order: usize) -> bool {
    order >= LARGE && tree[0] > TOP
}

/// The same after a block of that order was put in.
#[inline]
pub(super) const fn is_large_with(tree: &Tree, order: usize) -> bool {
    tree[0] > ORDERS || (tree[0] == 0 && order >= LARGE)
}

/// Notes the list of a chunk that changed, which is for large blocks or is not. Returns the list before and now.
#[inline]
pub(super) fn relist(tree: &mut Tree, is_large: bool) -> (usize, usize) {
    let (was, largest) = (tree[0], largest(tree));
    tree[0] = if is_large { for_large(largest) } else { largest };
    (was, tree[0])
}

/// Takes the lowest block among the smallest that are large enough. Returns its first page in the chunk. `None`: a much larger one was
/// split, and nothing was taken.
#[inline(always)]
pub(super) fn take(tree: &mut Tree, order: usize) -> Option<usize> {
    let first = start(order);
    let found = best(tree, first)?;
    let is_far = SHORT_SECTIONS && found >= LAST && order < HALF_WAY;
    let end = if is_far { start(HALF_WAY + 1) } else { CHUNK + first / 2 };
    // First as far as the halves are in the last word, as the block is.
    let (mut node, mut bits) = (found, 1 << (found % BITS));
    let in_last = end.max(LAST + BITS / 2);
    while node >= in_last {
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
        return Some((take(tree, order + larger)?, usize::MAX >> (BITS - (1 << larger))));
    }
    if node >= start(order + 1) {
        return Some((take(tree, order)?, 1));
    }
    let all = (tree[place(node / BITS)] & usize::MAX >> BITS.saturating_sub(CHUNK >> order)) >> (node % BITS);
    let mut rest = all;
    for _ in 0..count {
        rest &= rest.wrapping_sub(1);
    }
    flip(tree, node / BITS, (all ^ rest) << (node % BITS));
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
    let mut node = start(order) + (page >> order);
    while node < LAST {
        let (word, buddy) = (node / BITS, 1 << ((node ^ 1) % BITS));
        if tree[place(word)] & buddy == 0 {
            return flip(tree, word, 1 << (node % BITS));
        }
        flip(tree, word, buddy);
        node = CHUNK + node / 2;
    }
    let was = tree[place(NODES - 1)];
    let mut bits = was;
    let mut at = node % BITS;
    // The chunk has no buddy: that bit is never set.
    while bits & 1 << (at ^ 1) != 0 {
        bits ^= 1 << (at ^ 1);
        at = BITS / 2 + at / 2;
    }
    flip(tree, NODES - 1, was ^ bits ^ 1 << at);
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
}
