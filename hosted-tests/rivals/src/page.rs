//! The page of the results: tables and plots, and for each group who is best.

use crate::plot::{Axis, Cluster, bars};
use hosted_tests::bench::row::{CostRow, Row};
use hosted_tests::bench::table::{Group, Shares, number};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// Writes the page, `index.md`, and its pictures into a folder, which is made if it is missing. `more` follows at its end.
///
/// # Errors
/// Those of the system.
pub fn write(
    folder: &Path,
    command: &str,
    facts: &[(&str, String)],
    rows: &[Row],
    more: &str,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let (mut summary, mut sections, mut columns) = (String::new(), String::new(), vec![]);
    for group in Group::all(rows) {
        let picture = format!("{}.svg", file_name(&group.title()));
        fs::write(folder.join(&picture), cost_picture(&group))?;
        sections += &cost_section(&group, &picture);
        if group.columns != columns {
            columns.clone_from(&group.columns);
            summary += &format!("\n| | {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len() + 1));
        }
        summary += &cost_summary(&group);
    }
    for shares in Shares::all(rows) {
        let picture = format!("{}.svg", file_name(shares.workload));
        fs::write(folder.join(&picture), share_picture(&shares))?;
        sections += &share_section(&shares, &picture);
    }
    let mut page =
        format!("# forebay beside other allocators\n\nMade by `{command}`.\n\n| | |\n| --- | --- |\n");
    for (name, fact) in facts {
        let _ = writeln!(page, "| {name} | {fact} |");
    }
    page += ABOUT;
    page += "\n## Who is best\n\nOf `forebay`, or of `forebay-source` where it is alone, the ratio to the best other one: of the time, and of the instructions if they were counted. Where another one is \
             better in either, it is named. Below each plot there is more of this, and for W5 and W9 too.\n";
    page += &summary;
    page += &sections;
    page += more;
    fs::write(folder.join("index.md"), page)
}

const ABOUT: &str = "
- `forebay` is a pool in front of the source `Ram`, `forebay-source` is `Ram` alone. No allocator zeroes what it gives here:
  blocks of forebay are of a type for which zeroing does nothing.
- W1: half of the arena is held; a block is allocated and freed. W1+1: one block more is held, so that nothing is split. W2: half
  of the arena is allocated, then freed in shuffled order. W3: a random block is freed and another allocated. W4: W3 on one thread,
  and on two that are pinned; only batches count during which both ran. W5: a mix of orders at 90 %, then random blocks are freed
  down to half. W9: the same where a reclaim evicts down to half, in an arena of 256 MiB at
  most; no rival evicts.
- evict: buffers leave memory, an operation is a block; a transfer copies nothing, its copying is `write-out`. Beside it stands a loop
  of memcpy over the same number of bytes. add: a machine adds 64 GiB, once.
- All run in one process, in turns, on the same traces. Times are means of 32 operations (fewer for large blocks); the median and
  the 99th percentile are of these means. The loop around is in the times, for all alike, and not in the instructions of W1 to W4.
- Callgrind counts the instructions, and runs one thread at a time. So those of W4 with two threads are of both in turns: what each
  executes, without waiting for the other. Its times have the waiting.
- frame-alloc takes no lock, and stands among those with one because it can be shared. talc, rlsf and linked_list_allocator are
  for bytes: they hold fewer blocks than the others, so their rows are easier ones.
- A ratio below 1 says that forebay is faster, or takes fewer instructions; above 1 that the other one does.
";

fn is_ours(who: &str) -> bool {
    who.starts_with("forebay")
}

/// Small letters and digits.
fn file_name(title: &str) -> String {
    let plain =
        title.to_lowercase().replace('+', "-plus-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The rows of one column, with their names.
fn column<'r>(group: &Group<'r>, column: usize) -> Vec<(&'r str, &'r CostRow)> {
    let cells = group.lines.iter().filter_map(|(who, cells)| Some((*who, (*cells.get(column)?)?)));
    cells.collect()
}

/// Of these rows the one with the least.
fn best<'r>(rows: &[(&'r str, &'r CostRow)], of: impl Fn(&CostRow) -> Option<f64>) -> Option<(&'r str, f64)> {
    let known = rows.iter().filter_map(|(who, row)| Some((*who, of(row)?)));
    known.min_by(|(_, one), (_, other)| one.total_cmp(other))
}

/// Ratios of one allocator to the best other one, of time and of instructions, with those who are better.
struct Against<'r> {
    time: Option<(f64, &'r str)>,
    instructions: Option<(f64, &'r str)>,
}

impl<'r> Against<'r> {
    fn new(who: &str, all: &[(&'r str, &'r CostRow)]) -> Against<'r> {
        let others: Vec<_> = all.iter().copied().filter(|(name, _)| !is_ours(name)).collect();
        let own: Vec<_> = all.iter().copied().filter(|(name, _)| *name == who).collect();
        let ratio = |of: &dyn Fn(&CostRow) -> Option<f64>| {
            let (other, least) = best(&others, of)?;
            Some((best(&own, of)?.1 / least, other))
        };
        Against { time: ratio(&|row| Some(row.ns_per_op)), instructions: ratio(&|row| row.instructions) }
    }

    /// In a sentence.
    fn long(&self) -> String {
        let time = self.time.map(|(ratio, _)| format!("{} × the time", times(ratio)));
        let counted = self.instructions.map(|(ratio, _)| format!("{} × the instructions", times(ratio)));
        joined(time, counted)
    }

    /// In a cell.
    fn short(&self) -> String {
        let part = |(ratio, other): (f64, &str)| match ratio {
            ratio if ratio > 1.0 => format!("**{}** ({other})", times(ratio)),
            ratio => times(ratio),
        };
        joined(self.time.map(part), self.instructions.map(part))
    }
}

fn joined(time: Option<String>, counted: Option<String>) -> String {
    let parts: Vec<String> = time.into_iter().chain(counted).collect();
    if parts.is_empty() { "–".into() } else { parts.join(", ") }
}

/// Two digits behind the point, or more if there would be nothing.
fn times(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// Those that have no row in a column, in words: a ratio without the best one would be too good.
fn missing(group: &Group, column: usize) -> String {
    let has_none = |cells: &[Option<&CostRow>]| cells.get(column).copied().flatten().is_none();
    let names: Vec<&str> =
        group.lines.iter().filter(|(_, cells)| has_none(cells)).map(|(who, _)| *who).collect();
    if names.is_empty() { String::new() } else { format!("; not measured: {}", names.join(", ")) }
}

/// The group in one line.
fn cost_summary(group: &Group) -> String {
    let has_pool = group.lines.iter().any(|(who, _)| *who == "forebay");
    let who = if has_pool { "forebay" } else { "forebay-source" };
    let cell = |n| Against::new(who, &column(group, n)).short() + &missing(group, n);
    let cells: Vec<String> = (0..group.columns.len()).map(cell).collect();
    format!("| {} | {} |\n", group.title(), cells.join(" | "))
}

/// A line for each column: the best one of all, and ratios.
fn cost_details(group: &Group) -> String {
    let mut lines = String::from(
        "\n| | best | forebay against the best other | forebay-source against it |\n| --- | --- | --- | --- |\n",
    );
    for (n, label) in group.columns.iter().enumerate() {
        let all = column(group, n);
        let Some((winner, least)) = best(&all, |row| Some(row.ns_per_op)) else { continue };
        let mut winners = format!("{winner}, {} ns", number(least));
        if let Some((winner, least)) = best(&all, |row| row.instructions) {
            let _ = write!(winners, "; {winner}, {} instructions", number(least));
        }
        winners += &missing(group, n);
        let against = |who: &str| Against::new(who, &all).long();
        let (pool, source) = (against("forebay"), against("forebay-source"));
        let _ = writeln!(lines, "| {label} | {winners} | {pool} | {source} |");
    }
    lines
}

fn cost_picture(group: &Group) -> String {
    let clusters = group.columns.iter().enumerate().map(|(n, label)| Cluster {
        label: label.clone(),
        bars: column(group, n)
            .into_iter()
            .map(|(who, row)| (who.to_owned(), row.ns_per_op.max(0.1), number(row.ns_per_op)))
            .collect(),
    });
    let title = format!("{}: median ns of an operation (logarithmic)", group.title());
    bars(&title, Axis::Logarithmic, &clusters.collect::<Vec<_>>())
}

fn cost_section(group: &Group, picture: &str) -> String {
    let title = group.title();
    let mut text = format!("\n## {title}\n\n![{title}]({picture})\n\n| ns: median / p99");
    let counted =
        group.lines.iter().flat_map(|(_, cells)| cells).flatten().any(|row| row.instructions.is_some());
    text += if counted { "; instructions |" } else { " |" };
    for label in &group.columns {
        let _ = write!(text, " {label} |");
    }
    text += &format!("\n|{}\n", " --- |".repeat(group.columns.len() + 1));
    for (who, cells) in &group.lines {
        let _ = write!(text, "| {who} |");
        for n in 0..group.columns.len() {
            let cell = cells.get(n).copied().flatten().map_or_else(|| "–".to_owned(), cell);
            let _ = write!(text, " {cell} |");
        }
        text += "\n";
    }
    for (note, whos) in group.notes() {
        let _ = writeln!(text, "\n{}: {note}.", whos.join(", "));
    }
    text + &cost_details(group)
}

fn cell(row: &CostRow) -> String {
    let time = format!("{} / {}", number(row.ns_per_op), number(row.p99_ns));
    row.instructions.map_or(time.clone(), |count| format!("{time}; {}", number(count)))
}

/// A line for each order: the best one, and how many points forebay is above the best other one.
fn share_details(shares: &Shares) -> String {
    let mut lines = String::from(
        "\n| | best | forebay against the best other | forebay-source against it |\n| --- | --- | --- | --- |\n",
    );
    for (n, order) in shares.columns.iter().enumerate() {
        let all: Vec<(&str, f64)> =
            shares.lines.iter().filter_map(|(who, cells)| Some((*who, cells.get(n)?.percent))).collect();
        let Some(percent) = all.iter().map(|(_, percent)| *percent).reduce(f64::max) else { continue };
        let winners = all.iter().filter(|(_, own)| *own == percent).map(|(who, _)| *who);
        let winner = winners.collect::<Vec<_>>().join(" and ");
        let others = all.iter().filter(|(who, _)| !is_ours(who)).map(|(_, percent)| *percent);
        let other = others.reduce(f64::max);
        let points = |who: &str| {
            let own = all.iter().find(|(name, _)| *name == who).map(|(_, percent)| *percent);
            match (own, other) {
                (Some(own), Some(other)) => format!("{:+.2} points", own - other),
                _ => "–".into(),
            }
        };
        let (pool, source) = (points("forebay"), points("forebay-source"));
        let _ = writeln!(lines, "| order {order} | {winner}, {percent:.2} % | {pool} | {source} |");
    }
    lines
}

fn share_picture(shares: &Shares) -> String {
    let clusters = shares.columns.iter().enumerate().map(|(n, order)| Cluster {
        label: format!("order {order}"),
        bars: shares
            .lines
            .iter()
            .filter_map(|(who, cells)| {
                let percent = cells.get(n)?.percent;
                Some(((*who).to_owned(), percent, format!("{percent:.2} %")))
            })
            .collect(),
    });
    let title = format!("{}: free pages in blocks of that order", shares.workload);
    bars(&title, Axis::Linear, &clusters.collect::<Vec<_>>())
}

fn share_section(shares: &Shares, picture: &str) -> String {
    let workload = shares.workload;
    let mut text = format!("\n## {workload}\n\n![{workload}]({picture})\n\n| % of the free pages |");
    for order in &shares.columns {
        let _ = write!(text, " order {order} |");
    }
    text += &format!(" failed allocations |\n|{}\n", " --- |".repeat(shares.columns.len() + 2));
    for (who, cells) in &shares.lines {
        let _ = write!(text, "| {who} |");
        for row in cells {
            let _ = write!(text, " {:.2} |", row.percent);
        }
        let _ = writeln!(text, " {} |", cells.first().map_or(0, |row| row.failed));
    }
    let seeds: Vec<String> = shares.seeds().iter().map(u64::to_string).collect();
    text += &share_details(shares);
    let _ = writeln!(text, "\nMeans over the traces of the seeds {}.", seeds.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosted_tests::bench::row::ShareRow;

    fn row(who: &str, ns_per_op: f64, instructions: Option<f64>) -> Row {
        Row::Cost(CostRow {
            workload: "W1+1".into(),
            order: 3,
            threads: 1,
            locked: true,
            who: who.into(),
            ns_per_op,
            p99_ns: 2.0 * ns_per_op,
            instructions,
            buffers: None,
            note: None,
        })
    }

    fn cost_of(workload: &str, who: &str, order: u8) -> CostRow {
        let Row::Cost(row) = row(who, 10.0, None) else { unreachable!() };
        CostRow { workload: workload.into(), order, ..row }
    }

    fn row_of(workload: &str, who: &str, order: u8) -> Row {
        Row::Cost(cost_of(workload, who, order))
    }

    fn share(who: &str, percent: f64) -> Row {
        Row::Share(ShareRow {
            workload: "W5".into(),
            order: 9,
            who: who.into(),
            percent,
            failed: 7,
            seeds: vec![11, 12],
        })
    }

    /// Rule: the page says who is best, also where that is another one, and what forebay's ratio to the best other one is.
    #[test]
    fn the_page_is_honest() {
        let rows = [
            row("forebay", 30.0, Some(100.0)),
            row("forebay-source", 200.0, Some(900.0)),
            row("fast", 20.0, Some(200.0)),
            row("slow", 90.0, Some(300.0)),
            row_of("W4", "forebay", 3),
            row_of("W4", "slow", 3),
            row_of("W4", "slow", 6),
            row_of("add", "forebay-source", 3),
            Row::Cost(CostRow { ns_per_op: 5.0, ..cost_of("add", "slow", 3) }),
            share("forebay", 30.0),
            share("forebay-source", 33.5),
            share("fast", 31.0),
            share("as good", 33.5),
        ];
        let folder = std::env::temp_dir().join(format!("forebay-page-{}", std::process::id()));
        write(&folder, "a command", &[("date", "today".into())], &rows, "the end").unwrap();
        let page = fs::read_to_string(folder.join("index.md")).unwrap();
        for line in [
            "| W1+1, 1 thread, locked | **1.50** (fast), 0.50 |",
            "| order 3 | fast, 20.0 ns; forebay, 100 instructions | 1.50 × the time, 0.50 × the instructions | 10.00 × the time, 4.50 × the instructions |",
            "| order 9 | forebay-source and as good, 33.50 % | -3.50 points | +0.00 points |",
            "| slow | 90.0 / 180; 300 |",
            "| W4, 1 thread, locked | 1.00 | –; not measured: forebay |",
            "| fast | 31.00 | 7 |",
            "| add, 1 thread, locked | **2.00** (slow) |",
            "| date | today |",
            "Made by `a command`.",
            "seeds 11, 12.",
            "(w1-plus-1-1-thread-locked.svg)",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        assert!(page.ends_with("the end"));
        for picture in ["w1-plus-1-1-thread-locked.svg", "w5.svg"] {
            assert!(fs::read_to_string(folder.join(picture)).unwrap().starts_with("<svg"));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
