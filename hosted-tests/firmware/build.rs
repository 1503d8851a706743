//! Links the image by its own script, with nothing of the host's C library or start-up files.
use std::env;

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    assert!(
        target == "x86_64-unknown-linux-gnu",
        "the firmware borrows the prebuilt core of x86_64-unknown-linux-gnu; it cannot be built for {target}"
    );
    let dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=x86_64.x");
    let script = format!("-T{dir}/x86_64.x");
    // The boot code holds absolute 32-bit addresses: no PIE. A build id would be a second note in the
    // segment where QEMU looks for the PVH note.
    for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", &script] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
