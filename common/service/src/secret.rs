//! Secrets in files: read, trimmed, wiped after use, never shown. Also keeps them out of core files.
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::ConfigError;

/// A secret. It does not show itself, and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret that came from elsewhere.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Do not log, format or copy it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads the file of a `*_file` setting, without white space around the secret. A file that others may read
    /// is used, with a warning that says what to do.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |why| ConfigError::Read { path: path.to_owned(), why };
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(wrong)?);
        let mode = std::fs::metadata(path).map_err(wrong)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = path.display();
            tracing::warn!(%path, "others may read this secret (mode {mode:o}); chmod 600 {path}");
        }
        let secret = text.trim();
        if secret.is_empty() {
            return Err(ConfigError::Value(format!("{}: the secret is empty", path.display())));
        }
        Ok(Self::new(secret.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Keeps this process's memory, and that of its children, out of core files (Linux, `core(5)`): no mapping is
/// written. It does not stop a debugger of the same user. Where `/proc` says no, a warning is logged.
pub fn keep_out_of_core_files() {
    if let Err(error) = std::fs::write("/proc/self/coredump_filter", "0") {
        tracing::warn!(%error, "a core file of this process would hold its secrets");
    }
}
