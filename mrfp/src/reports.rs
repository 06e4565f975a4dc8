//! Which answers and reports a sender gets. Pure: it makes frames and sends none. The switch is the receiving end of
//! every message (RFC 7701, 6.3): it reports success itself, and what receivers report ends here.
//!
//! | Failure-Report | accepted | refused |
//! |---|---|---|
//! | absent, `yes` | 200 | status |
//! | `partial` | nothing | status |
//! | `no` | nothing | nothing |
//!
//! `Success-Report: yes` adds a REPORT when the message is complete, whatever Failure-Report says.
use bytes::Bytes;
use msrp::{
    ByteRange, Frame, Head, Path, Reply, Report, Status, SuccessReport, TransactionId, Uri,
};
use rand::RngCore;

use crate::session::Refusal;

/// The 200 for a request, where one is wanted.
pub fn accepted(head: &Head) -> Option<Frame> {
    Reply::new(head, Status::OK)?.encode()
}

/// The status for a request that was turned down, where one is wanted.
pub fn refused(head: &Head, refusal: &Refusal) -> Option<Frame> {
    let comment = refusal.comment();
    Reply::new(head, refusal.status())?.comment(&comment).encode()
}

/// The answer of the focus to a NICKNAME; these are always answered (RFC 7701, 7.1).
pub fn nickname(head: &Head, status: Status) -> Option<Frame> {
    Reply::new(head, status)?.encode()
}

/// The REPORT for a complete message of `octets`, where one is wanted. It goes the whole way back (RFC 4975, 7.1.3).
/// About a private message it carries `wrapper`: whom it was from and for (RFC 7701, 6.2).
pub fn success(
    head: &Head,
    octets: u64,
    own: &Uri,
    wrapper: Option<&Bytes>,
    rng: &mut impl RngCore,
) -> Option<Frame> {
    if head.success_report() != SuccessReport::Yes {
        return None;
    }
    let report = Report {
        to_path: head.from_path(),
        from_path: &Path::from(own.clone()),
        message_id: head.message_id()?,
        range: ByteRange::whole(octets),
        status: Status::OK,
        comment: Status::OK.comment(),
    };
    let transaction = TransactionId::random(rng);
    Some(match wrapper {
        Some(wrapper) => report.encode_with(transaction, (msrp::cpim::MEDIA_TYPE, wrapper)),
        None => report.encode(transaction),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;
    use msrp::{Decoder, Item};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn head(reports: &str) -> Arc<Head> {
        let text = format!(
            "MSRP a1b2c3d4 SEND\r\nTo-Path: msrps://r.example:2855/s1;tcp\r\n\
             From-Path: msrps://p.example:1/x;tcp msrps://ua.example:9/u1;tcp\r\n\
             Message-ID: mmmm1\r\n{reports}Content-Type: text/plain\r\n\r\nhi\r\n-------a1b2c3d4$\r\n"
        );
        let mut input = BytesMut::from(text.as_bytes());
        match Decoder::default().next(&mut input).unwrap().unwrap() {
            Item::Request(chunk) => chunk.head,
            Item::Response(head) => head,
        }
    }

    fn text(frame: Option<Frame>) -> Option<String> {
        frame.map(|frame| String::from_utf8(frame.to_bytes().to_vec()).unwrap())
    }

    #[test]
    fn s7_1_4_failure_report_decides_about_each_answer() {
        let table =
            [("", true, true), ("yes", true, true), ("partial", false, true), ("no", false, false)];
        for (value, ok, error) in table {
            let header = if value.is_empty() {
                String::new()
            } else {
                format!("Failure-Report: {value}\r\n")
            };
            let head = head(&header);

            assert_eq!(accepted(&head).is_some(), ok, "200 for {value:?}");
            assert_eq!(refused(&head, &Refusal::NotYours).is_some(), error, "403 for {value:?}");
        }
    }

    #[test]
    fn s7_2_a_response_goes_one_hop_and_a_report_the_whole_way() {
        let head = head("Success-Report: yes\r\nFailure-Report: no\r\n");
        let own = head.to_path().first().clone();

        let report = text(success(&head, 2, &own, None, &mut StdRng::seed_from_u64(1))).unwrap();

        assert!(report.contains(
            "To-Path: msrps://p.example:1/x;tcp msrps://ua.example:9/u1;tcp\r\nFrom-Path: msrps://r.example:2855/s1;tcp\r\n"
        ));
        assert!(report.contains("Byte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n"), "{report}");
        let answer = text(accepted(&self::head(""))).unwrap();
        assert!(answer.contains("To-Path: msrps://p.example:1/x;tcp\r\n"), "{answer}");
    }

    #[test]
    fn s7_1_1_no_success_report_is_made_where_none_was_asked_for() {
        let head = head("");
        let own = head.to_path().first().clone();

        assert_eq!(success(&head, 2, &own, None, &mut StdRng::seed_from_u64(1)), None);
    }

    #[test]
    fn a_stale_epoch_is_told_in_the_comment() {
        let refusal = Refusal::StaleEpoch(ids::Era(1), ids::Epoch(5));

        let answer = text(refused(&head(""), &refusal)).unwrap();

        assert!(answer.starts_with("MSRP a1b2c3d4 413 stale-epoch 1/5\r\n"), "{answer}");
    }
}
