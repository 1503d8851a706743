//! What every [`Platform`] keeps, port by port.

mod ports;
mod source;

pub use ports::modes;
pub use source::{capacity, threads};

use super::{Rng, content, fill, order, pattern};
use crate::{Contents, Watched, World};
use forebay::frame::Mode;
use forebay::port::CachingControl;
use forebay::{AllocRequest, Context, FrameSource, OwnedBlock, Platform};

/// Whether a source makes one block of two neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joins {
    /// Whenever they are two halves of an order up to the largest.
    Always,
    /// The default of the port.
    Never,
}

/// A platform under test: it is watched by the oracle all the time.
struct Bench<'a, P: Platform> {
    /// All ports.
    source: Watched<'a, P>,
    stranger: P,
    joins: Joins,
    /// How many blocks of each order can be allocated at the same time.
    capacity: Vec<usize>,
}

/// Everything but caching modes, which [`modes`] takes, and free lists, which have a suite of their own.
///
/// `platform` has all of its memory, at least two blocks of order 2 and five more pages, and `stranger` is another one of the
/// same kind. Nothing else uses them meanwhile. Pass references to what is needed afterwards; a machine of all ports goes in as
/// [`AllPorts`](forebay::port::AllPorts), or only its source is tested.
///
/// # Panics
/// If a rule is broken.
pub fn suite<P: Platform>(platform: P, stranger: P, joins: Joins) {
    let world = World::new(Contents::Ignored);
    let source = Watched::new(platform, &world);
    let b = Bench { capacity: capacity(&source), source, stranger, joins };
    let rules: [fn(&Bench<'_, P>); 14] = [
        source::blocks_are_whole_and_aligned,
        source::every_byte_of_a_block_is_its_own,
        source::what_is_said_to_be_zeroed_is_zeroed,
        source::parts_are_in_the_zone_of_the_whole,
        source::an_empty_source_is_exhausted_and_gives_no_more,
        source::an_order_above_the_largest_is_refused,
        source::parts_are_returned_in_any_order,
        source::only_neighbours_join,
        source::blocks_of_others_never_join,
        ports::a_slice_is_of_just_these_blocks,
        ports::addresses_of_two_blocks_do_not_overlap,
        ports::an_eviction_may_be_given_up,
        ports::what_is_charged_is_uncharged_in_parts,
        source::anything_in_any_order_is_returned,
    ];
    for rule in rules {
        rule(&b);
        world.validate();
        world.assert_empty();
        assert_eq!(capacity(&b.source), b.capacity, "the source is not as at the start");
    }
}

impl<P: Platform> Bench<'_, P> {
    #[track_caller]
    fn take(&self, k: u8) -> P::Block {
        let mut block = self
            .source
            .allocate(AllocRequest::new(order(k)), Context::THREAD)
            .expect("the source is nearly full");
        let cached = P::Mode::CACHED;
        assert_eq!(
            self.source.set_mode(&mut block, cached, cached, Context::THREAD),
            Ok(()),
            "the mode that it has already"
        );
        self.source.flush(Context::THREAD);
        block
    }

    /// Joining these must fail, and harm neither.
    #[track_caller]
    fn refuses(&self, mut left: P::Block, mut right: P::Block) -> (P::Block, P::Block) {
        let places = [(left.pfn(), left.order()), (right.pfn(), right.order())];
        let bytes = [fill(&mut left, 21), fill(&mut right, 22)];
        match self.source.join(left, right) {
            Ok(block) => panic!("{places:?} became {:?} of {:?}", block.pfn(), block.order()),
            Err((left, right)) => {
                assert_eq!([(left.pfn(), left.order()), (right.pfn(), right.order())], places);
                assert!([content(&left), content(&right)] == bytes, "a refused join touches no byte");
                (left, right)
            }
        }
    }
}

#[track_caller]
fn halves<B: OwnedBlock>(block: B) -> [B; 2] {
    match block.split() {
        Ok(both) => both.into(),
        Err(block) => panic!("{:?} was split from a block and can't be split", block.order()),
    }
}
