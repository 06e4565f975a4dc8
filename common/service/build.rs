//! Notes which compiler built this, for `conclave_build_info`. The commit comes from `CONCLAVE_COMMIT`, which the
//! release build sets: asking git here would rebuild everything at each commit.
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CONCLAVE_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.as_deref().unwrap_or("unknown");
    let short = version.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=CONCLAVE_RUSTC={short}");
}
