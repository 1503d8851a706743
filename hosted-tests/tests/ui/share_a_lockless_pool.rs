//! E0277: without a lock nothing can be shared.
use forebay::*;
use forebay_backends::*;

static POOL: Pool<Ram<NoLock, 512>, [Place<Ram<NoLock, 512>>; 4]> = Pool::new(Ram::new(), 1);

fn main() {}
