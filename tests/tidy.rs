//! Keeps the layout honest: who may import whom, which code stays free of I/O, how long a file may grow, and
//! that the relay's build cannot name a decrypting crate. It reads the tree and runs nothing but `cargo tree`.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree should fail")]
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every crate, and the crates of ours it may name in `[dependencies]`. Imports go down only (ARCHITECTURE.md).
const LAYERS: &[(&str, &[&str])] = &[
    ("common/ids", &[]),
    ("common/msrp", &["ids"]),
    ("common/sip", &["ids"]),
    ("common/mls", &["ids"]),
    ("common/endpoint", &["ids", "msrp", "sip"]),
    ("common/control", &["ids"]),
    ("common/record", &[]),
    ("common/service", &["ids"]),
    ("common/edge", &["ids", "sip", "service"]),
    ("common/store", &["ids", "service"]),
    ("common/blobs", &[]),
    ("common/client", &["ids", "msrp", "sip", "mls", "endpoint", "edge", "service"]),
    ("mrfp", &["ids", "msrp", "control", "record", "service"]),
    (
        "mrfc",
        &["ids", "msrp", "sip", "mls", "endpoint", "control", "service", "edge", "store", "blobs"],
    ),
    ("loadtest", &["ids", "msrp", "sip", "mls", "control", "service", "client", "conclave"]),
    (".", &["ids", "sip", "mls", "service", "client", "mrfc", "mrfp"]),
];

/// Code that must run without sockets, tasks, files or clocks: time and randomness are arguments.
const PURE: &[&str] = &[
    "common/ids/src",
    "common/msrp/src",
    "common/sip/src",
    "common/mls/src",
    "common/endpoint/src",
    "common/control/src",
    "common/record/src",
    "common/client/src/session",
    "mrfc/src/conference",
    "mrfc/src/orders",
    "mrfc/src/numbers/naptr",
    "mrfc/src/people/policy",
    "mrfc/src/filter",
    "mrfc/src/mailbox/imdn",
    "mrfc/src/mailbox/letter",
    "mrfc/src/front/pair_media",
    "mrfc/src/front/protection",
    "mrfp/src/auth",
    "mrfp/src/forward",
    "mrfp/src/pair/leg",
    "mrfp/src/session",
    "mrfp/src/room",
    "mrfp/src/reports",
    "mrfp/src/pace",
    "mrfp/src/outbox",
    "mrfp/src/transit",
];

const IMPURE: &[&str] =
    &["tokio::", "std::net", "std::fs", "std::thread", "Instant::now", "SystemTime::now"];

const LINES_MAX: usize = 500;

/// A breach in words, for the assertion message.
type Breach = String;

fn layering(layers: &[(&str, &[&str])], manifest_of: impl Fn(&str) -> String) -> Vec<Breach> {
    let name = |path: &str| {
        if path == "." { "conclave" } else { path.rsplit('/').next().unwrap() }.to_owned()
    };
    let ours: Vec<String> = layers.iter().map(|(path, _)| name(path)).collect();
    let mut breaches = Vec::new();
    for (path, allowed) in layers {
        let manifest = manifest_of(path);
        let section = manifest.split("\n[").find(|part| part.starts_with("dependencies]"));
        for line in section.unwrap_or_default().lines().skip(1) {
            let dependency = line.split(['.', '=', ' ']).next().unwrap();
            if ours.iter().any(|our| our == dependency) && !allowed.contains(&dependency) {
                breaches.push(format!("{path} may not import {dependency}"));
            }
        }
    }
    breaches
}

fn purity(file: &str, text: &str) -> Vec<Breach> {
    // Tests come last, in a module; a module of tests may also lie in a file of its own.
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let lines: Vec<&str> = lines.collect();
    let named = |word: &&&str| lines.iter().any(|line| line.contains(**word));
    IMPURE.iter().filter(named).map(|word| format!("{file} mentions {word}")).collect()
}

fn length(file: &str, text: &str) -> Option<Breach> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{file} has {lines} lines, more than {LINES_MAX}"))
}

/// S0-14, S3-40, S3-42.
#[test]
fn crates_import_only_downwards() {
    let manifest = |path: &str| fs::read_to_string(root().join(path).join("Cargo.toml")).unwrap();

    assert_eq!(layering(LAYERS, manifest), Vec::<Breach>::new());
}

#[test]
fn every_crate_has_a_layer() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(LAYERS.iter().any(|(path, _)| *path == member), "{member} has no row in LAYERS");
    }
}

#[test]
fn pure_code_does_no_io() {
    let mut breaches = Vec::new();
    for path in PURE {
        let (folder, file) = (root().join(path), root().join(format!("{path}.rs")));
        assert!(folder.exists() || file.exists(), "{path} is listed as pure and does not exist");
        let files = rust_files(&folder).into_iter().chain(rust_files(&file));
        // Tests may make a clock or a thread of their own.
        for file in files.filter(|file| !file.display().to_string().contains("/tests")) {
            breaches
                .extend(purity(&file.display().to_string(), &fs::read_to_string(&file).unwrap()));
        }
    }

    assert_eq!(breaches, Vec::<Breach>::new());
}

#[test]
fn files_stay_short() {
    let folders = LAYERS
        .iter()
        .flat_map(|(path, _)| ["src", "tests", "benches"].map(|part| root().join(path).join(part)));
    let files = folders.flat_map(|folder| rust_files(&folder));
    let breaches: Vec<Breach> = files
        .filter_map(|file| length(&file.display().to_string(), &fs::read_to_string(&file).unwrap()))
        .collect();

    assert_eq!(breaches, Vec::<Breach>::new());
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for (path, _) in LAYERS {
        for file in rust_files(&root().join(path).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
            assert!(!text.contains("Placeholder"), "{} is a placeholder", file.display());
        }
    }
}

/// S3-16.
#[test]
fn the_relay_cannot_decrypt() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "-p", "mrfp", "-e", "normal", "--prefix", "none", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();

    assert!(tree.lines().any(|line| line.starts_with("msrp v")), "the tree names no msrp: {tree}");
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap();
        let barred = name.starts_with("openmls") || ["mls", "sip", "store", "sqlx"].contains(&name);
        assert!(!barred, "the relay's build names {name}");
    }
}

#[test]
fn a_planted_breach_is_found() {
    let planted = |path: &str| match path {
        "mrfp" => String::from("[package]\n\n[dependencies]\nmls.workspace = true\n"),
        _ => String::from("[package]\n"),
    };

    assert_eq!(layering(LAYERS, planted), ["mrfp may not import mls"]);
    assert_eq!(
        purity("room.rs", "//! x\nuse std::net::TcpStream;\n"),
        ["room.rs mentions std::net"]
    );
    let behind = "#[cfg(test)]\nmod tests;\nuse std::fs::File;\n#[cfg(test)]\nmod tests {\n use std::thread;";
    assert_eq!(purity("room.rs", behind), ["room.rs mentions std::fs"]);
    assert!(length("long.rs", &"\n".repeat(LINES_MAX + 1)).is_some());
    assert!(length("short.rs", &"\n".repeat(LINES_MAX)).is_none());
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|entry| rust_files(&entry))
        .filter(|file| file.extension().is_some_and(|ext| ext == "rs"))
        .collect()
}
