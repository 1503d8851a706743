//! The public surface of a crate, counted from its sources: how much there is to learn.
//!
//! Everything counts, as if all features were on; only what is for tests (`#[cfg(test)]`) does not. What a macro makes is not
//! seen, but for the names of the types that `bitflags!` declares.

mod count;
mod paths;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;
use tree::Crate;

/// What a crate shows to who uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surface {
    /// The names at the crate's root: modules, types, traits, functions, constants, macros.
    pub names: BTreeSet<String>,
    /// What can be called: public functions, public methods of types that can be named, and methods that public traits
    /// declare. Each is one path, such as `Pool::take`. What implements a trait does not count again.
    pub callables: BTreeSet<String>,
    /// What can be called too, but is not documented: `#[doc(hidden)]`.
    pub hidden: BTreeSet<String>,
    /// The public traits, and how many methods each one declares.
    pub traits: BTreeMap<String, usize>,
    /// Macros, other than `bitflags!` and `compile_error!`, that stand where items stand. What they make is not counted.
    pub unread: BTreeSet<String>,
}

/// Counts the surface of the package in the folder `path`. `path` may also be the file that is the crate's root.
///
/// # Panics
/// If a file is missing, or is not Rust.
#[must_use]
pub fn of(path: &Path) -> Surface {
    read(path).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`of`].
///
/// # Errors
/// A file is missing, or is not Rust. The text names it.
pub fn read(path: &Path) -> Result<Surface, String> {
    let root = if path.is_dir() { path.join("src/lib.rs") } else { path.to_owned() };
    Ok(count::surface(&Crate::read(&root)?))
}

impl Surface {
    /// All that there is, a line for each.
    #[must_use]
    pub fn list(&self) -> String {
        let mut text = String::new();
        self.names.iter().for_each(|name| _ = writeln!(text, "name {name}"));
        self.callables.iter().for_each(|name| _ = writeln!(text, "callable {name}"));
        text
    }

    /// The same as one line of JSON: counts, and what is counted.
    #[must_use]
    pub fn json(&self) -> String {
        // These are names of Rust: nothing in them has to be escaped.
        let words = |words: &BTreeSet<String>| {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("[{}]", words.join(","))
        };
        let traits: Vec<String> =
            self.traits.iter().map(|(name, many)| format!("\"{name}\":{many}")).collect();
        format!(
            "{{\"names\":{},\"callables\":{},\"traits\":{{{}}},\"list\":{{\"names\":{},\"callables\":{},\"unread\":{}}}}}",
            self.names.len(),
            self.callables.len(),
            traits.join(","),
            words(&self.names),
            words(&self.callables),
            words(&self.unread)
        )
    }
}

/// The counts, a line for each.
impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4} names at the root", self.names.len())?;
        writeln!(f, "{:>4} callables", self.callables.len())?;
        writeln!(f, "{:>4} callables more that are hidden from the documentation", self.hidden.len())?;
        writeln!(f, "{:>4} traits, with their numbers of methods:", self.traits.len())?;
        for (name, methods) in &self.traits {
            writeln!(f, "  {methods:>4} {name}")?;
        }
        for name in &self.unread {
            writeln!(f, "not counted: what {name}! makes")?;
        }
        Ok(())
    }
}
