//! Whoever serves finds rows by an index: a statement that reads a whole table is quick in every small test, and stops a focus
//! of ten thousand devices. Every statement in the source is put before SQLite's planner; the few that may read everything
//! are listed, each with the reason. PostgreSQL plans by what is in the tables, so it cannot be asked about empty ones.
mod engines;

use std::collections::BTreeSet;
use std::path::Path;

use engines::Database;
use sqlx::{Connection as _, Row as _, SqliteConnection};

/// What may read a whole table: how the statement begins, and why.
const WHOLE: [(&str, &str); 11] = [
    ("SELECT * FROM registrations", "read once, at the start"),
    ("SELECT aor, device FROM revoked_devices", "read once, at the start"),
    ("SELECT DISTINCT owner FROM mailbox", "read once, at the start"),
    ("SELECT conference FROM conference_log UNION", "read when old entries are let go"),
    ("DELETE FROM mailbox_cursors WHERE NOT EXISTS", "when old letters are let go"),
    ("SELECT * FROM registration_attempts", "for an operator, of a bounded table"),
    ("SELECT at_ms, actor, action", "for an operator, of a bounded table"),
    ("SELECT m.*, (SELECT aor FROM charged_seats", "what has no line yet, which is little"),
    ("WITH RECURSIVE names", "from name to name by the index, and not the table"),
    ("DELETE FROM conference_log WHERE conference = $1 AND kind", "the entries of one conference"),
    ("SELECT conference, seat, aor FROM charged_seats", "what has no line yet, which is little"),
];

/// The text of every statement that is written out in a source.
fn statements(source: &str) -> Vec<String> {
    let mut code = String::new();
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        // A text that goes on in the next line.
        match line.strip_suffix('\\') {
            Some(line) => code.push_str(line.trim_start()),
            None => code.push_str(&format!("{}\n", line.trim_start())),
        }
    }
    let code = code.replace("\\\"", "''");
    let texts = code.split('"').skip(1).step_by(2);
    let is_statement = |text: &&str| {
        ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|it| text.starts_with(it))
    };
    // What is put together when it runs cannot be planned here.
    texts.filter(is_statement).filter(|text| !text.contains('{')).map(str::to_owned).collect()
}

/// Whether a step of a plan reads something from end to end.
fn reads_all(step: &str) -> bool {
    match step.split_once(' ') {
        Some(("SCAN", of)) => !of.starts_with("CONSTANT") && !of.starts_with('('),
        // The least or the greatest of all, by no index.
        Some(("SEARCH", of)) => !of.contains(' '),
        _ => false,
    }
}

#[tokio::test]
async fn no_statement_that_serves_reads_a_whole_table() {
    let database = Database::sqlite();
    drop(database.open().await);
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    let (mut planned, mut met, mut reading) = (0, BTreeSet::new(), Vec::new());
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = file.unwrap().path();
        // What is in folders is an operator's: whole databases are copied and looked through there.
        if path.is_dir() {
            continue;
        }
        for statement in statements(&std::fs::read_to_string(&path).unwrap()) {
            let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let plan = sqlx::query(plan).fetch_all(&mut connection).await;
            let plan = plan.unwrap_or_else(|why| panic!("{statement}: {why}"));
            planned += 1;
            let steps = plan.iter().map(|row| row.get::<String, _>("detail"));
            let all = steps.filter(|step| reads_all(step)).collect::<Vec<_>>();
            let listed = WHOLE.iter().position(|(it, _why)| statement.starts_with(it));
            match listed {
                Some(number) if !all.is_empty() => met.extend([number]),
                None if !all.is_empty() => {
                    reading.push(format!("{}: {statement}: {all:?}", path.display()));
                }
                _ => {}
            }
        }
    }

    assert!(planned > 80, "only {planned} statements were found");
    assert_eq!(met.len(), WHOLE.len(), "what is listed and reads nothing whole: not {met:?}");
    assert!(reading.is_empty(), "{}", reading.join("\n"));
}
