//! The image `every` of `firmware/` names every public function, so that its linking shows that none panics.
//!
//! Public is what says `pub` (`unreachable_pub` is denied, so it can be reached from outside); the bodies that public traits
//! provide; and what traits are implemented with, for public types. Derives are the compiler's. All that is read from the
//! sources, with the features `spin` and `critical-section`.
//!
//! A path in the image counts as the function that it names: `Type::function`, `<Type as Trait>::function`,
//! `drop_in_place::<Type>` or `flags!(Type)`. In a generic function of the image, `<L as Trait>::function` counts for each type
//! that a call of it gives for `L`. The compiler warns of a function that is not used, so each one is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, GenericArgument, Item, Macro, Meta, PathArguments, Type, Visibility};

const IMAGE: &str = "hosted-tests/firmware/src/every";

/// What the image does not name, and why. A type, or a trait that is implemented.
const LEFT_OUT: &[(&str, &str)] = &[
    ("Faulty", "middleware for tests"),
    ("Traced", "middleware for tests"),
    ("Sink", "what `Traced` tells"),
    ("Reader", "private: a part of a guard"),
    ("Held", "private: a part of a guard"),
    ("Contents", "private: what a buffer has behind its lock"),
    ("HeapSource", "its heap is another crate's, which asserts"),
    ("Debug", "core asserts in the derives for more than five fields, and in its maps"),
];

/// Macros that implement a trait: how often each is used, the trait, and what it is implemented for. The image names every
/// function of the trait for each of these types. `P` is a type parameter of the image.
const MACROS: &[(&str, usize, &str, &[&str])] = &[
    ("adapter", 6, "Platform", &["P"]),
    ("all_ports", 3, "Platform", &["P"]),
    ("evictable_behind", 4, "Evictable", &["&"]),
    ("home", 3, "Home", &["&"]),
    ("list_behind", 4, "Candidates", &["[]", "&", "Clock"]),
    ("slots_behind", 5, "Slots", &["[]", "&"]),
    ("source_behind", 2, "FrameSource", &["&"]),
    ("store_behind", 2, "BackingStore", &["&"]),
    ("tuple", 8, "Candidates", &["?"]),
];

/// One public function.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    /// Its type. `None` for a body that a trait provides, `_` for a blanket implementation.
    of: Option<String>,
    /// The trait that it is of.
    port: Option<String>,
    /// Or [`FLAGS`].
    name: String,
}

/// All that `bitflags!` makes for a type.
const FLAGS: &str = "flags!";

impl Function {
    fn of(of: &str, name: &str) -> Function {
        Function { of: Some(of.to_owned()), port: None, name: name.to_owned() }
    }

    fn of_port(of: Option<&str>, port: &str, name: &str) -> Function {
        Function { of: of.map(str::to_owned), port: Some(port.to_owned()), name: name.to_owned() }
    }

    fn is_left_out(&self, what: &str) -> bool {
        self.of.as_deref() == Some(what) || self.port.as_deref() == Some(what)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.of, &self.port) {
            (Some(of), Some(port)) => write!(f, "<{of} as {port}>::{}", self.name),
            (Some(of), None) => write!(f, "{of}::{}", self.name),
            (None, port) => write!(f, "{}::{}, as provided", port.as_deref().unwrap_or_default(), self.name),
        }
    }
}

/// What is written in the files of a crate.
#[derive(Default)]
struct Sources {
    public: BTreeSet<Function>,
    /// Types and traits that are not public.
    private: BTreeSet<String>,
    /// Functions of implementations of traits.
    implemented: BTreeSet<Function>,
    /// All functions of each public trait.
    ports: BTreeMap<String, BTreeSet<String>>,
    /// How often each of [`MACROS`] is used.
    used: BTreeMap<String, usize>,
    /// Public functions by themselves, and macros that may make functions.
    unknown: BTreeSet<String>,
}

impl Sources {
    fn of(folder: &str) -> Sources {
        let mut sources = Sources::default();
        let files = parsed(folder);
        let mut shown = BTreeSet::new();
        for (name, vis) in files.iter().flat_map(|file| &file.items).filter_map(named_item) {
            (if is_pub(vis) { &mut shown } else { &mut sources.private }).insert(name.to_string());
        }
        sources.private.retain(|name| !shown.contains(name));
        files.iter().for_each(|file| sources.items(&file.items));
        sources
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Impl(it) if is_on(&it.attrs) => self.implementation(it),
                Item::Trait(it) if is_on(&it.attrs) && is_pub(&it.vis) => self.provided(it),
                Item::Fn(it) if is_on(&it.attrs) && is_pub(&it.vis) => {
                    self.unknown.insert(it.sig.ident.to_string());
                }
                Item::Mod(it) if is_on(&it.attrs) => {
                    self.items(it.content.as_ref().map_or(&[], |(_, items)| items.as_slice()));
                }
                Item::Macro(it) if is_on(&it.attrs) => self.invocation(&it.mac),
                _ => {}
            }
        }
    }

    fn provided(&mut self, it: &syn::ItemTrait) {
        let port = it.ident.to_string();
        for item in &it.items {
            let syn::TraitItem::Fn(f) = item else { continue };
            let name = f.sig.ident.to_string();
            if f.default.is_some() {
                self.public.insert(Function::of_port(None, &port, &name));
            }
            self.ports.entry(port.clone()).or_default().insert(name);
        }
    }

    fn implementation(&mut self, it: &syn::ItemImpl) {
        let mut of = name_of(&it.self_ty);
        if it.generics.type_params().any(|param| param.ident == of.as_str()) {
            of = "_".to_owned();
        }
        let port = it.trait_.as_ref().and_then(|(path, _)| path.segments.last()).map(port_of);
        for item in &it.items {
            let syn::ImplItem::Fn(f) = item else { continue };
            let name = f.sig.ident.to_string();
            match &port {
                _ if !is_on(&f.attrs) => {}
                None if is_pub(&f.vis) => {
                    self.public.insert(Function::of(&of, &name));
                }
                None => {}
                Some(port) => {
                    let function = Function::of_port(Some(&of), port, &name);
                    self.implemented.insert(function.clone());
                    if !self.private.contains(&of) && !self.private.contains(port) {
                        self.public.insert(function);
                    }
                }
            }
        }
    }

    fn invocation(&mut self, mac: &Macro) {
        let name = mac.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
        if MACROS.iter().any(|(of_ours, ..)| *of_ours == name) {
            *self.used.entry(name).or_default() += 1;
        } else if !["bitflags", "compile_error", "macro_rules"].contains(&name.as_str()) {
            self.unknown.insert(name);
        }
        let tokens: Vec<String> = mac.tokens.clone().into_iter().map(|t| t.to_string()).collect();
        for three in tokens.windows(3) {
            if let [vis, what, of] = three
                && vis == "pub"
                && what == "struct"
            {
                self.public.insert(Function::of(of, FLAGS));
            }
        }
    }
}

fn named_item(item: &Item) -> Option<(&syn::Ident, &Visibility)> {
    match item {
        Item::Struct(it) => Some((&it.ident, &it.vis)),
        Item::Enum(it) => Some((&it.ident, &it.vis)),
        Item::Trait(it) => Some((&it.ident, &it.vis)),
        _ => None,
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a folder, but for those of other features and for tests.
fn parsed(folder: &str) -> Vec<syn::File> {
    let walk = walkdir::WalkDir::new(root().join(folder)).sort_by_file_name();
    walk.into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter(|path| !path.components().any(|c| c.as_os_str() == "shmem"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}

fn is_pub(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Whether the image has what bears these attributes.
fn is_on(attrs: &[Attribute]) -> bool {
    attrs.iter().filter(|a| a.path().is_ident("cfg")).all(|a| holds(&a.parse_args().unwrap()))
}

fn holds(condition: &Meta) -> bool {
    let several = |list: &syn::MetaList| {
        let parts =
            list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
        parts.unwrap().iter().map(holds).collect::<Vec<_>>()
    };
    match condition {
        Meta::List(list) if list.path.is_ident("all") => several(list).into_iter().all(|h| h),
        Meta::List(list) if list.path.is_ident("any") => several(list).into_iter().any(|h| h),
        Meta::List(list) if list.path.is_ident("not") => !several(list).into_iter().all(|h| h),
        Meta::Path(path) if path.is_ident("test") => false,
        Meta::NameValue(pair) => {
            let Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(value), .. }) = &pair.value else {
                panic!("a condition without a string")
            };
            let known = ["feature", "target_os", "panic"].iter().any(|name| pair.path.is_ident(name));
            assert!(known, "a condition that this test does not know: {:?}", value.value());
            ["spin", "critical-section"].contains(&value.value().as_str())
        }
        _ => panic!("a condition that this test does not know"),
    }
}

/// A type without its parameters.
fn name_of(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path.path.segments.last().unwrap().ident.to_string(),
        Type::Reference(_) => "&".to_owned(),
        Type::Array(_) | Type::Slice(_) => "[]".to_owned(),
        Type::Tuple(tuple) if tuple.elems.is_empty() => "()".to_owned(),
        _ => "?".to_owned(),
    }
}

/// A trait without its parameters, but for `From`: there may be many for one type.
fn port_of(segment: &syn::PathSegment) -> String {
    match first_type(&segment.arguments) {
        Some(of) if segment.ident == "From" => format!("From<{}>", name_of(of)),
        _ => segment.ident.to_string(),
    }
}

fn first_type(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(args) = arguments else { return None };
    args.args.iter().find_map(|arg| match arg {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// What types are called besides.
#[derive(Default)]
struct Aliases(BTreeMap<String, String>);

impl<'ast> Visit<'ast> for Aliases {
    fn visit_item_type(&mut self, it: &'ast syn::ItemType) {
        let (alias, of) = (it.ident.to_string(), name_of(&it.ty));
        let known = self.0.entry(alias).or_insert_with(|| of.clone());
        assert!(*known == of, "{} is called two things", it.ident);
    }
}

impl Aliases {
    fn resolve(&self, name: String) -> String {
        self.0.get(&name).map_or(name, |of| self.resolve(of.clone()))
    }
}

/// A generic function of the image: for a type parameter, by its position, what is named of it.
type Generic = BTreeMap<String, Vec<(usize, Function)>>;

/// `L` of a generic function is every type that it is called with.
const PARAMETER: &str = "L";

fn generic(file: &syn::File) -> Generic {
    let functions = file.items.iter().filter_map(|item| match item {
        Item::Fn(it) => Some(it),
        _ => None,
    });
    let of = |it: &syn::ItemFn| {
        let at =
            it.sig.generics.params.iter().position(
                |param| matches!(param, syn::GenericParam::Type(param) if param.ident == PARAMETER),
            )?;
        let mut named =
            Named { functions: BTreeSet::new(), aliases: &Aliases::default(), generic: &Generic::new() };
        named.visit_item_fn(it);
        let of_it = named.functions.into_iter().filter(|f| f.is_left_out(PARAMETER)).map(|f| (at, f));
        Some((it.sig.ident.to_string(), of_it.collect()))
    };
    functions.filter_map(of).collect()
}

/// The functions that the image names.
struct Named<'a> {
    functions: BTreeSet<Function>,
    aliases: &'a Aliases,
    generic: &'a Generic,
}

impl Named<'_> {
    /// A call of a generic function of the image.
    fn call(&mut self, name: &str, arguments: &PathArguments) {
        let PathArguments::AngleBracketed(args) = arguments else { return };
        for (at, function) in self.generic.get(name).into_iter().flatten() {
            let Some(GenericArgument::Type(ty)) = args.args.get(*at) else { continue };
            let of = self.aliases.resolve(name_of(ty));
            self.functions.insert(Function { of: Some(of), ..function.clone() });
        }
    }
}

impl<'ast> Visit<'ast> for Named<'_> {
    fn visit_expr_path(&mut self, expr: &'ast syn::ExprPath) {
        let segments: Vec<&syn::PathSegment> = expr.path.segments.iter().collect();
        let name = segments.last().unwrap().ident.to_string();
        let function = match (&expr.qself, &segments[..]) {
            (Some(qself), segments) => {
                let port = qself.position.checked_sub(1).and_then(|at| segments.get(at));
                let of = self.aliases.resolve(name_of(&qself.ty));
                port.map(|port| Function::of_port(Some(&of), &port_of(port), &name))
            }
            // A destructor can't be named.
            (None, [.., last]) if name == "drop_in_place" => first_type(&last.arguments)
                .map(|ty| Function::of_port(Some(&self.aliases.resolve(name_of(ty))), "Drop", "drop")),
            (None, [.., of, _]) => Some(Function::of(&self.aliases.resolve(of.ident.to_string()), &name)),
            (None, [called]) => {
                self.call(&name, &called.arguments);
                None
            }
            _ => None,
        };
        self.functions.extend(function);
        visit::visit_expr_path(self, expr);
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        if mac.path.is_ident("flags") {
            self.functions.insert(Function::of(&mac.tokens.to_string(), FLAGS));
        }
    }
}

/// Rule: the image names every public function, and what is left out is still there.
#[test]
fn the_image_names_every_public_function() {
    let [core, backends, image] = ["core/src", "backends/src", IMAGE].map(Sources::of);
    let unknown: Vec<&String> = core.unknown.union(&backends.unknown).collect();
    assert!(unknown.is_empty(), "this test has to learn what functions these are: {unknown:?}");

    let mut aliases = Aliases::default();
    for file in ["backends/src/region", "backends/src/facade.rs", IMAGE].into_iter().flat_map(parsed) {
        aliases.visit_file(&file);
    }
    let image_files = parsed(IMAGE);
    let generic = image_files.iter().flat_map(generic).collect();
    let mut named = Named { functions: BTreeSet::new(), aliases: &aliases, generic: &generic };
    image_files.iter().for_each(|file| named.visit_file(file));
    let mut named = named.functions;
    named.retain(|function| !function.is_left_out(PARAMETER));

    for (name, times, ..) in MACROS {
        assert_eq!(
            core.used.get(*name),
            Some(times),
            "{name}: if it has another type now, the image names it"
        );
    }
    let made = MACROS.iter().flat_map(|(.., port, types)| {
        let names = core.ports.get(*port).unwrap_or_else(|| panic!("no trait {port}"));
        types.iter().flat_map(move |of| names.iter().map(move |name| Function::of_port(Some(of), port, name)))
    });
    let made: BTreeSet<Function> = made.collect();

    let is_implemented = |f: &Function| [&core, &backends, &image].iter().any(|s| s.implemented.contains(f));
    let is_named = |function: &Function| match (function.of.as_deref(), &function.port) {
        // By a type that has none of its own.
        (None | Some("_"), Some(_)) => named.iter().any(|other| {
            (&other.port, &other.name) == (&function.port, &function.name) && !is_implemented(other)
        }),
        _ => named.contains(function),
    };
    let public = core.public.iter().chain(&backends.public).filter(|f| !is_named(f));
    let missing: BTreeSet<&Function> = public.chain(made.difference(&named)).collect();
    for (what, why) in LEFT_OUT {
        assert!(missing.iter().any(|f| f.is_left_out(what)), "nothing is left out for {what}: {why}");
    }
    let missing = missing.into_iter().filter(|f| !LEFT_OUT.iter().any(|(what, _)| f.is_left_out(what)));
    let missing: String = missing.map(|function| format!("    {function}\n")).collect();
    assert!(missing.is_empty(), "give each a line in {IMAGE}:\n{missing}");
}
