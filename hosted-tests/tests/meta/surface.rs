//! How much there is to learn of core.

use std::path::Path;

/// Rule: the public surface stays small: 40 names at the root, 150 callables, ports of at most 8 methods, a store of
/// 12.
#[test]
fn the_surface_is_small() {
    let surface = xtask::surface::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../core"));
    assert!(surface.names.len() <= 40, "{} names: {:#?}", surface.names.len(), surface.names);
    assert!(
        surface.callables.len() <= 150,
        "{} callables: {:#?}",
        surface.callables.len(),
        surface.callables
    );
    assert!(surface.traits.len() >= 15, "the ports are missing: {:?}", surface.traits);
    for (name, methods) in &surface.traits {
        let most = if name == "BackingStore" { 12 } else { 8 };
        assert!(*methods <= most, "{name} has {methods} methods");
    }
}
