//! Reads a server's configuration: flag over environment over file over default. A key that nobody knows is an
//! error that names the key, where it came from, and what was probably meant. It does not watch files.
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {why}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A key that no setting has.
    #[error("{origin}: unknown key `{key}`{}", suggestion(nearest.as_deref(), known))]
    Unknown {
        /// The file, `the environment` or `the command line`.
        origin: String,
        /// The key, with its table.
        key: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// The keys of that table.
        known: Vec<String>,
    },
    /// A key without a default has no value.
    #[error("`{key}` is not set; write it into the file or set {variable}")]
    Missing {
        /// The key, with its table.
        key: String,
        /// The environment variable for it.
        variable: String,
    },
    /// A value does not fit its setting.
    #[error("{0}")]
    Value(String),
}

fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are {}", known.join(", ")),
    }
}

/// Loads a configuration. `prefix` is that of environment variables: with `MRFC`, the key `listen` of the table
/// `sip` is `MRFC_SIP__LISTEN`. `flags` are pairs of key and value from the command line, as in
/// `("sip.listen", "127.0.0.1:0")`. Arrays can be set in the file only.
///
/// Variables that Kubernetes sets for a service named like the prefix (`MRFC_SERVICE_HOST`, `MRFC_PORT…`) are
/// not settings and are passed over.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    prefix: &str,
    flags: &[(&str, String)],
) -> Result<T, ConfigError> {
    // `vars` would panic on what is not UTF-8.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(file, prefix, environment.collect(), flags)
}

/// [`load`] with the environment given.
pub fn load_from<T: DeserializeOwned>(
    file: Option<&Path>,
    prefix: &str,
    environment: HashMap<String, String>,
    flags: &[(&str, String)],
) -> Result<T, ConfigError> {
    let merged = merge(file, prefix, environment, flags)?;
    let root = merged.cache.clone();
    merged.try_deserialize().map_err(|error| explain(&error, &root, prefix))
}

fn merge(
    file: Option<&Path>,
    prefix: &str,
    mut environment: HashMap<String, String>,
    flags: &[(&str, String)],
) -> Result<Config, ConfigError> {
    let mut builder = Config::builder();
    if let Some(path) = file {
        // Opened here for the error: `config` only says that it did not find the file.
        std::fs::File::open(path)
            .map_err(|why| ConfigError::Read { path: path.to_owned(), why })?;
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    environment.retain(|name, _| !set_by_kubernetes(name, prefix));
    let environment = Environment::with_prefix(prefix)
        .prefix_separator("_")
        .separator("__")
        .source(Some(environment));
    builder = builder.add_source(environment);
    for (key, value) in flags {
        builder = builder
            .set_override(*key, value.as_str())
            .map_err(|e| ConfigError::Value(format!("the command line: {e}")))?;
    }
    builder.build().map_err(|error| match (error, file) {
        (config::ConfigError::FileParse { cause, .. }, Some(path)) => {
            ConfigError::Syntax { path: path.to_owned(), why: cause.to_string() }
        }
        (error, _) => ConfigError::Value(error.to_string()),
    })
}

/// The variables of a service link: `PREFIX_SERVICE_HOST`, `PREFIX_SERVICE_PORT_SIP`, `PREFIX_PORT_5061_TCP` …
fn set_by_kubernetes(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| {
        let numbered = rest.starts_with("PORT_") && rest.chars().any(|c| c.is_ascii_digit());
        rest == "PORT" || rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT") || numbered
    })
}

fn explain(error: &config::ConfigError, root: &Value, prefix: &str) -> ConfigError {
    if let Some((field, known)) = unknown_field(&error.to_string()) {
        return unknown(root, &field, known);
    }
    if let Some(key) = missing_key(error) {
        let variable = format!("{prefix}_{}", key.replace('.', "__").to_uppercase());
        return ConfigError::Missing { key, variable };
    }
    ConfigError::Value(error.to_string())
}

fn missing_key(error: &config::ConfigError) -> Option<String> {
    match error {
        config::ConfigError::NotFound(key) => Some(key.clone()),
        config::ConfigError::At { error, key, .. } => {
            let inner = missing_key(error)?;
            Some(key.as_ref().map_or_else(|| inner.clone(), |table| format!("{table}.{inner}")))
        }
        _ => None,
    }
}

/// What serde says about a field that `deny_unknown_fields` refused: its name and those it knows.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((field.to_owned(), known))
}

fn unknown(root: &Value, field: &str, known: Vec<String>) -> ConfigError {
    let known: Vec<String> = known.into_iter().filter(|name| name != field).collect();
    let (table, origin) = find(root, field, &known).unwrap_or_default();
    let key = if table.is_empty() { field.to_owned() } else { format!("{table}.{field}") };
    let near = |name: &&String| strsim::damerau_levenshtein(name, field) <= field.len().div_ceil(3);
    let nearest = known
        .iter()
        .filter(near)
        .min_by_key(|name| strsim::damerau_levenshtein(name, field))
        .map(|name| if table.is_empty() { name.clone() } else { format!("{table}.{name}") });
    ConfigError::Unknown { origin: origin_name(&origin), key, nearest, known }
}

/// The table that holds the key, and where the key came from. A key of this name may be known elsewhere, so the
/// table whose other keys are known is preferred.
fn find(value: &Value, field: &str, known: &[String]) -> Option<(String, String)> {
    let mut found = Vec::new();
    walk(value, field, known, "", &mut found);
    found.into_iter().max_by_key(|(fit, ..)| *fit).map(|(_, table, origin)| (table, origin))
}

fn walk(
    value: &Value,
    field: &str,
    known: &[String],
    path: &str,
    found: &mut Vec<(bool, String, String)>,
) {
    match &value.kind {
        ValueKind::Table(table) => {
            if let Some(entry) = table.get(field) {
                let fit = table.keys().all(|key| key == field || known.contains(key));
                let origin = entry.origin().unwrap_or_default().to_owned();
                found.push((fit, path.to_owned(), origin));
            }
            for (key, entry) in table {
                let dot = if path.is_empty() { "" } else { "." };
                walk(entry, field, known, &format!("{path}{dot}{key}"), found);
            }
        }
        ValueKind::Array(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                walk(entry, field, known, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

fn origin_name(origin: &str) -> String {
    if origin.is_empty() { "the command line".into() } else { origin.to_owned() }
}
