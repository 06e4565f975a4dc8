//! SQLite: one file, a write-ahead log beside it, flushed at each commit.
use std::fmt::Write as _;
use std::path::Path;

use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use super::Connection;

/// The lock is taken at once: a reader that becomes a writer later may be refused.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Another process (a backup, an operator's shell) may hold a lock for ten seconds.
const WRITER: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                      PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON";
const READER: &str = "PRAGMA busy_timeout = 10000";

pub(crate) async fn writer(path: &Path) -> Result<Connection, sqlx::Error> {
    let mut connection = options(path, "rwc")?.connect().await?;
    sqlx::raw_sql(WRITER).execute(&mut connection).await?;
    Ok(connection)
}

pub(crate) async fn reader(path: &Path) -> Result<Connection, sqlx::Error> {
    let mut connection = options(path, "ro")?.connect().await?;
    set_up_reader(&mut connection).await?;
    Ok(connection)
}

/// Writes what was deleted over: it lies in the write-ahead log until then. False: somebody who began to read before goes on
/// reading, and it still lies there.
pub(crate) async fn scrub(path: &Path) -> Result<bool, sqlx::Error> {
    let mut connection = writer(path).await?;
    sqlx::raw_sql("PRAGMA busy_timeout = 5000").execute(&mut connection).await?;
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await?;
    let busy: i64 = row.try_get(0)?;
    Ok(busy == 0)
}

pub(crate) async fn set_up_reader(connection: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(READER).execute(connection).await.map(drop)
}

/// How to open a file: `rwc` makes it if it is not there, `ro` only reads.
pub(crate) fn options(path: &Path, mode: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    // The folder is resolved here, because a URL would take `..` for its own.
    let path = std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(&path).canonicalize()?;
    let path = folder.join(path.file_name().unwrap_or_default());
    let text = path.to_str().ok_or_else(|| {
        sqlx::Error::Configuration("the path of the database is not UTF-8".into())
    })?;
    let mut url = String::from("sqlite://");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").ok();
        }
    }
    let options: AnyConnectOptions = format!("{url}?mode={mode}").parse()?;
    Ok(options.disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_made_where_its_path_says_whatever_is_in_its_name() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd name?mode=ro#%41 é.sqlite");

        drop(writer(&path).await.unwrap());

        assert!(path.exists());
    }
}
