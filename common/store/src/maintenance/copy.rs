//! All rows of one database into another: what a backup of a server is made by, and how one is put back there.
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};

use crate::engine::{Connection, Engine, Row};

/// A table, as far as it takes to copy it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<(String, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Octets,
}

enum Value {
    Number(Option<i64>),
    Text(Option<String>),
    Octets(Option<Vec<u8>>),
}

/// Rows of one statement.
const ROWS: usize = 64;

/// The tables of this program, by name.
pub(super) async fn tables(
    connection: &mut Connection,
    engine: Engine,
) -> Result<Vec<Table>, sqlx::Error> {
    let columns = match engine {
        Engine::Sqlite => {
            "SELECT t.name AS tab, c.name AS name, c.type AS kind FROM sqlite_master t \
             JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' \
             AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid"
        }
        Engine::Postgres => {
            "SELECT table_name::text AS tab, column_name::text AS name, data_type::text AS kind \
             FROM information_schema.columns WHERE table_schema = current_schema() \
             AND table_name <> '_sqlx_migrations' ORDER BY table_name, ordinal_position"
        }
    };
    let mut tables: Vec<Table> = Vec::new();
    for row in sqlx::query(columns).fetch_all(connection).await? {
        let (of, name): (String, String) = (row.try_get("tab")?, row.try_get("name")?);
        let kind = match row.try_get::<String, _>("kind")?.to_ascii_lowercase().as_str() {
            "text" => Kind::Text,
            "blob" | "bytea" => Kind::Octets,
            _ => Kind::Number,
        };
        match tables.last_mut() {
            Some(table) if table.name == of => table.columns.push((name, kind)),
            _ => tables.push(Table { name: of, columns: vec![(name, kind)] }),
        }
    }
    Ok(tables)
}

/// Copies every row of a table; how many there were.
pub(super) async fn rows(
    table: &Table,
    from: &mut Connection,
    to: &mut Connection,
) -> Result<u64, sqlx::Error> {
    let names: Vec<_> = table.columns.iter().map(|it| it.0.as_str()).collect();
    let select = format!("SELECT {} FROM {}", names.join(", "), table.name);
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(from);
    let (mut waiting, mut done) = (Vec::with_capacity(ROWS), 0);
    while let Some(row) = rows.try_next().await? {
        waiting.push(values(table, &row)?);
        done += 1;
        if waiting.len() == ROWS {
            insert(table, std::mem::take(&mut waiting), to).await?;
        }
    }
    if !waiting.is_empty() {
        insert(table, waiting, to).await?;
    }
    Ok(done)
}

fn values(table: &Table, row: &Row) -> Result<Vec<Value>, sqlx::Error> {
    let value = |(at, (_, kind)): (usize, &(String, Kind))| {
        Ok(match kind {
            Kind::Number => Value::Number(row.try_get(at)?),
            Kind::Text => Value::Text(row.try_get(at)?),
            Kind::Octets => Value::Octets(row.try_get(at)?),
        })
    };
    table.columns.iter().enumerate().map(value).collect()
}

async fn insert(
    table: &Table,
    rows: Vec<Vec<Value>>,
    to: &mut Connection,
) -> Result<(), sqlx::Error> {
    let width = table.columns.len();
    let place = |row: usize| {
        let places: Vec<_> = (1..=width).map(|at| format!("${}", row * width + at)).collect();
        format!("({})", places.join(","))
    };
    let places: Vec<_> = (0..rows.len()).map(place).collect();
    let names: Vec<_> = table.columns.iter().map(|it| it.0.as_str()).collect();
    let statement =
        format!("INSERT INTO {} ({}) VALUES {}", table.name, names.join(", "), places.join(","));
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for value in rows.into_iter().flatten() {
        query = match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Octets(octets) => query.bind(octets),
        };
    }
    query.execute(to).await.map(drop)
}
