//! Both databases have the same tables, columns, keys and indexes: a migration is written once, and means the same twice.
mod engines;

use std::collections::BTreeSet;

use engines::Database;

/// Table, column, kind of its type, and whether it may be absent.
const OF_SQLITE: &str = "SELECT t.name || '.' || c.name || ' ' || \
    CASE upper(c.type) WHEN 'INTEGER' THEN 'number' WHEN 'BIGINT' THEN 'number' WHEN 'TEXT' THEN 'text' \
    WHEN 'BLOB' THEN 'octets' ELSE c.type END || \
    CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN '' ELSE ' or null' END || \
    CASE WHEN c.pk > 0 THEN ' key ' || c.pk ELSE '' END AS said \
    FROM sqlite_master t JOIN pragma_table_info(t.name) c \
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '_sqlx%'";
const OF_POSTGRES: &str = "SELECT c.table_name || '.' || c.column_name || ' ' || \
    CASE c.data_type WHEN 'bigint' THEN 'number' WHEN 'text' THEN 'text' WHEN 'bytea' THEN 'octets' \
    ELSE c.data_type END || CASE c.is_nullable WHEN 'NO' THEN '' ELSE ' or null' END || \
    COALESCE((SELECT ' key ' || k.ordinal_position FROM information_schema.key_column_usage k \
      JOIN information_schema.table_constraints t ON t.constraint_name = k.constraint_name \
      AND t.table_name = k.table_name WHERE t.constraint_type = 'PRIMARY KEY' \
      AND k.table_name = c.table_name AND k.column_name = c.column_name), '') AS said \
    FROM information_schema.columns c WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_sqlx%'";
const INDEXES_OF_SQLITE: &str =
    "SELECT name AS said FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite%'";
const INDEXES_OF_POSTGRES: &str = "SELECT indexname::text AS said FROM pg_indexes WHERE schemaname = 'public' \
    AND indexname NOT LIKE '%\\_key' AND indexname NOT LIKE '%\\_pkey'";

#[tokio::test]
async fn a_migration_makes_the_same_tables_columns_keys_and_indexes_on_both() {
    let Some(server) = Database::postgres().await else { return };
    let file = Database::sqlite();
    file.open().await.close().await;
    server.open().await.close().await;

    let told = async |database: &Database, sql| -> BTreeSet<String> {
        database.texts(sql).await.into_iter().collect()
    };
    let (ours, theirs) = (told(&file, OF_SQLITE).await, told(&server, OF_POSTGRES).await);
    assert!(ours.len() > 60, "{ours:?}");
    assert_eq!(ours, theirs);
    let indexes = told(&file, INDEXES_OF_SQLITE).await;
    assert!(indexes.contains("key_packages_free"));
    assert_eq!(indexes, told(&server, INDEXES_OF_POSTGRES).await);
}

#[tokio::test]
async fn texts_compare_by_their_octets_on_a_server_too() {
    let Some(server) = Database::postgres().await else { return };
    server.open().await.close().await;

    let other = "SELECT table_name || '.' || column_name AS said FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%' \
                 AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(server.texts(other).await, Vec::<String>::new());
}
