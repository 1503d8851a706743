//! What valgrind's `lackey` saw of a program's memory, as a trace of pages.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::BufRead;

const PAGE: u64 = 4096;
const WIDTH: usize = 110;

/// Pages that were accessed last, as a processor's TLB keeps them. Only what is not among them is in the trace: what an MMU sees.
const TLB: usize = 32;
/// Accesses of a trace, at most.
const MOST: usize = 30_000;

/// Accesses to memory, by pages in the order of their first ones.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest first, and whether it was written since it is there.
    tlb: VecDeque<(u64, bool)>,
    numbers: BTreeMap<u64, usize>,
    /// A page, and whether it was written.
    touches: Vec<(usize, bool)>,
}

impl Memory {
    /// Reads what `lackey` says, to its end or until the trace is long enough.
    pub(super) fn of(said: impl BufRead) -> Memory {
        let mut memory = Memory::default();
        for line in said.lines().map_while(Result::ok) {
            if let Some((page, writes)) = parse(&line) {
                memory.touch(page, writes);
            }
            if memory.touches.len() == MOST {
                break;
            }
        }
        memory
    }

    fn touch(&mut self, page: u64, writes: bool) {
        let known = self.tlb.iter().position(|(known, _)| *known == page);
        let written = known.and_then(|at| self.tlb.remove(at)).map(|(_, written)| written);
        self.tlb.push_front((page, writes || written == Some(true)));
        self.tlb.truncate(TLB);
        if written.is_none_or(|written| writes && !written) {
            let next = self.numbers.len();
            self.touches.push((*self.numbers.entry(page).or_insert(next), writes));
        }
    }
}

/// A line such as ` S 1fff000648,8`: a load, a store, or both. Instructions are none.
fn parse(line: &str) -> Option<(u64, bool)> {
    let mut words = line.strip_prefix(' ')?.split([' ', ',']);
    let writes = match words.next()? {
        "L" => false,
        "S" | "M" => true,
        _ => return None,
    };
    Some((u64::from_str_radix(words.next()?, 16).ok()? / PAGE, writes))
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut column = 0;
        for (page, writes) in &self.touches {
            let word = format!("{}{page}", if *writes { "w" } else { "" });
            let space = match column {
                0 => "",
                _ if column + word.len() >= WIDTH => "\n",
                _ => " ",
            };
            column = if space == "\n" { word.len() } else { column + space.len() + word.len() };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a page is told when it comes, and when it is written for the first time since; instructions are not.
    #[test]
    fn memory() {
        let mut said =
            "==1== Lackey\nI  0400,3\n L 1000,8\n L 1008,8\n S 1010,4\n M 1010,4\n L 2000,1\n".to_owned();
        (0..TLB).for_each(|n| said += &format!(" L {:x},8\n", 0x10_0000 + n * 0x1000));
        said += " L 1000,8\n";
        let text = Memory::of(said.as_bytes()).to_string();
        assert!(text.starts_with("0 w0 1 2 3 4 ") && text.ends_with(" 0"), "{text}");
    }
}
