//! Without a lock nothing can be shared.
use forebay::*;
use forebay_backends::*;

static POOL: Pool<Ram<NoLock, 512>, [Place<Ram<NoLock, 512>>; 4]> = Pool::new(Ram::new(), 1);
//~^ E0277: cannot be shared between threads safely

fn main() {}
