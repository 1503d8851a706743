//! A pool is there for as long as a shrinker is at it.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn drop_a_pool_under_a_shrinker(pool: Pool<Source, [Place<Source>; 8]>) {
    let unsized_pool: &Pool<Source> = &pool;
    std::thread::scope(|s| { //~ E0505: cannot move out of `pool` because it is borrowed
        let shrinker = s.spawn(|| unsized_pool.trim(Pages::MAX, Context::THREAD));
        drop(pool);
        shrinker.join()
    });
}

fn main() {}
