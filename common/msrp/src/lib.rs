//! MSRP (RFC 4975, with NICKNAME of RFC 7701 and AUTH of RFC 4976) and CPIM (RFC 3862).
//!
//! Pure: no socket, task, clock or random source. Octets go in and chunks come out; messages go in and frames come
//! out. Sessions, who may say what, and when a response is due belong to the callers; digest credentials are read and
//! written, and nothing is hashed.
//!
//! # Receiving
//!
//! Append what arrives to a `BytesMut` and call [`Decoder::next`] until it says `Ok(None)`. It takes any cut of the
//! stream, also inside an end-line, and any size of chunk: a body longer than [`Limits::piece_octets_max`] comes in
//! pieces, each a valid chunk with its real byte range. No body is copied: [`Body`] is a list of slices of the
//! caller's buffer. (A slice keeps its whole buffer alive, so read into large buffers and keep reading behind what is
//! there; copy what is kept for long with [`Path::detached`] and its like.)
//!
//! A [`Fault`] says what to do: `Answerable` means send [`Fault::answer`] and go on, `Fatal` means send it if there is
//! one, and close.
//!
//! # Sending
//!
//! A [`SendRequest`] is encoded once into a [`Payload`] that all receivers share; [`Payload::to`] adds one receiver's
//! [`Address`], made once per seat. A chunk that only passes through is written by [`Payload::onward`].
//! [`Frame::slices`] is what a vectored write takes. [`Reply`], [`Report`] and [`Request`] write the small messages; a
//! reply that RFC 4975 forbids is never made.
//!
//! # Whole messages
//!
//! [`Reassembly`] puts chunks together at the final receiver. [`cpim`] reads and writes what is in them.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use msrp::{Address, Decoder, Item, MessageId, Path, Reply, SendRequest, Status, cpim};
//! # use rand::SeedableRng;
//! # let mut rng = rand::rngs::StdRng::seed_from_u64(1);
//! let room: Path = "msrps://relay.example.net:2855/s9dfj2;tcp".parse()?;
//! let alice: Path = "msrps://192.0.2.10:9/ab12cd34;tcp".parse()?;
//! let text = Bytes::from_static(b"Hello");
//! let message = cpim::Builder::new("sip:alice@example.net", "sip:room7@example.net")
//!     .content("text/plain", text);
//!
//! let send = SendRequest::whole(MessageId::random(&mut rng), "message/cpim", message);
//! let frame = send.encode(&mut rng).to(&Address::new(&room, &alice));
//! let mut wire = BytesMut::from(&frame.to_bytes()[..]);
//!
//! let Some(Item::Request(chunk)) = Decoder::default().next(&mut wire)? else { panic!("no chunk") };
//! let read = cpim::Message::read(&chunk.body)?;
//! assert_eq!(read.envelope.from()?.uri, "sip:alice@example.net");
//! assert_eq!(read.content.gather(), "Hello");
//! let reply = Reply::new(&chunk.head, Status::OK).and_then(|reply| reply.encode());
//! assert!(reply.is_some_and(|frame| frame.to_bytes().starts_with(b"MSRP ")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files, in the order a chunk meets them
//!
//! `decode` (states) · `success` (the short way for a 200) · `lines` (the end of a head) · `parse` (a head's meaning) · `scan` (the end of a body) · `head`,
//! `header`, `path`, `paths`, `uri`, `range`, `status`, `start`, `ident`, `nickname`, `digest` (its parts) · `fault`
//! (what was wrong) · `body` · `reassembly` · `cpim` · `encode`, `onward` and `reply` (the way out) · `limits` · `token`
//! (character classes).

mod body;
pub mod cpim;
mod decode;
mod digest;
mod encode;
mod fault;
mod head;
mod header;
mod ident;
mod limits;
mod lines;
mod nickname;
mod onward;
mod parse;
mod path;
mod paths;
mod range;
mod reassembly;
mod reply;
mod scan;
mod start;
mod status;
mod success;
mod token;
mod uri;

pub use body::Body;
pub use decode::{Chunk, Decoder, Item};
pub use digest::{AuthenticationInfo, BadCredentials, Challenge, Credentials, DigestAlgorithm};
pub use encode::{Address, EndLineInBody, Frame, Payload, SendRequest};
pub use fault::{Defect, Fault, Rejected};
pub use head::{Head, Start, media_type_is};
pub use header::Headers;
pub use ident::{MessageId, TransactionId, random_session_id};
pub use limits::Limits;
pub use nickname::BadNickname;
pub use path::Path;
pub use paths::Paths;
pub use range::ByteRange;
pub use reassembly::{Outcome, Quota, Reassembly, Refusal, Whole};
pub use reply::{Reply, Report, Request};
pub use start::{FailureReport, Flag, Method, SuccessReport};
pub use status::{ReportStatus, Status};
pub use uri::{BadUri, Scheme, Uri};
