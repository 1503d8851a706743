//! Instructions of batches: the program runs itself once more under callgrind, which counts inside of one function only.

use super::meter::{Durations, Key, Meter, Pace};
use super::options::Instructions;
use super::progress::Progress;
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

    fn durations(&mut self) -> Option<&mut Durations> {
        None
    }

    fn subjects(&self, all: &[Subject]) -> Vec<Subject> {
        [&[Subject::NOTHING], all].concat()
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

/// Instructions of all batches of a key.
#[derive(Clone, PartialEq, Debug)]
pub struct Count {
    key: Key,
    instructions: u64,
    ops: usize,
}

impl Count {
    fn add(counts: &mut Vec<Count>, key: Key, instructions: u64, ops: usize) {
        match counts.iter_mut().find(|count| count.key == key) {
            Some(count) => {
                (count.instructions, count.ops) = (count.instructions + instructions, count.ops + ops)
            }
            None => counts.push(Count { key, instructions, ops }),
        }
    }

    /// Of an operation, with the loop around it.
    fn per_op(&self) -> f64 {
        self.instructions as f64 / self.ops.max(1) as f64
    }
}

/// Counts, if instructions are wanted; empty if not. Call it before anything is timed: it fails at once if valgrind is missing.
/// It runs this program once more under callgrind with these arguments and `--windows`. Then the program must run its batches in
/// [`Windows`], and print these as JSON.
///
/// # Errors
/// [`WindowError`].
pub fn count(
    wanted: &Instructions,
    arguments: impl IntoIterator<Item = String>,
    progress: &mut Progress,
) -> Result<Vec<Count>, WindowError> {
    if !wanted.instructions {
        return Ok(vec![]);
    }
    progress.begin("instructions", 1);
    let arguments: Vec<String> = arguments.into_iter().chain(["--windows".into()]).collect();
    let counts = count_with(&arguments);
    progress.end();
    counts
}

fn count_with(arguments: &[String]) -> Result<Vec<Count>, WindowError> {
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
        let own = said.lines().filter(|line| !line.starts_with("==")); // the others are valgrind's
        let last: Vec<&str> = own.take(3).collect();
        return Err(WindowError::Failed(format!("{}: {}", run.status, last.join(" / "))));
    }
    let seen: Vec<(Key, usize)> = serde_json::from_slice(&run.stdout).map_err(|e| failed(&e))?;
    let mut counts: Vec<Count> = vec![];
    for (n, (key, ops)) in (1..).zip(seen) {
        let dump = fs::read_to_string(folder.join(format!("out.{n}"))).map_err(|e| failed(&e))?;
        let instructions = total(&dump).ok_or_else(|| failed(&format!("dump {n} has no sum")))?;
        Count::add(&mut counts, key, instructions, ops);
    }
    Ok(counts)
}

/// The sum of a dump: instructions are the only event.
fn total(dump: &str) -> Option<u64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    line?.split_whitespace().next()?.parse().ok()
}

/// Writes counts into the rows that they belong to, without what the loop costs by itself, where that was counted.
pub fn enter(counts: &[Count], rows: &mut [Row]) {
    for row in rows {
        if let Row::Cost(row) = row {
            row.instructions = of(counts, row);
        }
    }
}

fn of(counts: &[Count], row: &CostRow) -> Option<f64> {
    let of = |who: &str, locked: bool| {
        let is = |Count { key, .. }: &&Count| {
            (key.workload.as_str(), key.order, key.threads) == (row.workload.as_str(), row.order, row.threads)
                && (key.who.as_str(), key.locked, key.buffers) == (who, locked, row.buffers)
        };
        counts.iter().find(is).map(Count::per_op)
    };
    let nothing = of(Subject::NOTHING.who, Subject::NOTHING.locked).unwrap_or(0.0);
    Some((10.0 * (of(&row.who, row.locked)? - nothing)).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay::Order;

    /// Rule: a count is the sum of its dumps, divided by the operations, without the loop.
    #[test]
    fn counts() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 12345\n\nfn=(1)\n0 1\n"), Some(12345));
        assert_eq!(total("events: Ir\n0 1\ntotals: 77\n"), Some(77));
        assert_eq!(total("events: Ir\n"), None);
        let key = |who: &str, locked| Key { locked, ..Key::new("W1", Order::new(3).unwrap(), who) };
        let mut counts = vec![];
        Count::add(&mut counts, key("nothing", false), 400, 100);
        Count::add(&mut counts, key("forebay", true), 7000, 100);
        Count::add(&mut counts, key("forebay", true), 8012, 100);
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
