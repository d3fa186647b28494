//! A source file, and what it uses: every path in it, with its imports resolved and tests left out.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A source file.
pub(super) struct Source {
    /// Its path within the checkout.
    pub(super) path: String,
    /// What it uses outside of its tests.
    pub(super) uses: Vec<Use>,
    /// Its items, outside of its tests: what they are, their names, and whether they are public.
    pub(super) items: Vec<Item>,
}

/// A path that is used, in full as far as the imports of the file tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) path: String,
    pub(super) line: usize,
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
        let mut walk = Walk { imports: imports.names, uses: imports.uses, items: Vec::new() };
        walk.visit_file(&file);
        Ok(Source { path: path.to_owned(), uses: walk.uses, items: walk.items })
    }

    /// Whether it lies in one of these folders or is one of these files.
    pub(super) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    /// Whether it is a test, an example's or a chore's own.
    pub(super) fn is_beside_the_product(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.is_in(&["examples/", "xtask/", "e2e/", "fuzz/", "benches/"])
    }

    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }
}

/// The files that version control has, without those that are gone.
pub(super) fn tracked(root: &Path) -> Result<Vec<String>, String> {
    let listing = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let text = crate::command::output(Command::new("git").current_dir(root).args(listing))?;
    Ok(text.lines().filter(|path| root.join(path).is_file()).map(str::to_owned).collect())
}

pub(super) fn read(root: &Path, files: &[String]) -> Result<Vec<Source>, String> {
    // Sources that the compiler is to refuse need not parse.
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
}

impl Imports {
    fn tree(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |name: &syn::Ident| match before {
            "" => name.to_string(),
            before => format!("{before}::{name}"),
        };
        let mut leaf = |path: String, name: String, line: usize| {
            let path = path.trim_end_matches("::self").to_owned();
            self.uses.push(Use { path: path.clone(), line });
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
        self.tree("", &item.tree);
    }
}

struct Walk {
    imports: HashMap<String, String>,
    uses: Vec<Use>,
    items: Vec<Item>,
}

impl Walk {
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
        visit::visit_item_trait(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && list.tokens.to_string().contains("unsafe_code")
        {
            self.uses.push(Use { path: "allow(unsafe_code)".to_owned(), line: attribute.span().start().line });
        }
    }

    fn visit_expr_await(&mut self, awaited: &'ast syn::ExprAwait) {
        if let syn::Expr::MethodCall(call) = &*awaited.base {
            let line = call.method.span().start().line;
            self.uses.push(Use { path: format!(".{}().await", call.method), line });
        }
        visit::visit_expr_await(self, awaited);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let path = item.path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
        self.uses.push(Use { path: format!("{path}!"), line: item.path.span().start().line });
        visit::visit_macro(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(full) = names.first().and_then(|first| self.imports.get(first)) {
            names[0].clone_from(full);
        }
        self.uses.push(Use { path: names.join("::"), line: path.span().start().line });
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
}
