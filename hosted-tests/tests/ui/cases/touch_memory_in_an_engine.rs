//! A copy engine owns both ends until it gives them back.
use forebay_backends::{CopyEngine, Job, RamBlock};

type Block = RamBlock<512>;

fn touch_memory_in_an_engine(engine: &mut impl CopyEngine<Block, 512>, mut job: Job<Block, 512>) -> u8 {
    engine.start(job);
    job.to()[0] //~ E0382: borrow of moved value: `job`
}

fn main() {}
