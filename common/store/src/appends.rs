//! The appends of one transaction, in as few statements as may be: each statement is handed to SQLite's thread and back,
//! which costs more than the row it writes. What an append means is said in `journal`; when it is answered, in `writer`.
use std::collections::HashSet;

use ids::{ConferenceId, Seq};
use tokio::sync::oneshot;

use crate::engine::Connection;
use crate::writer::{Answer, Outcome};
use crate::{Entry, Error};

/// Rows of one statement. Few sizes, so that each statement is prepared once.
pub(crate) const CHUNKS: [usize; 3] = [64, 8, 1];

/// An append that waits.
pub(crate) struct Append {
    pub(crate) conference: ConferenceId,
    pub(crate) expected: Seq,
    pub(crate) entry: Entry,
    pub(crate) answer: oneshot::Sender<Result<Seq, Error>>,
}

/// Runs what waits, in its order. Who is refused knows it at once; who is not has an answer that waits for the commit.
pub(crate) async fn run(
    connection: &mut Connection,
    mut waiting: Vec<Append>,
    answers: &mut Vec<Answer>,
) -> Result<(), sqlx::Error> {
    while !waiting.is_empty() {
        let (mut wave, later) = apart(waiting);
        for size in CHUNKS {
            while wave.len() >= size {
                let rest = wave.split_off(size);
                chunk(connection, std::mem::replace(&mut wave, rest), answers).await?;
            }
        }
        waiting = later;
    }
    Ok(())
}

/// The first append of each conference, and all others: a statement does not see what it writes itself.
fn apart(waiting: Vec<Append>) -> (Vec<Append>, Vec<Append>) {
    let mut seen = HashSet::new();
    waiting.into_iter().partition(|append| seen.insert(append.conference.clone()))
}

async fn chunk(
    connection: &mut Connection,
    chunk: Vec<Append>,
    answers: &mut Vec<Answer>,
) -> Result<(), sqlx::Error> {
    let is_one = chunk.len() == 1;
    if !is_one {
        sqlx::query("SAVEPOINT appends").execute(&mut *connection).await?;
    }
    let all_fit = insert(connection, &chunk).await?;
    if !is_one {
        if !all_fit {
            sqlx::query("ROLLBACK TO SAVEPOINT appends").execute(&mut *connection).await?;
        }
        sqlx::query("RELEASE SAVEPOINT appends").execute(&mut *connection).await?;
    }
    for append in chunk {
        // Somebody among many does not fit, and rarely: each by itself says who.
        let fits = all_fit || !is_one && insert(connection, std::slice::from_ref(&append)).await?;
        if fits {
            answers.push(appended(connection, append).await?);
        } else {
            let Append { conference, expected, answer, .. } = append;
            drop(answer.send(Err(Error::Conflict { conference, expected })));
        }
    }
    Ok(())
}

/// Inserts the events whose conferences end where they are expected to, and says whether all did.
async fn insert(connection: &mut Connection, chunk: &[Append]) -> Result<bool, sqlx::Error> {
    let rows: Vec<String> = (0..chunk.len())
        .map(|row| row * 3)
        .map(|at| format!("(${},${},${})", at + 1, at + 2, at + 3))
        .collect();
    let statement = format!(
        "WITH waiting (conference, expected, event) AS (VALUES {}) \
         INSERT INTO conference_events (conference, seq, event) \
         SELECT w.conference, w.expected + 1, w.event FROM waiting w WHERE w.expected = \
         (SELECT COALESCE(MAX(seq), 0) FROM conference_events e WHERE e.conference = w.conference) \
         ON CONFLICT DO NOTHING",
        rows.join(",")
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
    for append in chunk {
        // Beyond any journal: no conference ends there.
        let expected = i64::try_from(append.expected.0).unwrap_or(-1);
        query = query.bind(append.conference.as_str()).bind(expected).bind(&append.entry.event[..]);
    }
    let inserted = query.execute(connection).await?.rows_affected();
    Ok(usize::try_from(inserted) == Ok(chunk.len()))
}

/// The group beside the event, if it changed it, and the answer.
async fn appended(connection: &mut Connection, append: Append) -> Result<Answer, sqlx::Error> {
    let Append { conference, expected, entry, answer } = append;
    let next = expected.next();
    if let Some(group) = entry.group {
        sqlx::query(
            "INSERT INTO conference_groups (conference, seq, state) VALUES ($1, $2, $3) \
             ON CONFLICT (conference) DO UPDATE SET seq = excluded.seq, state = excluded.state",
        )
        .bind(conference.as_str())
        .bind(i64::try_from(next.0).unwrap_or(i64::MAX))
        .bind(&group[..])
        .execute(connection)
        .await?;
    }
    Ok(Box::new(move |outcome| {
        let result = match outcome {
            Outcome::Committed => Ok(next),
            Outcome::Lost => Err(Error::NotCommitted),
        };
        drop(answer.send(result));
    }))
}
