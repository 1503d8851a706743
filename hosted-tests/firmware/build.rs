//! Links both images with nothing of the host's C library or start-up files, and `forebay-firmware` by its own script.
use std::env;

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/machine/x86_64.x");
    println!("cargo::rerun-if-changed=src/counts/counts.x");
    for image in ["costs", "masked"] {
        println!("cargo::rustc-link-arg-bin={image}=-T{dir}/src/counts/counts.x");
    }
    if target == "x86_64-unknown-linux-gnu" {
        // The boot code holds absolute 32-bit addresses: no PIE. A build id would be a second note in the
        // segment where QEMU looks for the PVH note.
        for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
        println!("cargo::rustc-link-arg-bin=forebay-firmware=-T{dir}/src/machine/x86_64.x");
    }
}
