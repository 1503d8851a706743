//! Without mutual exclusion nothing can be shared.
use forebay::pool::{FreeListArray, Pool};
use forebay::port::WithLists;
use forebay::sync::NoopRawMutex;
use forebay_backends::Ram;

type Source = Ram<NoopRawMutex, 512>;

static POOL: Pool<WithLists<Source, FreeListArray<Source, 4, 1>>> =
    Pool::new(WithLists(Ram::new(), FreeListArray::new()));
//~^^ E0277: cannot be shared between threads safely

fn main() {}
