//! `cargo xtask`. See [`xtask`].

fn main() -> std::process::ExitCode {
    xtask::main()
}
