//! Everything that the store can be asked is asked of both databases by some test: a statement that one of them does not
//! take is found here, and not by an operator.
#![expect(clippy::unwrap_used, reason = "sources that cannot be read should fail the test")]
use std::fs;
use std::path::Path;

/// Files of this folder and those below, with what is in them.
fn texts(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { texts(&path) } else { vec![text(&path)] }).collect()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_public_function_is_called_by_a_test_that_runs_on_both_databases() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = texts(&here.join("src")).join("\n");
    let names: Vec<&str> = sources
        .split("pub async fn ")
        .skip(1)
        .filter_map(|rest| rest.split_once(['(', '<']).map(|(name, _)| name))
        .collect();
    let tests = texts(&here.join("tests"));
    let on_both: Vec<&String> = tests.iter().filter(|text| text.contains("\non_both!")).collect();

    let asked = |name: &str| {
        let calls = [format!(".{name}("), format!(" {name}(&"), format!("({name}(&")];
        on_both.iter().any(|text| calls.iter().any(|call| text.contains(call)))
    };
    let never: Vec<&str> = names.iter().copied().filter(|name| !asked(name)).collect();

    assert!(names.len() > 60, "{names:?}");
    assert!(never.is_empty(), "no test asks this of both databases: {never:?}");
}
