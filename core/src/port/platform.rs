//! The umbrella over all ports, and the adapters that add one port to a source.

use crate::frame::Mode;
use crate::port::{
    Accounting, CachingControl, DmaMap, EvictHooks, FrameSource, FreeLists, LinearMap, OwnedBlock,
};
use crate::sync::RawMutex;
#[cfg(feature = "alloc")]
use alloc::sync::Arc;
use core::ops::Deref;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// The source and the optional services of one machine: one bound instead of eight.
///
/// Implemented by this crate only: for every [`FrameSource`], with no-op services; for the adapters [`WithCaching`],
/// [`WithDma`], [`WithHooks`], [`WithAccounting`], [`WithLinear`] and [`WithLists`] around a platform; and for [`AllPorts`]
/// around one value that implements every port. References and `Arc`s to adapters are platforms too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no platform",
    note = "every `FrameSource` is one, and so is an adapter around one, such as `WithHooks(source, hooks)`, and one `&` or `Arc` to it",
    note = "`AllPorts(machine)` is one if the machine implements `FrameSource`, `CachingControl`, `DmaMap`, `EvictHooks`, `Accounting` and `LinearMap`",
    note = "an adapter around the same port twice is none: `WithHooks(WithHooks(..), ..)`",
    note = "`WithCaching` goes inside of `WithLinear` and `WithLists`, which are made for its modes",
    note = "`WithLists(platform, FreeListArray<P, ..>)` is one if `P` has the modes of `platform`: `P` is often its `WithCaching<..>`"
)]
pub trait Platform: Sealed {
    /// The integrator's own block type.
    type Block: OwnedBlock;
    /// What guards pools, buffers and counters.
    type RawMutex: RawMutex;
    /// The caching modes; `()` for one.
    type Mode: Mode;
    /// Where blocks come from.
    type Source: FrameSource<Block = Self::Block, RawMutex = Self::RawMutex>;
    /// Changes caching modes.
    type Caching: CachingControl<Self::Block, Mode = Self::Mode>;
    /// Gives addresses for devices.
    type Dma: DmaMap<Self::Block>;
    /// Surrounds evictions.
    type Hooks: EvictHooks<Self::Block>;
    /// Charges owners for contents.
    type Accounting: Accounting;
    /// Gives several blocks as one slice.
    type Linear: LinearMap<Self::Block, Self::Mode>;
    /// Keeps blocks in front of the source.
    type Lists: FreeLists<Self::Block, Self::Mode>;

    #[doc(hidden)]
    fn source(&self) -> &Self::Source;
    #[doc(hidden)]
    fn caching(&self) -> &Self::Caching;
    #[doc(hidden)]
    fn dma(&self) -> &Self::Dma;
    #[doc(hidden)]
    fn hooks(&self) -> &Self::Hooks;
    #[doc(hidden)]
    fn accounting(&self) -> &Self::Accounting;
    #[doc(hidden)]
    fn linear(&self) -> &Self::Linear;
    #[doc(hidden)]
    fn lists(&self) -> &Self::Lists;
}

impl<S: FrameSource> Sealed for S {}
impl<S: FrameSource> Platform for S {
    type Block = S::Block;
    type RawMutex = S::RawMutex;
    type Mode = ();
    type Source = S;
    type Caching = ();
    type Dma = ();
    type Hooks = ();
    type Accounting = ();
    type Linear = ();
    type Lists = ();
    fn source(&self) -> &S {
        self
    }
    fn caching(&self) -> &() {
        &()
    }
    fn dma(&self) -> &() {
        &()
    }
    fn hooks(&self) -> &() {
        &()
    }
    fn accounting(&self) -> &() {
        &()
    }
    fn linear(&self) -> &() {
        &()
    }
    fn lists(&self) -> &() {
        &()
    }
}

/// One value that implements every port except free lists: for a machine type of one's own.
///
/// A port that the machine does not need is an empty `impl`, since every method has a default. It derefs to the machine.
///
/// ```
/// # use forebay::*; use forebay::port::*; use forebay::frame::*;
/// # fn forebay<M, S>(machine: M, store: S) -> Forebay<AllPorts<M>, S> where
/// #     M: FrameSource + CachingControl<M::Block> + DmaMap<M::Block> + EvictHooks<M::Block> + Accounting
/// #         + LinearMap<M::Block, <M as CachingControl<M::Block>>::Mode>,
/// #     S: BackingStore<M::Block>,
/// # {
/// Forebay::new(AllPorts(machine), store)
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AllPorts<X>(
    /// The machine.
    pub X,
);

impl<X> Deref for AllPorts<X> {
    type Target = X;
    fn deref(&self) -> &X {
        &self.0
    }
}

/// Implements [`Platform`] for [`AllPorts`] and pointers to it.
macro_rules! all_ports {
    ($(#[$attr:meta])* [$($life:lifetime)?] $self:ty) => {
        $(#[$attr])*
        impl<$($life,)? X> Sealed for $self {}
        $(#[$attr])*
        impl<$($life,)? X, M> Platform for $self
        where
            M: Mode,
            X: FrameSource + Accounting,
            X: CachingControl<<X as FrameSource>::Block, Mode = M>,
            X: DmaMap<<X as FrameSource>::Block> + EvictHooks<<X as FrameSource>::Block>,
            X: LinearMap<<X as FrameSource>::Block, M>,
        {
            type Block = <X as FrameSource>::Block;
            type RawMutex = <X as FrameSource>::RawMutex;
            type Mode = M;
            type Source = X;
            type Caching = X;
            type Dma = X;
            type Hooks = X;
            type Accounting = X;
            type Linear = X;
            type Lists = ();
            fn source(&self) -> &X {
                &self.0
            }
            fn caching(&self) -> &X {
                &self.0
            }
            fn dma(&self) -> &X {
                &self.0
            }
            fn hooks(&self) -> &X {
                &self.0
            }
            fn accounting(&self) -> &X {
                &self.0
            }
            fn linear(&self) -> &X {
                &self.0
            }
            fn lists(&self) -> &() {
                &()
            }
        }
    };
}
all_ports!([] AllPorts<X>);
all_ports!(['w] &'w AllPorts<X>);
all_ports!(#[cfg(feature = "alloc")] [] Arc<AllPorts<X>>);

/// One line for each adapter: its port, the accessor and bound of that port, its modes, what else must be empty around it,
/// and the ports that it passes on.
macro_rules! adapter {
    ($(#[$doc:meta])* $name:ident($port:ident, $method:ident: $bound:path), $mode:ty, [$($also:tt)*],
     $($other:ident, $accessor:ident);*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name<P, X>(
            /// The platform around which the port is added.
            pub P,
            /// The port.
            pub X,
        );
        adapter!(@impl [] [] $name<P, X>, $port, $method, $bound, $mode, [$($also)*], $($other, $accessor);*);
        adapter!(@impl [] ['w] &'w $name<P, X>, $port, $method, $bound, $mode, [$($also)*], $($other, $accessor);*);
        adapter!(@impl [#[cfg(feature = "alloc")]] [] Arc<$name<P, X>>, $port, $method, $bound, $mode, [$($also)*],
            $($other, $accessor);*);
    };
    (@impl [$($attr:tt)*] [$($life:lifetime)?] $self:ty, $port:ident, $method:ident, $bound:path, $mode:ty, [$($also:tt)*],
     $($other:ident, $accessor:ident);*) => {
        $($attr)*
        impl<$($life,)? P: Platform<$port = () $($also)*>, X: $bound> Sealed for $self {}
        $($attr)*
        impl<$($life,)? P: Platform<$port = () $($also)*>, X: $bound> Platform for $self {
            type Block = P::Block;
            type RawMutex = P::RawMutex;
            type Mode = $mode;
            type Source = P::Source;
            type $port = X;
            $(type $other = P::$other;)*
            fn source(&self) -> &P::Source {
                self.0.source()
            }
            fn $method(&self) -> &X {
                &self.1
            }
            $(fn $accessor(&self) -> &P::$other {
                self.0.$accessor()
            })*
        }
    };
}

adapter!(
    /// A platform with caching modes: `WithCaching(source, control)`.
    WithCaching(Caching, caching: CachingControl<P::Block>), X::Mode, [, Linear = (), Lists = ()],
    Dma, dma; Hooks, hooks; Accounting, accounting; Linear, linear; Lists, lists
);
adapter!(
    /// A platform with addresses for devices: `WithDma(platform, map)`.
    WithDma(Dma, dma: DmaMap<P::Block>), P::Mode, [],
    Caching, caching; Hooks, hooks; Accounting, accounting; Linear, linear; Lists, lists
);
adapter!(
    /// A platform with hooks around an eviction: `WithHooks(platform, hooks)`.
    WithHooks(Hooks, hooks: EvictHooks<P::Block>), P::Mode, [],
    Caching, caching; Dma, dma; Accounting, accounting; Linear, linear; Lists, lists
);
adapter!(
    /// A platform that charges owners: `WithAccounting(platform, accounting)`.
    WithAccounting(Accounting, accounting: Accounting), P::Mode, [],
    Caching, caching; Dma, dma; Hooks, hooks; Linear, linear; Lists, lists
);
adapter!(
    /// A platform that gives several blocks as one slice: `WithLinear(platform, map)`.
    WithLinear(Linear, linear: LinearMap<P::Block, P::Mode>), P::Mode, [],
    Caching, caching; Dma, dma; Hooks, hooks; Accounting, accounting; Lists, lists
);
adapter!(
    /// A platform with free lists: `WithLists(platform, lists)`.
    WithLists(Lists, lists: FreeLists<P::Block, P::Mode>), P::Mode, [],
    Caching, caching; Dma, dma; Hooks, hooks; Accounting, accounting; Linear, linear
);
