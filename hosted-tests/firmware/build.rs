//! Links `forebay-firmware` and what counts instructions for their boards, and all images with nothing of the host's C
//! library or start-up files.
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let var = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let machine = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("src/machine");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/machine");
    println!("cargo::rerun-if-changed=src/counts/counts.x");
    println!("cargo::rustc-check-cfg=cfg(board, values(\"microbit\", \"mps2\"))");
    match &*var("TARGET") {
        "x86_64-unknown-linux-gnu" => {
            // The boot code holds absolute 32-bit addresses: no PIE. A build id would be a second note in the
            // segment where QEMU looks for the PVH note.
            for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"] {
                println!("cargo::rustc-link-arg-bins={arg}");
            }
            link_by(machine.join("x86_64.x").display());
        }
        "thumbv7em-none-eabihf" => {
            println!("cargo::rustc-cfg=board=\"mps2\"");
            with_memory(machine.join("arm/mps2.x"));
            if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
                link_by("defmt.x");
                for image in ["whole", "program"] {
                    println!("cargo::rustc-link-arg-bin={image}=-Tdefmt.x");
                }
            }
        }
        "thumbv6m-none-eabi" => {
            println!("cargo::rustc-cfg=board=\"microbit\"");
            with_memory(machine.join("arm/microbit.x"));
        }
        "riscv32imac-unknown-none-elf" | "riscv32imc-unknown-none-elf" => {
            link_by(machine.join("riscv32.x").display());
            link_by("link.x");
            let script = machine.join("../counts/counts.x");
            for image in ["costs", "masked"] {
                println!("cargo::rustc-link-arg-bin={image}=-T{}", script.display());
            }
        }
        "aarch64-unknown-none" => link_by(machine.join("aarch64/image.x").display()),
        _ => {}
    }
}

fn link_by(script: impl std::fmt::Display) {
    println!("cargo::rustc-link-arg-bin=forebay-firmware=-T{script}");
}

/// By the script of `cortex-m-rt`, which includes `memory.x`.
fn with_memory(script: PathBuf) {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(script, out.join("memory.x")).expect("OUT_DIR takes a file");
    println!("cargo::rustc-link-search={}", out.display());
    link_by("link.x");
}
