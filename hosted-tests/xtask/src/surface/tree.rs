//! A crate as a tree of modules, read from its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::parse::Parser;
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, Visibility};

/// A module by its place in [`Crate::modules`].
pub(super) type ModuleId = usize;

/// The root is the first.
pub(super) const ROOT: ModuleId = 0;

pub(super) struct Crate {
    pub(super) modules: Vec<Module>,
}

pub(super) struct Module {
    /// The root is its own.
    pub(super) parent: ModuleId,
    /// All that stands in it, but modules.
    pub(super) items: Vec<Item>,
    pub(super) children: BTreeMap<String, Child>,
}

pub(super) struct Child {
    pub(super) module: ModuleId,
    pub(super) vis: Visibility,
}

impl Crate {
    /// Reads the root's file, and the files of all modules.
    pub(super) fn read(root: &Path) -> Result<Crate, String> {
        let mut tree =
            Crate { modules: vec![Module { parent: ROOT, items: Vec::new(), children: BTreeMap::new() }] };
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        tree.fill(ROOT, parsed(root)?, &folder)?;
        Ok(tree)
    }

    /// `folder` is where the files of the module's children are.
    fn fill(&mut self, module: ModuleId, items: Vec<Item>, folder: &Path) -> Result<(), String> {
        for item in items {
            let Item::Mod(child) = item else {
                if !is_for_tests(attributes(&item)) {
                    self.modules[module].items.push(item);
                }
                continue;
            };
            if is_for_tests(&child.attrs) {
                continue;
            }
            let name = child.ident.to_string();
            let id = self.modules.len();
            self.modules.push(Module { parent: module, items: Vec::new(), children: BTreeMap::new() });
            match child.content {
                Some((_, items)) => self.fill(id, items, &folder.join(&name))?,
                None => {
                    let file = file(folder, &name, &child.attrs)?;
                    let inner = children(&file, folder, &name);
                    self.fill(id, parsed(&file)?, &inner)?;
                }
            }
            self.modules[module].children.insert(name, Child { module: id, vis: child.vis });
        }
        Ok(())
    }
}

fn parsed(file: &Path) -> Result<Vec<Item>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    syn::parse_file(&text).map(|file| file.items).map_err(|error| format!("{}: {error}", file.display()))
}

/// The file of `mod name;`: what `#[path]` says, `name.rs`, or `name/mod.rs`.
fn file(folder: &Path, name: &str, attributes: &[Attribute]) -> Result<PathBuf, String> {
    let named = attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(folder.join(text.value())),
            _ => None,
        },
        _ => None,
    });
    let usual = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    let found = named.into_iter().chain(usual).find(|file| file.is_file());
    found.ok_or_else(|| format!("{}: there is no file of the module {name}", folder.display()))
}

/// Where the files of a module's children are.
fn children(file: &Path, folder: &Path, name: &str) -> PathBuf {
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        return file.parent().unwrap_or(folder).to_owned();
    }
    folder.join(name)
}

/// `#[cfg(test)]`, alone or among conditions that must all hold.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let words = list.tokens.to_string();
        list.path.is_ident("cfg") && (words == "test" || words.starts_with("all (test"))
    })
}

/// `#[doc(hidden)]`: callable, but not for users of the crate.
pub(super) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("doc") && list.tokens.to_string() == "hidden"
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// What an item declares: its name and who sees it. `impl`, `use` and most macros declare nothing.
pub(super) fn declared(item: &Item) -> Vec<(String, Visibility)> {
    let (name, vis) = match item {
        Item::Const(it) => (&it.ident, &it.vis),
        Item::Enum(it) => (&it.ident, &it.vis),
        Item::Fn(it) => (&it.sig.ident, &it.vis),
        Item::Static(it) => (&it.ident, &it.vis),
        Item::Struct(it) => (&it.ident, &it.vis),
        Item::Trait(it) => (&it.ident, &it.vis),
        Item::Type(it) => (&it.ident, &it.vis),
        Item::Union(it) => (&it.ident, &it.vis),
        Item::Macro(it) if is_bitflags(it) => return flags(it),
        _ => return Vec::new(),
    };
    vec![(name.to_string(), vis.clone())]
}

pub(super) fn is_bitflags(it: &syn::ItemMacro) -> bool {
    it.mac.path.segments.last().is_some_and(|segment| segment.ident == "bitflags")
}

/// The types of `bitflags!`: `pub struct Name: u8 { … }`, each with its attributes.
fn flags(it: &syn::ItemMacro) -> Vec<(String, Visibility)> {
    let types = |input: syn::parse::ParseStream<'_>| {
        let mut found = Vec::new();
        while !input.is_empty() {
            input.call(Attribute::parse_outer)?;
            let vis: Visibility = input.parse()?;
            if !input.peek(syn::Token![struct]) {
                input.parse::<proc_macro2::TokenTree>()?;
                continue;
            }
            input.parse::<syn::Token![struct]>()?;
            found.push((input.parse::<syn::Ident>()?.to_string(), vis));
        }
        Ok(found)
    };
    types.parse2(it.mac.tokens.clone()).unwrap_or_default()
}

/// Whether it is seen from outside, if its module is.
pub(super) fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}
