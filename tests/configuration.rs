//! Keeps docs/configuration.md and the chart true to the servers' `config.rs`: the page is made from the doc comments
//! there. `UPDATE=1 cargo test --test configuration` writes it anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree should fail")]
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A key of a configuration struct.
struct Field {
    name: String,
    kind: String,
    meaning: String,
}

type Structs = BTreeMap<String, Vec<Field>>;

/// Reads the structs of a `config.rs`. It relies on what rustfmt and the lints guarantee: one field a line, each with a
/// doc comment.
fn structs(text: &str) -> Structs {
    let mut found = Structs::new();
    let (mut current, mut doc) = (None::<String>, String::new());
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            doc = format!("{doc} {}", comment.trim()).trim().to_owned();
        } else if let Some(rest) = line.strip_prefix("pub struct ") {
            current = rest.strip_suffix(" {").map(str::to_owned);
            doc.clear();
        } else if line == "}" {
            current = None;
        } else if let (Some(name), Some(field)) = (&current, line.strip_prefix("pub ")) {
            let (key, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
            let field =
                Field { name: key.into(), kind: kind.into(), meaning: std::mem::take(&mut doc) };
            found.entry(name.clone()).or_default().push(field);
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    found
}

/// Every key with its path and meaning.
fn keys(structs: &Structs, name: &str, prefix: &str, into: &mut Vec<(String, String)>) {
    for field in &structs[name] {
        let path = format!("{prefix}{}", field.name);
        let inner =
            |kind: &str| field.kind.strip_prefix(kind).and_then(|kind| kind.strip_suffix('>'));
        let (element, table) = (inner("Vec<"), inner("Option<").unwrap_or(&field.kind));
        match (structs.contains_key(table), element) {
            (true, _) => keys(structs, table, &format!("{path}."), into),
            (false, Some(element)) if structs.contains_key(element) => {
                keys(structs, element, &format!("{path}[]."), into);
            }
            (false, _) => into.push((path, field.meaning.clone())),
        }
    }
}

fn server_keys(server: &str) -> Vec<(String, String)> {
    let source = root().join(server).join("src/config.rs");
    let parts = fs::read_dir(source.with_extension("")).into_iter().flatten();
    let mut files: Vec<PathBuf> = parts.map(|part| part.unwrap().path()).collect();
    files.sort();
    let texts =
        std::iter::once(&source).chain(&files).map(|path| fs::read_to_string(path).unwrap());
    let text = texts.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    keys(&structs(&text), "Config", "", &mut found);
    assert!(found.len() > 20, "{server}: only {} keys were found", found.len());
    found
}

fn page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Each server reads one TOML file (`mrfc serve --config mrfc.toml`). What is said later here wins: default, file,\n\
         environment. Every key is also an environment variable: `sip.listen` of the MRFC is `MRFC_SIP__LISTEN`, `drain.delay_secs`\n\
         of the MRFP is `MRFP_DRAIN__DELAY_SECS`. Unknown keys are errors. `mrfc check-config --config F` says what is wrong with a\n\
         file. In the chart, `mrfc.config` and `mrfp.config` take any of these keys.\n\n\
         This page is made from the doc comments of `mrfc/src/config.rs` and `mrfp/src/config.rs`.\n",
    );
    for server in ["mrfc", "mrfp"] {
        write!(page, "\n## {server}\n\n| key | meaning |\n|---|---|\n").unwrap();
        for (path, meaning) in server_keys(server) {
            let meaning =
                meaning.replace("[`crate::users`]", "`mrfc/src/users.rs`").replace('|', "\\|");
            writeln!(page, "| `{path}` | {meaning} |").unwrap();
        }
    }
    page
}

#[test]
fn the_page_says_what_the_code_says() {
    let path = root().join("docs/configuration.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }

    let written = fs::read_to_string(&path).unwrap_or_default();

    assert!(
        written == page(),
        "docs/configuration.md is out of date: UPDATE=1 cargo test --test configuration"
    );
}

#[test]
fn every_key_has_a_meaning() {
    for (path, meaning) in server_keys("mrfc").into_iter().chain(server_keys("mrfp")) {
        assert!(meaning.len() > 10, "{path} says nothing about itself");
    }
}

#[test]
fn the_chart_writes_no_key_that_a_server_does_not_know() {
    let chart = fs::read_to_string(root().join("helm/templates/configmap.yaml")).unwrap();
    let all = server_keys("mrfc").into_iter().chain(server_keys("mrfp"));
    let known: BTreeSet<String> = all
        .flat_map(|(path, _)| {
            path.replace("[]", "").split('.').map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let dicts =
        chart.lines().filter(|line| line.contains("dict") || line.trim_start().starts_with('"'));
    let mut written = 0;
    for word in dicts.flat_map(|line| line.split('"').skip(1).step_by(2)) {
        if word.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            assert!(known.contains(word), "the chart writes {word}");
            written += 1;
        }
    }

    assert!(written > 20, "only {written} keys were found in the chart");
}

#[test]
fn a_key_without_a_line_on_the_page_is_found() {
    let planted = "pub struct Config {\n    /// Where.\n    pub listen: Sub,\n}\npub struct Sub {\n    /// How many bytes.\n    pub bytes_max: usize,\n}\n";
    let mut found = Vec::new();

    keys(&structs(planted), "Config", "", &mut found);

    assert_eq!(found, [("listen.bytes_max".to_owned(), "How many bytes.".to_owned())]);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
