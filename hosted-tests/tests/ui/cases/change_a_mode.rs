//! A block's mode is what the platform made it, not what somebody says.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};

fn change_a_mode<P: Platform<Mode = Caching>>(pooled: &mut PooledBlock<P>) {
    pooled.mode = Caching::WriteBack; //~ E0616: field `mode`
}

fn main() {}
