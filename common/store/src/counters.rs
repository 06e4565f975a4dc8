//! Numbers that are given out once, for all time.
use std::ops::Range;

use crate::{Error, Store};

impl Store {
    /// Reserves `count` numbers of the named counter. They are never given out again, used or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reserve(&self, counter: &'static str, count: u32) -> Result<Range<u64>, Error> {
        self.reserve_after(counter, 0, count).await
    }

    /// The same, of numbers behind `least`: what an old copy of the database would give out again may be known to others.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reserve_after(
        &self,
        counter: &'static str,
        least: u64,
        count: u32,
    ) -> Result<Range<u64>, Error> {
        let least = i64::try_from(least).unwrap_or(i64::MAX / 2);
        let last: i64 = self
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    Ok(sqlx::query_scalar(
                        "INSERT INTO counters (name, value) VALUES ($1, $2) \
                         ON CONFLICT (name) DO UPDATE SET value = $3 + \
                         CASE WHEN counters.value < $4 THEN $4 ELSE counters.value END \
                         RETURNING value",
                    )
                    .bind(counter)
                    .bind(least.saturating_add(i64::from(count)))
                    .bind(i64::from(count))
                    .bind(least)
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
