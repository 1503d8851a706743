//! Counting what a crate shows.

use super::Surface;
use super::paths::Def;
use super::tree::{Crate, ModuleId, ROOT, is_bitflags, is_hidden, is_public};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use syn::{Attribute, ImplItem, Item, TraitItem, Type};

/// Public items, each with the shortest path by which it is named.
type Public = BTreeMap<Def, String>;

pub(super) fn surface(tree: &Crate) -> Surface {
    let public = public(tree);
    let mut surface = Surface { names: tree.exports(ROOT).into_keys().collect(), ..Surface::default() };
    for (id, module) in tree.modules.iter().enumerate() {
        for item in &module.items {
            item_of(tree, id, item, &public, &mut surface);
        }
    }
    surface
}

/// From the root through all public modules.
fn public(tree: &Crate) -> Public {
    let mut public = Public::new();
    let mut seen = BTreeSet::from([ROOT]);
    let mut next = VecDeque::from([(ROOT, String::new())]);
    while let Some((module, path)) = next.pop_front() {
        for (name, defs) in tree.exports(module) {
            for def in defs {
                let path = format!("{path}{name}");
                if let Def::Module(inner) = def
                    && seen.insert(inner)
                {
                    next.push_back((inner, format!("{path}::")));
                }
                public.entry(def).or_insert(path);
            }
        }
    }
    public
}

fn item_of(tree: &Crate, module: ModuleId, item: &Item, public: &Public, surface: &mut Surface) {
    let named = |name: &syn::Ident| public.get(&Def::Item(module, name.to_string()));
    match item {
        Item::Fn(it) => {
            if let Some(path) = named(&it.sig.ident) {
                surface.callable(path.clone(), &it.attrs);
            }
        }
        Item::Trait(it) => {
            let Some(path) = named(&it.ident) else { return };
            let mut methods = 0;
            for method in &it.items {
                if let TraitItem::Fn(method) = method {
                    methods += usize::from(!is_hidden(&method.attrs));
                    surface.callable(format!("{path}::{}", method.sig.ident), &method.attrs);
                }
            }
            surface.traits.insert(path.clone(), methods);
        }
        Item::Impl(it) if it.trait_.is_none() => {
            for path in types(tree, module, &it.self_ty).iter().filter_map(|def| public.get(def)) {
                for method in &it.items {
                    if let ImplItem::Fn(method) = method
                        && is_public(&method.vis)
                    {
                        surface.callable(format!("{path}::{}", method.sig.ident), &method.attrs);
                    }
                }
            }
        }
        Item::Macro(it)
            if it.ident.is_none() && !is_bitflags(it) && !it.mac.path.is_ident("compile_error") =>
        {
            let path: Vec<String> =
                it.mac.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            surface.unread.insert(path.join("::"));
        }
        _ => {}
    }
}

impl Surface {
    fn callable(&mut self, path: String, attributes: &[Attribute]) {
        if is_hidden(attributes) { &mut self.hidden } else { &mut self.callables }.insert(path);
    }
}

/// The type that `impl` is about; through aliases, if it is one.
fn types(tree: &Crate, module: ModuleId, of: &Type) -> BTreeSet<Def> {
    let Type::Path(path) = of else { return BTreeSet::new() };
    let path: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let mut found = BTreeSet::new();
    for def in tree.resolve(module, &path) {
        match alias(tree, &def) {
            Some((module, of)) => found.extend(types(tree, module, of)),
            None => _ = found.insert(def),
        }
    }
    found
}

/// What an alias stands for, and where it stands.
fn alias<'a>(tree: &'a Crate, def: &Def) -> Option<(ModuleId, &'a Type)> {
    let Def::Item(module, name) = def else { return None };
    tree.modules[*module].items.iter().find_map(|item| match item {
        Item::Type(it) if it.ident == name => Some((*module, &*it.ty)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use std::fs;
    use std::path::Path;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        }
    }

    /// Rule: folders in folders and `pub use` in several levels are followed, under all features; private things, tests and
    /// implementations of traits do not count.
    #[test]
    fn nested_folders_and_several_levels() {
        let folder = tempfile::tempdir().expect("a folder");
        write(
            folder.path(),
            &[
                (
                    "src/lib.rs",
                    "mod frame; pub mod port; pub use frame::{Order, size::*, helper as help}; pub fn start() {} \
                #[macro_export] macro_rules! m { () => {} } #[cfg(feature = \"x\")] pub use port::store::Store as S; \
                other! {} compile_error! {} #[cfg(test)] pub mod t { pub fn never() {} }",
                ),
                (
                    "src/frame/mod.rs",
                    "pub mod size; mod secret; pub struct Order; pub fn helper() {} pub fn hidden() {} \
                impl Order { pub fn new() {} pub(crate) fn inner() {} fn own() {} } impl Default for Order { fn default() -> Self {} }",
                ),
                (
                    "src/frame/size.rs",
                    "pub enum Size { One } pub(crate) struct Not; impl Not { pub fn no() {} } \
                impl<const N: usize> super::Order where [(); N]: { pub fn of_size() {} } \
                bitflags! { /// Flags.\n pub struct Flags: u8 { const A = 1; } } impl Flags { pub const fn any() {} }",
                ),
                (
                    "src/frame/secret.rs",
                    "use super::size::Size as Alias; type Also = Alias; impl Also { pub fn deep(&self) {} }",
                ),
                (
                    "src/port/mod.rs",
                    "pub mod store; pub use self::store::Store; pub use crate::port as again;",
                ),
                (
                    "src/port/store.rs",
                    "pub trait Store { const X: u8; fn put(&self); fn get(&self) {} #[doc(hidden)] fn own(&self) {} } pub fn free() {}",
                ),
            ],
        );
        let surface = read(folder.path()).expect("a crate");
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        assert_eq!(surface.names, words("Flags Order S Size help m port start"));
        let expected =
            "Flags::any Order::new Order::of_size S::get S::put Size::deep help port::store::free start";
        assert_eq!(surface.callables, words(expected));
        assert_eq!(surface.traits.into_iter().collect::<Vec<_>>(), [("S".to_owned(), 2)]);
        assert_eq!(surface.hidden, words("S::own"));
        assert_eq!(surface.unread, words("other"));
    }
}
