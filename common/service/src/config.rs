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
    merged.try_deserialize().map_err(|error| {
        let inside = missing_inside::<T>(&error, &root);
        explain(inside.as_ref().unwrap_or(&error), &root, prefix, file)
    })
}

/// What is missing in a table that is not there: no variable can set a table. None if it is not a table.
fn missing_inside<T: DeserializeOwned>(
    error: &config::ConfigError,
    root: &Value,
) -> Option<config::ConfigError> {
    let (path, config::ConfigError::NotFound(table)) = innermost(error, String::new()) else {
        return None;
    };
    let mut probe = Config::default();
    probe.cache = root.clone();
    let ValueKind::Table(entries) = &mut probe.cache.kind else { return None };
    let empty = Value::new(None, config::Map::<String, Value>::new());
    entries.insert(table.clone(), empty).is_none().then_some(())?;
    let inside = probe.try_deserialize::<T>().err().filter(|_| path.is_empty())?;
    let (path, innermost) = innermost(&inside, String::new());
    let is = match innermost {
        config::ConfigError::NotFound(key) => {
            path == *table || key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
        }
        _ => false,
    };
    is.then_some(inside)
}

fn merge(
    file: Option<&Path>,
    prefix: &str,
    mut environment: HashMap<String, String>,
    flags: &[(&str, String)],
) -> Result<Config, ConfigError> {
    let mut builder = Config::builder();
    if let Some(path) = file {
        // Read here for the error: of a folder too, `config` only says that it did not find the file.
        std::fs::read_to_string(path)
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
            ConfigError::Syntax { path: path.to_owned(), why: printable(&cause.to_string()) }
        }
        (error, _) => ConfigError::Value(printable(&error.to_string())),
    })
}

/// A text that quotes a file, without what would steer a terminal.
fn printable(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            c if c.is_control() && c != '\n' => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}

/// The variables of a service link: `PREFIX_SERVICE_HOST`, `PREFIX_SERVICE_PORT_SIP`, `PREFIX_PORT_5061_TCP` …
fn set_by_kubernetes(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| {
        let numbered = rest.starts_with("PORT_") && rest.chars().any(|c| c.is_ascii_digit());
        rest == "PORT" || rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT") || numbered
    })
}

fn explain(
    error: &config::ConfigError,
    root: &Value,
    prefix: &str,
    file: Option<&Path>,
) -> ConfigError {
    let (table, error) = innermost(error, String::new());
    let in_table = |key: &str| {
        if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
    };
    match error {
        config::ConfigError::NotFound(key) => {
            let key = in_table(key);
            let variable = format!("{prefix}_{}", key.replace('.', "__").to_uppercase());
            ConfigError::Missing { key, variable }
        }
        config::ConfigError::Type { origin, unexpected, expected, key } => {
            let origin = origin_name(origin.as_deref(), file);
            let key = key.as_deref().unwrap_or(&table);
            ConfigError::Value(format!("{origin}: `{key}` is {unexpected}; expected {expected}"))
        }
        other => match unknown_field(&other.to_string()) {
            Some((field, known)) => {
                let entry = lookup(root, &table).and_then(|value| match &value.kind {
                    ValueKind::Table(entries) => entries.get(&field),
                    _ => None,
                });
                let origin = origin_name(entry.and_then(Value::origin), file);
                let nearest = nearest(&field, &known).map(&in_table);
                ConfigError::Unknown { origin, key: in_table(&field), nearest, known }
            }
            None if table.is_empty() => ConfigError::Value(other.to_string()),
            None => {
                let entry = lookup(root, &table);
                let origin = origin_name(entry.and_then(Value::origin), file);
                let is = match entry.map(|value| &value.kind) {
                    Some(ValueKind::String(text)) => format!(" is {text:?}"),
                    _ => String::new(),
                };
                ConfigError::Value(printable(&format!("{origin}: `{table}`{is}: {other}")))
            }
        },
    }
}

/// The error inside, and the path of the table where it happened.
fn innermost(error: &config::ConfigError, path: String) -> (String, &config::ConfigError) {
    match error {
        config::ConfigError::At { error, key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            let dot = if path.is_empty() || key.is_empty() { "" } else { "." };
            innermost(error, format!("{path}{dot}{key}"))
        }
        _ => (path, error),
    }
}

/// What serde says about a field that `deny_unknown_fields` refused: its name and those it knows.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((field.to_owned(), known))
}

/// The known key that differs by at most a third.
fn nearest<'a>(field: &str, known: &'a [String]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(name, field);
    let name = known.iter().min_by_key(|name| distance(name))?;
    (distance(name) <= field.chars().count().div_ceil(3)).then_some(name)
}

/// The value at a path like `relays[0].limits`.
fn lookup<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    steps.filter(|step| !step.is_empty()).try_fold(root, |value, step| match &value.kind {
        ValueKind::Table(table) => table.get(step),
        ValueKind::Array(entries) => entries.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// `config` names a file by a path relative to the working directory; people know it by the one they gave.
fn origin_name(origin: Option<&str>, file: Option<&Path>) -> String {
    match (origin, file) {
        (None, _) => "the command line".into(),
        (Some("the environment"), _) | (_, None) => "the environment".into(),
        (Some(_), Some(file)) => file.display().to_string(),
    }
}
