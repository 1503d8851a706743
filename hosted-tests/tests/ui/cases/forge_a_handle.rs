//! A handle names its store, order and value, and only `Handle::new` packs them.
use forebay::Handle;

fn forge_a_handle(word: std::num::NonZeroUsize) -> Handle {
    Handle(word) //~ E0423: private fields
}

fn main() {}
