//! What `strace -f -y` saw of some files, as a trace of pages.

use std::collections::BTreeMap;
use std::fmt;

const PAGE: u64 = 4096;
const WIDTH: usize = 110;

/// One access.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Touch {
    /// Its place in [`Pages::files`].
    file: usize,
    kind: Kind,
    first: u64,
    last: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

/// All accesses. The files lie one behind the other.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pages {
    touches: Vec<Touch>,
    /// Their names and lengths in pages, in the order of their first accesses.
    files: Vec<(String, u64)>,
}

impl Pages {
    /// Of the files whose names `only` takes.
    pub(super) fn of(calls: &str, only: impl Fn(&str) -> bool) -> Pages {
        let mut pages = Pages::default();
        // Where the next read or write of an open file begins, by process and number of the file.
        let mut places = BTreeMap::<(&str, &str), u64>::new();
        for call in calls.lines().filter_map(Call::parse) {
            let place = places.entry((call.process, call.file)).or_default();
            let (kind, at) = match call.name {
                "openat" => {
                    *place = 0;
                    continue;
                }
                "lseek" => {
                    *place = call.result;
                    continue;
                }
                "pread64" => (Kind::Read, call.last_argument),
                "pwrite64" => (Kind::Write, call.last_argument),
                "read" | "write" => {
                    let at = *place;
                    *place += call.result;
                    (if call.name == "read" { Kind::Read } else { Kind::Write }, at)
                }
                _ => continue,
            };
            if call.result > 0 && only(call.path) {
                pages.touch(call.path, kind, at, call.result);
            }
        }
        pages
    }

    fn touch(&mut self, path: &str, kind: Kind, at: u64, bytes: u64) {
        let known = self.files.iter().position(|(name, _)| name == path);
        let file = known.unwrap_or_else(|| {
            self.files.push((path.to_owned(), 0));
            self.files.len() - 1
        });
        let (first, last) = (at / PAGE, (at + bytes - 1) / PAGE);
        if let Some((_, pages)) = self.files.get_mut(file) {
            *pages = (*pages).max(last + 1);
        }
        self.touches.push(Touch { file, kind, first, last });
    }
}

/// Words in lines: `12` reads page 12, `w12-14` writes three.
impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bases = vec![0];
        for (_, pages) in &self.files {
            bases.push(bases.last().unwrap_or(&0) + pages);
        }
        let mut line = String::new();
        for touch in &self.touches {
            let base = bases.get(touch.file).unwrap_or(&0);
            let mode = if touch.kind == Kind::Write { "w" } else { "" };
            let mut word = format!("{mode}{}", base + touch.first);
            if touch.last > touch.first {
                word += &format!("-{}", base + touch.last);
            }
            if line.len() + word.len() >= WIDTH {
                writeln!(f, "{}", line.trim_end())?;
                line.clear();
            }
            line += &word;
            line.push(' ');
        }
        f.write_str(line.trim_end())
    }
}

/// One line of `strace`: `17 pread64(3</a/b>, ""..., 4096, 8192) = 4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call<'a> {
    process: &'a str,
    name: &'a str,
    /// The number of the open file; of one that is being opened, the number that it gets.
    file: &'a str,
    path: &'a str,
    last_argument: u64,
    result: u64,
}

impl Call<'_> {
    /// `None` for what is no call, or failed.
    fn parse(line: &str) -> Option<Call<'_>> {
        let (process, rest) = line.split_once(' ')?;
        let (name, arguments) = rest.trim_start().split_once('(')?;
        if !name.chars().all(|c| c.is_ascii_alphanumeric()) || line.contains(" = -1 ") {
            return None;
        }
        let (before, result) = arguments.rsplit_once(" = ").unwrap_or((arguments, ""));
        let number = |text: &str| text.trim().parse().unwrap_or_default();
        let numbered = |text| split(text, ['<', ',']);
        let file = if name == "openat" { numbered(result) } else { numbered(arguments) };
        let path = arguments
            .split_once('<')
            .map_or("", |(_, path)| path.split_once(">,").map_or(path, |(path, _)| path));
        let last = before.trim_end().trim_end_matches(')').rsplit([' ', ',']).next().unwrap_or_default();
        Some(Call { process, name, file, path, last_argument: number(last), result: number(result) })
    }
}

fn split(text: &str, at: [char; 2]) -> &str {
    text.split(at).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a read goes on where the last one ended, files lie one behind the other, and what failed did not happen.
    #[test]
    fn calls_are_pages() {
        let calls = r#"
17    openat(AT_FDCWD</w>, "a.o", O_RDONLY) = 3</w/a.o>
17    read(3</w/a.o>, ""..., 4096)      = 4096
17    read(3</w/a.o>, ""..., 8192)      = 5000
18    openat(AT_FDCWD</w>, "b.o", O_RDONLY) = -1 ENOENT (No such file)
17    pwrite64(4</w/b.o>, ""..., 4096, 8192) = 4096
17    lseek(3</w/a.o>, 0, SEEK_SET)     = 0
17    write(3</w/a.o>, ""..., 1)        = 1
17    read(5</w/other>, ""..., 1)       = 1
17    +++ exited with 0 +++
"#;
        let pages = Pages::of(calls, |name| name.ends_with(".o"));
        assert_eq!(pages.to_string(), "0 1-2 w5 w0");
    }
}
