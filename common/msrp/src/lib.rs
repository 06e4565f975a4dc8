//! MSRP (RFC 4975, with RFC 4976 AUTH and RFC 7701 NICKNAME) and CPIM (RFC 3862): octets in, chunks out; messages in,
//! frames out. Pure: no socket, task, clock or random source; time and randomness are arguments.
mod body;
mod decode;
mod encode;
mod fault;
mod head;
mod header;
mod ident;
mod limits;
mod lines;
mod nickname;
mod parse;
mod path;
mod range;
mod reply;
mod scan;
mod start;
mod status;
mod token;
mod uri;

pub use body::Body;
pub use decode::{Chunk, Decoder, Item};
pub use encode::{Address, EndLineInBody, Frame, Payload, SendRequest};
pub use fault::{Defect, Fault, Rejected};
pub use head::{Head, Start, media_type_is};
pub use header::Headers;
pub use ident::{MessageId, TransactionId, random_session_id};
pub use limits::Limits;
pub use nickname::BadNickname;
pub use path::Path;
pub use range::ByteRange;
pub use reply::{Reply, Report, Request};
pub use start::{FailureReport, Flag, Method, SuccessReport};
pub use status::{ReportStatus, Status};
pub use uri::{BadUri, Scheme, Uri};
