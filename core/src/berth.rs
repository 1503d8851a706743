//! A place for a buffer that comes and goes while others walk by.

use crate::candidates::Evictable;
use crate::cell::{Reader, Shared, Sorted};
use crate::{Busy, Class, Evicted, RawLock, Refused, Step};
use core::fmt;
use core::ops::Deref;

/// A place for a buffer: whoever registers one puts it in, whoever ends it takes it out, through `&self`, while reclaims walk
/// over the slice of places and others use what is there. So a table of objects is an array, or a slice, of berths; nothing is
/// allocated.
///
/// Taking a buffer out is refused while somebody uses it, be it only a walk that is just there: nobody waits. Dropping what
/// was taken out, or the berth, gives back blocks and handles.
///
/// ```
/// # use forebay::*;
/// # struct Frames(usize, Vec<u8>);
/// # impl OwnedBlock for Frames {
/// #     const PAGE: usize = 4096;
/// #     fn pfn(&self) -> Pfn { Pfn::new(self.0) }
/// #     fn order(&self) -> Order { Order::holding(Pages::new(self.1.len() / 4096)).unwrap() }
/// #     fn split(self) -> Result<(Self, Self), Self> { Err(self) }
/// #     fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
/// #         self.1.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
/// #     }
/// #     fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
/// #         self.1.iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
/// #     }
/// # }
/// # struct Machine;
/// # impl Platform for Machine {
/// #     type Block = Frames;
/// #     type Lock = NoLock;
/// #     type Mode = ();
/// #     fn allocate(&self, order: Order, _: Context) -> Result<Frames, OutOfFrames> {
/// #         Ok(Frames(0x40, vec![0; 4096 * order.pages().get()]))
/// #     }
/// #     fn release(&self, frames: Frames) { drop(frames); }
/// # }
/// # struct Store;
/// # impl<B: OwnedBlock> BackingStore<B> for Store {
/// #     fn ids(&self) -> StoreIds { StoreIds::NONE }
/// #     fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
/// #         Err(Refused::new(handle, StoreError::WrongStore))
/// #     }
/// # }
/// # let home: &Forebay<_, _> = &Forebay::<_, _, [Place<Machine>; 0]>::new(Machine, Store, 0);
/// let objects = [const { Berth::<NoLock, Buffer<'_, _, _>>::new() }; 64];
/// objects[3].put(Buffer::new(home, Order::new(2).unwrap())).map_err(|refused| refused.why)?;
///
/// let guest = objects[3].get()?;
/// guest.as_ref().ok_or(Busy)?.write()?.copy_in(0, b"bytes");
/// assert!(objects[3].take().is_err(), "it is in use");
/// drop(guest);
///
/// home.reclaim(&objects, Pages::new(4), Evict::LADDER, Context::THREAD);
/// drop(objects[3].take()?); // gives back blocks and handles
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Berth<L, E> {
    cell: Shared<L, Option<E>>,
}

/// The use of what is in a [`Berth`], or of its emptiness: it can be neither taken out nor put in meanwhile.
#[must_use]
pub struct Guest<'b, L: RawLock, E> {
    reader: Reader<'b, L, Option<E>>,
}

impl<E> Sorted for Option<E> {
    fn sort(&mut self) -> Class {
        if self.is_some() { Class::RESIDENT } else { Class::empty() } // perhaps
    }
}

impl<L: RawLock, E> Berth<L, E> {
    /// Nothing is in it.
    pub const fn new() -> Self {
        Berth { cell: Shared::new(None) }
    }

    /// Puts something in.
    ///
    /// # Errors
    /// [`Busy`], and it comes back: there is something in already, or somebody looks whether there is.
    ///
    /// # Context
    /// O(1), also in an interrupt.
    pub fn put(&self, buffer: E) -> Result<(), Refused<E, Busy>> {
        let free = self.cell.hold_quietly().ok().filter(|place| place.is_none());
        match free {
            Some(mut place) => {
                *place = Some(buffer);
                Ok(())
            }
            None => Err(Refused::new(buffer, Busy)),
        }
    }

    /// Takes out what is in, if there is something.
    ///
    /// # Errors
    /// [`Busy`]: somebody uses it. Try again later.
    ///
    /// # Context
    /// O(1), also in an interrupt.
    pub fn take(&self) -> Result<Option<E>, Busy> {
        Ok(self.cell.hold_quietly()?.take())
    }

    /// To use what is in, if there is something; many at a time.
    ///
    /// # Errors
    /// [`Busy`]: somebody is putting something in or taking it out this moment.
    ///
    /// # Context
    /// O(1), also in an interrupt.
    pub fn get(&self) -> Result<Guest<'_, L, E>, Busy> {
        Ok(Guest { reader: self.cell.share()? })
    }
}

impl<L: RawLock, E> Deref for Guest<'_, L, E> {
    type Target = Option<E>;
    fn deref(&self) -> &Option<E> {
        &self.reader
    }
}

impl<L: RawLock, E: Evictable> Evictable for Berth<L, E> {
    fn evict_if_idle(&self, step: Step) -> Evicted {
        if self.cell.class().is_empty() {
            return Evicted::default(); // and nobody who puts something in is turned away for it
        }
        let guest = self.get().ok();
        let buffer = guest.as_ref().and_then(|guest| guest.as_ref());
        buffer.map_or(Evicted::default(), |buffer| buffer.evict_if_idle(step))
    }
}

impl<L: RawLock, E> Default for Berth<L, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L, E> fmt::Debug for Berth<L, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Berth").finish_non_exhaustive()
    }
}

impl<L: RawLock, E: fmt::Debug> fmt::Debug for Guest<'_, L, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guest").field(&**self).finish()
    }
}

#[cfg(feature = "defmt")]
impl<L, E> defmt::Format for Berth<L, E> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Berth");
    }
}

#[cfg(feature = "defmt")]
impl<L: RawLock, E> defmt::Format for Guest<'_, L, E> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Guest({=bool})", self.is_some());
    }
}
