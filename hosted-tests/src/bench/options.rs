//! What may be chosen about a bench.

use super::PAGE;
use super::arena::LARGEST;
use super::meter::Pace;
use crate::lab::parse_size;
use clap::{Args, ValueEnum};
use forebay::Order;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Workload {
    /// Allocate and free, half of the arena held
    #[value(name = "W1")]
    W1,
    /// The same with one more block held: nothing is split or joined
    #[value(name = "W1+1")]
    W1PlusOne,
    /// Allocate half of the arena, free it in shuffled order
    #[value(name = "W2")]
    W2,
    /// Free a random block, allocate another
    #[value(name = "W3")]
    W3,
    /// W3 on one thread and on two
    #[value(name = "W4")]
    W4,
    /// What a mix of orders leaves of large blocks
    #[value(name = "W5")]
    W5,
    /// The same after evictions
    #[value(name = "W9")]
    W9,
    /// Evictions beside memcpy
    #[value(name = "evict")]
    Evict,
    /// Adding memory, as a machine does once
    #[value(name = "add")]
    Add,
}

impl Workload {
    /// As it is printed.
    pub const fn id(self) -> &'static str {
        match self {
            Workload::W1 => "W1",
            Workload::W1PlusOne => "W1+1",
            Workload::W2 => "W2",
            Workload::W3 => "W3",
            Workload::W4 => "W4",
            Workload::W5 => "W5",
            Workload::W9 => "W9",
            Workload::Evict => "evict",
            Workload::Add => "add",
        }
    }

    /// The workloads that [`speed`](super::speed) runs.
    pub const SPEED: [Workload; 4] = [Workload::W1, Workload::W1PlusOne, Workload::W2, Workload::W3];
}

/// What every bench can be told.
#[derive(Clone, Debug, Args)]
pub struct Scale {
    /// Memory of each allocator, such as 256MiB: 32 MiB at least, in steps of 4 MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_arena, default_value = "1GiB")]
    pub arena: usize,

    /// Orders of blocks, 10 at most
    #[arg(long, value_name = "ORDERS", value_delimiter = ',', value_parser = parse_order,
          default_value = "0,3,6,9,10")]
    pub orders: Vec<Order>,

    /// Where the random numbers begin: the same seed gives the same traces
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Much less of everything: some seconds, and figures of little worth
    #[arg(long)]
    pub quick: bool,
}

impl Scale {
    /// Pages of the arena.
    pub fn pages(&self) -> usize {
        self.arena / PAGE
    }

    /// The arguments for another process that does the same, at its own pace.
    pub fn arguments(&self) -> Vec<String> {
        let orders: Vec<String> = self.orders.iter().map(|order| order.get().to_string()).collect();
        let mut arguments = vec![
            format!("--arena={}", self.arena),
            format!("--orders={}", orders.join(",")),
            format!("--seed={}", self.seed),
        ];
        if self.quick {
            arguments.push("--quick".into());
        }
        arguments
    }

    /// How much is timed.
    pub fn pace(&self) -> Pace {
        match self.quick {
            false => Pace { rounds: 16, warm_up: 1, batches: 200, ops: 32, bulk: 32 },
            true => Pace { rounds: 2, warm_up: 1, batches: 20, ops: 32, bulk: 32 },
        }
    }
}

/// Whether instructions are counted.
#[derive(Clone, Debug, Args)]
pub struct Instructions {
    /// Also count instructions, with valgrind: some minutes
    #[arg(long)]
    pub instructions: bool,

    /// Only runs what is counted, and says what it was; for a process under valgrind
    #[arg(long, hide = true)]
    pub windows: bool,
}

/// How many traces there are.
#[derive(Clone, Debug, Args)]
pub struct Traces {
    /// Traces of W5 and W9; the first one has the number of --seed, the others those that follow. 20, or 1 with --quick
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    pub seeds: Option<usize>,
}

impl Traces {
    /// The seeds.
    pub fn seeds(&self, scale: &Scale) -> Vec<u64> {
        let count = self.seeds.unwrap_or(if scale.quick { 1 } else { 20 });
        (0..count as u64).map(|n| Self::FIRST.wrapping_add(scale.seed).wrapping_add(n)).collect()
    }

    /// Tests use other, small numbers.
    const FIRST: u64 = 0x0b5e_0000;
}

fn parse_arena(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|e| e.to_string())?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes >= 32 << 20 && bytes.is_multiple_of(LARGEST) => Ok(bytes),
        _ => Err("write 32MiB or more, in steps of 4 MiB, such as 256MiB".into()),
    }
}

fn parse_order(text: &str) -> Result<Order, String> {
    let order = text.trim().parse().ok().and_then(Order::new).filter(|order| *order <= Order::TEN);
    order.ok_or_else(|| "write orders from 0 to 10, such as 0,3,10".into())
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err("write a number from 1 to 10000".into()),
    }
}
