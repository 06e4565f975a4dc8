//! The two databases behind one store: what differs between them, and nothing else. Every statement of this crate is
//! written once, for both; [`sqlite`] and [`postgres`] say how a connection is made, how a transaction of the writer
//! begins, and what the types of a migration are called.
//!
//! A statement is for both when it keeps to these words: `$1` for values, `CASE` in place of `MIN(a, b)`,
//! `CAST(SUM(..) AS BIGINT)`, flags as 0 and 1 in `i64` (never `bool`), `ON CONFLICT`, `RETURNING`.
pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;

/// A connection to either database.
pub(crate) type Connection = sqlx::AnyConnection;
/// Connections for reads.
pub(crate) type Pool = sqlx::AnyPool;
/// A row of either database.
pub(crate) type Row = sqlx::any::AnyRow;

/// Connections for reads. SQLite reads in parallel with the writer; four keep a small machine busy.
const READERS_MAX: u32 = 4;

/// Where a database is: a file (SQLite), or a server (PostgreSQL). It shows itself without its password.
#[derive(Clone)]
pub struct Location(Place);

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Server(Box<AnyConnectOptions>),
}

/// Why a text is no [`Location`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLocation(String);

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of this process.
    Sqlite,
    /// A server.
    Postgres,
}

impl Location {
    /// A SQLite file.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self(Place::File(path.to_owned()))
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.0 {
            Place::File(_) => Engine::Sqlite,
            Place::Server(_) => Engine::Postgres,
        }
    }

    /// Where the file is, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Server(_) => None,
        }
    }

    /// Whether a password is part of it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        let Place::Server(options) = &self.0 else { return false };
        options.database_url.password().is_some()
            || options.database_url.query_pairs().any(|(key, _)| key == "password")
    }

    /// The same place, opened with this password. A file has none.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        if let Place::Server(options) = &mut self.0 {
            // It fails only where there is no host, which `from_str` does not let in.
            options.database_url.set_password(Some(password)).ok();
        }
        self
    }

    /// A connection that writes; the database is made if it is a file that is not there.
    pub(crate) async fn writer(&self) -> Result<Connection, sqlx::Error> {
        sqlx::any::install_default_drivers();
        match &self.0 {
            Place::File(path) => sqlite::writer(path).await,
            Place::Server(options) => postgres::writer(options).await,
        }
    }

    /// A connection that changes nothing, and makes no file.
    pub(crate) async fn look(&self) -> Result<Connection, sqlx::Error> {
        sqlx::any::install_default_drivers();
        match &self.0 {
            Place::File(path) => sqlite::reader(path).await,
            Place::Server(options) => postgres::reader(options).await,
        }
    }

    /// What was deleted from this table is in no file of it any more. False: not yet, for somebody reads it.
    pub(crate) async fn scrub(&self, table: &'static str) -> Result<bool, crate::Error> {
        let scrubbed = match &self.0 {
            Place::File(path) => sqlite::scrub(path).await,
            Place::Server(options) => postgres::rewrite(options, table).await,
        };
        Ok(scrubbed?)
    }

    /// Connections that only read, each transaction from one state of the database.
    pub(crate) async fn readers(&self) -> Result<Pool, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new().max_connections(READERS_MAX);
        match &self.0 {
            Place::File(path) => {
                pool.after_connect(|connection, _| Box::pin(sqlite::set_up_reader(connection)))
                    .connect_with(sqlite::options(path, "ro")?)
                    .await
            }
            Place::Server(options) => {
                pool.after_connect(|connection, _| Box::pin(postgres::set_up_reader(connection)))
                    .connect_with(options.as_ref().clone())
                    .await
            }
        }
    }
}

impl Engine {
    /// What makes the tables, in this database's words.
    pub(crate) fn migrations(self) -> Migrator {
        let ours = sqlx::migrate!("./migrations");
        match self {
            Self::Sqlite => ours,
            Self::Postgres => postgres::translated(&ours),
        }
    }

    /// How a transaction of a writer begins: from here to its end nobody else writes.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::BEGIN,
            Self::Postgres => postgres::BEGIN,
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}

impl FromStr for Location {
    type Err = BadLocation;

    /// `sqlite:` and a path, or `postgres://user@host:port/database?sslmode=verify-full&sslrootcert=file`.
    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let bad = |why: &str| BadLocation(why.to_owned());
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(bad("sqlite: wants a path behind it"))
            } else {
                Ok(Self::file(Path::new(path)))
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(bad("a database is sqlite:<path> or postgres://<user>@<host>/<database>"));
        }
        // The text itself is not repeated: a password may be in it.
        let options: AnyConnectOptions =
            text.parse().map_err(|_| bad("not a URL of a PostgreSQL database"))?;
        let url = &options.database_url;
        if url.host_str().unwrap_or_default().is_empty() {
            return Err(bad(
                "the URL of the database names no host (%2Frun%2Fpostgresql is a socket's folder)",
            ));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(bad(
                "the URL of the database names no database (postgres://user@host/database)",
            ));
        }
        Ok(Self(Place::Server(Box::new(options.disable_statement_logging()))))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => path.display().fmt(f),
            Place::Server(options) => {
                let url = &options.database_url;
                write!(f, "postgres://")?;
                if !url.username().is_empty() {
                    write!(f, "{}@", url.username())?;
                }
                write!(f, "{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                // The query is left out: it may hold a password too.
                write!(f, "{}", url.path())
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_never_shows_its_password() {
        let url = "postgres://focus:hunter2@db.example.net:5433/conclave?password=hunter2";
        let location: Location = url.parse().unwrap();

        assert!(location.has_password());
        assert_eq!(location.to_string(), "postgres://focus@db.example.net:5433/conclave");
        assert!(!format!("{location:?}").contains("hunter2"));
        let bad = "postgres://focus:hunter2@:70000/".parse::<Location>().unwrap_err();
        assert!(!bad.to_string().contains("hunter2"), "{bad}");
    }

    #[test]
    fn a_password_comes_from_beside_the_url() {
        let location: Location = "postgresql://focus@localhost/conclave".parse().unwrap();
        assert!(!location.has_password());
        let location = location.with_password("p@ss/word");
        assert!(location.has_password());
        assert_eq!(location.to_string(), "postgresql://focus@localhost/conclave".replace("ql", ""));
    }

    #[test]
    fn a_text_that_names_no_database_is_refused_with_what_is_missing() {
        for (text, why) in [
            ("mysql://a/b", "a database is"),
            ("sqlite:", "wants a path"),
            ("postgres:///conclave", "names no host"),
            ("postgres://host", "names no database"),
            ("postgres://host:port/x", "not a URL"),
        ] {
            let refused = text.parse::<Location>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        let file: Location = "sqlite:///var/lib/conclave/mrfc.sqlite".parse().unwrap();
        assert_eq!(file.path(), Some(Path::new("/var/lib/conclave/mrfc.sqlite")));
    }
}
