//! What a result is written as besides the summary: JSON, a page, comma-separated rows, an HdrHistogram log.
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::report::{Report, SCHEMA, VERSION};
use crate::{export, html};

/// What to write and where.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Print one JSON object (loadtest/schema/report-2.json) instead of the summary
    #[arg(long)]
    pub json: bool,
    /// Write the JSON object to a file as well
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Write the result as one page that needs nothing else, to a file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the rows of the timeline, comma-separated, to a file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the latencies as an HdrHistogram log, to a file
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
}

impl Output {
    /// Sees, before anything is loaded, that there will be a place for what was asked for. What is in the files stays.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn check(&self) -> anyhow::Result<()> {
        for path in [&self.save, &self.html, &self.csv, &self.hdr].into_iter().flatten() {
            let opened = std::fs::File::options().append(true).create(true).open(path);
            opened.with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes what was asked for.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(path) = &self.save {
            put(path, &serde_json::to_string_pretty(report)?)?;
        }
        write(report, self.html.as_deref(), self.csv.as_deref(), self.hdr.as_deref())
    }
}

/// Writes a result in each form for which there is a file.
///
/// # Errors
/// A file cannot be written.
pub fn write(
    report: &Report,
    html: Option<&Path>,
    csv: Option<&Path>,
    hdr: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(path) = html {
        put(path, &html::page(report))?;
    }
    if let Some(path) = csv {
        put(path, &export::csv(report))?;
    }
    if let Some(path) = hdr {
        put(path, &export::hdr(report)?)?;
    }
    Ok(())
}

/// Reads a result.
///
/// # Errors
/// It is not there, or it is no result of a version that is understood.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let (schema, version) = (value.get("schema"), value.get("version"));
    anyhow::ensure!(
        schema.and_then(|name| name.as_str()) == Some(SCHEMA)
            && version.and_then(serde_json::Value::as_u64) == Some(VERSION.into()),
        "{} is no result of {SCHEMA} version {VERSION}",
        path.display()
    );
    serde_json::from_value(value).with_context(|| format!("{} is not understood", path.display()))
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
