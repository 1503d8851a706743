//! Instructions of batches: the program runs itself once more under callgrind, which counts inside of one function only.

use super::meter::{Key, Meter, Pace};
use super::row::{CostRow, Row};
use super::subject::Subject;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fmt, fs, io};

/// The function in which instructions are counted. Callgrind finds it by its name, so it is not inlined.
#[inline(never)]
fn counted_window(body: &mut dyn FnMut()) {
    body();
    std::hint::black_box(());
}

/// Where callgrind's option finds [`counted_window`], however its name is mangled.
const WINDOW: &str = "*counted_window";

/// Runs batches inside of the window. It prints which batches they were, for the process that reads the counts.
#[derive(Debug, Default)]
pub struct Windows {
    /// In the order of the windows.
    pub seen: Vec<(Key, usize)>,
}

impl Windows {
    /// The batches that ran, for [`count`] in the parent process.
    pub fn json(&self) -> String {
        serde_json::to_string(&self.seen).unwrap_or_default()
    }
}

impl Meter for Windows {
    /// One large batch of each: the count is exact, and the same each time.
    fn pace(&self) -> Pace {
        Pace { rounds: 1, warm_up: 0, batches: 1, ops: 1024, bulk: usize::MAX }
    }

    fn counts_from_now(&mut self, _: usize) {}

    fn batch(&mut self, key: &Key, ops: usize, body: &mut dyn FnMut()) {
        counted_window(body);
        self.seen.push((key.clone(), ops));
    }
}

/// Why nothing was counted.
#[derive(Debug)]
pub enum WindowError {
    /// valgrind is missing, or can't run.
    NoValgrind(io::Error),
    /// It ended with something else than a count for each window.
    Failed(String),
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowError::NoValgrind(e) => write!(
                f,
                "instructions are counted by valgrind, which can't be run ({e}): install it (on Debian: apt-get install \
                 valgrind), or leave out --instructions"
            ),
            WindowError::Failed(why) => write!(f, "valgrind counted nothing: {why}"),
        }
    }
}

impl std::error::Error for WindowError {}

/// Instructions of an operation.
#[derive(Clone, PartialEq, Debug)]
pub struct Count {
    /// What was counted.
    pub key: Key,
    /// With the loop around it.
    pub per_op: f64,
}

/// Runs this program once more with these arguments under callgrind. It must run its batches in [`Windows`], and print these as
/// JSON.
///
/// # Errors
/// [`WindowError`].
pub fn count(arguments: &[String]) -> Result<Vec<Count>, WindowError> {
    let failed = |what: String| WindowError::Failed(what);
    let folder = env::temp_dir().join(format!("forebay-windows-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| failed(e.to_string()))?;
    let end = count_in(&folder, arguments);
    let _ = fs::remove_dir_all(folder);
    end
}

fn count_in(folder: &Path, arguments: &[String]) -> Result<Vec<Count>, WindowError> {
    let failed = |e: &dyn fmt::Display| WindowError::Failed(e.to_string());
    let program = env::current_exe().map_err(|e| failed(&e))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-instr=no", "--dump-line=no"])
        .args([format!("--toggle-collect={WINDOW}"), format!("--dump-after={WINDOW}")])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(WindowError::NoValgrind)?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        let last = said.lines().rev().take(3).collect::<Vec<_>>();
        return Err(WindowError::Failed(format!("{}: {}", run.status, last.join(" / "))));
    }
    let seen: Vec<(Key, usize)> = serde_json::from_slice(&run.stdout).map_err(|e| failed(&e))?;
    let counts = (1..).zip(seen).map(|(n, (key, ops))| {
        let dump = fs::read_to_string(folder.join(format!("out.{n}"))).map_err(|e| failed(&e))?;
        let total = total(&dump).ok_or_else(|| failed(&format!("dump {n} has no sum")))?;
        Ok(Count { key, per_op: total as f64 / ops.max(1) as f64 })
    });
    counts.collect()
}

/// The sum of a dump: instructions are the only event.
fn total(dump: &str) -> Option<u64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    line?.split_whitespace().next()?.parse().ok()
}

/// Writes counts into the rows that they belong to, without what the loop costs by itself.
pub fn enter(counts: &[Count], rows: &mut [Row]) {
    for row in rows {
        if let Row::Cost(row) = row {
            row.instructions = of(counts, row);
        }
    }
}

fn of(counts: &[Count], row: &CostRow) -> Option<f64> {
    let of = |who: &str, locked: bool| {
        let is = |key: &Key| {
            (key.workload.as_str(), key.order, key.threads) == (row.workload.as_str(), row.order, row.threads)
                && (key.who.as_str(), key.locked) == (who, locked)
        };
        counts.iter().find(|count| is(&count.key)).map(|count| count.per_op)
    };
    let nothing = of(Subject::NOTHING.who, Subject::NOTHING.locked)?;
    Some((10.0 * (of(&row.who, row.locked)? - nothing)).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a count is the sum of its dump, divided by the operations, without the loop.
    #[test]
    fn counts() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 12345\n\nfn=(1)\n0 1\n"), Some(12345));
        assert_eq!(total("events: Ir\n0 1\ntotals: 77\n"), Some(77));
        assert_eq!(total("events: Ir\n"), None);
        let key =
            |who: &str, locked| Key { workload: "W1".into(), order: 3, threads: 1, locked, who: who.into() };
        let counts = [
            Count { key: key("nothing", false), per_op: 4.0 },
            Count { key: key("forebay", true), per_op: 75.06 },
        ];
        let row = |who: &str, order| CostRow {
            workload: "W1".into(),
            order,
            threads: 1,
            locked: true,
            who: who.into(),
            ns_per_op: 1.0,
            p99_ns: 1.0,
            instructions: None,
            buffers: None,
            note: None,
        };
        let mut rows = [row("forebay", 3), row("forebay", 6), row("talc", 3)].map(Row::Cost);
        enter(&counts, &mut rows);
        let found = rows.map(|row| match row {
            Row::Cost(row) => row.instructions,
            Row::Share(_) | Row::Block(_) => None,
        });
        assert_eq!(found, [Some(71.1), None, None]);
    }
}
