//! What the kernel counts of huge pages. Of the whole machine: other programs count too.

use std::fs;
use std::path::Path;

/// Huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Huge {
    /// Written out whole.
    pub(super) whole: u64,
    /// Split.
    pub(super) splits: u64,
}

impl Huge {
    /// Since the machine was started.
    pub(super) fn now() -> Huge {
        Huge::under(Path::new("/"))
    }

    /// By their own statistics, which Linux has since 6.10; else by those of all sizes.
    fn under(root: &Path) -> Huge {
        let own = root.join("sys/kernel/mm/transparent_hugepage/hugepages-2048kB/stats");
        let all = fs::read_to_string(root.join("proc/vmstat")).unwrap_or_default();
        let count = |name: &str, key: &str| {
            let own = fs::read_to_string(own.join(name)).ok().and_then(|text| text.trim().parse().ok());
            let line = all.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            own.or(line.and_then(|number| number.trim().parse().ok())).unwrap_or(0)
        };
        Huge { whole: count("swpout", "thp_swpout"), splits: count("split", "thp_split_page") }
    }

    /// What was added since.
    pub(super) fn since(before: Huge) -> Huge {
        let now = Huge::now();
        Huge {
            whole: now.whole.saturating_sub(before.whole),
            splits: now.splits.saturating_sub(before.splits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a size's own statistics count, else those of all sizes, by their whole names.
    #[test]
    fn whose_statistics() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("proc")).expect("a directory");
        let vmstat = "thp_split_page_failed 9\nthp_split_page 2\nthp_swpout_fallback 8\nthp_swpout 3\n";
        fs::write(root.path().join("proc/vmstat"), vmstat).expect("a file");
        assert_eq!(Huge::under(root.path()), Huge { whole: 3, splits: 2 });
        let own = root.path().join("sys/kernel/mm/transparent_hugepage/hugepages-2048kB/stats");
        fs::create_dir_all(&own).expect("a directory");
        fs::write(own.join("swpout"), "5\n").expect("a file");
        fs::write(own.join("split"), "0\n").expect("a file");
        assert_eq!(Huge::under(root.path()), Huge { whole: 5, splits: 0 });
    }
}
