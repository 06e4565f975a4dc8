//! What is forgotten in one transaction, in as few statements as may be, as `appends` does it. What forgetting means is
//! said in `journal`.
use ids::ConferenceId;
use tokio::sync::oneshot;

use crate::Error;
use crate::appends::CHUNKS;
use crate::engine::Connection;
use crate::writer::{Answer, Outcome};

/// A conference that is over and waits to be forgotten.
pub(crate) struct Forget {
    pub(crate) conference: ConferenceId,
    /// The event that says that it is over.
    pub(crate) over: i64,
    pub(crate) answer: oneshot::Sender<Result<(), Error>>,
}

/// Runs what waits.
pub(crate) async fn run(
    connection: &mut Connection,
    mut waiting: Vec<Forget>,
    answers: &mut Vec<Answer>,
) -> Result<(), sqlx::Error> {
    for size in CHUNKS {
        while waiting.len() >= size {
            let rest = waiting.split_off(size);
            let chunk = std::mem::replace(&mut waiting, rest);
            delete(connection, &chunk, ("conference_events", "<")).await?;
            delete(connection, &chunk, ("conference_groups", "<=")).await?;
            answers.extend(chunk.into_iter().map(forgotten));
        }
    }
    Ok(())
}

/// Deletes what is of these conferences and before, or at, their end.
async fn delete(
    connection: &mut Connection,
    chunk: &[Forget],
    (table, before): (&str, &str),
) -> Result<(), sqlx::Error> {
    let rows: Vec<String> =
        (0..chunk.len()).map(|row| format!("(${},${})", row * 2 + 1, row * 2 + 2)).collect();
    let statement = format!(
        "WITH gone (conference, ending) AS (VALUES {}) \
         DELETE FROM {table} WHERE (conference, seq) IN \
         (SELECT t.conference, t.seq FROM gone g CROSS JOIN {table} t \
          WHERE t.conference = g.conference AND t.seq {before} g.ending)",
        rows.join(",")
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
    for forget in chunk {
        query = query.bind(forget.conference.as_str()).bind(forget.over);
    }
    query.execute(connection).await.map(drop)
}

fn forgotten(Forget { answer, .. }: Forget) -> Answer {
    Box::new(move |outcome| {
        let result = match outcome {
            Outcome::Committed => Ok(()),
            Outcome::Lost => Err(Error::NotCommitted),
        };
        drop(answer.send(result));
    })
}
