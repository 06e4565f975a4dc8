//! Logs to stderr, as text for people or JSON for machines. Call it once, first in `main`.
//! What may be logged is the caller's duty: no secret, no session id, no message body.
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Not a level or filter, as `info` or `info,mrfp=debug`.
    #[error("log level {level:?}: {why}")]
    Level {
        /// What was asked for.
        level: String,
        /// What is wrong with it.
        why: String,
    },
    /// Logs were set up before.
    #[error("logs were set up twice")]
    Twice,
}

/// Sends logs to stderr. `level` is a level, or a list of `target=level`.
pub fn init(format: Format, level: &str) -> Result<(), TelemetryError> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // What nothing takes is lost. To say so there would be a panic, in the middle of whatever had something to say.
        .log_internal_errors(false)
        .with_target(true);
    let done = match format {
        Format::Text => {
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let wrong = |why: String| TelemetryError::Level { level: level.to_owned(), why };
    let known = |part: &str| {
        let (_, level) = part.rsplit_once('=').unwrap_or(("", part));
        level.parse::<tracing::level_filters::LevelFilter>().map_err(|e| wrong(e.to_string()))
    };
    // A bare word that is no level would be taken for a target, and everything else would fall silent.
    for part in level.split(',') {
        if part.trim().is_empty() {
            return Err(wrong("a level is missing".into()));
        }
        known(part.trim())?;
    }
    EnvFilter::builder().parse(level.replace(' ', "")).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_a_list_of_targets_is_accepted_and_a_misspelt_one_is_not() {
        for good in ["info", "off", "warn,mrfp=debug", "info, quinn=error"] {
            assert!(filter(good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "infos", "info,mrfp=loud", "info,,debug"] {
            assert!(filter(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
