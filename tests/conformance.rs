//! Keeps docs/conformance.md honest: every test that it names exists, and every row names a test or says why there is
//! none. It reads the tree and runs nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree should fail")]
use std::fs;
use std::path::{Path, PathBuf};

/// What a page says that is not so.
fn breaches(page: &str, source_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for name in page.split('`').skip(1).step_by(2).filter(|name| name.contains(".rs::")) {
        let (file, test) = name.split_once("::").unwrap();
        match source_of(file) {
            None => breaches.push(format!("there is no file {file}")),
            Some(source) if !is_test(&source, test) => {
                breaches.push(format!("{file} has no test {test}"));
            }
            Some(_) => {}
        }
    }
    for row in rows(page) {
        let shown = row.split('|').nth(4).unwrap_or_default().trim();
        if shown.is_empty() || !(shown.contains(".rs::") || shown.ends_with('.')) {
            breaches.push(format!("nothing shows {row}"));
        }
    }
    breaches
}

/// A function of this name, with a test attribute close before it.
fn is_test(source: &str, test: &str) -> bool {
    let called = format!("fn {test}(");
    let Some((before, _)) = source.split_once(&called) else { return false };
    let attributes = before.lines().rev().take(6).collect::<Vec<_>>();
    // A property of proptest! has its attribute there too.
    attributes.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test"))
}

fn rows(page: &str) -> impl Iterator<Item = &str> {
    let id = |row: &&str| row.starts_with("| ") && row.contains('-') && !row.starts_with("| id");
    page.lines().filter(id)
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = fs::read_to_string(root().join("docs/conformance.md")).unwrap();

    let source = |file: &str| fs::read_to_string(root().join(file)).ok();

    assert_eq!(breaches(&page, source), Vec::<String>::new());
    assert!(rows(&page).count() > 80, "only {} rows were found", rows(&page).count());
}

#[test]
fn a_planted_breach_is_found() {
    let source = |file: &str| {
        (file == "a/b.rs").then(|| "#[test]\nfn it_holds() {}\nfn helper() {}\n".to_owned())
    };
    let page = |shown: &str| format!("| M1-01 | 1 | Must. | {shown} |\n");

    assert!(breaches(&page("`a/b.rs::it_holds`"), source).is_empty());
    assert!(breaches(&page("Not met: no use."), source).is_empty());
    assert_eq!(breaches(&page("`a/b.rs::helper_of`"), source), ["a/b.rs has no test helper_of"]);
    assert_eq!(breaches(&page("`c/d.rs::it_holds`"), source), ["there is no file c/d.rs"]);
    assert_eq!(breaches(&page(""), source).len(), 1);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
