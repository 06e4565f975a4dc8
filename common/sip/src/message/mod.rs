//! Messages: what they are ([`Request`], [`Response`]), how they are cut from a stream ([`Decoder`]) and written back.
//! What a header field means is the business of [`crate::header`].
mod check;
mod decode;
mod head;
mod method;
mod request;
mod response;
mod status;

use bytes::{BufMut, Bytes, BytesMut};

pub use decode::{Decoder, Item, Limits, Malformed, Side, Then};
pub use method::Method;
pub use request::Request;
pub use response::Response;
pub use status::Status;

use crate::header::{Headers, Name};

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks.
    Request(Request),
    /// Somebody answers.
    Response(Response),
}

impl Message {
    /// The header fields of either.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The message as it goes on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// Writes a whole message. Content-Length is always that of `body`, whatever the headers say.
fn encode(start_line: &str, headers: &Headers, body: &Bytes) -> Bytes {
    let lines = headers.iter().map(|header| header.name.as_str().len() + header.value().len() + 4);
    let length = start_line.len() + lines.sum::<usize>() + body.len() + 40;
    let mut bytes = BytesMut::with_capacity(length);
    bytes.put_slice(start_line.as_bytes());
    bytes.put_slice(b"\r\n");
    for header in headers.iter().filter(|header| header.name != Name::ContentLength) {
        bytes.put_slice(header.name.as_str().as_bytes());
        bytes.put_slice(b": ");
        bytes.put_slice(header.value());
        bytes.put_slice(b"\r\n");
    }
    bytes.put_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.put_slice(body);
    bytes.freeze()
}
