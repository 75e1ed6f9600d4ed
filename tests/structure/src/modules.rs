//! The modules of a crate: which names each declares, imports and mentions.
//!
//! What always holds here: everything behind `#[cfg(test)]` or `#[test]` is left out; all other `cfg` attributes are
//! taken as true, so that the variants of every platform are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree};

use crate::{Result, read};

/// A path as it is written: `crate::journal::Journal`.
pub type Written = Vec<String>;

/// The meaning of a name in a module.
#[derive(Clone, Debug)]
pub enum Name {
    /// A module, by its index in [`Crate::modules`].
    Module(usize),
    /// An item that is defined in this module.
    Item,
    /// An import of this path.
    Import(Written),
}

/// One module.
#[derive(Debug)]
pub struct Module {
    /// The file it stands in.
    pub file: PathBuf,
    /// The module that declares it.
    pub parent: Option<usize>,
    /// The meanings of each name; variants for several platforms give a name several.
    pub names: BTreeMap<String, Vec<Name>>,
    /// The paths of which everything is imported.
    pub globs: Vec<Written>,
    /// Every path that is imported for this module's own use or written in its code.
    pub mentions: Vec<Written>,
}

/// A crate as a tree of modules. The root is the first.
#[derive(Debug, Default)]
pub struct Crate {
    /// All modules.
    pub modules: Vec<Module>,
}

impl Crate {
    /// Reads the crate whose root is this file.
    pub fn read(root: &Path) -> Result<Self> {
        let mut all = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        all.read_file(root, &folder, None)?;
        Ok(all)
    }

    fn read_file(&mut self, file: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let parsed = syn::parse_file(&read(file)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        self.module(file, folder, parent, parsed.items)
    }

    /// `folder` is where the files of this module's children stand.
    fn module(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        items: Vec<Item>,
    ) -> Result<usize> {
        let this = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            names: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        });
        for item in items {
            self.item(this, folder, item)?;
        }
        Ok(this)
    }

    fn item(&mut self, this: usize, folder: &Path, item: Item) -> Result<()> {
        if attributes(&item).iter().any(is_test) {
            return Ok(());
        }
        match item {
            Item::Mod(module) => {
                let name = module.ident.to_string();
                let file = self.modules[this].file.clone();
                let below = folder.join(&name);
                let child = match (module.content, path_attribute(&module.attrs)) {
                    (Some((_, items)), _) => self.module(&file, &below, Some(this), items)?,
                    (None, Some(path)) => {
                        let beside = file.parent().unwrap_or(Path::new("")).join(path);
                        self.read_file(&beside, &below, Some(this))?
                    }
                    (None, None) => {
                        let beside = folder.join(format!("{name}.rs"));
                        let inside = below.join("mod.rs");
                        let there = if beside.exists() { beside } else { inside };
                        self.read_file(&there, &below, Some(this))?
                    }
                };
                self.declare(this, name, Name::Module(child));
            }
            Item::Use(item) => {
                // A re-export offers a name to others; the file itself need not use it.
                let own = matches!(item.vis, syn::Visibility::Inherited);
                self.import(this, &mut Vec::new(), &item.tree, own);
            }
            item => {
                if let Some(name) = defined(&item) {
                    self.declare(this, name, Name::Item);
                }
                paths(
                    item.to_token_stream(),
                    &[],
                    &mut self.modules[this].mentions,
                );
            }
        }
        Ok(())
    }

    fn declare(&mut self, this: usize, name: String, meaning: Name) {
        self.modules[this]
            .names
            .entry(name)
            .or_default()
            .push(meaning);
    }

    fn import(&mut self, this: usize, before: &mut Written, tree: &UseTree, own: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(this, before, &path.tree, own);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(this, before, tree, own);
                }
            }
            UseTree::Glob(_) => self.modules[this].globs.push(before.clone()),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.import_one(this, before, &name, &name, own);
            }
            UseTree::Rename(rename) => {
                let (of, name) = (rename.ident.to_string(), rename.rename.to_string());
                self.import_one(this, before, &of, &name, own);
            }
        }
    }

    fn import_one(&mut self, this: usize, before: &Written, of: &str, name: &str, own: bool) {
        let mut path = before.clone();
        let name = match (of, before.last()) {
            // `use a::b::{self}` imports `b`.
            ("self", Some(last)) => {
                if name == "self" {
                    last.clone()
                } else {
                    name.to_owned()
                }
            }
            _ => {
                path.push(of.to_owned());
                name.to_owned()
            }
        };
        if own {
            self.modules[this].mentions.push(path.clone());
        }
        self.declare(this, name, Name::Import(path));
    }
}

/// Every path in code, macros' arguments and imports inside of functions included. A name behind a dot does not count:
/// it is a field's or a method's.
fn paths(code: TokenStream, before: &[String], found: &mut Vec<Written>) {
    let mut tokens = code.into_iter().peekable();
    let mut path: Written = before.to_vec();
    // Whether the next identifier continues the path.
    let mut open = true;
    // Whether a field or a method comes.
    let mut dot = false;
    let mut end = |path: &mut Written| {
        if path.len() > before.len() {
            found.push(path.clone());
        }
        path.clear();
        path.extend_from_slice(before);
    };
    let mut groups = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) => {
                if !open {
                    end(&mut path);
                }
                if !dot {
                    path.push(ident.to_string());
                }
                (open, dot) = (false, false);
            }
            TokenTree::Punct(colon)
                if colon.as_char() == ':' && colon.spacing() == Spacing::Joint =>
            {
                tokens.next();
                open = true;
            }
            TokenTree::Group(group) => {
                let list =
                    open && path.len() > before.len() && group.delimiter() == Delimiter::Brace;
                groups.push((
                    group.stream(),
                    if list { path.clone() } else { before.to_vec() },
                ));
                end(&mut path);
                open = true;
            }
            other => {
                dot = matches!(&other, TokenTree::Punct(dot) if dot.as_char() == '.' && dot.spacing() == Spacing::Alone);
                end(&mut path);
                open = true;
            }
        }
    }
    end(&mut path);
    for (code, before) in groups {
        paths(code, &before, found);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]` and `#[test]`.
fn is_test(attribute: &Attribute) -> bool {
    let text = attribute
        .meta
        .to_token_stream()
        .to_string()
        .replace(' ', "");
    text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("path"))
        .find_map(|attribute| {
            let value = attribute
                .meta
                .require_name_value()
                .ok()?
                .value
                .to_token_stream()
                .to_string();
            Some(value.trim_matches('"').to_owned())
        })
}
