//! Where things are in the repository.

use std::env;
use std::path::{self, Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the workspace is two folders above this package").to_owned()
}

/// The package of the images for small machines. It stands outside the workspace.
pub(crate) fn firmware() -> PathBuf {
    root().join("hosted-tests/firmware")
}

/// The package of the rivals. It stands outside the workspace.
pub(crate) fn rivals() -> PathBuf {
    root().join("hosted-tests/rivals")
}

/// The package of the fuzz targets. It stands outside the workspace.
pub(crate) fn fuzz() -> PathBuf {
    root().join("fuzz")
}

/// The folder for everything that is built. Every command has its own part of it.
pub(crate) fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").filter(|name| !name.is_empty());
    // A relative name is meant from where the command was called.
    let folder = named.map_or_else(|| root().join("target"), PathBuf::from);
    path::absolute(&folder).unwrap_or(folder)
}
