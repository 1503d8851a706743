//! Caching control: optional; `()` has one mode.

use crate::frame::{Context, Mode, ModeRefused, Zones};

/// Changes caching modes.
pub trait CachingControl<B> {
    /// The modes.
    type Mode: Mode;

    /// Changes the mode of the whole block. `from` is its present mode.
    ///
    /// Called for a block that nothing else uses; with `to` = [`Mode::CACHED`] before it goes to the source or to a store
    /// (TTM: "anything returned to the system needs to be cached").
    ///
    /// What the CPU wrote to the block it reads again in the new mode. Blocks are zeroed and loaded in `CACHED`, so where the
    /// new mode bypasses the cache, this cleans and then invalidates the lines of the block.
    ///
    /// A machine that must wait for other cores to flush refuses where `cx` does not permit that. One that can defer the
    /// flush does it in [`flush`](CachingControl::flush), once for many blocks.
    ///
    /// # Errors
    /// [`ModeRefused`]: every page of the block has the mode `from`, as before.
    fn set_mode(
        &self,
        block: &mut B,
        from: Self::Mode,
        to: Self::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused>;

    /// Completes the changes of mode and the unmappings since the last call, by this caller and with this `cx`: caches and
    /// translations of all cores, and of devices. Called once for a batch of blocks, before any of them is used in its new
    /// mode or leaves. (TTM converts runs of pages, since each conversion is a flush on every core.) The default does
    /// nothing.
    fn flush(&self, cx: Context) {
        let _ = cx;
    }

    /// The zones whose memory can be in that mode: where hardware fixes the mode for a whole zone (an MPU region, SRAM
    /// that no cache covers), the zones with that mode. By default all.
    fn zones_for(&self, mode: Self::Mode) -> Zones {
        let _ = mode;
        Zones::ALL
    }

    /// Whether a pool keeps blocks of that mode. Where a block costs nothing to make, as a cached one does on some machines,
    /// keeping it only withholds it from others (TTM pools no cached pages). By default all modes are pooled.
    fn pools(&self, mode: Self::Mode) -> bool {
        let _ = mode;
        true
    }
}

/// One mode.
impl<B> CachingControl<B> for () {
    type Mode = ();
    fn set_mode(&self, _: &mut B, (): (), (): (), _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

impl<B, C: CachingControl<B> + ?Sized> CachingControl<B> for &C {
    type Mode = C::Mode;
    fn set_mode(&self, block: &mut B, from: C::Mode, to: C::Mode, cx: Context) -> Result<(), ModeRefused> {
        (**self).set_mode(block, from, to, cx)
    }
    fn flush(&self, cx: Context) {
        (**self).flush(cx);
    }
    fn zones_for(&self, mode: C::Mode) -> Zones {
        (**self).zones_for(mode)
    }
    fn pools(&self, mode: C::Mode) -> bool {
        (**self).pools(mode)
    }
}
