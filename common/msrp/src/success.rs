//! The short way for what a relay reads most: `200 OK` without further headers, on paths it knows. Whatever differs from
//! that in one octet is left to the long way, and what comes out is the same.

use std::sync::Arc;

use bytes::Bytes;

use crate::head::{Head, Start};
use crate::header::Headers;
use crate::ident::TransactionId;
use crate::limits::Limits;
use crate::paths::{Known, Paths};
use crate::start::{FailureReport, SuccessReport};
use crate::status::Status;

/// Makes the heads of such responses: one value serves again and again, if whoever got it keeps none.
#[derive(Debug, Default)]
pub(crate) struct Successes {
    last: Option<Arc<Head>>,
}

impl Successes {
    /// The response that `input` starts with, if it is such a one and all of it is there, and how many octets it has.
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        known: &Known,
        limits: &Limits,
    ) -> Option<(Arc<Head>, usize)> {
        let (transaction, paths, octets) = read(input, known)?;
        // The path lines have kept the other bounds before.
        if octets > limits.head_octets_max || START_OCTETS_MAX > limits.line_octets_max {
            return None;
        }
        match self.last.as_mut().and_then(Arc::get_mut) {
            Some(head) if Arc::ptr_eq(&head.paths, paths) => head.transaction = transaction,
            _ => self.last = Some(Arc::new(head(transaction, paths))),
        }
        Some((Arc::clone(self.last.as_ref()?), octets))
    }
}

/// `MSRP`, an id of 32 characters, `200 OK` and CRLF.
const START_OCTETS_MAX: usize = 5 + 32 + 9;

fn read<'a>(input: &[u8], known: &'a Known) -> Option<(TransactionId, &'a Arc<Paths>, usize)> {
    let rest = input.strip_prefix(b"MSRP ")?;
    let (id, rest) = rest.split_at_checked(memchr::memchr(b' ', rest.get(..33)?)?)?;
    let rest = rest.strip_prefix(b" 200 OK\r\n")?;
    let (paths, octets) = known.find(rest)?;
    let rest = rest.get(octets..)?.strip_prefix(b"-------")?;
    let rest = rest.strip_prefix(id)?.strip_prefix(b"$\r\n")?;
    Some((TransactionId::parse(id)?, paths, input.len() - rest.len()))
}

fn head(transaction: TransactionId, paths: &Arc<Paths>) -> Head {
    Head {
        transaction,
        start: Start::Response(Status::OK, Bytes::from_static(b"OK")),
        paths: Arc::clone(paths),
        message_id: None,
        byte_range: None,
        success_report: SuccessReport::default(),
        failure_report: FailureReport::default(),
        report_status: None,
        content_type: None,
        has_body: false,
        headers: Headers::default(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use crate::{Decoder, Item};

    const PATHS: &str = "To-Path: msrp://r:1/s;tcp\r\nFrom-Path: msrp://u:1/u;tcp\r\n";

    fn ok(id: &str) -> String {
        format!("MSRP {id} 200 OK\r\n{PATHS}-------{id}$\r\n")
    }

    /// What comes out of `text` behind three responses that make the paths known, and out of it alone.
    fn both(text: &str) -> [String; 2] {
        let mut taught = Decoder::default();
        let mut before = BytesMut::from(ok("abcd").repeat(3).as_bytes());
        (0..3).for_each(|_| assert!(matches!(taught.next(&mut before), Ok(Some(_)))));
        [taught, Decoder::default()].map(|mut decoder| {
            let mut input = BytesMut::from(text.as_bytes());
            let first = decoder.next(&mut input);
            format!("{first:?} {:?} {input:?}", decoder.next(&mut input))
        })
    }

    #[test]
    fn the_short_way_and_the_long_way_read_the_same() {
        let good = ok("ab1234");
        let changed = |from: &str, to: &str| good.replacen(from, to, 1);
        let texts = [
            good.clone(),
            good.repeat(2),
            format!("{good}MSRP ef"),
            changed("200 OK", "200"),
            changed("200 OK", "200 Fine"),
            changed("200 OK", "400 OK"),
            changed("MSRP ab1234", "MSRP ab_234"),
            changed("MSRP ab1234", "MSRP ab1235"),
            changed("MSRP ab1234", "MSRP "),
            changed("$\r\n", "+\r\n"),
            changed("$\r\n", "!\r\n"),
            changed("$\r\n", "$\n"),
            changed("-------", "X: y\r\n-------"),
            changed("-------", "\r\nbody\r\n-------"),
            changed("/u;tcp", "/v;tcp"),
            good[..good.len() - 1].to_owned(),
        ];
        for text in texts {
            let [short, long] = both(&text);

            assert_eq!(short, long, "{text}");
        }
    }

    #[test]
    fn a_response_that_is_kept_is_not_changed_by_the_next() {
        let mut decoder = Decoder::default();
        let text: String = ["aaaa", "bbbb", "cccc", "dddd", "eeee"].map(ok).concat();
        let mut input = BytesMut::from(text.as_bytes());

        let next = |()| match decoder.next(&mut input) {
            Ok(Some(Item::Response(head))) => Some(head),
            _ => None,
        };
        let kept: Vec<_> = std::iter::repeat_n((), 5).map_while(next).collect();

        let ids: Vec<String> = kept.iter().map(|head| head.transaction().to_string()).collect();
        assert_eq!(ids, ["aaaa", "bbbb", "cccc", "dddd", "eeee"]);
    }
}
