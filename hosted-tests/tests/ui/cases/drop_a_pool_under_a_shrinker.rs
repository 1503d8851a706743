//! A pool is there as long as a shrinker uses it.
use forebay::{Context, Pages, Platform, Zones, pool::Pool};

fn drop_a_pool_under_a_shrinker<P: Platform + Sync>(pool: Pool<P>) {
    let shared = &pool;
    std::thread::scope(|s| {
        //~^ E0505: cannot move out of `pool` because it is borrowed
        let shrinker = s.spawn(|| shared.trim(Zones::ALL, Pages::MAX, Context::THREAD));
        drop(pool);
        shrinker.join()
    });
}

fn main() {}
