//! `reclaims`: instructions of a reclaim of one page among many buffers, of which one in a hundred is resident. Callgrind
//! counts them, in the window of the example `reclaim_costs`.

use crate::failure::{Failure, Result, failed};
use crate::place;
use crate::process::{End, cargo_with, program, run, said};
use crate::tally::{Tally, Verdict};
use crate::tools;

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
const ROUNDS: u64 = 200;
/// To purge the one that is not needed, with an index.
const MOST_FOR_A_PURGE: u64 = 3_000;

pub(crate) fn main() -> Result {
    if !tools::on_path("valgrind") {
        let hint = "missing: valgrind; on Debian: apt-get install -y --no-install-recommends valgrind";
        return Err(Failure::Missing(hint.to_owned()));
    }
    let mut tally = Tally::default();
    let end = measure(&mut tally);
    tally.end_with(end)
}

fn measure(tally: &mut Tally) -> Result {
    run(&mut cargo_with("build -q --release -p hosted-tests --example reclaim_costs"))?;
    println!("| instructions, buffers | evict, slice | evict, index | purge, slice | purge, index |");
    println!("| --- | --- | --- | --- | --- |");
    let mut rows = Vec::new();
    for size in SIZES {
        let mut row = [0; 4];
        for (figure, (what, how)) in row.iter_mut().zip([
            ("evict", "slice"),
            ("evict", "index"),
            ("purge", "slice"),
            ("purge", "index"),
        ]) {
            *figure = counted(size, how, what)?;
        }
        let [evict, evict_indexed, purge, purge_indexed] = row;
        println!("| {size} | {evict} | {evict_indexed} | {purge} | {purge_indexed} |");
        tally.check(Verdict::at_most(evict, evict_indexed), &format!("{size}: evict, index below slice"));
        tally.check(
            Verdict::at_most(MOST_FOR_A_PURGE, purge_indexed),
            &format!("{size}: purge, {purge_indexed} of {MOST_FOR_A_PURGE} instructions"),
        );
        rows.push(evict_indexed);
    }
    if let [few, .., many] = rows[..] {
        let most = few * 13 / 10;
        tally
            .check(Verdict::at_most(most, many), &format!("evict, index: {many} of {most}, 1.3 times {few}"));
    }
    Ok(())
}

/// The mean of some rounds.
fn counted(size: usize, how: &str, what: &str) -> Result<u64> {
    let example = place::target().join("release/examples/reclaim_costs");
    let mut valgrind = program("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    valgrind.arg("--toggle-collect=*many::window*").arg(example);
    valgrind.args([&size.to_string(), how, what, &ROUNDS.to_string()]);
    let said = said(&mut valgrind)?;
    if said.end != End::Status(0) {
        return failed(format!("{what} over {how}:\n{}", said.all()));
    }
    let collected = said.err.lines().find_map(|line| line.split("Collected :").nth(1));
    match collected.and_then(|number| number.trim().parse::<u64>().ok()) {
        Some(all) if all > 0 => Ok(all / ROUNDS),
        _ => failed(format!("callgrind counted nothing:\n{}", said.err)),
    }
}
