//! The session by which a device gets a large message: we call, the device connects, and when it has answered the last octet
//! the message is delivered. Its octets come out of the blob store in pieces.
use bytes::Bytes;
use endpoint::ends;
use endpoint::transfer::{Broken, Finished, Part, Proof};
use ids::Aor;
use msrp::MessageId;
use sha2::{Digest as _, Sha256};
use sip::sdp::{self, BadSdp, Direction, MsrpMedia, Setup as Way};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::session::{Session, Side, setup};
use super::{Files, NotTaken, origin, session_name};
use crate::mailbox::{Large, Ready};

/// Our end of a session, which is offered.
#[derive(Debug)]
pub(crate) struct Offering {
    name: String,
    ours: MsrpMedia,
    /// As the device is told it.
    pub(crate) offer: Bytes,
    permit: OwnedSemaphorePermit,
}

/// A session by which a message goes.
#[derive(Debug)]
pub(crate) struct Given {
    /// Dropped, the session is over; it is closed when the session is.
    pub(crate) hangup: oneshot::Sender<()>,
    /// What becomes of it; dropped, nobody came.
    pub(crate) over: oneshot::Receiver<Result<Finished, Broken>>,
}

impl Files {
    /// Whether the octets of a large message are there.
    pub(crate) async fn has(&self, large: &Large) -> Result<bool, blobs::Error> {
        match self.0.blobs.read(&large.blob, 0..1).await {
            Ok(_) => Ok(true),
            Err(blobs::Error::Nothing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the octets of a large message.
    pub(crate) async fn remove(&self, blob: &str) -> Result<(), blobs::Error> {
        self.0.blobs.remove(blob).await
    }

    /// What a device is offered.
    pub(crate) fn offering(&self) -> Result<Offering, NotTaken> {
        let permit = self.permit()?;
        let name = session_name();
        // Everybody can come to us, and we go nowhere: a device says where it is, and that could be anywhere.
        let ours = self.end(&name, (Way::Passive, false), 0)?;
        let ours = MsrpMedia { direction: Direction::SendOnly, max_size: None, ..ours };
        let offer = sdp::offer(&origin(&ours.address), &ours);
        Ok(Offering { name, ours, offer, permit })
    }

    /// Gives a message to a device that has taken the offer.
    pub(crate) fn give(
        &self,
        offering: Offering,
        answer: &[u8],
        (ready, large, owner): (&Ready, &Large, &Aor),
    ) -> Result<Given, NotTaken> {
        let Offering { name, ours, permit, .. } = offering;
        let theirs = sdp::parse_answer(answer)?;
        let terms = ends::answered(&theirs)?;
        if terms.dial.is_some() {
            return Err(BadSdp::Setup.into());
        }
        if theirs.max_size.is_some_and(|max| large.octets > max) {
            return Err(NotTaken::TooLarge);
        }
        let known = theirs.identity()?.iter().map(ToString::to_string).collect::<Vec<_>>();
        let connected = self.0.arrivals.expect(&name, &known).ok_or(BadSdp::Fingerprint)?;
        let author = &ready.letter.author;
        let setup = setup((author, owner), (ours, theirs), terms.anchored)?;
        let part = Part {
            media_type: ready.letter.content_type(),
            octets: Some(large.octets),
            octets_max: u64::MAX,
            message_id: name_of(ready, owner),
            proof: Proof::Answer,
            ..Part::default()
        };
        let (told, over) = oneshot::channel();
        let (hangup, hung_up) = oneshot::channel();
        let session = Session {
            files: self.clone(),
            setup,
            side: Side::Deliver { large: large.clone(), told },
            part,
            _under_way: None,
            _permit: permit,
        };
        tokio::spawn(session.run(connected, hung_up));
        Ok(Given { hangup, over })
    }
}

/// The same each time, so that a device that had it and could not say so knows it again.
fn name_of(ready: &Ready, owner: &Aor) -> Option<MessageId> {
    let digest = Sha256::digest(format!("{owner}\n{}\n{}", ready.letter.author, ready.number));
    MessageId::parse(hex::encode(digest).get(..32)?.as_bytes())
}
