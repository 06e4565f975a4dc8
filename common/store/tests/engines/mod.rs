//! Runs a test of the store on both databases: each gets an empty one that is gone when the test is over.
#![allow(dead_code, reason = "not every test binary that includes this needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
pub(crate) mod server;

use sqlx::Connection as _;
use store::{Location, Store};
use tempfile::TempDir;

/// An empty database for one test.
pub(crate) struct Database {
    pub(crate) location: Location,
    /// The same for whoever looks past the store.
    pub(crate) url: String,
    /// The folder of a file's database, or one that a test may use for whatever it likes.
    pub(crate) folder: TempDir,
}

impl Database {
    /// A file that is not there yet.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mrfc.sqlite");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        Self { location: Location::file(&path), url, folder }
    }

    /// A database on a server of this test run; `None`, and said so, where PostgreSQL is not installed.
    pub(crate) async fn postgres() -> Option<Self> {
        let url = server::database().await?;
        let location = url.parse().unwrap();
        Some(Self { location, url, folder: tempfile::tempdir().unwrap() })
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.location).await.unwrap()
    }

    /// Past the store: does what no store would.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The only column of each row.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        let texts = query.fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        texts
    }

    /// The files in which this database keeps what its tables hold; what is still in a server's memory is written first.
    pub(crate) async fn files(&self) -> Vec<std::path::PathBuf> {
        let folder = match self.location.path() {
            Some(_) => self.folder.path().to_owned(),
            None => {
                self.execute("CHECKPOINT").await;
                let of = "SELECT current_setting('data_directory') || '/base/' || oid FROM \
                          pg_database WHERE datname = current_database()";
                self.texts(of).await.remove(0).into()
            }
        };
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
    }

    pub(crate) async fn connect(&self) -> sqlx::AnyConnection {
        sqlx::any::install_default_drivers();
        sqlx::AnyConnection::connect(&self.url).await.unwrap()
    }

    /// Closes the store and opens it again, as a restart does.
    pub(crate) async fn reopen(&self, store: Store) -> Store {
        store.close().await;
        self.open().await
    }
}

/// Makes of each of these functions, which take a [`Database`], a test on SQLite and one on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use super::engines::Database;

            #[tokio::test]
            async fn sqlite() {
                Box::pin(super::$name(Database::sqlite())).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(database) = Database::postgres().await {
                    Box::pin(super::$name(database)).await;
                }
            }
        }
    )* };
}
