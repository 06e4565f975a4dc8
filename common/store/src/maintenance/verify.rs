//! Whether a database is sound: its file, and what its rows promise each other. It changes nothing.
use sqlx::Row as _;

use super::{Trouble, is_missing};
use crate::engine::{Connection, Engine, Location};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// Where.
    pub place: String,
    /// How to mend it.
    pub mend: &'static str,
}

const RESTORE: &str = "put the last backup back: conclave db restore";
const MIGRATE: &str = "bring the tables up to date: conclave db migrate";
const FORGET: &str = "harmless; delete these rows while the focus is stopped";

/// What must be true of rows: a statement that says, as `place`, each place where it is not.
struct Promise {
    broken: &'static str,
    mend: &'static str,
    places: &'static str,
}

/// Places that are named at most, of each promise.
const PLACES_MAX: usize = 20;

const PROMISES: [Promise; 8] = [
    Promise {
        broken: "the journal of a conference has a hole",
        mend: RESTORE,
        places: "SELECT conference || ': ' || (MAX(seq) - MIN(seq) + 1 - COUNT(*)) || ' of events ' || MIN(seq) \
                 || ' to ' || MAX(seq) || ' are missing' AS place FROM conference_events \
                 GROUP BY conference HAVING COUNT(*) <> MAX(seq) - MIN(seq) + 1 ORDER BY conference",
    },
    Promise {
        broken: "a journal begins before its first event",
        mend: RESTORE,
        places: "SELECT conference || ': event ' || MIN(seq) AS place FROM conference_events \
                 GROUP BY conference HAVING MIN(seq) < 1 ORDER BY conference",
    },
    Promise {
        broken: "a group is newer than the journal of its conference",
        mend: RESTORE,
        places: "SELECT g.conference || ': event ' || g.seq AS place FROM conference_groups g \
                 WHERE NOT EXISTS (SELECT 1 FROM conference_events e \
                 WHERE e.conference = g.conference AND e.seq >= g.seq) ORDER BY g.conference",
    },
    Promise {
        broken: "numbers of seats could be given out twice",
        mend: RESTORE,
        places: "SELECT 'charged_seats: seat ' || MAX(s.seat) AS place FROM charged_seats s \
                 HAVING MAX(s.seat) > (SELECT COALESCE(MAX(c.value), 0) FROM counters c WHERE c.name = 'seats')",
    },
    Promise {
        broken: "a device has two last resorts",
        mend: FORGET,
        places: "SELECT aor || ' ' || device AS place FROM key_packages WHERE last_resort = 1 \
                 AND claimed_ms IS NULL GROUP BY aor, device HAVING COUNT(*) > 1 ORDER BY aor, device",
    },
    Promise {
        broken: "a change of a circle is for devices, and is not there",
        mend: FORGET,
        places: "SELECT DISTINCT r.circle || ': ' || r.seq AS place FROM circle_readers r WHERE NOT EXISTS \
                 (SELECT 1 FROM circle_log l WHERE l.circle = r.circle AND l.seq = r.seq) ORDER BY place",
    },
    Promise {
        broken: "a circle has people or changes, and no group",
        mend: RESTORE,
        places: "SELECT DISTINCT circle AS place FROM (SELECT circle FROM circle_people UNION ALL \
                 SELECT circle FROM circle_log) c WHERE NOT EXISTS \
                 (SELECT 1 FROM circles k WHERE k.circle = c.circle) ORDER BY place",
    },
    Promise {
        broken: "a message waits without its text",
        mend: FORGET,
        places: "SELECT owner || ': number ' || number AS place FROM mailbox \
                 WHERE head IS NOT NULL AND body IS NULL ORDER BY number",
    },
];

/// Looks at a whole database. Nothing found: it is sound.
///
/// # Errors
/// It cannot be looked at.
pub async fn verify(location: &Location) -> Result<Vec<Finding>, Trouble> {
    if is_missing(location) {
        return Err(Trouble::Missing);
    }
    let missing = super::pending(location).await?;
    if !missing.is_empty() {
        let place = missing.iter().map(|step| step.version.to_string()).collect::<Vec<_>>();
        let (what, place) = (String::from("changes of the tables are missing"), place.join(", "));
        return Ok(vec![Finding { what, place, mend: MIGRATE }]);
    }
    let mut connection = location.look().await?;
    let mut found = Vec::new();
    if location.engine() == Engine::Sqlite {
        found.extend(pages(&mut connection).await?);
    }
    for promise in &PROMISES {
        let places: Vec<String> =
            sqlx::query_scalar(promise.places).fetch_all(&mut connection).await?;
        let finding =
            |place| Finding { what: promise.broken.to_owned(), place, mend: promise.mend };
        found.extend(places.into_iter().take(PLACES_MAX).map(finding));
    }
    Ok(found)
}

/// SQLite's own look at its file: pages, indexes, and keys of other tables.
async fn pages(connection: &mut Connection) -> Result<Vec<Finding>, sqlx::Error> {
    let said: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut *connection).await?;
    let damaged = |place| Finding { what: "the file is damaged".to_owned(), place, mend: RESTORE };
    let mut found: Vec<_> = said.into_iter().filter(|it| it != "ok").map(damaged).collect();
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(connection).await?;
    for row in orphans.iter().take(PLACES_MAX) {
        let (table, parent): (String, String) = (row.try_get("table")?, row.try_get("parent")?);
        let what = format!("a row of {table} belongs to one of {parent} that is not there");
        found.push(Finding { what, place: table, mend: FORGET });
    }
    Ok(found)
}
