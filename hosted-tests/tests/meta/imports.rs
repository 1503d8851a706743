//! The order of the folders: each uses itself and those before it, by their names. Read from the imports and the paths of the
//! sources.

use crate::words::Split;
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemUse, Macro, Meta, UseTree, Visibility};

/// The folders of a crate, and its files beside `lib.rs`.
struct Order {
    sources: &'static str,
    folders: &'static [&'static str],
}

const CORE: Order = Order {
    sources: "core/src",
    folders: &["frame", "sync", "port", "stats", "pool", "forebay", "buffer", "reclaim"],
};

const BACKENDS: Order = Order {
    sources: "backends/src",
    folders: &["frames", "ram", "region", "stores", "shmem", "middleware", "facade", "sizes"],
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the item is there for documents or tests only.
fn is_excepted(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            matches!(condition.as_str(), "doc" | "test" | "doctest") || condition.starts_with("all(test,")
        }
        meta => meta.path().is_ident("test"),
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// The paths of a file that lead to another module of its crate, from the root of the crate on.
struct Paths {
    /// The module that is read.
    module: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Paths {
    fn of(file: &File, module: Vec<String>) -> Vec<Vec<String>> {
        let mut paths = Paths { module, found: Vec::new() };
        paths.visit_file(file);
        paths.found
    }

    /// A path as it is written.
    fn add(&mut self, path: &[String]) {
        let supers = path.iter().take_while(|name| *name == "super").count();
        match path.first().map(String::as_str) {
            Some("crate") => self.found.push(path[1..].to_vec()),
            Some("super") => {
                let above = self.module.len().checked_sub(supers).expect("a module above");
                self.found.push([&self.module[..above], &path[supers..]].concat());
            }
            _ => {}
        }
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(name) => self.add(&with(&name.ident)),
            UseTree::Glob(_) => self.add(&with(&"*")),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'f> Visit<'f> for Paths {
    fn visit_item(&mut self, item: &'f Item) {
        if is_excepted(attributes(item)) {
            return;
        }
        if let Item::Mod(inner) = item {
            self.module.push(inner.ident.to_string());
            visit::visit_item(self, item);
            self.module.pop();
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'f ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'f syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&names);
        visit::visit_path(self, path);
    }

    /// `pub(crate)` names no module.
    fn visit_visibility(&mut self, _: &'f Visibility) {}

    /// In a macro only what begins with `crate` is seen.
    fn visit_macro(&mut self, it: &'f Macro) {
        let text = Split::rust(&it.tokens.to_string()).code.replace(' ', "");
        for (at, _) in text.match_indices("crate::").filter(|(at, _)| !text[..*at].ends_with('$')) {
            let path = text[at..].split(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).next().unwrap();
            let names: Vec<_> = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            self.add(&names);
        }
    }
}

impl Order {
    fn place(&self, folder: &str) -> Option<usize> {
        self.folders.iter().position(|name| *name == folder)
    }

    /// What is wrong with a path in that folder.
    fn violation(&self, folder: &str, path: &[String]) -> Option<String> {
        let own = self.place(folder).unwrap_or_else(|| panic!("{folder} of {} has no place", self.sources));
        let to = path.first().map_or("", String::as_str);
        match self.place(to) {
            Some(there) if there <= own => None,
            Some(_) => Some(format!("{folder} comes before {to}")),
            None => Some("it names no folder".to_owned()),
        }
        .map(|why| format!("crate::{}: {why}", path.join("::")))
    }

    /// The module of a source file. Empty for `lib.rs`.
    fn module(&self, file: &Path) -> Vec<String> {
        let inside = file.strip_prefix(root().join(self.sources)).unwrap().with_extension("");
        let names = inside.iter().map(|name| name.to_str().unwrap().to_owned());
        names.filter(|name| !["mod", "lib"].contains(&name.as_str())).collect()
    }

    /// Reads the crate. Returns how many paths were looked at.
    fn check(&self) -> usize {
        let (mut violations, mut paths, mut seen) = (Vec::new(), 0, vec![false; self.folders.len()]);
        let files = walkdir::WalkDir::new(root().join(self.sources)).sort_by_file_name();
        for file in files.into_iter().map(|entry| entry.unwrap().into_path()) {
            let is_source = file.extension() == Some("rs".as_ref());
            if !is_source || file.file_stem() == Some("tests".as_ref()) {
                continue;
            }
            let module = self.module(&file);
            let Some(folder) = module.first().cloned() else { continue };
            let parsed = syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap();
            for path in Paths::of(&parsed, module) {
                paths += 1;
                let wrong = self.violation(&folder, &path);
                violations.extend(wrong.map(|why| format!("{}: {why}", file.display())));
            }
            seen[self.place(&folder).unwrap_or_else(|| panic!("{} has no place", file.display()))] = true;
        }
        assert!(violations.is_empty(), "{violations:#?}");
        assert!(
            seen.iter().all(|seen| *seen),
            "{} has no folder for one of {:?}",
            self.sources,
            self.folders
        );
        paths
    }
}

/// Rule: a folder of the core uses itself and those before it, and names them: no re-export of the root is used inside.
#[test]
fn folders_of_the_core_are_in_order() {
    let paths = CORE.check();
    assert!(paths > 300, "only {paths} paths");
}

/// Rule: the same for the backends.
#[test]
fn folders_of_the_backends_are_in_order() {
    let paths = BACKENDS.check();
    assert!(paths > 20, "only {paths} paths");
}

/// Rule: this test sees what it should: imports, paths, what is in a macro; and not what is there for documents or tests.
#[test]
fn a_wrong_import_is_seen() {
    let source = "
        use crate::{frame::Order, port::{self, Handle as H}, Buffer};
        use core::fmt;
        #[cfg(doc)]
        use crate::reclaim::Clock;
        pub(crate) mod sealed { use super::Kind; use super::super::super::stats; }
        fn f(b: &crate::buffer::Slot) -> super::Own { say!(crate::pool::Pool, $crate::x, \"crate::nothing\") }
        #[cfg(test)]
        mod tests { use crate::reclaim::*; }
    ";
    let module = ["sync", "mutex"].map(str::to_owned).to_vec();
    let paths = Paths::of(&syn::parse_file(source).unwrap(), module);
    let wrong: Vec<_> = paths.iter().filter_map(|path| CORE.violation("sync", path)).collect();
    let expected = [
        "crate::port: sync comes before port",
        "crate::port::Handle: sync comes before port",
        "crate::Buffer: it names no folder",
        "crate::stats: sync comes before stats",
        "crate::buffer::Slot: sync comes before buffer",
        "crate::pool::Pool: sync comes before pool",
    ];
    assert_eq!(paths.len(), 9, "{paths:?}");
    assert_eq!(wrong[..2], ["crate::port::self: sync comes before port", expected[1]]);
    assert_eq!(wrong[2..], expected[2..]);
}
