//! A machine of one value implements every port, as an empty `impl` at least.
use forebay::frame::Context;
use forebay::port::{Accounting, AllPorts, CachingControl, EvictHooks, LinearMap};
use forebay::sync::SpinRawMutex;
use forebay::{AllocError, AllocRequest, Forebay, FrameSource, frame::ModeRefused};
use forebay_backends::{Null, RamBlock};

type Block = RamBlock<512>;

struct Machine;
impl FrameSource for Machine {
    type Block = Block;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, _: AllocRequest, _: Context) -> Result<Block, AllocError> {
        Err(AllocError::Exhausted)
    }
    fn free(&self, _: Block) {}
}
impl CachingControl<Block> for Machine {
    type Mode = ();
    fn set_mode(&self, _: &mut Block, _: (), _: (), _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}
impl EvictHooks<Block> for Machine {}
impl Accounting for Machine {}
impl LinearMap<Block, ()> for Machine {}

fn a_machine_without_a_port() {
    let _ = Forebay::new(AllPorts(Machine), Null);
    //~^ E0277: if the machine implements `FrameSource`, `CachingControl`, `DmaMap`
    //~^^ E0277: `AllPorts<Machine>` is no platform
}

fn main() {}
