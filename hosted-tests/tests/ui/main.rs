//! What must not compile does not: one file in `cases` for each promise of the API. Each is a test by itself.
//!
//! The first line of a case says the promise. A comment at the line of an error says what the compiler reports there:
//!
//! ```text
//! let _ = store.transfer(block, None); //~ E0382: use of moved value: `block`
//! ```
//!
//! That is the code of the error, and a part of its message, of the label at the line, or of a note. `//~^` stands
//! below the line that it is about, `//~^^` two lines below. An error without a code is `error`, one of a lint has the
//! lint's name. A case passes if the compiler reports exactly these errors. A case without such a comment must compile.
//!
//! All cases are checked by one call of cargo. The compiler looks for borrows only where all types are right, so a
//! case has errors of one kind.

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::OnceLock;

mod case;
mod compiler;
mod expected;
mod self_tests;

use case::Case;
use compiler::Report;

/// The first case that asks has all of them checked. The others wait.
fn report() -> Result<&'static Report, Failed> {
    static REPORT: OnceLock<Result<Report, String>> = OnceLock::new();
    let report = REPORT.get_or_init(|| compiler::check(&Case::all()));
    report.as_ref().map_err(Failed::from)
}

/// Rule: misuse is a compile error, for the reason that the case names and for no other.
fn try_it(case: &Case) -> Result<(), Failed> {
    let expected = expected::annotations(&case.text)?;
    let found = report()?.of(case)?;
    let differences = expected::differences(&expected, found);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n").into()) }
}

fn main() -> ExitCode {
    let cases = Case::all().into_iter().map(|case| Trial::test(case.name.clone(), move || try_it(&case)));
    let trials = cases.chain(self_tests::trials()).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
