//! A source file and the paths it uses, with imports resolved and tests left out.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A source file.
pub(super) struct Source {
    /// Its path within the checkout.
    pub(super) path: String,
    /// The paths it uses, outside of tests.
    pub(super) uses: Vec<Use>,
    /// Its items, outside of tests.
    pub(super) items: Vec<Item>,
    /// Its re-exports (`pub use`): names and paths.
    passed_on: HashMap<String, String>,
}

/// A path that is used, resolved with the imports of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) path: String,
    pub(super) line: usize,
    /// Whether it is only re-exported, by a `pub use`.
    pub(super) passed_on: bool,
}

impl Use {
    fn new(path: String, line: usize) -> Use {
        Use { path, line, passed_on: false }
    }
}

/// A named item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) public: bool,
    /// How many parameters a function has besides `self`.
    pub(super) parameters: usize,
    pub(super) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Function,
    Module,
    Type,
}

impl Source {
    pub(super) fn parse(path: &str, text: &str) -> Result<Source, String> {
        let file = syn::parse_file(text).map_err(|error| format!("{path} cannot be parsed: {error}"))?;
        let mut imports = Imports::default();
        imports.visit_file(&file);
        let mut walk = Walk { imports: imports.names, uses: imports.uses, items: Vec::new(), in_public_trait: false };
        walk.visit_file(&file);
        Ok(Source { path: path.to_owned(), uses: walk.uses, items: walk.items, passed_on: imports.passed_on })
    }

    /// The path of a re-exported name, as written in the `pub use`.
    pub(super) fn passed_on(&self, name: &str) -> Option<&str> {
        self.passed_on.get(name).map(String::as_str)
    }

    /// Whether it is in one of these folders, or is one of these files.
    pub(super) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    /// Whether it belongs to a test, an example or a development task.
    pub(super) fn is_beside_the_product(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.is_in(&["examples/", "xtask/", "e2e/", "fuzz/", "benches/"])
    }

    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }
}

/// The files in version control that exist, without symbolic links to others of them.
pub(super) fn tracked(root: &Path) -> Result<Vec<String>, String> {
    let listing = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let text = crate::command::output(Command::new("git").current_dir(root).args(listing))?;
    Ok(text.lines().filter(|path| is_file(&root.join(path))).map(str::to_owned).collect())
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

pub(super) fn read(root: &Path, files: &[String]) -> Result<Vec<Source>, String> {
    // Files of compile-fail tests need not parse.
    let rust = files.iter().filter(|path| path.ends_with(".rs") && !path.contains("/tests/ui/"));
    rust.map(|path| {
        let text = std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
        Source::parse(path, &text)
    })
    .collect()
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let name = attribute.path().segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        match &attribute.meta {
            syn::Meta::List(list) => name == "cfg" && list.tokens.to_string() == "test",
            _ => name == "test",
        }
    })
}

#[derive(Default)]
struct Imports {
    names: HashMap<String, String>,
    uses: Vec<Use>,
    passed_on: HashMap<String, String>,
    /// Whether the current `use` is public.
    passes_on: bool,
}

impl Imports {
    fn tree(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |name: &syn::Ident| match before {
            "" => name.to_string(),
            before => format!("{before}::{name}"),
        };
        let mut leaf = |path: String, name: String, line: usize| {
            let path = path.trim_end_matches("::self").to_owned();
            self.uses.push(Use { path: path.clone(), line, passed_on: self.passes_on });
            if self.passes_on {
                self.passed_on.insert(name.clone(), path.clone());
            }
            self.names.insert(name, path);
        };
        match tree {
            syn::UseTree::Path(path) => {
                let before = join(&path.ident);
                self.tree(&before, &path.tree);
            }
            syn::UseTree::Name(name) => {
                let last = match name.ident.to_string().as_str() {
                    "self" => before.rsplit("::").next().unwrap_or_default().to_owned(),
                    other => other.to_owned(),
                };
                leaf(join(&name.ident), last, name.span().start().line);
            }
            syn::UseTree::Rename(rename) => {
                leaf(join(&rename.ident), rename.rename.to_string(), rename.span().start().line);
            }
            syn::UseTree::Glob(glob) => leaf(format!("{before}::*"), "*".to_owned(), glob.span().start().line),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.passes_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree("", &item.tree);
    }
}

struct Walk {
    imports: HashMap<String, String>,
    uses: Vec<Use>,
    items: Vec<Item>,
    /// The functions of a trait are public if the trait is.
    in_public_trait: bool,
}

impl Walk {
    /// The parser does not parse the input of macros, so paths and calls are read from the tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == mark);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if let TokenTree::Group(group) = token {
                self.tokens(group.stream());
            }
            let TokenTree::Ident(first) = token else {
                at += 1;
                continue;
            };
            let line = first.span().start().line;
            let is_member = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
            let mut names = vec![first.to_string()];
            at += 1;
            if is_member {
                continue;
            }
            while is(at, ':') && is(at + 1, ':') {
                let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                names.push(next.to_string());
                at += 3;
            }
            let called = if is(at, '!') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) { "!" } else { "" };
            if let Some(full) = self.imports.get(&names[0]) {
                names[0].clone_from(full);
            }
            self.uses.push(Use::new(names.join("::") + called, line));
            // `self.client.send(…)`: the last member before the call is its receiver.
            let mut receiver = names.pop().unwrap_or_default();
            let mut dot = at;
            while is(dot, '.') {
                let Some(TokenTree::Ident(member)) = tokens.get(dot + 1) else { break };
                if matches!(tokens.get(dot + 2), Some(TokenTree::Group(_))) {
                    let line = member.span().start().line;
                    self.uses.push(Use::new(format!("{receiver}.{member}()"), line));
                    break;
                }
                receiver = member.to_string();
                dot += 2;
            }
        }
    }

    fn item(&mut self, kind: Kind, name: &syn::Ident, public: bool, parameters: usize) {
        self.items.push(Item { kind, name: name.to_string(), public, parameters, line: name.span().start().line });
    }

    fn function(&mut self, signature: &syn::Signature, public: bool) {
        let parameters = signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_))).count();
        self.item(Kind::Function, &signature.ident, public, parameters);
    }
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            self.item(Kind::Module, &module.ident, is_public(&module.vis), 0);
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test(&function.attrs) {
            self.function(&function.sig, is_public(&function.vis));
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, is_public(&function.vis));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.item(Kind::Type, &item.ident, is_public(&item.vis), 0);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.item(Kind::Type, &item.ident, is_public(&item.vis), 0);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.item(Kind::Type, &item.ident, is_public(&item.vis), 0);
        let outer = std::mem::replace(&mut self.in_public_trait, is_public(&item.vis));
        visit::visit_item_trait(self, item);
        self.in_public_trait = outer;
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && list.tokens.to_string().contains("unsafe_code")
        {
            self.uses.push(Use::new("allow(unsafe_code)".to_owned(), attribute.span().start().line));
        }
    }

    fn visit_expr_await(&mut self, awaited: &'ast syn::ExprAwait) {
        if let syn::Expr::MethodCall(call) = &*awaited.base {
            let line = call.method.span().start().line;
            self.uses.push(Use::new(format!(".{}().await", call.method), line));
        }
        visit::visit_expr_await(self, awaited);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let path = item.path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
        self.uses.push(Use::new(format!("{path}!"), item.path.span().start().line));
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let receiver = match &*call.receiver {
            syn::Expr::Field(field) => match &field.member {
                syn::Member::Named(name) => Some(name.to_string()),
                syn::Member::Unnamed(_) => None,
            },
            syn::Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        if let Some(receiver) = receiver {
            let line = call.method.span().start().line;
            self.uses.push(Use::new(format!("{receiver}.{}()", call.method), line));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.function(&function.sig, self.in_public_trait);
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.item(Kind::Type, &item.ident, is_public(&item.vis), 0);
        visit::visit_item_type(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(full) = names.first().and_then(|first| self.imports.get(first)) {
            names[0].clone_from(full);
        }
        self.uses.push(Use::new(names.join("::"), path.span().start().line));
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_and_tests_left_out() {
        let text = "use std::{env, time::Instant as Clock};\n\
                    pub fn now() { let _ = Clock::now(); env::var(\"a\"); println!(\"std::fs::read\"); }\n\
                    #[cfg(test)] mod tests { fn f() { std::fs::read(\"a\"); } }\n\
                    #[test] fn g() { std::net::x(); }\n";
        let source = Source::parse("a.rs", text).unwrap();
        let paths: Vec<&str> = source.uses.iter().map(|used| used.path.as_str()).collect();
        for path in ["std::time::Instant::now", "std::env::var", "println!"] {
            assert!(paths.contains(&path), "{path} is not in {paths:?}");
        }
        assert!(!paths.iter().any(|path| path.contains("fs") || path.contains("net")), "{paths:?}");
        assert_eq!(source.items.len(), 1, "{:?}", source.items);
    }

    #[test]
    fn arguments_of_macros_are_searched() {
        let text = "use std::time::SystemTime;\n\
                    fn f() { println!(\"{:?} std::fs::read\", SystemTime::now()); \
                    tokio::select! { x = self.client.send(r) => { tokio::spawn(g()); vec![std::env::var(\"A\")] } } }\n";
        let source = Source::parse("a.rs", text).unwrap();
        let paths: Vec<&str> = source.uses.iter().map(|used| used.path.as_str()).collect();
        for path in ["std::time::SystemTime::now", "tokio::spawn", "std::env::var", "client.send()", "vec!"] {
            assert!(paths.contains(&path), "{path} is not in {paths:?}");
        }
        assert!(!paths.iter().any(|path| path.contains("fs")), "{paths:?}");
    }
}
