//! Numbers that are given out once, for all time.
use std::ops::Range;

use crate::{Error, Store};

impl Store {
    /// Reserves `count` numbers of the named counter. They are never given out again, used or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reserve(&self, counter: &'static str, count: u32) -> Result<Range<u64>, Error> {
        let last: i64 = self
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    Ok(sqlx::query_scalar(
                        "INSERT INTO counters (name, value) VALUES ($1, $2) \
                         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value \
                         RETURNING value",
                    )
                    .bind(counter)
                    .bind(i64::from(count))
                    .fetch_one(&mut *connection)
                    .await?)
                })
            })
            .await?;
        let last =
            u64::try_from(last).map_err(|_| Error::Foreign { what: "a negative counter" })?;
        Ok(last + 1 - u64::from(count)..last + 1)
    }
}
