//! A raw mutex for one thread is in no static.
use forebay::sync::NoopRawMutex;
use forebay_backends::RamForebay;

static RAM: RamForebay<NoopRawMutex, 512, 4> = RamForebay::new();
//~^ E0277: it appears within the type `NoopRawMutex`

fn main() {}
