//! Keeps docs/conformance.md, docs/conformance-focus.md, docs/requirements.md and the attacks of docs/security.md honest:
//! every test that they name exists, every row names a test or says why there is none, and a test that shows a requirement
//! carries its id. It reads the tree and runs nothing.
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
        let shown =
            row.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        if shown.is_empty() || !(shown.contains(".rs::") || shown.ends_with('.')) {
            breaches.push(format!("nothing shows {row}"));
        }
    }
    breaches
}

/// A function of this name, with a test attribute close before it or in the list of those that run on both databases.
fn is_test(source: &str, test: &str) -> bool {
    let above = above(source, test);
    // A property of proptest! has its attribute there too.
    let has_attribute =
        above.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test"));
    let both = source.split_once("\non_both![").and_then(|(_, list)| list.split_once("];"));
    has_attribute || both.is_some_and(|(list, _)| list.split(',').any(|name| name.trim() == test))
}

/// The lines right above a function: its attributes and what is said of it.
fn above<'a>(source: &'a str, test: &str) -> Vec<&'a str> {
    let called = format!("fn {test}(");
    let before = source.split_once(&called).map_or("", |(before, _)| before);
    before.lines().rev().take(6).collect()
}

/// What of a page's ids and tests does not belong together: each id of a row is carried by one of its tests, and each of
/// them carries one, in its name or its comment. `S2-NR3` is `s2_nr3` in a name.
fn nameless(page: &str, source_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut nameless = Vec::new();
    for row in rows(page) {
        let ids: Vec<&str> =
            row.split('|').nth(1).unwrap_or_default().split(',').map(str::trim).collect();
        let shown: Vec<(&str, String)> = row
            .split('`')
            .filter_map(|name| name.split_once("::").filter(|(file, _)| file.ends_with(".rs")))
            .map(|(file, test)| (test, above(&source_of(file).unwrap_or_default(), test).join(" ")))
            .collect();
        let carries = |(test, comment): &(&str, String), id: &str| {
            test.contains(&id.to_lowercase().replace('-', "_")) || comment.contains(id)
        };
        let idle = shown.iter().filter(|test| !ids.iter().any(|id| carries(test, id)));
        nameless.extend(idle.map(|(test, _)| format!("{test} carries none of {ids:?}")));
        let bare = ids.iter().filter(|id| !shown.iter().any(|test| carries(test, id)));
        nameless
            .extend(bare.filter(|_| !shown.is_empty()).map(|id| format!("no test carries {id}")));
    }
    nameless
}

fn rows(page: &str) -> impl Iterator<Item = &str> {
    let id = |row: &&str| row.starts_with("| ") && row.contains('-') && !row.starts_with("| id");
    page.lines().filter(id)
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

fn source(file: &str) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

#[test]
fn every_test_that_the_pages_name_exists() {
    for (name, least) in
        [("conformance.md", 80), ("conformance-focus.md", 50), ("requirements.md", 55)]
    {
        let page = page(name);
        assert_eq!(breaches(&page, source), Vec::<String>::new(), "{name}");
        let found = rows(&page).count();
        assert!(found > least, "only {found} rows were found in {name}");
    }
}

#[test]
fn every_attack_names_tests_that_exist() {
    let page = page("security.md");
    let (_, attacks) = page.split_once("## Attacks").unwrap();
    let (attacks, _) = attacks.split_once("\n## ").unwrap();

    assert_eq!(breaches(attacks, source), Vec::<String>::new());
    assert!(rows(attacks).count() >= 16);
}

#[test]
fn every_test_of_a_requirement_carries_its_id() {
    assert_eq!(nameless(&page("requirements.md"), source), Vec::<String>::new());
}

#[test]
fn a_test_without_the_id_of_its_row_is_found() {
    let source = |_: &str| Some("/// S1-03.\n#[test]\nfn it_holds() {}\n".to_owned());
    let page = |id: &str, test: &str| format!("| {id} | Must. | `a.rs::{test}` |\n");

    assert!(nameless(&page("S1-03", "it_holds"), source).is_empty());
    assert!(nameless(&page("S9-01", "s9_01_it_stands"), source).is_empty());
    assert_eq!(nameless(&page("S1-03, S1-04", "it_holds"), source), ["no test carries S1-04"]);
    let idle = nameless(&page("S1-04", "it_holds"), source);
    assert_eq!(idle[..1], ["it_holds carries none of [\"S1-04\"]"]);
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
