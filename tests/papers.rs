//! README, docs/ and the other papers: every link leads somewhere, every command that they show
//! exists with its options, all their code is compiled.
//!
//! What one page says of one subject is checked beside that subject: the tables of options with the
//! daemon's arguments, nginx's lines with nginx.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::plainws;
use crate::support::tools::PATIENCE;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The papers at the top, those of docs/ and of certs/, with their texts; but the changelog, which
/// names what is gone, too.
fn papers() -> Vec<(PathBuf, String)> {
    let folders = [root().to_owned(), root().join("docs"), root().join("certs")];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    let mut papers: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|name| name == "md"))
        .filter(|path| !path.ends_with("CHANGELOG.md"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    papers.sort();
    papers
}

/// The text outside of code blocks.
fn prose(text: &str) -> String {
    text.split("\n```")
        .step_by(2)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names by which a page's headings are linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(name).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_of_it() {
    let mut links = 0;
    for (page, text) in papers() {
        let prose = prose(&text);
        let targets = prose.split("](").skip(1);
        for target in targets.filter_map(|rest| Some(rest.split_once(')')?.0)) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(file.exists(), "{}: no file {target}", page.display());
            let found =
                anchor.is_empty() || anchors(&fs::read_to_string(file).unwrap()).contains(anchor);
            assert!(found, "{}: no heading {target}", page.display());
        }
    }
    assert!(links > 40, "links are found: {links}");
}

#[test]
fn every_page_of_docs_is_compiled_and_linked_from_the_readme() {
    let library = include_str!("../src/lib.rs");
    let readme = include_str!("../README.md");
    for file in fs::read_dir(root().join("docs")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let compiled = library.contains(&format!("include_str!(\"../docs/{name}\")"));
        assert!(
            compiled,
            "src/lib.rs does not include docs/{name} for its doctests"
        );
        assert!(
            readme.contains(&format!("(docs/{name})")),
            "the README does not link docs/{name}"
        );
    }
}

#[test]
fn every_file_that_the_papers_for_contributors_name_is_there() {
    let named = |text: &str| {
        let code = prose(text)
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let path =
            |word: &String| word.contains('/') && !word.contains([' ', '<', '$', ':', '*', '{']);
        code.into_iter().filter(path).collect::<Vec<_>>()
    };
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let named = named(&text);
        assert!(named.len() > 20, "paths are found in {page}: {named:?}");
        for path in named {
            // What is built is not there yet.
            let found = path.starts_with("target/")
                || ["", "src"]
                    .iter()
                    .any(|folder| root().join(folder).join(&path).exists());
            assert!(found, "{page} names {path}");
        }
    }
}

#[test]
fn the_readme_is_short() {
    let lines = include_str!("../README.md").lines().count();
    assert!(
        lines <= 200,
        "README.md has {lines} lines; a subject of its own goes to docs/"
    );
}

/// The words of `plainws COMMAND ...` wherever a page shows it, in a block or between backticks.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut shown = Vec::new();
    let pieces = text.replace("\\\n", " ").replace('`', "\n");
    for line in pieces.lines() {
        let line = line.replace("cargo run --release -- ", "plainws ");
        for command in line.split("plainws ").skip(1) {
            let command = command
                .split([';', '|', '#', '<', '>', '&'])
                .next()
                .unwrap();
            let mut words = command.split_whitespace().map(str::to_owned);
            if let Some(name) = words.next() {
                shown.push((name, words.collect()));
            }
        }
    }
    shown
}

#[test]
fn every_command_in_the_papers_has_the_options_that_they_show() {
    let names = ["serve", "connect", "cert"];
    let help: BTreeMap<&str, String> = names.map(|name| (name, help(name))).into();
    let mut checked = 0;
    for (page, text) in papers() {
        for (name, words) in commands(&text) {
            let Some(help) = help.get(name.as_str()) else {
                continue;
            };
            let mut flags = words.iter().filter(|word| word.starts_with("--"));
            for flag in flags.by_ref() {
                let flag = flag.split('=').next().unwrap();
                let known = help
                    .split([' ', ',', '=', '[', '\n'])
                    .any(|word| word == flag);
                assert!(known, "{}: plainws {name} has no {flag}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "options are found: {checked}");
}

#[test]
fn every_variable_in_the_papers_is_one_of_the_daemons_or_the_clients() {
    let help = help("serve");
    for (page, text) in papers() {
        for piece in text.split("PLAINWS_").skip(1) {
            let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
            let name = &piece[..piece.find(|c| !is_name(c)).unwrap_or(piece.len())];
            // Of the client, and of the Django site.
            let known = ["", "PASSWORD", "PAGES"].contains(&name)
                || help.contains(&format!("PLAINWS_{name}="));
            assert!(known, "{}: nothing reads PLAINWS_{name}", page.display());
        }
    }
}

#[track_caller]
fn help(command: &str) -> String {
    let mut plainws = plainws(&[command, "--help"]);
    assert!(
        plainws.wait_exit(PATIENCE).success(),
        "{}",
        plainws.report()
    );
    plainws.stdout_lines().join("\n")
}
