//! Which mutants a file has, and its text with all of them behind switches.
//!
//! Not mutated: `const` items and functions, as the compiler runs them, and conditions that are a constant of a type, which chooses
//! the shorter of two right ways; bodies of macros; tests; and what is compiled for loggers or for other machines only. Nor are
//! events left out, which a logger is told, nor what only such an event depends on: their tests are built with a feature of their
//! own.

use crate::failure::{OrFailed, Result};
use proc_macro2::{Span, TokenStream};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Stmt, UnOp};

/// One change of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mutant {
    /// File, function and change. No two mutants have the same, and none changes when lines move.
    pub(super) name: String,
    /// The lines that it changes.
    pub(super) lines: Range<usize>,
    /// It leaves a statement out.
    pub(super) lacks: bool,
}

/// What stands at the place instead.
enum Change {
    /// Instead of the expression.
    Expression(String),
    /// The statement is left out.
    NoStatement,
    /// The function returns this at its beginning.
    Return(&'static str),
}

/// A range of the text. An outer one is before an inner one.
type Place = (usize, Reverse<usize>);

/// All changes of one place, with the numbers of their mutants.
type Changes = Vec<(usize, Change)>;

/// One file.
pub(super) struct Source {
    /// From the folder of the workspace.
    pub(super) file: String,
    text: String,
    /// In the order of their numbers in this file.
    pub(super) mutants: Vec<Mutant>,
    places: BTreeMap<Place, Changes>,
}

impl Source {
    /// Finds the mutants. The names of those that do not build are in `broken`.
    pub(super) fn read(file: &str, text: String, broken: &BTreeSet<String>) -> Result<Source> {
        let parsed = syn::parse_file(&text).or_failed(file)?;
        let source = Source { file: file.to_owned(), text, mutants: Vec::new(), places: BTreeMap::new() };
        let mut finder = Finder { source, function: String::new(), names: BTreeMap::new(), broken };
        finder.visit_file(&parsed);
        Ok(finder.source)
    }

    /// The text with all mutants. The first one has the number `first`. Each line stays the line that it is.
    pub(super) fn switched(&self, first: usize) -> String {
        let call = if self.file.starts_with("core/") { "crate" } else { "::forebay" };
        let places: Vec<_> = self.places.iter().collect();
        let mut text = String::new();
        self.write(&mut text, &mut places.as_slice(), 0..self.text.len(), &|number| {
            format!("{call}::mutant::on({})", first + number)
        });
        text
    }

    /// Writes a range and takes the places inside of it.
    fn write(
        &self,
        text: &mut String,
        places: &mut &[(&Place, &Changes)],
        range: Range<usize>,
        on: &dyn Fn(usize) -> String,
    ) {
        let mut at = range.start;
        while let Some((&(&(start, Reverse(end)), changes), rest)) = places.split_first()
            && start < range.end
        {
            *places = rest;
            text.push_str(&self.text[at..start]);
            at = end;
            // The parts that a mutant leaves as they are have no switches: only one mutant is on.
            let mut close = "";
            for (number, change) in changes {
                _ = match change {
                    Change::Expression(new) => {
                        let open = if close.is_empty() { "(" } else { "" };
                        close = " })";
                        write!(text, "{open}if {} {{ {new} }} else ", on(*number))
                    }
                    Change::NoStatement => {
                        close = " }";
                        write!(text, "if !{} ", on(*number))
                    }
                    Change::Return(value) => write!(text, "if {} {{ return {value}; }}", on(*number)),
                };
            }
            if !close.is_empty() {
                text.push_str("{ ");
            }
            self.write(text, places, start..end, on);
            text.push_str(close);
        }
        text.push_str(&self.text[at..range.end]);
    }
}

struct Finder<'b> {
    source: Source,
    /// The function around, with its type.
    function: String,
    names: BTreeMap<String, usize>,
    broken: &'b BTreeSet<String>,
}

impl Finder<'_> {
    fn at(&self, span: Span) -> &str {
        &self.source.text[span.byte_range()]
    }

    /// The tokens, in one line and without comments.
    fn line(&self, span: Span) -> String {
        let tokens: TokenStream = self.at(span).parse().unwrap_or_default();
        tokens.to_string().replace('\n', " ")
    }

    fn add(&mut self, span: Span, what: &str, change: Change) {
        let range = match &change {
            Change::Return(_) => span.byte_range().start + 1..span.byte_range().start + 1,
            _ => span.byte_range(),
        };
        let shown = match &change {
            Change::Return(_) => String::new(),
            _ => {
                let words: Vec<&str> = self.at(span).split_whitespace().collect();
                let words = words.join(" ");
                let shown: String = words.chars().take(90).collect();
                format!(" `{shown}`")
            }
        };
        let mut name = format!("{} {}:{shown} {what}", self.source.file, self.function);
        let same = self.names.entry(name.clone()).or_default();
        *same += 1;
        if *same > 1 {
            _ = write!(name, " ({same})");
        }
        if self.broken.contains(&name) {
            return;
        }
        let number = self.source.mutants.len();
        let lines = span.start().line..span.end().line + 1;
        let lacks = matches!(change, Change::NoStatement);
        self.source.mutants.push(Mutant { name, lines, lacks });
        let place = (range.start, Reverse(range.end));
        self.source.places.entry(place).or_default().push((number, change));
    }

    /// A condition that is always the same.
    fn condition(&mut self, condition: &Expr, values: &[&str]) {
        if matches!(condition, Expr::Let(_)) || is_constant_of_a_type(condition) {
            return;
        }
        for value in values {
            let what = format!("is {value}");
            self.add(condition.span(), &what, Change::Expression((*value).to_owned()));
        }
    }

    fn body(&mut self, output: &syn::ReturnType, block: &syn::Block) {
        let output = match output {
            syn::ReturnType::Default => String::new(),
            syn::ReturnType::Type(_, output) => self.line(output.span()).replace(' ', ""),
        };
        let values: &[&'static str] = match &*output {
            "" => &[""],
            "bool" => &["true", "false"],
            "usize" | "u64" | "u32" | "u16" | "u8" => &["0"],
            "Pages" => &["Pages::ZERO"],
            output if output.starts_with("Option<") => &["None"],
            output if output.starts_with("Result<(),") => &["Ok(())"],
            _ => &[],
        };
        let is = block.stmts.iter().map(|statement| self.line(statement.span()).replace(' ', ""));
        let ignores = |statement: &String| {
            statement.strip_prefix("let_=").is_some_and(|what| !what.trim_start_matches('(').contains('('))
        };
        let is = is.filter(|statement| !ignores(statement)).collect::<String>();
        for value in values.iter().filter(|value| **value != is) {
            let what = if value.is_empty() { "does nothing".to_owned() } else { format!("returns {value}") };
            self.add(block.brace_token.span.open(), &what, Change::Return(value));
        }
    }

    fn function(
        &mut self,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
        block: &syn::Block,
        visit: impl FnOnce(&mut Self),
    ) {
        if signature.constness.is_some() || left_out(attributes) {
            return;
        }
        let outer = self.function.clone();
        if !self.function.is_empty() {
            self.function.push_str("::");
        }
        self.function.push_str(&signature.ident.to_string());
        self.body(&signature.output, block);
        visit(self);
        self.function = outer;
    }
}

/// Whether an item is for tests, loggers or other machines.
fn left_out(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return true };
        let words = list.tokens.to_string();
        ["test", "defmt", "log", "not", "target_arch"].iter().any(|word| words.contains(word))
    })
}

/// Whether it is `T::CONSTANT`.
fn is_constant_of_a_type(expression: &Expr) -> bool {
    let Expr::Path(path) = expression else { return false };
    let name = path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
    path.path.segments.len() > 1 && !name.contains(char::is_lowercase)
}

/// Whether it may take a variable by value, as `drop(block)` does: without it the variable lives on, and the code after it
/// does not compile.
fn takes_a_local(expression: &Expr) -> bool {
    let is_local =
        |expression: &Expr| matches!(expression, Expr::Path(path) if path.path.get_ident().is_some());
    match expression {
        Expr::MethodCall(call) => call.args.is_empty() && is_local(&call.receiver),
        Expr::Call(call) => call.args.len() == 1 && call.args.iter().all(is_local),
        _ => false,
    }
}

/// What stands instead of an operator.
fn other(operator: &BinOp) -> Option<&'static str> {
    Some(match operator {
        BinOp::Eq(_) => "!=",
        BinOp::Ne(_) => "==",
        BinOp::Lt(_) => "<=",
        BinOp::Le(_) => "<",
        BinOp::Gt(_) => ">=",
        BinOp::Ge(_) => ">",
        BinOp::And(_) => "||",
        BinOp::Or(_) => "&&",
        BinOp::Add(_) => "-",
        BinOp::Sub(_) | BinOp::Mul(_) => "+",
        BinOp::Div(_) => "*",
        BinOp::Rem(_) => "/",
        BinOp::BitAnd(_) => "|",
        BinOp::BitOr(_) | BinOp::BitXor(_) => "&",
        BinOp::Shl(_) => ">>",
        BinOp::Shr(_) => "<<",
        BinOp::AddAssign(_) => "-=",
        BinOp::SubAssign(_) => "+=",
        BinOp::BitOrAssign(_) => "&=",
        BinOp::BitAndAssign(_) => "|=",
        _ => return None,
    })
}

fn is_change_in_place(operator: &BinOp) -> bool {
    use BinOp::{AddAssign, BitAndAssign, BitOrAssign, BitXorAssign, DivAssign, MulAssign, SubAssign};
    matches!(
        operator,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | BitOrAssign(_)
            | BitAndAssign(_)
            | BitXorAssign(_)
    )
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !left_out(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    /// Of patterns only what stands after their `if`.
    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        if let syn::Pat::Guard(guarded) = pattern {
            self.condition(&guarded.guard, &["true", "false"]);
            self.visit_expr(&guarded.guard);
        }
    }

    fn visit_generics(&mut self, _: &'ast syn::Generics) {}

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
        if left_out(&item.attrs) || of.is_some_and(|of| of.ident == "Debug" || of.ident == "Format") {
            return;
        }
        let name = self.line(item.self_ty.span());
        self.function = name.split([' ', '<']).find(|word| word.len() > 1).unwrap_or_default().to_owned();
        visit::visit_item_impl(self, item);
        self.function.clear();
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.function = item.ident.to_string();
        visit::visit_item_trait(self, item);
        self.function.clear();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block, |finder| visit::visit_item_fn(finder, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block, |finder| visit::visit_impl_item_fn(finder, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        let Some(block) = &item.default else { return };
        self.function(&item.attrs, &item.sig, block, |finder| visit::visit_trait_item_fn(finder, item));
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if let Stmt::Expr(expression, Some(_)) = statement {
            let left = match expression {
                Expr::Assign(expression) => &expression.attrs,
                Expr::MethodCall(expression) => &expression.attrs,
                Expr::Call(expression) => &expression.attrs,
                Expr::Binary(expression) => &expression.attrs,
                _ => return visit::visit_stmt(self, statement),
            };
            let tells = self.at(statement.span()).starts_with("stats::send(");
            if left.is_empty() && !tells && !takes_a_local(expression) {
                self.add(statement.span(), "is left out", Change::NoStatement);
            }
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_if(&mut self, expression: &'ast syn::ExprIf) {
        let tells = |statement: &Stmt| self.at(statement.span()).starts_with("stats::send(");
        if !expression.then_branch.stmts.is_empty() && expression.then_branch.stmts.iter().all(tells) {
            return;
        }
        self.condition(&expression.cond, &["true", "false"]);
        visit::visit_expr_if(self, expression);
    }

    fn visit_expr_while(&mut self, expression: &'ast syn::ExprWhile) {
        self.condition(&expression.cond, &["false"]);
        visit::visit_expr_while(self, expression);
    }

    fn visit_expr_binary(&mut self, expression: &'ast syn::ExprBinary) {
        if let Some(other) = other(&expression.op) {
            let (left, right) = (self.line(expression.left.span()), self.line(expression.right.span()));
            let new = if is_change_in_place(&expression.op) {
                format!("{left} {other} {right}")
            } else {
                format!("({left}) {other} ({right})")
            };
            let what = format!("has {other} for {}", self.line(expression.op.span()));
            self.add(expression.span(), &what, Change::Expression(new));
        }
        visit::visit_expr_binary(self, expression);
    }

    fn visit_expr_unary(&mut self, expression: &'ast syn::ExprUnary) {
        if matches!(expression.op, UnOp::Not(_)) {
            let new = self.line(expression.expr.span());
            self.add(expression.span(), "has no !", Change::Expression(new));
        }
        visit::visit_expr_unary(self, expression);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let other = match &*call.method.to_string() {
            "min" => Some("max"),
            "max" => Some("min"),
            _ => None,
        };
        if let (Some(other), 1) = (other, call.args.len()) {
            let (left, argument) = (self.line(call.receiver.span()), self.line(call.args.span()));
            let what = format!("has {other} for {}", call.method);
            self.add(call.span(), &what, Change::Expression(format!("{left}.{other}({argument})")));
        }
        visit::visit_expr_method_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
impl Cell {
    fn hold(&self) -> bool {
        // A comment.
        if self.users < 2
            && self.free {
            self.users.set(1);
        }
        !self.free
    }
    const fn size() -> usize { 1 + 1 }
    #[cfg(test)]
    fn test(&self) { self.hold(); }
}
";

    /// Rule: a mutant is named by file, function and change; what the compiler runs and what is a test has none; and the same
    /// change at two places has two names.
    #[test]
    fn names() {
        let source = Source::read("core/src/f.rs", TEXT.to_owned(), &BTreeSet::new()).expect("it is Rust");
        let names: Vec<&str> = source.mutants.iter().map(|mutant| &*mutant.name).collect();
        let expected = [
            "core/src/f.rs Cell::hold: returns true",
            "core/src/f.rs Cell::hold: returns false",
            "core/src/f.rs Cell::hold: `self.users < 2 && self.free` is true",
            "core/src/f.rs Cell::hold: `self.users < 2 && self.free` is false",
            "core/src/f.rs Cell::hold: `self.users < 2 && self.free` has || for &&",
            "core/src/f.rs Cell::hold: `self.users < 2` has <= for <",
            "core/src/f.rs Cell::hold: `self.users.set(1);` is left out",
            "core/src/f.rs Cell::hold: `!self.free` has no !",
        ];
        assert_eq!(names, expected);
        let twice = "fn f() { g(1); g(1); }".to_owned();
        let source = Source::read("core/src/f.rs", twice, &BTreeSet::new()).expect("it is Rust");
        assert_eq!(source.mutants[2].name, "core/src/f.rs f: `g(1);` is left out (2)");
    }

    /// Rule: what means the same anyway is no mutant.
    #[test]
    fn what_is_the_same() {
        let text = "
fn none() -> Option<u8> { None }
fn zero(&self) -> usize { let _ = self; 0 }
fn nothing(a: u8) { let _ = a; }
fn short() { if T::ONE { stats::send(a); } if lost { stats::send(b); } }
";
        let source = Source::read("core/src/f.rs", text.to_owned(), &BTreeSet::new()).expect("it is Rust");
        let names: Vec<&str> = source.mutants.iter().map(|mutant| &*mutant.name).collect();
        assert_eq!(names, ["core/src/f.rs short: does nothing"]);
    }

    /// Rule: every mutant has a switch with its number, each line stays the line that it is, and what does not build is left
    /// out.
    #[test]
    fn switches() {
        let source =
            Source::read("backends/src/f.rs", TEXT.to_owned(), &BTreeSet::new()).expect("it is Rust");
        let text = source.switched(10);
        assert_eq!(text.lines().count(), TEXT.lines().count());
        syn::parse_file(&text).expect("it is Rust");
        for number in 10..18 {
            assert_eq!(text.matches(&format!("::forebay::mutant::on({number})")).count(), 1, "{text}");
        }
        assert!(text.contains("if !::forebay::mutant::on(16) { self.users.set(1); }"), "{text}");
        let broken = BTreeSet::from([source.mutants[0].name.clone()]);
        let source = Source::read("backends/src/f.rs", TEXT.to_owned(), &broken).expect("it is Rust");
        assert_eq!((source.mutants.len(), source.switched(0).matches("return true").count()), (7, 0));
    }
}
