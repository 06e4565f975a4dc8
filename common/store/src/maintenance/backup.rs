//! A backup: one state of the whole database, taken while the focus goes on writing. It has its name only when it is whole
//! and on disk.
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _};

use super::{Trouble, copy, is_missing, pending};
use crate::Store;
use crate::engine::{Engine, Location};

/// Takes a backup of a database into a new file, which only its owner may read.
///
/// # Errors
/// The file is there already or cannot be written, or the database cannot be read.
pub async fn backup(location: &Location, to: &Path) -> Result<(), Trouble> {
    if is_missing(location) {
        return Err(Trouble::Missing);
    }
    if to.exists() {
        return Err(Trouble::Exists(to.display().to_string()));
    }
    let part = beside(to, ".part");
    remove(&part)?;
    match location.engine() {
        Engine::Sqlite => vacuum(location, &part).await?,
        Engine::Postgres => export(location, &part).await?,
    }
    settle(&part, to)
}

async fn vacuum(location: &Location, part: &Path) -> Result<(), Trouble> {
    let mut connection = location.look().await?;
    let name = part.to_string_lossy().replace('\'', "''");
    sqlx::raw_sql(AssertSqlSafe(format!("VACUUM INTO '{name}'"))).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn export(location: &Location, part: &Path) -> Result<(), Trouble> {
    let missing = pending(location).await?.len();
    if missing > 0 {
        return Err(Trouble::Behind(missing));
    }
    Store::open(part).await?.close().await;
    let mut from = location.look().await?;
    let mut to = Location::file(part).writer().await?;
    let mut from = from.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut rows = to.begin_with(Engine::Sqlite.begin()).await?;
    for table in copy::tables(&mut rows, Engine::Sqlite).await? {
        copy::rows(&table, &mut from, &mut rows).await?;
    }
    rows.commit().await?;
    // Otherwise what was copied lies in a log beside the file.
    sqlx::raw_sql("PRAGMA journal_mode = DELETE").execute(&mut to).await?;
    to.close().await?;
    Ok(())
}

/// A name beside a file's, in the same folder.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(Trouble::File { path: path.to_owned(), why })
        }
        _ => Ok(()),
    }
}

/// Gives a file that is whole its name, and waits until both are on disk.
pub(super) fn settle(part: &Path, to: &Path) -> Result<(), Trouble> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |why| Trouble::File { path, why }
    };
    fs::set_permissions(part, Permissions::from_mode(0o600)).map_err(file(part))?;
    File::open(part).and_then(|it| it.sync_all()).map_err(file(part))?;
    fs::rename(part, to).map_err(file(to))?;
    let folder =
        to.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|it| it.sync_all()).map_err(file(folder))
}
