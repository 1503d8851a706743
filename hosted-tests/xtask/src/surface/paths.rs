//! What a path of the sources stands for, through `use` in as many levels as there are.

use super::tree::{Crate, ModuleId, ROOT, declared, is_public};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Item, UseTree};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Def {
    Module(ModuleId),
    /// An item, by the module in which it stands. A variant is `Enum::Variant`.
    Item(ModuleId, String),
    /// Of another crate, by its path.
    Other(String),
}

/// Names of a module. One name may be a type and a function at once.
pub(super) type Names = BTreeMap<String, BTreeSet<Def>>;

/// One name that `use` brings.
struct Import {
    path: Vec<String>,
    /// `None` for `*`.
    name: Option<String>,
    public: Shown,
}

/// Which names of a module are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    /// Those that are seen from outside.
    Public,
    /// All.
    Inside,
}

/// Questions that are being answered. Who asks one of them again gets nothing: `use` may go in circles.
type Asked = BTreeSet<(ModuleId, String)>;

impl Crate {
    /// All that is seen of a module from outside, if the module is.
    pub(super) fn exports(&self, module: ModuleId) -> Names {
        let mut names = self.names(module, Shown::Public, &mut Asked::new());
        if module == ROOT {
            self.macros().into_iter().for_each(|name| {
                names.entry(name.clone()).or_default().insert(Def::Item(ROOT, format!("{name}!")));
            });
        }
        names
    }

    /// What a path in a module stands for.
    pub(super) fn resolve(&self, module: ModuleId, path: &[String]) -> BTreeSet<Def> {
        self.resolve_as(module, path, &mut Asked::new())
    }

    fn names(&self, module: ModuleId, shown: Shown, asked: &mut Asked) -> Names {
        let mut names = Names::new();
        if !asked.insert((module, format!("* {shown:?}"))) {
            return names;
        }
        for (name, child) in &self.modules[module].children {
            if shown == Shown::Inside || is_public(&child.vis) {
                names.entry(name.clone()).or_default().insert(Def::Module(child.module));
            }
        }
        for (name, vis) in self.modules[module].items.iter().flat_map(declared) {
            if shown == Shown::Inside || is_public(&vis) {
                names.entry(name.clone()).or_default().insert(Def::Item(module, name));
            }
        }
        for import in self.imports(module) {
            if shown == Shown::Public && import.public == Shown::Inside {
                continue;
            }
            match import.name {
                Some(name) => {
                    names.entry(name).or_default().extend(self.resolve_as(module, &import.path, asked))
                }
                None => {
                    for (name, defs) in self.names_of(&self.resolve_as(module, &import.path, asked), asked) {
                        // What stands in the module itself hides what comes by `*`.
                        names.entry(name).or_insert(defs);
                    }
                }
            }
        }
        names
    }

    /// What `use path::*` brings.
    fn names_of(&self, defs: &BTreeSet<Def>, asked: &mut Asked) -> Names {
        let mut names = Names::new();
        for def in defs {
            match def {
                Def::Module(module) => names.extend(self.names(*module, Shown::Public, asked)),
                Def::Item(module, name) => names.extend(self.variants(*module, name)),
                Def::Other(path) => {
                    let all = format!("{path}::*");
                    names.entry(all.clone()).or_default().insert(Def::Other(all));
                }
            }
        }
        names
    }

    fn variants(&self, module: ModuleId, name: &str) -> Names {
        let mut names = Names::new();
        for item in &self.modules[module].items {
            if let Item::Enum(it) = item
                && it.ident == name
            {
                for variant in it.variants.iter().map(|variant| variant.ident.to_string()) {
                    let def = Def::Item(module, format!("{name}::{variant}"));
                    names.entry(variant).or_default().insert(def);
                }
            }
        }
        names
    }

    fn resolve_as(&self, module: ModuleId, path: &[String], asked: &mut Asked) -> BTreeSet<Def> {
        let Some((first, rest)) = path.split_first() else { return BTreeSet::from([Def::Module(module)]) };
        let mut defs = match first.as_str() {
            "crate" => BTreeSet::from([Def::Module(ROOT)]),
            "self" => BTreeSet::from([Def::Module(module)]),
            "super" => BTreeSet::from([Def::Module(self.modules[module].parent)]),
            name => self.lookup(module, name, asked),
        };
        if defs.is_empty() {
            return BTreeSet::from([Def::Other(path.join("::"))]);
        }
        for name in rest {
            defs = defs.iter().flat_map(|def| self.inside(def, name, asked)).collect();
        }
        defs
    }

    fn inside(&self, def: &Def, name: &str, asked: &mut Asked) -> BTreeSet<Def> {
        match def {
            Def::Module(module) if name == "super" => {
                BTreeSet::from([Def::Module(self.modules[*module].parent)])
            }
            Def::Module(module) => self.lookup(*module, name, asked),
            Def::Item(module, of) => self.variants(*module, of).remove(name).unwrap_or_default(),
            Def::Other(path) => BTreeSet::from([Def::Other(format!("{path}::{name}"))]),
        }
    }

    /// What a name stands for in a module, public or not: the compiler has checked that it may be used.
    fn lookup(&self, module: ModuleId, name: &str, asked: &mut Asked) -> BTreeSet<Def> {
        let question = (module, name.to_owned());
        if !asked.insert(question.clone()) {
            return BTreeSet::new();
        }
        let here = &self.modules[module];
        let mut defs: BTreeSet<Def> =
            here.children.get(name).map(|child| Def::Module(child.module)).into_iter().collect();
        if here.items.iter().flat_map(declared).any(|(declared, _)| declared == name) {
            defs.insert(Def::Item(module, name.to_owned()));
        }
        let imports = self.imports(module);
        for import in imports.iter().filter(|import| import.name.as_deref() == Some(name)) {
            defs.extend(self.resolve_as(module, &import.path, asked));
        }
        if defs.is_empty() {
            // What stands in the module itself hides what comes by `*`. Other crates are not read.
            for import in imports.iter().filter(|import| import.name.is_none()) {
                let from = self.resolve_as(module, &import.path, asked);
                let here = from.iter().filter(|def| !matches!(def, Def::Other(_)));
                here.for_each(|def| defs.extend(self.inside(def, name, asked)));
            }
        }
        asked.remove(&question);
        defs
    }

    fn imports(&self, module: ModuleId) -> Vec<Import> {
        let mut imports = Vec::new();
        for item in &self.modules[module].items {
            if let Item::Use(it) = item {
                let public = if is_public(&it.vis) { Shown::Public } else { Shown::Inside };
                leaves(&it.tree, &mut Vec::new(), &mut |path, name| {
                    imports.push(Import { path, name, public });
                });
            }
        }
        imports
    }

    /// Macros with `#[macro_export]`, wherever they stand.
    fn macros(&self) -> Vec<String> {
        let exported = |item: &Item| match item {
            Item::Macro(it) if it.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) => {
                it.ident.as_ref().map(ToString::to_string)
            }
            _ => None,
        };
        self.modules.iter().flat_map(|module| module.items.iter().filter_map(exported)).collect()
    }
}

/// Each name that a `use` brings, with its path.
fn leaves(tree: &UseTree, path: &mut Vec<String>, found: &mut impl FnMut(Vec<String>, Option<String>)) {
    match tree {
        UseTree::Path(it) => {
            path.push(it.ident.to_string());
            leaves(&it.tree, path, found);
            path.pop();
        }
        UseTree::Name(it) if it.ident == "self" => found(path.clone(), path.last().cloned()),
        UseTree::Name(it) => {
            let name = it.ident.to_string();
            found([&path[..], std::slice::from_ref(&name)].concat(), Some(name));
        }
        // `as _` names nothing.
        UseTree::Rename(it) if it.rename == "_" => {}
        UseTree::Rename(it) => {
            let of = if it.ident == "self" { Vec::new() } else { vec![it.ident.to_string()] };
            found([&path[..], &of].concat(), Some(it.rename.to_string()));
        }
        UseTree::Glob(_) => found(path.clone(), None),
        UseTree::Group(it) => it.items.iter().for_each(|tree| leaves(tree, path, found)),
    }
}
