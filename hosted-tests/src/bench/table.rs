//! Rows as tables for people: one table for each workload, a line for each allocator, a column for each order.

use super::row::{BlockRow, CostRow, Row, ShareRow};
use crate::lab::table::framed;
use crate::lab::text::{count, group};
use comfy_table::{CellAlignment, Table};

/// What is compared: rows of one workload that differ by order, or by the number of buffers, and by allocator.
#[derive(Debug)]
pub struct Group<'r> {
    /// The id of the workload.
    pub workload: &'r str,
    /// Threads at once.
    pub threads: usize,
    /// Whether several threads may use the allocators.
    pub locked: bool,
    /// Orders or numbers of buffers.
    pub columns: Vec<String>,
    /// An allocator, and its row in each column.
    pub lines: Vec<(&'r str, Vec<Option<&'r CostRow>>)>,
}

impl<'r> Group<'r> {
    /// All groups, in the order of their first rows.
    pub fn all(rows: &'r [Row]) -> Vec<Group<'r>> {
        let mut groups: Vec<Group<'r>> = vec![];
        for row in rows.iter().filter_map(cost) {
            let CostRow { workload, threads, locked, .. } = row;
            let is = |group: &Group| {
                (group.workload, group.threads, group.locked) == (workload, *threads, *locked)
            };
            let at = groups.iter().position(is).unwrap_or_else(|| {
                let (columns, lines) = (vec![], vec![]);
                groups.push(Group { workload, threads: *threads, locked: *locked, columns, lines });
                groups.len() - 1
            });
            groups[at].add(row);
        }
        groups
    }

    fn add(&mut self, row: &'r CostRow) {
        let label = row.buffers.map_or_else(|| format!("order {}", row.order), |n| count(n, "buffer"));
        let column = self.columns.iter().position(|one| *one == label).unwrap_or_else(|| {
            self.columns.push(label);
            self.columns.len() - 1
        });
        let line = self.lines.iter().position(|(who, _)| *who == row.who).unwrap_or_else(|| {
            self.lines.push((&row.who, vec![]));
            self.lines.len() - 1
        });
        let cells = &mut self.lines[line].1;
        cells.resize(cells.len().max(column + 1), None);
        cells[column] = Some(row);
    }

    /// What it is, in words.
    pub fn title(&self) -> String {
        let threads = count(self.threads, "thread");
        let lock = if self.locked { "locked" } else { "without a lock" };
        format!("{}, {threads}, {lock}", self.workload)
    }

    /// Notes of its rows, each once, with those that have it.
    pub fn notes(&self) -> Vec<(String, Vec<&'r str>)> {
        let mut notes: Vec<(String, Vec<&'r str>)> = vec![];
        for (who, cells) in &self.lines {
            let Some(note) = cells.iter().flatten().find_map(|row| row.note.clone()) else { continue };
            match notes.iter_mut().find(|(text, _)| *text == note) {
                Some((_, whos)) => whos.push(who),
                None => notes.push((note, vec![who])),
            }
        }
        notes
    }
}

/// Shares of one workload: an allocator, its failed allocations, and its row for each order.
#[derive(Debug)]
pub struct Shares<'r> {
    /// The id of the workload.
    pub workload: &'r str,
    /// Orders.
    pub columns: Vec<u8>,
    /// An allocator, and its row for each order.
    pub lines: Vec<(&'r str, Vec<&'r ShareRow>)>,
}

impl<'r> Shares<'r> {
    /// All of them, in the order of their first rows.
    pub fn all(rows: &'r [Row]) -> Vec<Shares<'r>> {
        let mut all: Vec<Shares<'r>> = vec![];
        for row in rows.iter().filter_map(share) {
            let at = all.iter().position(|one| one.workload == row.workload).unwrap_or_else(|| {
                all.push(Shares { workload: &row.workload, columns: vec![], lines: vec![] });
                all.len() - 1
            });
            let shares = &mut all[at];
            if !shares.columns.contains(&row.order) {
                shares.columns.push(row.order);
            }
            match shares.lines.iter_mut().find(|(who, _)| *who == row.who) {
                Some((_, cells)) => cells.push(row),
                None => shares.lines.push((&row.who, vec![row])),
            }
        }
        all
    }

    /// The traces, which are the same for all.
    pub fn seeds(&self) -> &'r [u64] {
        self.lines.first().and_then(|(_, cells)| cells.first()).map_or(&[], |row| &row.seeds)
    }
}

/// All rows, as tables.
pub fn table(rows: &[Row]) -> String {
    let costs = Group::all(rows).into_iter().map(|group| cost_table(&group));
    let shares = Shares::all(rows).into_iter().map(|shares| share_table(&shares));
    let blocks = block_table(rows);
    costs.chain(shares).chain(blocks).collect::<Vec<_>>().join("\n")
}

/// Blocks of shmem: a line for each case and mode, a column for each size.
fn block_table(rows: &[Row]) -> Option<String> {
    let rows: Vec<&BlockRow> = rows.iter().filter_map(block).collect();
    let (mut columns, mut lines) = (vec![], Vec::<(&str, &str, Vec<&BlockRow>)>::new());
    for row in rows {
        if !columns.contains(&row.block_bytes) {
            columns.push(row.block_bytes);
        }
        match lines.iter_mut().find(|(mode, case, _)| (*mode, *case) == (&row.mode, &row.case)) {
            Some((.., cells)) => cells.push(row),
            None => lines.push((&row.mode, &row.case, vec![row])),
        }
    }
    let mut table = framed([""]);
    let sizes = columns.iter().map(|bytes| format!("{} KiB", bytes >> 10));
    table.set_header(["mode".to_owned(), "case".to_owned()].into_iter().chain(sizes));
    for (mode, case, cells) in &lines {
        let cells = cells.iter().map(|row| format!("{} ({})", number(row.ns_per_block), row.memcpy_ratio));
        table.add_row([(*mode).to_owned(), (*case).to_owned()].into_iter().chain(cells));
    }
    align(&mut table, columns.len() + 1);
    (!lines.is_empty())
        .then(|| format!("shmem: ns a block of the thread's processor time (beside memcpy)\n{table}\n"))
}

fn cost_table(group: &Group) -> String {
    let mut table = framed([""]);
    table.set_header(["who".to_owned()].into_iter().chain(group.columns.iter().cloned()));
    for (who, cells) in &group.lines {
        let cells = cells.iter().map(|row| row.map_or_else(String::new, cell));
        table.add_row([(*who).to_owned()].into_iter().chain(cells));
    }
    align(&mut table, group.columns.len());
    let counted = group.lines.iter().flat_map(|(_, cells)| cells).flatten();
    let unit = match counted.filter_map(|row| row.instructions).next() {
        Some(_) => "ns an operation, median / p99; instructions",
        None => "ns an operation, median / p99",
    };
    let mut text = format!("{}: {unit}\n{table}\n", group.title());
    for (note, whos) in group.notes() {
        text += &format!("{}: {note}\n", whos.join(", "));
    }
    text
}

fn share_table(shares: &Shares) -> String {
    let mut table = framed([""]);
    let orders = shares.columns.iter().map(|order| format!("order {order}"));
    table.set_header(["who".to_owned()].into_iter().chain(orders).chain(["failed".to_owned()]));
    for (who, cells) in &shares.lines {
        let failed = cells.first().map_or(0, |row| row.failed);
        let percent = cells.iter().map(|row| format!("{:.2} %", row.percent));
        table.add_row([(*who).to_owned()].into_iter().chain(percent).chain([group(failed)]));
    }
    align(&mut table, shares.columns.len() + 1);
    let (workload, seeds) = (shares.workload, shares.seeds());
    format!("{workload}: pages in blocks of that order, of all free pages; seeds {seeds:?}\n{table}\n")
}

fn cell(row: &CostRow) -> String {
    let time = format!("{} / {}", number(row.ns_per_op), number(row.p99_ns));
    match row.instructions {
        Some(instructions) => format!("{time}; {}", number(instructions)),
        None => time,
    }
}

/// A digit behind the point only where it says something.
pub fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { group(value.round() as usize) }
}

fn cost(row: &Row) -> Option<&CostRow> {
    match row {
        Row::Cost(row) => Some(row),
        Row::Share(_) | Row::Block(_) => None,
    }
}

fn share(row: &Row) -> Option<&ShareRow> {
    match row {
        Row::Share(row) => Some(row),
        Row::Cost(_) | Row::Block(_) => None,
    }
}

fn block(row: &Row) -> Option<&BlockRow> {
    match row {
        Row::Block(row) => Some(row),
        Row::Cost(_) | Row::Share(_) => None,
    }
}

/// All columns but the first.
fn align(table: &mut Table, columns: usize) {
    for column in 1..=columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
