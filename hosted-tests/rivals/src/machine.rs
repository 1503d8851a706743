//! Where and with what was measured.

use std::fs;
use std::process::Command;

/// The allocators, by the names of their packages.
const PACKAGES: [&str; 5] =
    ["frame-alloc", "buddy_system_allocator", "talc", "rlsf", "linked_list_allocator"];

/// The lines of the page about it: a name and what it is.
pub fn facts() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let changed = said("git", &["-C", here, "status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    let commit = said("git", &["-C", here, "rev-parse", "--short=12", "HEAD"])
        .map(|commit| if changed { format!("{commit}, and changes that are in no commit") } else { commit });
    vec![
        ("processor", processor().map_or_else(unknown, |name| format!("{name}, {cores} cores"))),
        (
            "load when it began",
            fs::read_to_string("/proc/loadavg").map_or_else(|_| unknown(), |text| text.trim().into()),
        ),
        ("system", said("uname", &["-srm"]).unwrap_or_else(unknown)),
        ("compiler", said("rustc", &["-V"]).unwrap_or_else(unknown)),
        ("forebay", commit.unwrap_or_else(unknown)),
        ("others", versions().join(", ")),
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown)),
    ]
}

fn unknown() -> String {
    "unknown".into()
}

/// What a program prints, if it can be run.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// As the lock file has them.
fn versions() -> Vec<String> {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        rest.split('"').next().map(|version| format!("{name} {version}"))
    };
    PACKAGES.iter().map(|name| version(name).unwrap_or_else(|| format!("{name} (unknown)"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the page names the versions that are compared, as they are pinned.
    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let pinned = ["0.1.0", "0.13.0", "5.1.1", "0.2.3", "0.10.6"];
        let all: Vec<String> =
            PACKAGES.iter().zip(pinned).map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(versions(), all);
    }
}
