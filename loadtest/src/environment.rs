//! Where and when a run takes place, as far as this process can tell.
use crate::report::Environment;

/// What is seen now.
pub(crate) fn seen() -> Environment {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let began = time::OffsetDateTime::from(service::clock::wall());
    let format = time::format_description::well_known::Rfc3339;
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        cpu_model: model.unwrap_or("unknown").trim().to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        began: began.replace_nanosecond(0).unwrap_or(began).format(&format).unwrap_or_default(),
        command: command(),
    }
}

/// The command line without the folder of the program.
fn command() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}
