//! The order of the modules: a `use` points down the list in `src/lib.rs` (for the binary, in
//! `src/main.rs`), never up. And the size of a file.
//!
//! Reads the source as text: every path that begins with `crate::`, or that climbs to the root with
//! `super::`, outside of comments and of `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const WAY_OUT: &str = "Move what is needed down into a module that both may use, or let the upper one \
                       hand it over as an argument or a trait.";

/// A file that is longer is usually two.
const LONGEST: usize = 400;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below a folder, or the file itself; but those with tests alone.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rust = |path: &PathBuf| {
        let tests = path.ends_with("tests.rs");
        path.is_dir() || path.extension().is_some_and(|name| name == "rs") && !tests
    };
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

/// A module: those in it in the order of their `mod` lines, and which names it has of which of them.
struct Module {
    /// Its file, `src/lib.rs` or `src/server/mod.rs`.
    file: PathBuf,
    /// `crate::`, `crate::server::`.
    path: String,
    children: Vec<String>,
    names: BTreeMap<String, String>,
}

/// One child of a module uses another.
struct Arrow {
    at: String,
    from: String,
    to: String,
}

impl Module {
    fn of(file: &str, path: &str) -> Module {
        let file = src().join(file);
        let text = fs::read_to_string(&file).unwrap();
        let code: Vec<&str> = code(&text).map(|(_, line)| line.trim()).collect();
        let declared = code.iter().filter_map(|line| {
            let (_, name) = line
                .split_once("mod ")
                .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?;
            Some(name.strip_suffix(';')?.to_owned())
        });
        let children: Vec<String> = declared.collect();
        let mut names = BTreeMap::new();
        for import in code.join("\n").split("use ").skip(1) {
            let import = import.split(';').next().unwrap();
            let child = first_word(import.strip_prefix("self::").unwrap_or(import));
            if children.iter().any(|name| name == child) {
                let words = import.split(|c| !is_word(c));
                names.extend(words.map(|name| (name.to_owned(), child.to_owned())));
            }
        }
        Module {
            file,
            path: path.to_owned(),
            children,
            names,
        }
    }

    /// The modules that are folders, of both crates, without the roots.
    fn folders() -> Vec<Module> {
        let files = files(&src()).into_iter();
        let files = files.filter(|path| path.ends_with("mod.rs"));
        let modules = files.map(|path| {
            let short = path.strip_prefix(src()).unwrap().to_str().unwrap();
            let path = format!("crate::{}", short.replace("mod.rs", "").replace('/', "::"));
            Module::of(short, &path)
        });
        modules.collect()
    }

    /// The files of a child, which is a folder, or a file, or both.
    fn files(&self, child: &str) -> Vec<PathBuf> {
        let place = self.file.with_file_name(child);
        let places = [place.with_extension("rs"), place];
        let there = places.iter().filter(|path| path.exists());
        there.flat_map(|path| files(path)).collect()
    }

    /// Every arrow from a child to another.
    fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        let level = self.path.matches("::").count();
        for from in &self.children {
            for path in self.files(from) {
                let short = path.strip_prefix(src()).unwrap();
                let depth = short.components().count() - usize::from(short.ends_with("mod.rs"));
                let climb = "super::".repeat(depth + 1 - level);
                let text = fs::read_to_string(&path).unwrap();
                for (line, word) in behind(&text, &[&self.path, &climb]) {
                    let child = self.children.iter().find(|child| **child == word);
                    if let Some(to) = child.or_else(|| self.names.get(&word))
                        && to != from
                    {
                        arrows.push(Arrow {
                            at: format!("src/{}:{line}", short.display()),
                            from: from.clone(),
                            to: to.clone(),
                        });
                    }
                }
            }
        }
        arrows
    }

    /// The arrows between children that use each other, directly or not.
    fn circles(&self) -> Vec<Arrow> {
        let arrows = self.arrows();
        let reaches = |from: &str, goal: &str| {
            let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
            while let Some(module) = ahead.pop() {
                if seen.insert(module) {
                    ahead.extend(arrows.iter().filter(|a| a.from == module).map(|a| &*a.to));
                }
            }
            seen.contains(goal)
        };
        let circular = arrows.iter().map(|arrow| reaches(&arrow.to, &arrow.from));
        let circular: Vec<bool> = circular.collect();
        let circular = arrows.into_iter().zip(circular).filter(|(_, is)| *is);
        circular.map(|(arrow, _)| arrow).collect()
    }

    #[track_caller]
    fn points_down(&self) {
        let place = |name: &str| self.children.iter().position(|child| child == name);
        let arrows = self.arrows();
        assert!(!arrows.is_empty(), "arrows are found");
        let up = arrows
            .iter()
            .filter(|arrow| place(&arrow.to) < place(&arrow.from));
        let told = up.map(|Arrow { at, from, to }| {
            let root = self.file.strip_prefix(src()).unwrap().display();
            format!("{at}: {from} uses {to}, which src/{root} lists above it\n")
        });
        let told: String = told.collect();
        assert!(told.is_empty(), "{told}{WAY_OUT}");
    }
}

/// What stands behind each of the prefixes in the code of a file: the next word, and its line.
fn behind(text: &str, prefixes: &[&str]) -> Vec<(usize, String)> {
    // A path may go on on the next line, so the text is searched, not its lines.
    let code: String = code(text).flat_map(|(_, line)| [line, "\n"]).collect();
    let mut found = Vec::new();
    for prefix in prefixes {
        for (at, _) in code.match_indices(prefix) {
            let (before, rest) = (&code[..at], &code[at + prefix.len()..]);
            if !before.ends_with(is_word) && !before.ends_with("::") {
                let line = before.matches('\n').count() + 1;
                found.extend(heads(rest).iter().map(|word| (line, (*word).to_owned())));
            }
        }
    }
    found
}

#[test]
fn the_modules_of_the_library_use_only_what_stands_below_them() {
    Module::of("lib.rs", "crate::").points_down();
}

#[test]
fn the_modules_of_the_binary_use_only_what_stands_below_them() {
    Module::of("main.rs", "crate::").points_down();
}

#[test]
fn no_files_of_a_folder_use_each_other() {
    let folders = Module::folders();
    let circles = folders.iter().flat_map(Module::circles);
    let told = circles
        .map(|Arrow { at, from, to }| format!("{at}: {from} uses {to}, and is used by it\n"));
    let told: String = told.collect();
    assert!(told.is_empty(), "{told}{WAY_OUT}");
}

#[test]
fn every_file_of_the_source_belongs_to_a_module_at_its_own_place() {
    let roots = ["lib.rs", "main.rs"].map(|root| Module::of(root, "crate::"));
    let owned = roots
        .iter()
        .flat_map(|root| root.children.iter().flat_map(|child| root.files(child)));
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
fn every_file_of_the_source_opens_with_what_it_is() {
    for file in files(&src()) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "no //! header: {}",
            file.display()
        );
    }
}

#[test]
fn no_file_of_the_source_is_long() {
    for file in files(&src()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        let short = file.strip_prefix(src()).unwrap().display().to_string();
        assert!(
            lines <= LONGEST,
            "src/{short} has {lines} lines, {LONGEST} are allowed: usually it holds two nouns, each of \
             which is a file"
        );
    }
}
