//! Without a lock nothing can be shared.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;

static POOL: Pool<Ram<NoopRawMutex, 512>, [Place<Ram<NoopRawMutex, 512>>; 4]> = Pool::new(Ram::new(), 1);
//~^ E0277: cannot be shared between threads safely

fn main() {}
