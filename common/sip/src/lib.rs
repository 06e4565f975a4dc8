//! SIP without sockets: bytes, time and randomness go in; messages, events and bytes come out.
//!
//! The way of a message, by file: [`message::Decoder`] cuts a TCP or TLS stream into checked [`Message`]s (and says
//! how to answer what is not one) · [`header`] reads a header field when somebody asks for it · `transaction`,
//! `dialog` and `endpoint` keep the state RFC 3261 asks for, [`session_timer`] what RFC 4028 adds · [`digest`] asks who it is, for SIP and for HTTP ·
//! [`sdp`] is the offer and the answer for MSRP · [`multipart`] and [`resource_lists`] are the bodies of a request that is
//! for many.
//!
//! Only reliable transports; no socket, task, clock or random source of its own.
//!
//! ```
//! use sip::{Decoder, Item, Limits, Message, Response, Side, Status};
//! let mut bytes = bytes::BytesMut::from(&b"OPTIONS sip:room7@conf.example.net SIP/2.0\r\n\
//! Via: SIP/2.0/TLS ua.example.net;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
//! From: <sip:alice@example.net>;tag=a1\r\nTo: <sip:room7@conf.example.net>\r\n\
//! Call-ID: c1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"[..]);
//! let mut decoder = Decoder::new(Side::Accepted, Limits::default());
//! let Some(Item::Message(Message::Request(request))) = decoder.decode(&mut bytes) else {
//!     panic!("a request was expected");
//! };
//! let response = Response::to(&request, Status::OK).with_to_tag("f1");
//! assert!(response.to_bytes().starts_with(b"SIP/2.0 200 OK\r\n"));
//! ```
pub mod conference_info;
pub mod digest;
pub mod gruu;
pub mod header;
pub mod message;
pub mod multipart;
pub mod resource_lists;
pub mod sdp;
pub mod session_timer;
pub mod tel;
mod token;
pub mod uri;

pub mod dialog;
pub mod endpoint;
pub mod transaction;

pub use header::{BadHeader, CSeq, Header, Headers, Name, NameAddr, Param, Params, Via};
pub use message::{
    Decoder, Item, Limits, Malformed, Message, Method, Request, Response, Side, Status, Then,
};
pub use token::{NotAToken, Token};
pub use uri::{BadUri, SipUri, Uri};
