//! Every public function of forebay, and of its backends over plain RAM, in one image that is linked and never run.
//!
//! It shows two things. **Nothing panics:** the panic handler calls a function that does not exist, so the image can't be
//! linked if any of these functions, or what they call, may panic. **How large it is:** `cargo xtask panic-free` prints
//! that.
//!
//! Functions are not called, their addresses are taken: so each is compiled as it stands, for whatever arguments and
//! whatever the platform answers, and no caller's knowledge helps the compiler to leave out a check. What asserts at
//! compile time (`const` blocks: page sizes, lengths) has done so when this compiles.
//!
//! `hosted-tests/tests/meta/panic_free.rs` compares this with the sources, and says what is left out and why. **A new public
//! function is one line**, with the others of its type, in `of_core.rs` or `of_backends.rs`.
#![no_std]
#![no_main]

#[cfg(target_os = "linux")]
#[path = "../machine/c_library.rs"]
mod c_library;
mod machine;
mod of_backends;
mod of_core;

use core::hint::black_box;
use core::panic::PanicInfo;

/// The address of a function.
type At = *const ();

/// What the compiler has to keep.
fn keep<const N: usize>(functions: [At; N]) {
    black_box(functions);
}

/// Where the image would begin, if it were run.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    of_core::everything();
    of_backends::everything();
    if !cfg!(feature = "smallest") {
        of_core::again();
        of_backends::others();
        of_core::shown();
        of_backends::shown();
    }
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    unsafe extern "C" {
        /// There is none.
        safe fn a_public_function_of_forebay_may_panic() -> !;
    }
    a_public_function_of_forebay_may_panic()
}
