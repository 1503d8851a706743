//! Handles to a forebay: what a buffer holds.

use crate::forebay::Forebay;
use crate::frame::Mode;
use crate::port::{BackingStore, OwnedBlock, Platform};
use crate::sync::RawMutex;
#[cfg(feature = "alloc")]
use alloc::{rc::Rc, sync::Arc};

/// Has a forebay inside: the forebay itself, or a facade around one.
///
/// `as_ref` must always give the same one. Otherwise blocks are returned to another source than their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no forebay inside",
    note = "a buffer takes `&'static F`, `&'a F`, or (feature `alloc`) `Arc<F>` of a `Forebay` or of a facade around one",
    note = "an `Arc` is passed itself, not by reference: `home.clone()`"
)]
pub trait AsForebay: AsRef<Forebay<<Self as AsForebay>::Platform, <Self as AsForebay>::Store>> {
    /// Its platform.
    type Platform: Platform;
    /// Its store.
    type Store: BackingStore<<Self::Platform as Platform>::Block>;
}

impl<P: Platform, S: BackingStore<P::Block>> AsForebay for Forebay<P, S> {
    type Platform = P;
    type Store = S;
}

impl<P: Platform, S: BackingStore<P::Block>> AsRef<Forebay<P, S>> for Forebay<P, S> {
    fn as_ref(&self) -> &Forebay<P, S> {
        self
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A handle to something with a forebay inside: `&F`, and with the feature `alloc` `Arc<F>` and `Rc<F>`. One word.
///
/// With `&'static F` buffers lie in statics. With `Arc<F>` a struct owns its forebay and its buffers together, and moves
/// between threads.
#[diagnostic::on_unimplemented(
    message = "a buffer needs a handle to a forebay, and `{Self}` is none",
    note = "use `&'static F`, `&'a F`, or (feature `alloc`) `Arc<F>` of a `Forebay` or of a facade around one"
)]
pub trait Home: sealed::Sealed {
    /// The platform.
    type Platform: Platform<Block = Self::Block, Mode = Self::Mode, RawMutex = Self::RawMutex>;
    /// The store.
    type Store: BackingStore<Self::Block>;
    /// The block type.
    type Block: OwnedBlock;
    /// The caching modes.
    type Mode: Mode;
    /// What guards the buffers.
    type RawMutex: RawMutex;

    #[doc(hidden)]
    fn forebay(&self) -> &Forebay<Self::Platform, Self::Store>;
}

/// Implements [`Home`] for a pointer.
macro_rules! home {
    ($(#[$attr:meta])* $pointer:ty) => {
        $(#[$attr])*
        impl<F: AsForebay + ?Sized> sealed::Sealed for $pointer {}
        $(#[$attr])*
        impl<F: AsForebay + ?Sized> Home for $pointer {
            type Platform = F::Platform;
            type Store = F::Store;
            type Block = <F::Platform as Platform>::Block;
            type Mode = <F::Platform as Platform>::Mode;
            type RawMutex = <F::Platform as Platform>::RawMutex;
            fn forebay(&self) -> &Forebay<F::Platform, F::Store> {
                (**self).as_ref()
            }
        }
    };
}
home!(&F);
home!(#[cfg(feature = "alloc")] Arc<F>);
home!(#[cfg(feature = "alloc")] Rc<F>);
