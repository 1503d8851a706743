//! Where blocks come from: the one port besides a store that every integrator needs.

use crate::frame::{AllocError, AllocRequest, Context, Order, Pages, Zones};
use crate::port::OwnedBlock;
use crate::sync::RawMutex;
#[cfg(feature = "alloc")]
use alloc::sync::Arc;

/// What a source has for a request, and what it could ever have. `None` is "unknown". Others may take it at the next moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Supply {
    /// Pages of the zones of the request that are free, in blocks of whatever order.
    pub free: Option<Pages>,
    /// Whether a block of its order is free in these zones.
    pub ready: Option<bool>,
    /// Pages in blocks of its order that would be free if everything had left that can leave. No eviction frees more.
    pub ever: Option<Pages>,
}

/// The source of blocks of one machine.
///
/// Two methods are required. Every method may be called from several threads at once, and from an interrupt if buffers are
/// evicted there; `cx` says what the caller may do. forebay holds no lock of its own during these calls. A source calls
/// the [`Forebay`](crate::Forebay) that uses it in [`allocate`](FrameSource::allocate) only, and only to reclaim for a request
/// that permits it.
///
/// Safe to implement: a wrong implementation costs data, not memory safety, because the blocks are its own type and forebay
/// never looks behind them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no source of blocks",
    note = "implement `FrameSource` for it, or pass a reference (or an `Arc`) to a type that does",
    note = "an adapter, such as `WithHooks(..)` or `AllPorts(..)`, is a platform and no source: pass it, or one `&` or `Arc` to it, and not `&&`"
)]
pub trait FrameSource {
    /// The integrator's own block type.
    type Block: OwnedBlock;
    /// What guards pools, buffers and counters.
    type RawMutex: RawMutex;

    /// The largest order that a buffer asks for, unless one of its slots is larger.
    const MAX_ORDER: Order = Order::TEN;

    /// The number of zones, at most 16: zone numbers are below this. Blocks of any other zone are never pooled.
    const ZONES: u8 = 1;

    /// Zones that are the *lobby*: what lies there has room of its own in the store ([`Rooms`](crate::port::Rooms)), so all of it
    /// can leave at any time, whatever else is full. One free window of the largest buffer's size is enough to bring in any stored
    /// buffer. By default there is none, and nothing is paid for it.
    ///
    /// Then every buffer with contents can be made resident, by [`or_reclaim`](crate::Forebay::or_reclaim) in a thread over all
    /// buffers that may lie there, with a method that the store has, as long as no guard is alive in the lobby and no engine has a
    /// job. Both memories together have room for all pages of both but those of the lobby. A buffer that may lie there and is larger is
    /// [`Never`](AllocError::Never).
    ///
    /// The zones have the highest numbers, so that others are preferred; the source never gives these blocks to a pool's free lists
    /// ([`is_poolable`](FrameSource::is_poolable)); and no other code allocates there.
    const LOBBY: Zones = Zones::empty();

    /// A block of that order, in the mode [`CACHED`](crate::frame::Mode::CACHED). Its bytes are arbitrary. A pool returns a
    /// block of another order, or from a zone that was not asked for, at once, and treats it as
    /// [`Exhausted`](AllocError::Exhausted).
    ///
    /// If [`may_reclaim`](AllocRequest::may_reclaim) is false, the source reclaims nothing, neither by itself nor by
    /// [`Forebay::reclaim`](crate::Forebay::reclaim). A reclaim never asks for a block with that right, so a source that calls
    /// one comes back no deeper than once.
    ///
    /// # Errors
    /// [`AllocError`]. After [`Exhausted`](AllocError::Exhausted) the caller may try a smaller order.
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Self::Block, AllocError>;

    /// As [`allocate`](FrameSource::allocate), and fills places of `more` with further blocks of the same request, as many as cost little
    /// more than one: for a free list that is empty. By default it is one block.
    ///
    /// # Errors
    /// As `allocate`; `more` is as before.
    ///
    /// # Context
    /// As `allocate`.
    fn allocate_more(
        &self,
        request: AllocRequest,
        more: &mut [Option<Self::Block>],
        cx: Context,
    ) -> Result<Self::Block, AllocError> {
        let _ = more;
        self.allocate(request, cx)
    }

    /// Takes back a block, or a part of one, that [`allocate`](FrameSource::allocate) gave; in the mode `CACHED`. Must not
    /// fail and must not block: interrupts call it.
    fn free(&self, block: Self::Block);

    /// One block from two neighbours of the same order, of which `left` may begin a block of twice the size. The default
    /// joins nothing: a block whose split was refused half way then stays in pieces.
    ///
    /// # Errors
    /// Both blocks, unchanged, if they are not such neighbours.
    fn join(&self, left: Self::Block, right: Self::Block) -> Result<Self::Block, (Self::Block, Self::Block)> {
        Err((left, right))
    }

    /// What there is for such a request, and what there could ever be. Takes nothing, changes nothing that a caller sees, and
    /// never waits. forebay asks where an allocation failed, and where a reclaim begins.
    ///
    /// The default knows nothing. Then a reclaim can't tell a shortage from fragmentation, it looks for a block by allocating
    /// one, a request that can never be met evicts what it can, and [`keep_free`](crate::Forebay::keep_free) does nothing.
    fn supply(&self, request: &AllocRequest) -> Supply {
        let _ = request;
        Supply::default()
    }

    /// The zone of a block, below [`ZONES`](FrameSource::ZONES). O(1). By default all blocks are in zone 0.
    fn zone(&self, block: &Self::Block) -> u8 {
        let _ = block;
        0
    }

    /// Whether a block that was allocated just now is all zeros. By default it is not known, and the CPU zeroes it.
    fn is_zeroed(&self, block: &Self::Block) -> bool {
        let _ = block;
        false
    }

    /// Whether a pool may keep this block for its next user. By default it may. A block that must have no second owner
    /// is returned to the source instead.
    fn is_poolable(&self, block: &Self::Block) -> bool {
        let _ = block;
        true
    }
}

/// Implements [`FrameSource`] for a pointer to a source. One list of methods for all pointers, so none is forgotten.
macro_rules! source_behind {
    ($(#[$attr:meta])* $pointer:ty) => {
        $(#[$attr])*
        impl<S: FrameSource + ?Sized> FrameSource for $pointer {
            type Block = S::Block;
            type RawMutex = S::RawMutex;
            const MAX_ORDER: Order = S::MAX_ORDER;
            const ZONES: u8 = S::ZONES;
            const LOBBY: Zones = S::LOBBY;
            fn allocate(&self, request: AllocRequest, cx: Context) -> Result<S::Block, AllocError> {
                (**self).allocate(request, cx)
            }
            fn allocate_more(
                &self,
                request: AllocRequest,
                more: &mut [Option<S::Block>],
                cx: Context,
            ) -> Result<S::Block, AllocError> {
                (**self).allocate_more(request, more, cx)
            }
            fn free(&self, block: S::Block) {
                (**self).free(block);
            }
            fn join(&self, left: S::Block, right: S::Block) -> Result<S::Block, (S::Block, S::Block)> {
                (**self).join(left, right)
            }
            fn supply(&self, request: &AllocRequest) -> Supply {
                (**self).supply(request)
            }
            fn zone(&self, block: &S::Block) -> u8 {
                (**self).zone(block)
            }
            fn is_zeroed(&self, block: &S::Block) -> bool {
                (**self).is_zeroed(block)
            }
            fn is_poolable(&self, block: &S::Block) -> bool {
                (**self).is_poolable(block)
            }
        }
    };
}
source_behind!(&S);
source_behind!(#[cfg(feature = "alloc")] Arc<S>);
