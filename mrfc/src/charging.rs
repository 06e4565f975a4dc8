//! Charges for single messages: which of them cost something, one row for each in the store, and one line of JSON for
//! each in the operator's file. A relay tells of a message until it hears that the charge is kept; it hears that after
//! the row is on disk, and a row that is there already is not written twice.
use std::collections::HashSet;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use control::{Charge, Ending};
use ids::{Aor, ConferenceId, SeatId};
use serde::Serialize;
use store::{ChargeRecord, NewCharge, Store};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tracing::warn;

use crate::desk::Refusal;
use crate::relays::Done;

/// Between two attempts to keep a charge.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);
/// Lines written at once.
const LINES_MAX: u32 = 512;
/// More octets than they have, unless they name hundreds of receivers each.
const LINES_OCTETS_MAX: u64 = 2 << 20;

/// Takes charges. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    store: Store,
    /// Unbounded here, because bounded at its source: a relay holds its notices back until earlier ones are done.
    charges: mpsc::UnboundedSender<(NewCharge, Done)>,
}

impl Ledger {
    /// The seat that nobody has: whoever has all the others, in a conference. Its messages are for the conference, and a
    /// record does not name everybody who was in it.
    pub(crate) const EVERYBODY: SeatId = SeatId(0);

    /// A ledger, kept by a task that ends with its last handle.
    pub(crate) fn start(store: Store, file: Option<PathBuf>) -> Self {
        let (charges, waiting) = mpsc::unbounded_channel();
        drop(tokio::spawn(keep(store.clone(), file, waiting)));
        Self { store, charges }
    }

    /// Somebody has a seat in a charged session.
    pub(crate) async fn seated(
        &self,
        session: &ConferenceId,
        seat: SeatId,
        aor: &Aor,
    ) -> Result<(), Refusal> {
        let noted = self.store.note_charged_seat(session.clone(), seat, aor.clone()).await;
        noted.map_err(|error| {
            warn!(%error, "a charged session could not be noted");
            Refusal::StoreFailed
        })
    }

    /// A relay tells of a message. What costs nothing at all is done at once.
    pub(crate) fn charge(&self, session: ConferenceId, charge: Charge, done: Done) {
        if let Some(charge) = priced(session, charge) {
            self.charges.send((charge, done)).ok();
        }
    }
}

/// What is to be written of a message: nothing of typing notices and dispositions, which nobody wrote, and of nothing
/// without content. What did not arrive is written with nothing to pay.
fn priced(session: ConferenceId, charge: Charge) -> Option<NewCharge> {
    const FREE: [&str; 2] = [msrp::cpim::IMDN_TYPE, "application/im-iscomposing+xml"];
    let media_type = match charge.wrapped_type.is_empty() {
        true => charge.content_type,
        false => charge.wrapped_type,
    };
    if charge.octets == 0 || FREE.iter().any(|free| media_type.eq_ignore_ascii_case(free)) {
        return None;
    }
    let (status, charged) = match charge.ending {
        Ending::Complete => (200, charge.octets),
        Ending::Aborted => (0, 0),
        Ending::Refused(status) => (status, 0),
    };
    Some(NewCharge {
        conference: session,
        seat: charge.seat,
        message_id: charge.message_id,
        receivers: charge.receivers,
        octets: charge.octets,
        charged,
        media_type,
        status,
        started_ms: charge.started_ms,
        ended_ms: charge.ended_ms,
    })
}

async fn keep(
    store: Store,
    file: Option<PathBuf>,
    mut waiting: mpsc::UnboundedReceiver<(NewCharge, Done)>,
) {
    let mut there = HashSet::new();
    if let Some(path) = &file {
        match end_lines(path).await {
            Ok(lines) => there = lines,
            Err(error) => {
                warn!(%error, path = %path.display(), "the file of charges cannot be looked at");
            }
        }
    }
    // What was kept before the last end and not written, or written and not marked.
    write_lines(&store, file.as_deref(), &there).await;
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, 256).await > 0 {
        let (charges, told): (Vec<_>, Vec<Done>) = batch.drain(..).unzip();
        // Until they are kept the relay is not told so: their senders wait, and it tells them again after our next start.
        while let Err(error) = store.charge(charges.clone()).await {
            warn!(%error, "charges could not be kept");
            tokio::time::sleep(RETRY).await;
        }
        drop(told);
        write_lines(&store, file.as_deref(), &HashSet::new()).await;
    }
}

/// Writes what has no line yet, unless its line is there.
async fn write_lines(store: &Store, file: Option<&Path>, there: &HashSet<Vec<u8>>) {
    let Some(path) = file else { return };
    loop {
        let records = match store.charges_without_line(LINES_MAX).await {
            Ok(records) => records,
            Err(error) => return warn!(%error, "charges could not be read"),
        };
        let Some(last) = records.last().map(|record| record.record) else { return };
        if let Err(error) = append(path, &records, there).await {
            return warn!(%error, path = %path.display(), "charges are kept and not in the file");
        }
        if let Err(error) = store.note_charge_lines(last).await {
            return warn!(%error, "lines of charges will be written twice");
        }
    }
}

/// One line of the file.
#[derive(Serialize)]
struct Line<'a> {
    record: i64,
    session: &'a str,
    message_id: &'a str,
    from: Option<&'a str>,
    to: &'a [String],
    receivers: u32,
    octets: u64,
    charged_octets: u64,
    media_type: &'a str,
    result: u16,
    started_ms: u64,
    ended_ms: u64,
}

/// The last lines of the file, at least as many as one write has. A line that a crash has cut is ended, so that it does
/// not take the next one along.
async fn end_lines(path: &Path) -> std::io::Result<HashSet<Vec<u8>>> {
    let mut file = match File::options().read(true).append(true).open(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
        opened => opened?,
    };
    let begin = file.metadata().await?.len().saturating_sub(LINES_OCTETS_MAX);
    file.seek(SeekFrom::Start(begin)).await?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).await?;
    if tail.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n").await?;
    }
    Ok(tail.split(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect())
}

async fn append(
    path: &Path,
    records: &[ChargeRecord],
    there: &HashSet<Vec<u8>>,
) -> std::io::Result<()> {
    let mut text = Vec::new();
    for ChargeRecord { record, charge, from, to } in records {
        let line = Line {
            record: *record,
            session: charge.conference.as_str(),
            message_id: &charge.message_id,
            from: from.as_deref(),
            to,
            receivers: charge.receivers,
            octets: charge.octets,
            charged_octets: charge.charged,
            media_type: &charge.media_type,
            result: charge.status,
            started_ms: charge.started_ms,
            ended_ms: charge.ended_ms,
        };
        let line = serde_json::to_vec(&line)?;
        if !there.contains(&line) {
            text.extend(line);
            text.push(b'\n');
        }
    }
    let mut file: File = OpenOptions::new().create(true).append(true).open(path).await?;
    file.write_all(&text).await?;
    file.sync_data().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(content_type: &str, wrapped_type: &str, ending: Ending) -> Option<NewCharge> {
        let charge = Charge {
            seat: SeatId(1),
            receivers: 1,
            message_id: "m1".into(),
            octets: 100,
            content_type: content_type.into(),
            wrapped_type: wrapped_type.into(),
            ending,
            started_ms: 1,
            ended_ms: 2,
        };
        priced("p1".parse().unwrap(), charge)
    }

    #[test]
    fn s3_35_what_nobody_wrote_costs_nothing_and_is_no_record() {
        assert_eq!(charge("message/imdn+xml", "", Ending::Complete), None);
        assert_eq!(
            charge("message/cpim", "Application/IM-isComposing+xml", Ending::Complete),
            None
        );
        let text = charge("message/cpim", "text/plain", Ending::Complete).unwrap();
        assert_eq!((text.media_type.as_str(), text.charged, text.status), ("text/plain", 100, 200));
    }

    #[test]
    fn s3_35_what_did_not_arrive_is_a_record_without_a_price() {
        let aborted = charge("text/plain", "", Ending::Aborted).unwrap();
        let refused = charge("text/plain", "", Ending::Refused(413)).unwrap();

        assert_eq!((aborted.octets, aborted.charged, aborted.status), (100, 0, 0));
        assert_eq!((refused.charged, refused.status), (0, 413));
    }

    /// A record in a new store, and where it is.
    async fn stored(folder: &Path) -> Store {
        let store = Store::open(&folder.join("mrfc.sqlite")).await.unwrap();
        let charge = charge("text/plain", "", Ending::Complete).unwrap();
        assert_eq!(store.charge(vec![charge.clone()]).await.unwrap(), 1);
        assert_eq!(store.charge(vec![charge]).await.unwrap(), 0, "it was written twice");
        store
    }

    /// The records of the file's lines, once there are so many.
    async fn lines(file: &Path, count: usize) -> Vec<i64> {
        let written = async {
            loop {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                let record = |line: &str| -> Option<i64> {
                    serde_json::from_str::<serde_json::Value>(line).ok()?["record"].as_i64()
                };
                let records: Vec<i64> = text.lines().filter_map(record).collect();
                assert!(records.len() <= count, "{text}");
                if records.len() == count {
                    return records;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), written).await.unwrap()
    }

    #[tokio::test]
    async fn s3_35_what_was_kept_and_not_written_before_a_crash_is_written_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("charges.jsonl");
        let store = stored(folder.path()).await;

        let _ledger = Ledger::start(store.clone(), Some(file.clone()));

        lines(&file, 1).await;
    }

    #[tokio::test]
    async fn s3_35_a_line_that_a_crash_has_cut_does_not_take_the_next_one_along() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("charges.jsonl");
        std::fs::write(&file, "{\"record\":0,\"sess").unwrap();
        let store = stored(folder.path()).await;

        let _ledger = Ledger::start(store.clone(), Some(file.clone()));

        lines(&file, 1).await;
    }

    #[tokio::test]
    async fn s3_35_a_crash_between_line_and_mark_does_not_repeat_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("charges.jsonl");
        let store = stored(folder.path()).await;
        let records = store.charges_without_line(10).await.unwrap();
        append(&file, &records, &HashSet::new()).await.unwrap();

        let _ledger = Ledger::start(store.clone(), Some(file.clone()));

        let marked = async {
            while !store.charges_without_line(10).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), marked).await.unwrap();
        assert_eq!(lines(&file, 1).await.len(), 1);
    }
}
