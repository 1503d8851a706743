//! The lab: forebay on real files. See [`hosted_tests::lab`].
fn main() -> std::process::ExitCode {
    hosted_tests::lab::cli::main()
}
