//! The charge for one message, from its first octet to its end. Whoever knows how the message ended closes the tab; the
//! first one counts, and a tab that everybody has dropped was an aborted message. So each message is told once.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use control::{Charge, Ending, Notice, RoomNotice};
use ids::{ConferenceId, SeatId};
use msrp::cpim::Gather;
use msrp::{Body, Chunk, MessageId, media_type_is};
use service::clock;

use crate::focus::Focus;
use crate::session::Refusal;

/// An open charge. It holds a place among the notices that wait for the focus.
#[derive(Debug)]
pub(crate) struct Tab {
    focus: Arc<Focus>,
    conference: ConferenceId,
    seat: SeatId,
    receivers: u32,
    message_id: MessageId,
    content_type: String,
    wrapped_type: String,
    started_ms: u64,
    octets: AtomicU64,
    closed: AtomicBool,
}

/// Whose message it is, and to how many it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fare<'a> {
    pub(crate) conference: &'a ConferenceId,
    pub(crate) seat: SeatId,
    pub(crate) receivers: u32,
}

impl Tab {
    /// Opens a tab for a message that begins; its media type, and what that wraps. While the focus is away for so long
    /// that nothing more can be kept for it, no charged message begins.
    pub(crate) fn open(
        focus: &Arc<Focus>,
        fare: Fare<'_>,
        message_id: MessageId,
        (content_type, wrapped_type): (&[u8], &[u8]),
    ) -> Result<Arc<Self>, Refusal> {
        focus.link().reserve().map_err(|_overfull| Refusal::FocusAway)?;
        Ok(Arc::new(Self {
            focus: Arc::clone(focus),
            conference: fare.conference.clone(),
            seat: fare.seat,
            receivers: fare.receivers,
            message_id,
            content_type: bare(content_type),
            wrapped_type: bare(wrapped_type),
            started_ms: unix_ms(clock::wall()),
            octets: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// The same for a message of which only the first chunk is known.
    pub(crate) fn open_for(
        focus: &Arc<Focus>,
        fare: Fare<'_>,
        chunk: &Chunk,
    ) -> Result<Arc<Self>, Refusal> {
        let id = chunk.head.message_id().ok_or(Refusal::NoSession)?;
        let content_type = chunk.head.content_type().map_or(&b""[..], |value| value);
        let wrapped = wrapped(content_type, &chunk.body);
        Self::open(focus, fare, id, (content_type, wrapped.as_bytes()))
    }

    /// The message did not begin after all.
    pub(crate) fn cancel(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.focus.link().release();
        }
    }

    /// The message has come so far.
    pub(crate) fn note(&self, octets: u64) {
        self.octets.fetch_max(octets, Ordering::Relaxed);
    }

    /// The message has ended.
    pub(crate) fn close(&self, ending: Ending) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let charge = Charge {
            seat: self.seat,
            receivers: self.receivers,
            message_id: self.message_id.as_str().to_owned(),
            octets: self.octets.load(Ordering::Relaxed),
            content_type: self.content_type.clone(),
            wrapped_type: self.wrapped_type.clone(),
            ending,
            started_ms: self.started_ms,
            ended_ms: unix_ms(clock::wall()),
        };
        // A place was kept for it, so it is never refused.
        _ = self.focus.notice(Notice::room(self.conference.clone(), RoomNotice::Charged(charge)));
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.close(Ending::Aborted);
    }
}

/// A media type without its parameters; of an absurdly long one the front.
fn bare(value: &[u8]) -> String {
    let bare = value.split(|c| *c == b';').next().unwrap_or_default();
    let short = bare.get(..TYPE_OCTETS_MAX).unwrap_or(bare);
    String::from_utf8_lossy(short).trim().to_ascii_lowercase()
}

/// Longer media types than RFC 6838, 4.2 allows: 127 octets on each side of the slash.
const TYPE_OCTETS_MAX: usize = 255;

/// What a `message/cpim` holds, where its headers came with the first piece.
fn wrapped(content_type: &[u8], body: &Body) -> String {
    if !media_type_is(content_type, msrp::cpim::MEDIA_TYPE) {
        return String::new();
    }
    let envelope = Gather::default().push(body).ok().flatten();
    envelope.and_then(|envelope| envelope.content_type().map(bare)).unwrap_or_default()
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
