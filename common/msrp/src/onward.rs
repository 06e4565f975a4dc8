//! A request on its way through a relay or a back-to-back session, and the response that comes back: everything of it but its paths, written again as it
//! came under a transaction id of the next hop (RFC 4976, section 6.4). Which hop that is, and whether it may have the
//! request, is the caller's.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use rand::RngCore;

use crate::body::Body;
use crate::decode::Chunk;
use crate::encode::{Address, Frame, Payload, put_end, put_octets, put_start, put_value};
use crate::head::{Head, Start};
use crate::ident::TransactionId;
use crate::range::ByteRange;
use crate::start::{Flag, Method};

impl Payload {
    /// `chunk` for the next hop. Its headers stay, unknown ones among them, in the order they came; a SEND says the
    /// Byte-Range it really carries, and Content-Type comes last. The body is shared.
    ///
    /// The transaction id is drawn now, when every octet of the body is in memory, so nobody can have put its end-line
    /// there (RFC 4975, section 7.1).
    pub fn onward(chunk: &Chunk, rng: &mut impl RngCore) -> Self {
        let head = &chunk.head;
        let send = head.method() == Some(&Method::Send);
        let transaction = TransactionId::random(rng);
        let mut text = BytesMut::with_capacity(320);
        put_start(&mut text, transaction, head.method().map_or("", Method::as_str));
        let start = text.split().freeze();
        if let Some(id) = head.message_id() {
            put_octets(&mut text, b"Message-ID", id.as_bytes());
        }
        if send && (head.has_body() || head.has_byte_range()) {
            let range = chunk.range;
            // The last octet of the message says how long it is.
            let total = range.total.or_else(|| range.end.filter(|_| chunk.end == Some(Flag::End)));
            // Writing to memory cannot fail.
            _ = write!(text, "Byte-Range: {}\r\n", ByteRange { total, ..range }.for_wire());
        }
        for (name, value) in head.headers().iter() {
            let written = name.eq_ignore_ascii_case(b"Message-ID")
                || (send && name.eq_ignore_ascii_case(b"Byte-Range"))
                || name.eq_ignore_ascii_case(b"Content-Type");
            if !written {
                put_octets(&mut text, name, value);
            }
        }
        if let Some(content_type) = head.content_type() {
            put_octets(&mut text, b"Content-Type", content_type);
        }
        if !head.has_body() {
            put_end(&mut text, transaction, chunk.flag());
            return Self::new(transaction, start, text.freeze(), Body::new(), Bytes::new());
        }
        text.put_slice(b"\r\n");
        let headers = text.split().freeze();
        text.put_slice(b"\r\n");
        put_end(&mut text, transaction, chunk.flag());
        Self::new(transaction, start, headers, chunk.body.clone(), text.freeze())
    }
}

impl Frame {
    /// The response `head` on its way back to `address`, under the transaction id of the request there (RFC 4976,
    /// section 6.4.3); every header goes with it. None for a request.
    pub fn back(head: &Head, transaction: TransactionId, address: &Address) -> Option<Self> {
        let Start::Response(status, comment) = head.start() else { return None };
        let mut text = BytesMut::with_capacity(512);
        text.put_slice(b"MSRP ");
        text.put_slice(transaction.as_bytes());
        // Writing to memory cannot fail.
        _ = write!(text, " {status}");
        if !comment.is_empty() {
            text.put_u8(b' ');
            put_value(&mut text, comment);
        }
        text.put_slice(b"\r\n");
        text.put_slice(address.as_bytes());
        head.headers().iter().for_each(|(name, value)| put_octets(&mut text, name, value));
        put_end(&mut text, transaction, Flag::End);
        Some(Self::own(transaction, text.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::{Decoder, Item, Limits};

    const PATHS: &str = "To-Path: msrps://r:1/r;tcp\r\nFrom-Path: msrps://a:1/a;tcp\r\n";

    /// What the next hop reads, piece by piece.
    fn onward(text: &str, piece_octets_max: usize) -> Vec<(String, Chunk)> {
        let mut rng = StdRng::seed_from_u64(1);
        let mut decoder = Decoder::new(Limits { piece_octets_max, ..Limits::default() });
        let address = Address::new(
            &"msrps://b:1/b;tcp".parse().unwrap(),
            &"msrps://r:1/s;tcp".parse().unwrap(),
        );
        let (mut input, mut out) = (BytesMut::from(text), Vec::new());
        while let Some(item) = decoder.next(&mut input).unwrap() {
            let Item::Request(chunk) = item else { panic!("a response") };
            let octets = Payload::onward(&chunk, &mut rng).to(&address).to_bytes();
            let text = String::from_utf8(octets.to_vec()).unwrap();
            match Decoder::default().next(&mut BytesMut::from(&octets[..])).unwrap() {
                Some(Item::Request(read)) => out.push((text, read)),
                other => panic!("{other:?}"),
            }
        }
        out
    }

    #[test]
    fn s12_every_header_is_passed_on_and_content_type_is_the_last() {
        let text = format!(
            "MSRP a1b2c3d4 SEND\r\n{PATHS}X-First: 1\r\nMessage-ID: message1\r\nContent-Type: image/png;x=1\r\n\
             Success-Report: yes\r\nFailure-Report: partial\r\nContent-Disposition: attachment; filename=\"\u{e9}\"\r\n\
             Byte-Range: 1-99/5\r\nX-First: 2\r\n\r\nhello\r\n-------a1b2c3d4$\r\n"
        );

        let (text, chunk) = onward(&text, 2048).remove(0);

        let tid = chunk.head.transaction();
        assert_ne!(tid.as_str(), "a1b2c3d4");
        assert_eq!(
            text,
            format!(
                "MSRP {tid} SEND\r\nTo-Path: msrps://b:1/b;tcp\r\nFrom-Path: msrps://r:1/s;tcp\r\n\
                 Message-ID: message1\r\nByte-Range: 1-5/5\r\nX-First: 1\r\nSuccess-Report: yes\r\n\
                 Failure-Report: partial\r\nContent-Disposition: attachment; filename=\"\u{e9}\"\r\nX-First: 2\r\n\
                 Content-Type: image/png;x=1\r\n\r\nhello\r\n-------{tid}$\r\n"
            )
        );
    }

    #[test]
    fn s7_1_1_each_piece_of_a_long_chunk_is_a_chunk_with_its_own_range() {
        let body = "x".repeat(5000);
        let text = format!(
            "MSRP a1b2c3d4 SEND\r\n{PATHS}Message-ID: message1\r\nByte-Range: 101-*/*\r\n\
             Content-Type: text/plain\r\n\r\n{body}\r\n-------a1b2c3d4$\r\n"
        );

        let pieces = onward(&text, 2500);

        let ranges: Vec<_> =
            pieces.iter().map(|(_, p)| (p.head.byte_range().to_string(), p.end)).collect();
        assert_eq!(
            ranges,
            [("101-*/*".into(), Some(Flag::More)), ("2601-*/5100".into(), Some(Flag::End))]
        );
        let octets: usize = pieces.iter().map(|(_, piece)| piece.body.len()).sum();
        assert_eq!(octets, 5000);
        assert_ne!(pieces[0].1.head.transaction(), pieces[1].1.head.transaction());
    }

    #[test]
    fn an_abort_a_report_and_an_unknown_method_pass_as_they_are() {
        let abort = format!(
            "MSRP a1b2c3d4 SEND\r\n{PATHS}Message-ID: message1\r\nByte-Range: 2049-*/9000\r\n-------a1b2c3d4#\r\n"
        );
        let report = format!(
            "MSRP a1b2c3d4 REPORT\r\n{PATHS}Message-ID: message1\r\nByte-Range: 1-9000/9000\r\n\
             Status: 000 200 OK\r\n-------a1b2c3d4$\r\n"
        );
        let unknown = format!(
            "MSRP a1b2c3d4 PING\r\n{PATHS}X: y\r\nContent-Type: a/b\r\n\r\nz\r\n-------a1b2c3d4$\r\n"
        );

        let (text, chunk) = onward(&abort, 2048).remove(0);
        assert_eq!(chunk.end, Some(Flag::Abort));
        assert!(text.contains("Byte-Range: 2049-2048/9000\r\n-------"), "{text}");
        let (text, _) = onward(&report, 2048).remove(0);
        assert!(text.contains(
            "Message-ID: message1\r\nByte-Range: 1-9000/9000\r\nStatus: 000 200 OK\r\n-------"
        ));
        let (text, chunk) = onward(&unknown, 2048).remove(0);
        assert!(
            text.contains(" PING\r\n") && text.contains("X: y\r\nContent-Type: a/b\r\n\r\nz\r\n")
        );
        assert_eq!(chunk.head.method().map(Method::as_str), Some("PING"));
    }

    #[test]
    fn s6_4_3_of_rfc_4976_an_answer_goes_back_with_its_headers_under_the_id_of_the_request() {
        let text = "MSRP m2nbvw 401 Unauthorized\r\n\
            To-Path: msrps://intra.example:9000/jui;tcp msrps://alice.example:9892/98cjs;tcp\r\n\
            From-Path: msrps://extra.example.com;tcp\r\n\
            WWW-Authenticate: Digest realm=\"extra\", qop=\"auth\", nonce=\"Uumu\"\r\n-------m2nbvw$\r\n";
        let mut input = BytesMut::from(text);
        let Some(Item::Response(head)) = Decoder::default().next(&mut input).unwrap() else {
            panic!("no response")
        };
        let to = head.to_path().behind_first().unwrap();
        let from = head.from_path().preceded_by(head.to_path().first().clone());

        let id = TransactionId::parse(b"mnbvw").unwrap();
        let back = Frame::back(&head, id, &Address::new(&to, &from)).unwrap().to_bytes();

        assert_eq!(
            String::from_utf8(back.to_vec()).unwrap(),
            "MSRP mnbvw 401 Unauthorized\r\nTo-Path: msrps://alice.example:9892/98cjs;tcp\r\n\
             From-Path: msrps://intra.example:9000/jui;tcp msrps://extra.example.com;tcp\r\n\
             WWW-Authenticate: Digest realm=\"extra\", qop=\"auth\", nonce=\"Uumu\"\r\n-------mnbvw$\r\n"
        );
    }

    #[test]
    fn s7_2_a_comment_with_control_characters_goes_back_as_one_line() {
        let text = b"MSRP m2nbvw 413 no\rTo-Path: x\0y\r\nTo-Path: msrps://r.example:1/r;tcp\r\n\
            From-Path: msrps://b.example:1/b;tcp\r\n-------m2nbvw$\r\n";
        let mut input = BytesMut::from(&text[..]);
        let Some(Item::Response(head)) = Decoder::default().next(&mut input).unwrap() else {
            panic!("no response")
        };
        let address = Address::new(head.to_path(), head.from_path());

        let back = Frame::back(&head, head.transaction(), &address).unwrap().to_bytes();

        assert!(back.starts_with(b"MSRP m2nbvw 413 no To-Path: x y\r\nTo-Path: msrps://r.ex"));
    }
}
