//! Where the database is, from what the configuration says of it.
use service::config::ConfigError;
use service::secret::Secret;
use store::Location;

use super::{BadConfig, Store};

impl Store {
    /// Where the database is, without its password.
    pub(super) fn place(&self) -> Result<Location, BadConfig> {
        let bad = |why: &str| BadConfig::Store(why.to_owned());
        let location = match &self.url {
            None if self.path.as_os_str().is_empty() => {
                return Err(bad("name a file (store.path) or a database (store.url)"));
            }
            None => Location::file(&self.path),
            Some(_) if !self.path.as_os_str().is_empty() => {
                return Err(bad("there are store.path and store.url; leave one of them out"));
            }
            Some(url) => {
                url.parse().map_err(|why| BadConfig::Store(format!("store.url: {why}")))?
            }
        };
        if location.has_password() {
            return Err(bad("store.url has a password in it; put it into store.password_file"));
        }
        if self.lease_secs == 0 {
            return Err(BadConfig::NoTime("store.lease_secs"));
        }
        Ok(location)
    }

    /// Where the database is.
    ///
    /// # Errors
    /// The configuration names none, or the file of its password cannot be read.
    pub fn location(&self) -> Result<Location, ConfigError> {
        let location = self.place().map_err(|why| ConfigError::Value(why.to_string()))?;
        Ok(match &self.password_file {
            Some(file) => location.with_password(Secret::read(file)?.expose()),
            None => location,
        })
    }
}
