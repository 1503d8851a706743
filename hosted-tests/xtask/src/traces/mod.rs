//! `traces`: records what `hosted-tests/traces` holds anew: which pages of their files two programs touch.
//!
//! Which pages that are depends on the versions of these programs, so the figures of another machine differ a little. The
//! format is described in `hosted-tests/src/lab/trace.rs`. A trace has page numbers and nothing else.

mod calls;
mod memory;

use crate::failure::{Failure, OrFailed, Result};
use crate::place;
use crate::process::{output, program, run, typed};
use crate::tools;
use calls::Pages;
use memory::Memory;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

/// Files in the database, and lookups in it.
const ROWS: usize = 30_000;
const ASKED: usize = 1_000;

/// Loads an index of files, asks it by name (some names much more often than others), and changes it. Its page cache is the
/// smallest that there is: so a cache below SQLite sees all it wants.
const JOB: &str = "\
pragma page_size = 4096;
pragma cache_size = 1;
pragma mmap_size = 0;
pragma temp_store = memory;
pragma journal_mode = memory;
create table dir(id integer primary key, path text unique);
create table file(id integer primary key, dir integer references dir, name text, bytes integer, seen integer default 0);
create temp table list(path text, name text, bytes integer);
.mode tabs
.import list list
begin;
insert or ignore into dir(path) select path from list;
insert into file(dir, name, bytes) select dir.id, name, bytes from list join dir using(path);
commit;
create index by_name on file(name);
create index by_dir on file(dir, bytes);
create temp table ask as
  with recursive r(i, x) as (
    select 0, 42 union all select i + 1, (x * 1103515245 + 12345) % 2147483648 from r where i < $asked)
  select i, cast($rows * pow(x / 2147483648.0, 3) as integer) * 7919 % $rows + 1 as id from r;
create temp table want as select i, name from ask join file using(id);
select sum(f.bytes), count(distinct d.path) from want cross join file f using(name) cross join dir d on d.id = f.dir;
update file set seen = seen + 1 where id in (select id from ask where i % 2 = 0);
update file set bytes = bytes + 4096 where id in (select id from ask where i % 4 = 1);
select count(*) from (select dir, max(bytes) from file group by dir);
delete from file where id in (select id from ask where i % 8 = 3);
";

/// Lines that are sorted and counted.
const LINES: usize = 6_000;

/// A program with the whole of iostream in it.
const WORDS: &str = "\
#include <iostream>
#include <map>
#include <string>
int main() {
  std::map<std::string, int> seen;
  for (std::string word; std::cin >> word;) ++seen[word];
  for (auto &[word, times] : seen) std::cout << word << ' ' << times << '\\n';
}
";

/// Writes the traces into a folder; into the repository if none is named.
pub(crate) fn main(to: Option<&Path>) -> Result {
    for (tool, package) in [
        ("strace", "strace"),
        ("sqlite3", "sqlite3"),
        ("g++", "g++"),
        ("valgrind", "valgrind"),
        ("mawk", "mawk"),
    ] {
        if !tools::on_path(tool) {
            let hint =
                format!("missing: {tool}; on Debian: apt-get install -y --no-install-recommends {package}");
            return Err(Failure::Missing(hint));
        }
    }
    let to = to.map_or_else(|| place::root().join("hosted-tests/traces"), Path::to_owned);
    fs::create_dir_all(&to).or_failed(to.display())?;
    let work = place::target().join(format!("traces-{}", process::id()));
    fs::create_dir_all(&work).or_failed(work.display())?;
    let end = database(&work, &to.join("database.trace"))
        .and_then(|()| linker(&work, &to.join("linker.trace")))
        .and_then(|()| in_memory(&work, &to));
    let _ = fs::remove_dir_all(work);
    end
}

/// A program that runs in the folder `work`, in no language but English.
fn tool(work: &Path, words: &str) -> Command {
    let (name, arguments) = words.split_once(' ').unwrap_or((words, ""));
    let mut tool = program(name);
    tool.args(arguments.split_whitespace()).current_dir(work).env("LC_ALL", "C");
    tool
}

/// Runs a program under `strace`, with `input`, and says which pages of some files it touched.
fn recorded(work: &Path, words: &str, input: Stdio, only: fn(&str) -> bool) -> Result<Pages> {
    let options = "-f -y -s 0 -o calls -e trace=openat,lseek,read,write,pread64,pwrite64";
    let mut strace = tool(work, &format!("strace {options} {words}"));
    let what = typed(&strace);
    let said = strace.stdin(input).output().or_failed(&what)?;
    if !said.status.success() {
        return Err(Failure::Failed(format!("{what}:\n{}", String::from_utf8_lossy(&said.stderr))));
    }
    let calls = fs::read(work.join("calls")).or_failed("calls")?;
    Ok(Pages::of(&String::from_utf8_lossy(&calls), only))
}

fn written(trace: &Path, head: &[String], pages: &dyn Display) -> Result {
    let head: String = head.iter().map(|line| format!("# {line}\n")).collect();
    fs::write(trace, format!("{head}{pages}\n")).or_failed(trace.display())?;
    println!("{}", trace.display());
    Ok(())
}

fn database(work: &Path, trace: &Path) -> Result {
    let job = JOB.replace("$rows", &ROWS.to_string()).replace("$asked", &ASKED.to_string());
    fs::write(work.join("job"), job).or_failed("job")?;
    let sysroot = output(&mut tool(work, "rustc --print sysroot"))?;
    fs::write(work.join("list"), list(Path::new(sysroot.trim()))?).or_failed("list")?;
    let job = File::open(work.join("job")).or_failed("job")?;
    let pages = recorded(work, "sqlite3 index.db", job.into(), |name| name.ends_with("/index.db"))?;
    let version = output(&mut tool(work, "sqlite3 --version"))?;
    let version = version.split(' ').next().unwrap_or_default();
    written(
        trace,
        &[
            format!(
                "SQLite {version}, with the least cache it can have, on a database of {ROWS} files in their"
            ),
            format!(
                "directories: loading, two indices, {ASKED} lookups by name, updates, a grouping, deletions. Pages of 4 KiB."
            ),
        ],
        &pages,
    )
}

/// Names and sizes of files, [`ROWS`] of them, evenly chosen.
fn list(folder: &Path) -> Result<String> {
    let mut all = Vec::new();
    collect(folder, &mut all)?;
    all.sort();
    Ok((0..ROWS).filter_map(|row| all.get(row * all.len() / ROWS)).map(|line| format!("{line}\n")).collect())
}

fn collect(folder: &Path, lines: &mut Vec<String>) -> Result {
    for entry in fs::read_dir(folder).or_failed(folder.display())? {
        let path: PathBuf = entry.or_failed(folder.display())?.path();
        let about = path.symlink_metadata().or_failed(path.display())?;
        if about.is_dir() {
            collect(&path, lines)?;
        } else if about.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            lines.push(format!("{}\t{name}\t{}", folder.display(), about.size()));
        }
    }
    Ok(())
}

/// Links a C++ program from static libraries.
fn linker(work: &Path, trace: &Path) -> Result {
    fs::write(work.join("words.cc"), WORDS).or_failed("words.cc")?;
    run(&mut tool(work, "g++ -std=c++17 -c words.cc -o words.o"))?;
    let link = "g++ -static -fno-use-linker-plugin words.o -o words";
    let touched = |name: &str| name.ends_with(".o") || name.ends_with(".a") || name.ends_with("/words");
    let pages = recorded(work, link, Stdio::null(), touched)?;
    let ld = output(&mut tool(work, "ld --version"))?;
    let gcc = output(&mut tool(work, "g++ -dumpversion"))?;
    written(trace, &[
        format!(
            "{} linking a C++ program of one file with the static libraries of GCC {}",
            ld.lines().next().unwrap_or_default(),
            gcc.trim()
        ),
        "and the C library: all reads of objects and archives, all writes of the program. Pages of 4 KiB.".to_owned(),
    ], &pages)
}

/// Two programs in their memory: one sorts lines, one counts words in a table.
fn in_memory(work: &Path, to: &Path) -> Result {
    let lines: String = (0..LINES).map(|n| format!("{} line {n}\n", n * 7919 % 30_011)).collect();
    fs::write(work.join("lines"), lines).or_failed("lines")?;
    let count = [
        "mawk",
        "{n[$1 \" \" $3]++; s += n[$3 \" \" $1]} END {for (k in n) t += length(k); print s, t}",
        "lines",
    ];
    let sort = ["sort", "--parallel=1", "-S", "1M", "lines"];
    for (name, words, what) in
        [("sort", &sort[..], "sorting lines"), ("words", &count[..], "counting words in a table")]
    {
        let memory = seen(work, words)?;
        let program = words.first().copied().unwrap_or_default();
        let head = [
            format!(
                "`{program}` {what}: {LINES} of them. Its memory, as valgrind's lackey sees it, without what a TLB of 32"
            ),
            "entries knows; the beginning. Pages of 4 KiB.".to_owned(),
        ];
        written(&to.join(format!("{name}.trace")), &head, &memory)?;
    }
    Ok(())
}

/// The beginning of a program's accesses to its memory.
fn seen(work: &Path, words: &[&str]) -> Result<Memory> {
    let mut lackey = tool(work, "valgrind --tool=lackey --trace-mem=yes");
    lackey.args(words).stdout(Stdio::null()).stderr(Stdio::piped());
    let what = typed(&lackey);
    let mut child = lackey.spawn().or_failed(&what)?;
    let memory = child.stderr.take().map(|said| Memory::of(BufReader::new(said))).unwrap_or_default();
    let _ = child.kill(); // it may still run, and nothing reads its output any more
    child.wait().or_failed(&what)?;
    Ok(memory)
}
