//! Keeps the source tree walkable: no file imports another that imports it back, no file is longer than 500 lines before its
//! tests, no function is longer than 60 lines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, Item, ItemFn, ItemUse, TraitItemFn, UseTree, Visibility};

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// A module's path within its crate: empty for the root.
type ModulePath = Vec<String>;

/// A source file that is a module.
#[derive(Default)]
struct Module {
    file: PathBuf,
    /// Paths that its `use` declarations name, without `crate`, `self` and `super`; of this crate alone.
    uses: Vec<ModulePath>,
    /// Names that it imports, with the paths they stand for: what other files take from here may come from elsewhere.
    imported: BTreeMap<String, ModulePath>,
    /// Line of each function, and its length.
    functions: Vec<(usize, usize)>,
    /// Lines before the tests.
    lines: usize,
}

/// The modules of a crate.
type Modules = BTreeMap<ModulePath, Module>;

#[test]
fn no_files_import_each_other() {
    let mut loops = Vec::new();
    for modules in crates() {
        let edges = edges(modules);
        for (from, targets) in &edges {
            for target in targets.iter().filter(|target| from < *target) {
                if let Some(path) = path_between(&edges, target, from) {
                    let files = std::iter::once(*from).chain(&path).map(|module| shown(&modules[module].file));
                    loops.push(files.collect::<Vec<_>>().join(" -> "));
                }
            }
        }
    }
    assert!(loops.is_empty(), "{} loops of files:\n{}", loops.len(), loops.join("\n"));
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    for module in crates().iter().flat_map(BTreeMap::values) {
        if module.lines > FILE_LINES_MAX {
            long.push(format!("{}: {} lines before its tests", shown(&module.file), module.lines));
        }
        for (line, length) in module.functions.iter().filter(|(_, length)| *length > FUNCTION_LINES_MAX) {
            long.push(format!("{}:{line}: a function of {length} lines", shown(&module.file)));
        }
    }
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

fn root() -> PathBuf {
    match std::env::var_os("DQA_ROOT") {
        Some(root) => root.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned(),
    }
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap().display().to_string()
}

/// Returns the crates of the workspace, as the root manifest names them, each read once.
fn crates() -> &'static [Modules] {
    static CRATES: OnceLock<Vec<Modules>> = OnceLock::new();
    CRATES.get_or_init(read_crates)
}

fn read_crates() -> Vec<Modules> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let folders: Vec<&str> = members.split(',').map(|name| name.trim().trim_matches('"')).collect();
    assert!(folders.len() > 8, "{folders:?}");
    let roots = folders.iter().map(|folder| root().join(folder).join("src/lib.rs"));
    roots.filter(|file| file.exists()).map(|file| modules(&file)).collect()
}

/// Reads a crate's files from its root on.
fn modules(root: &Path) -> Modules {
    let mut modules = Modules::new();
    let mut waiting = vec![(ModulePath::new(), root.to_owned())];
    while let Some((path, file)) = waiting.pop() {
        let text = std::fs::read_to_string(&file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let is_folder = ["lib.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
        let folder = if is_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        let mut module = Module { file, lines: text.lines().count(), ..Module::default() };
        for item in parsed.items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(child) if child.content.is_none() => {
                    let name = child.ident.to_string();
                    let file = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
                    let file = file.into_iter().find(|file| file.exists()).unwrap_or_else(|| panic!("{name}"));
                    waiting.push(([&path[..], &[name]].concat(), file));
                }
                Item::Use(import) => module.import(import, &path),
                _ => module.visit_item(item),
            }
        }
        let tests = parsed.items.iter().find(|item| is_test(attributes(item)) && matches!(item, Item::Mod(_)));
        if let Some(tests) = tests {
            module.lines = module.lines.min(tests.span().start().line);
        }
        modules.insert(path, module);
    }
    modules
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    };
    attributes.iter().any(is_test)
}

impl Module {
    fn import(&mut self, import: &ItemUse, own: &[String]) {
        let mut paths = Vec::new();
        flatten(&import.tree, &mut Vec::new(), &mut paths);
        for (name, path) in paths {
            let Some(path) = absolute(&path, own) else { continue };
            if !matches!(import.vis, Visibility::Public(_)) || path.len() > 1 {
                self.imported.insert(name, path.clone());
            }
            self.uses.push(path);
        }
    }

    fn function(&mut self, start: usize, block: &Block) {
        self.functions.push((start, block.span().end().line + 1 - start));
    }
}

impl Visit<'_> for Module {
    fn visit_item_fn(&mut self, item: &ItemFn) {
        self.function(item.sig.span().start().line, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &ImplItemFn) {
        self.function(item.sig.span().start().line, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(item.sig.span().start().line, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Lists the paths of a `use` tree, each with the name that it gets.
fn flatten(tree: &UseTree, prefix: &mut ModulePath, found: &mut Vec<(String, ModulePath)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            found.push((prefix.last().cloned().unwrap_or_default(), prefix.clone()));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            found.push((name.clone(), [&prefix[..], &[name]].concat()));
        }
        UseTree::Rename(name) => {
            found.push((name.rename.to_string(), [&prefix[..], &[name.ident.to_string()]].concat()));
        }
        UseTree::Glob(_) => found.push((String::new(), prefix.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, found)),
    }
}

/// Resolves `crate`, `self` and `super` in a module; a path that begins otherwise may be of a child, or of another crate.
fn absolute(path: &[String], own: &[String]) -> Option<ModulePath> {
    let mut base = own.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        _ => {}
    }
    Some([&base[..], rest].concat())
}

/// Which files take something from which, but for those above and below each other: a module's children are its parts.
fn edges(modules: &Modules) -> BTreeMap<&ModulePath, BTreeSet<&ModulePath>> {
    let mut edges: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = BTreeMap::new();
    for (path, module) in modules {
        for used in &module.uses {
            let Some(target) = defining(modules, used, 0) else { continue };
            if !target.starts_with(path) && !path.starts_with(target) {
                edges.entry(path).or_default().insert(target);
            }
        }
    }
    edges
}

/// The module that a path's item is defined in, through the imports of those that hand it on. None for another crate.
fn defining<'a>(modules: &'a Modules, path: &[String], depth: usize) -> Option<&'a ModulePath> {
    let known = (0..=path.len()).rev().find_map(|length| modules.get_key_value(&path[..length]));
    let (found, module) = known?;
    let Some(next) = path.get(found.len()) else { return Some(found) };
    match module.imported.get(next) {
        Some(handed_on) if depth < 8 && handed_on != path => {
            defining(modules, &[handed_on, &path[found.len() + 1..]].concat(), depth + 1)
        }
        _ if found.is_empty() => None,
        _ => Some(found),
    }
}

/// A way from one module to another along the edges, without the first.
fn path_between(
    edges: &BTreeMap<&ModulePath, BTreeSet<&ModulePath>>,
    from: &ModulePath,
    to: &ModulePath,
) -> Option<Vec<ModulePath>> {
    let mut waiting = VecDeque::from([vec![from.clone()]]);
    let mut seen = BTreeSet::from([from.clone()]);
    while let Some(path) = waiting.pop_front() {
        let last = path.last().unwrap();
        if last == to {
            return Some(path);
        }
        for next in edges.get(last).into_iter().flatten() {
            if seen.insert((*next).clone()) {
                waiting.push_back([&path[..], &[(*next).clone()]].concat());
            }
        }
    }
    None
}
