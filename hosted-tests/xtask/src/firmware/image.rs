//! An image: a program for a small machine. Its symbols, and how large it is.

use super::build;
use crate::failure::{OrFailed, Result, failed};
use crate::process::{output, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A private copy of an image, so that another build does not change it meanwhile. It is removed in the end.
#[derive(Debug)]
pub(crate) struct Image {
    copy: PathBuf,
}

/// How many bytes an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Code and constants.
    pub(crate) text: u64,
    /// `.data` and `.bss`.
    pub(crate) statics: u64,
    /// `.data` alone, which flash holds too.
    pub(crate) data: u64,
}

/// A line of `nm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) value: u64,
    /// The letter of `nm`.
    pub(crate) kind: char,
    pub(crate) name: String,
}

impl Image {
    /// Copies the image at `path`.
    pub(crate) fn take(path: &Path) -> Result<Image> {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let folder = build::folder().join("taken");
        fs::create_dir_all(&folder).or_failed(folder.display())?;
        let copy = folder.join(format!("{name}-{}-{number}", process::id()));
        fs::copy(path, &copy).or_failed(path.display())?;
        Ok(Image { copy })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.copy
    }

    /// All symbols. There are some, or it is an error: who looks for one and finds none should be right.
    pub(crate) fn symbols(&self) -> Result<Vec<Symbol>> {
        let said = output(program("nm").arg(&self.copy))?;
        let symbols: Vec<Symbol> = said.lines().filter_map(symbol).collect();
        let start = |symbol: &Symbol| ["Reset", "_start", "_start32"].contains(&&*symbol.name);
        if !symbols.iter().any(start) {
            return failed(format!("{} has no symbol table", self.copy.display()));
        }
        Ok(symbols)
    }

    /// The value of a symbol: what lies at it, in images that are not linked to run.
    pub(crate) fn value(&self, name: &str) -> Result<u64> {
        let found = self.symbols()?.into_iter().find(|symbol| symbol.name == name);
        found.map_or_else(
            || failed(format!("{} has no {name}", self.copy.display())),
            |symbol| Ok(symbol.value),
        )
    }

    pub(crate) fn size(&self) -> Result<Size> {
        let said = output(program("size").arg(&self.copy))?;
        let last = said.lines().last().unwrap_or_default();
        let numbers: Vec<u64> = last.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [text, data, bss, ..] = numbers[..] else { return failed(format!("size said {said}")) };
        Ok(Size { text, statics: data + bss, data })
    }

    /// The symbols of the panic machinery.
    pub(crate) fn panics(&self) -> Result<Vec<String>> {
        let names = self.symbols()?.into_iter().map(|symbol| symbol.name);
        Ok(names.filter(|name| name.contains("panicking") || name.contains("rust_begin_unwind")).collect())
    }

    /// Nothing in it allocates: neither rustc's functions, nor C's, nor those of the crate `alloc`.
    pub(crate) fn has_no_allocator(&self) -> Result {
        let names = self.symbols()?.into_iter().map(|symbol| symbol.name);
        let found: Vec<String> = names.filter(|name| allocates(name)).collect();
        if found.is_empty() {
            return Ok(());
        }
        failed(format!("the image holds an allocator: {}", found.join(" ")))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.copy);
    }
}

fn symbol(line: &str) -> Option<Symbol> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [value, kind, name] = words[..] else { return None };
    Some(Symbol {
        value: u64::from_str_radix(value, 16).ok()?,
        kind: kind.chars().next()?,
        name: name.to_owned(),
    })
}

fn allocates(symbol: &str) -> bool {
    const OF_RUSTC: [&str; 6] =
        ["__rust_alloc", "__rust_no_alloc", "__rust_dealloc", "__rust_realloc", "__rg_", "__rdl_"];
    const OF_C: [&str; 3] = ["malloc", "calloc", "realloc"];
    OF_RUSTC.iter().any(|name| symbol.contains(name))
        || OF_C.contains(&symbol)
        || symbol.starts_with("_ZN5alloc")
        || in_crate_alloc(symbol)
}

/// In the newer mangling a crate is `Cs`, a hash, `_`, and its name with its length.
fn in_crate_alloc(symbol: &str) -> bool {
    symbol.match_indices("_5alloc").any(|(at, _)| {
        let hash = symbol[..at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        hash.find("Cs").is_some_and(|cs| cs + 2 < hash.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: an allocator is found by rustc's names, by C's, and by those of the crate `alloc` in both manglings.
    #[test]
    fn allocators_are_found() {
        for name in [
            "__rust_alloc_zeroed",
            "_RNvCs7XYZ_7___rustc12___rust_alloc",
            "__rdl_dealloc",
            "malloc",
            "_ZN5alloc3vec17hE",
            "_RNvNtCs1a2B_5alloc3vec",
        ] {
            assert!(allocates(name), "{name}");
        }
        for name in ["allocate", "my_malloc", "_ZN7forebay5alloc", "_RNvNtC_5alloc", "memcpy", "__rust_begin"]
        {
            assert!(!allocates(name), "{name}");
        }
    }

    /// Rule: a line of `nm` is a symbol if it has a value.
    #[test]
    fn lines_of_nm() {
        let expected = Symbol { value: 0x10, kind: 'T', name: "_start".to_owned() };
        assert_eq!(symbol("00000010 T _start"), Some(expected));
        assert_eq!(symbol("         U memcpy"), None);
    }
}
