//! The order of the modules: a `use` points down the list in `src/lib.rs` (for the binary, in
//! `src/main.rs`), never up. And the size of a file.
//!
//! Reads the source as text: every path that begins with `crate::`, or that climbs to the root with
//! `super::`, outside of comments and of `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Arrows that point up today. Only ever remove from it.
const KNOWN_ARROWS: &[(&str, &str)] = &[
    ("connection", "server"),
    ("caretaker", "connection"),
    ("tls", "client"),
    ("wire", "tls"),
    ("error", "message"),
];

/// Files longer than [`LONGEST`], each with its reason.
const KNOWN_LONG: &[(&str, &str)] = &[
    ("client/mod.rs", "is being split"),
    ("client/target.rs", "is being split"),
    ("connection/mod.rs", "is being split"),
    ("connection/outbox.rs", "is being split"),
    ("http/request.rs", "is being split"),
    ("hub/mod.rs", "is being split"),
    ("server/handshake.rs", "is being split"),
    ("server/listener.rs", "is being split"),
    ("server/mod.rs", "is being split"),
];

/// A file that is longer is usually two.
const LONGEST: usize = 400;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below a folder, or the file itself.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rust = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|name| name == "rs");
    let mut found: Vec<PathBuf> = entries.filter(rust).flat_map(|path| files(&path)).collect();
    found.sort();
    found
}

/// The lines of a file that are code of the product: without comments, and without its tests, which
/// stand at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..tests].lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or(line)))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// The first words behind `prefix::`, one, or those of a `{group}`.
fn heads(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![first_word(rest)];
    };
    let (mut depth, mut words, mut begin) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                words.push(first_word(group[begin..at].trim_start()));
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A crate: its root file's modules in their order, and what it re-exports from which of them.
struct Order {
    root: &'static str,
    modules: Vec<String>,
    reexported: BTreeMap<String, String>,
}

impl Order {
    fn of(root: &'static str) -> Order {
        let text = fs::read_to_string(src().join(root)).unwrap();
        let code: Vec<&str> = code(&text).map(|(_, line)| line).collect();
        let declared = code.iter().filter_map(|line| {
            let name = line
                .strip_prefix("pub ")
                .unwrap_or(line)
                .strip_prefix("mod ")?;
            Some(name.strip_suffix(';')?.to_owned())
        });
        let modules = declared.collect();
        let mut reexported = BTreeMap::new();
        for export in code.join("\n").split("pub use ").skip(1) {
            let export = export.split(';').next().unwrap();
            let module = first_word(export);
            for name in export.split(|c| !is_word(c)) {
                reexported.insert(name.to_owned(), module.to_owned());
            }
        }
        Order {
            root,
            modules,
            reexported,
        }
    }

    /// The files of a module, which is a folder, or a file, or both.
    fn files(&self, module: &str) -> Vec<PathBuf> {
        let places = [src().join(module), src().join(module).with_extension("rs")];
        places
            .iter()
            .filter(|path| path.exists())
            .flat_map(|path| files(path))
            .collect()
    }

    /// Every arrow from a module to another: where it stands, from, to.
    fn arrows(&self) -> Vec<(String, &str, &str)> {
        let mut arrows = Vec::new();
        for from in &self.modules {
            for path in self.files(from) {
                let text = fs::read_to_string(&path).unwrap();
                let short = path.strip_prefix(src()).unwrap();
                let depth = short.components().count() - usize::from(short.ends_with("mod.rs"));
                let climb = "super::".repeat(depth);
                let mut position = 0;
                // A path may go on on the next line, so the text is searched, not its lines.
                let lines: Vec<(usize, &str)> = code(&text).collect();
                let joined: String = lines.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
                for (at, piece) in joined
                    .match_indices(['c', 's'])
                    .map(|(at, _)| (at, &joined[at..]))
                {
                    let rest = piece
                        .strip_prefix("crate::")
                        .or_else(|| piece.strip_prefix(climb.as_str()));
                    let starts = !joined[..at].ends_with(is_word) && !joined[..at].ends_with("::");
                    let Some(rest) = rest.filter(|_| starts && at >= position) else {
                        continue;
                    };
                    position = at;
                    let line = joined[..at].matches('\n').count() + 1;
                    for head in heads(rest) {
                        let module = self.modules.iter().find(|module| *module == head);
                        let owner = || {
                            self.modules
                                .iter()
                                .find(|m| Some(*m) == self.reexported.get(head))
                        };
                        if let Some(to) = module.or_else(owner)
                            && to != from
                        {
                            arrows.push((
                                format!("src/{}:{line}", short.display()),
                                from.as_str(),
                                to.as_str(),
                            ));
                        }
                    }
                }
            }
        }
        arrows
    }

    #[track_caller]
    fn points_down(&self) {
        let place = |name: &str| self.modules.iter().position(|module| module == name);
        let arrows = self.arrows();
        assert!(!arrows.is_empty(), "arrows are found");
        let up = arrows
            .iter()
            .filter(|(_, from, to)| place(to) < place(from));
        let new: Vec<String> = up
            .filter(|(_, from, to)| !KNOWN_ARROWS.contains(&(from, to)))
            .map(|(at, from, to)| {
                format!(
                    "{at}: {from} uses {to}, which src/{} lists above it",
                    self.root
                )
            })
            .collect();
        assert!(
            new.is_empty(),
            "{}\nMove what is needed down into a module that both may use, or let the upper one hand it \
             over as an argument or a trait (ARCHITECTURE.md, \"Where to change what\").",
            new.join("\n")
        );
    }
}

#[test]
fn the_modules_of_the_library_use_only_what_stands_below_them() {
    Order::of("lib.rs").points_down();
}

#[test]
fn the_modules_of_the_binary_use_only_what_stands_below_them() {
    Order::of("main.rs").points_down();
}

#[test]
fn every_file_of_the_source_belongs_to_a_module_at_its_own_place() {
    let orders = [Order::of("lib.rs"), Order::of("main.rs")];
    let owned = orders
        .iter()
        .flat_map(|o| o.modules.iter().flat_map(|module| o.files(module)));
    let mut owned: BTreeSet<PathBuf> = owned.collect();
    owned.extend(["lib.rs", "main.rs"].map(|root| src().join(root)));
    for file in files(&src()) {
        assert!(
            owned.contains(&file),
            "no module of src/lib.rs or src/main.rs owns {}",
            file.display()
        );
        // The compiler keeps the binary to the library's public interface, unless a file is borrowed.
        let text = fs::read_to_string(&file).unwrap();
        for borrowed in ["include!(", "doc(hidden)"] {
            assert!(!text.contains(borrowed), "{borrowed} in {}", file.display());
        }
    }
}

#[test]
fn no_file_of_the_source_is_long() {
    for file in files(&src()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        let short = file.strip_prefix(src()).unwrap().display().to_string();
        let known = KNOWN_LONG.iter().any(|(name, _)| *name == short);
        assert!(
            lines <= LONGEST || known,
            "src/{short} has {lines} lines, {LONGEST} are allowed: usually it holds two nouns, each of \
             which is a file"
        );
    }
}
