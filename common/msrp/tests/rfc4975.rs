//! The rules of RFC 4975 that fall to the codec, by section.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use bytes::{Bytes, BytesMut};
use msrp::{
    Address, BadUri, Body, ByteRange, Defect, EndLineInBody, FailureReport, Fault, Flag, Limits,
    MessageId, Method, Path, Reply, Report, SendRequest, Status, SuccessReport, TransactionId, Uri,
};
use wire::*;

const ID: &str = "Message-ID: 12339sdqwer\r\n";

fn tid() -> TransactionId {
    TransactionId::parse(b"d93kswow").unwrap()
}

fn address() -> Address {
    let to: Path = "msrp://bob.example.com:8888/9di4eae923wzd;tcp".parse().unwrap();
    let from: Path = "msrp://alicepc.example.com:7777/iau39soe2843z;tcp".parse().unwrap();
    Address::new(&to, &from)
}

fn hello() -> SendRequest {
    let id = MessageId::parse(b"12339sdqwer").unwrap();
    SendRequest::whole(id, "text/plain", Bytes::from_static(b"Hi, I'm Alice!").into())
}

#[test]
fn s4_the_first_example_is_written_octet_by_octet() {
    let frame = hello().encode_as(tid()).unwrap().to(&address());

    assert_eq!(
        text(&frame.to_bytes()),
        "MSRP d93kswow SEND\r\n\
         To-Path: msrp://bob.example.com:8888/9di4eae923wzd;tcp\r\n\
         From-Path: msrp://alicepc.example.com:7777/iau39soe2843z;tcp\r\n\
         Message-ID: 12339sdqwer\r\n\
         Byte-Range: 1-14/14\r\n\
         Content-Type: text/plain\r\n\
         \r\n\
         Hi, I'm Alice!\r\n\
         -------d93kswow$\r\n"
    );
    assert_eq!(frame.len(), frame.to_bytes().len());
}

#[test]
fn s5_1_a_chunk_above_2048_octets_is_interruptible_and_a_shorter_one_is_not() {
    for (octets, range) in [(2048, "1-2048/2048"), (2049, "1-*/2049")] {
        let body = Body::from(Bytes::from(vec![b'x'; octets]));
        let send = SendRequest::whole(MessageId::parse(b"m123").unwrap(), "a/b", body);
        let wire = send.encode_as(tid()).unwrap().to(&address()).to_bytes();

        assert!(text(&wire).contains(&format!("Byte-Range: {range}\r\n")), "{octets}");
    }
}

#[test]
fn s6_what_is_no_msrp_uri_is_refused() {
    for (text, why) in [
        ("sip:alice@example.net", BadUri::Scheme),
        ("msrp:/h:1/s;tcp", BadUri::Scheme),
        ("msrp://alice:secret@h:1/s;tcp", BadUri::User),
        ("msrp://@h:1/s;tcp", BadUri::User),
        ("msrp://:1/s;tcp", BadUri::Host),
        ("msrp://h h:1/s;tcp", BadUri::Host),
        ("msrp://[::g]:1/s;tcp", BadUri::Host),
        ("msrp://[::1/s;tcp", BadUri::Host),
        ("msrp://192.0.2.1/s;tcp", BadUri::Port),
        ("msrp://[::1]/s;tcp", BadUri::Port),
        ("msrp://h:/s;tcp", BadUri::Port),
        ("msrp://h:0/s;tcp", BadUri::Port),
        ("msrp://h:65536/s;tcp", BadUri::Port),
        ("msrp://h:1/;tcp", BadUri::Session),
        ("msrp://h:1/a%41;tcp", BadUri::Session),
        ("msrp://h:1/s", BadUri::Transport),
        ("msrp://h:1/s;", BadUri::Transport),
        ("msrp://h:1/s;t-p", BadUri::Transport),
        ("msrp://h:1/s;tcp;", BadUri::Parameter),
        ("msrp://h:1/s;tcp;a=", BadUri::Parameter),
    ] {
        assert_eq!(text.parse::<Uri>().unwrap_err(), why, "{text}");
    }
}

#[test]
fn s6_1_uris_are_compared_by_their_meaning() {
    let base = "msrps://relay.example.net:2855/sAb;tcp";
    let same = [
        "MSRPS://Relay.Example.NET:2855/sAb;TCP",
        "msrps://alice@relay.example.net:2855/sAb;tcp",
        "msrps://rel%61y.example.net:2855/sAb;tcp",
        "msrps://relay.example.net:2855/sAb;tcp;x=y",
    ];
    let other = [
        "msrp://relay.example.net:2855/sAb;tcp",
        "msrps://relay.example.org:2855/sAb;tcp",
        "msrps://relay.example.net:2856/sAb;tcp",
        "msrps://relay.example.net/sAb;tcp",
        "msrps://relay.example.net:2855/sab;tcp",
        "msrps://relay.example.net:2855;tcp",
        "msrps://relay.example.net:2855/sAb;ws",
        "msrps://relay.example.net:2855/./sAb;tcp",
    ];
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    for text in same {
        assert_eq!(uri(text), uri(base), "{text}");
    }
    for text in other {
        assert_ne!(uri(text), uri(base), "{text}");
    }
    assert_eq!(uri("msrp://[2001:DB8::1]:9/s;tcp"), uri("msrp://[2001:db8:0:0::1]:9/s;tcp"));
    assert_ne!(uri("msrp://[2001:db8::1]:9/s;tcp"), uri("msrp://[2001:db8::2]:9/s;tcp"));
    assert_eq!(uri("msrp://h;tcp"), uri("msrp://h;tcp"));
}

#[test]
fn s7_1_a_bodiless_request_has_its_end_line_right_behind_the_headers() {
    let send = SendRequest::bodiless(MessageId::parse(b"m123").unwrap());
    let wire = send.encode_as(tid()).unwrap().to(&address()).to_bytes();

    assert!(text(&wire).ends_with("iau39soe2843z;tcp\r\nMessage-ID: m123\r\n-------d93kswow$\r\n"));
    let chunk = request(&wire);
    assert!(!chunk.head.has_body() && chunk.body.is_empty());
    assert_eq!(chunk.end, Some(Flag::End));
}

#[test]
fn s7_1_a_body_of_no_octets_is_read_in_both_ways_it_is_written() {
    let proper = send(ID, Some(b""), '$');
    let sloppy = String::from_utf8(proper.clone()).unwrap().replace("\r\n\r\n\r\n", "\r\n\r\n");

    for wire in [proper.as_slice(), sloppy.as_bytes()] {
        let chunk = request(wire);
        assert!(chunk.head.has_body() && chunk.body.is_empty());
        assert_eq!((chunk.range.start, chunk.range.end), (1, Some(0)));
        assert_eq!(read_octets(wire), read(wire));
    }
}

#[test]
fn s7_1_to_path_comes_first_and_from_path_second() {
    let good = String::from_utf8(send(ID, None, '$')).unwrap();
    let to = "To-Path: msrps://bob.example:2855/b;tcp\r\n";
    let late = good.replace(to, "").replace(ID, &format!("{ID}{to}"));
    let twice = good.replace(to, &format!("{to}{to}"));
    let none = good.replace(to, "");

    for (wire, defect) in
        [(late, Defect::PathOrder), (twice, Defect::Repeated("To-Path")), (none, Defect::PathOrder)]
    {
        let Fault::Answerable(rejected) = fault(wire.as_bytes()) else { panic!("{wire}") };
        assert_eq!(rejected.defect, defect);
        assert_eq!(rejected.answer().is_some(), rejected.to_path.is_some());
    }
}

#[test]
fn s7_1_each_flag_ends_a_chunk() {
    for (c, flag) in [('$', Flag::End), ('+', Flag::More), ('#', Flag::Abort)] {
        assert_eq!(request(&send(ID, Some(b"x"), c)).end, Some(flag));
        assert_eq!(request(&send(ID, None, c)).end, Some(flag));
    }
}

/// S3-32, S3-33.
#[test]
fn s7_1_only_the_own_end_line_ends_a_body() {
    let body = b"\r\n-------\r\n-------abcd123$\r\n-------abcd12345$\r\n-------abcd1234!\r\n\
                 -------abcd1234$\n-------abcd1234$ \r\n--------abcd1234$\r\n------\r\n\r\r\n\r\n-";
    let wire = send(ID, Some(body), '$');

    assert_eq!(request(&wire).body.gather(), &body[..]);
    assert_eq!(read_octets(&wire), read(&wire));
}

#[test]
fn s7_1_a_transaction_id_whose_end_line_is_in_the_body_is_not_used() {
    let body = Bytes::from_static(b"ab\r\n-------d93kswow$\r\ncd");
    let send = SendRequest { content: Some(("a/b".into(), body.into())), ..hello() };

    assert_eq!(send.encode_as(tid()).unwrap_err(), EndLineInBody);
    assert!(send.encode_as(TransactionId::parse(b"other").unwrap()).is_ok());
}

#[test]
fn s7_1_a_body_that_is_no_sends_has_at_most_10240_octets() {
    let headers = format!("{ID}Status: 000 200 OK\r\n");
    let of = |octets| message("REPORT", &headers, Some(&vec![b'x'; octets]), '$');

    assert_eq!(request(&of(10_240)).body.len(), 10_240);
    let after = [of(10_241), send(ID, None, '$')].concat();
    let [Seen::Fault(Fault::Answerable(rejected)), Seen::Request { .. }] = &read(&after)[..] else {
        panic!("the stream goes on behind it")
    };
    assert_eq!(rejected.defect, Defect::BodyTooLong);
}

#[test]
fn s7_1_1_a_chunk_may_have_any_size() {
    for octets in [0, 1, 2047, 2048, 2049, 65_535, 65_536, 65_537, 20_000_000] {
        let body: Vec<u8> = (0..=250).cycle().take(octets).collect();
        let pieces = pieces(Limits::default(), &send(ID, Some(&body), '+'));

        let mut next = 1;
        for (n, piece) in pieces.iter().enumerate() {
            let last = n + 1 == pieces.len();
            assert_eq!((piece.range.start, piece.first), (next, n == 0));
            assert_eq!(piece.end, last.then_some(Flag::More));
            assert!(piece.body.len() <= 65_536 && (last || piece.body.len() >= 2048));
            next += piece.body.octets();
        }
        let whole: Body = pieces.iter().map(|piece| piece.body.gather()).collect();
        assert_eq!(whole.gather(), body, "{octets}");
        assert!(octets == 0 || pieces.iter().all(|piece| !piece.body.is_empty()));
    }
}

#[test]
fn s7_1_1_a_body_is_handed_out_from_where_it_was_read() {
    let wire = send(ID, Some(&[b'x'; 100_000]), '$');
    let mut input = BytesMut::from(&wire[..]);
    let memory = input.as_ptr_range();

    let mut decoder = msrp::Decoder::default();
    let mut octets = 0;
    while let Some(msrp::Item::Request(chunk)) = decoder.next(&mut input).unwrap() {
        assert_eq!(chunk.body.slice_count(), 1);
        for slice in chunk.body.slices() {
            assert!(memory.contains(&slice.as_ptr()));
            octets += slice.len();
        }
    }

    assert_eq!(octets, 100_000);
    assert!(decoder.is_idle(&input));
}

#[test]
fn s7_1_1_absent_headers_mean_their_defaults() {
    let head = request(&send(ID, None, '$')).head;
    assert_eq!(head.success_report(), SuccessReport::No);
    assert_eq!(head.failure_report(), FailureReport::Yes);
    assert_eq!(head.byte_range(), ByteRange { start: 1, end: None, total: None });

    let headers = format!("{ID}Failure-Report: partial\r\nSuccess-Report: yes\r\n");
    let head = request(&send(&headers, None, '$')).head;
    assert_eq!(head.success_report(), SuccessReport::Yes);
    assert_eq!(head.failure_report(), FailureReport::Partial);
}

#[test]
fn s7_1_1_a_malformed_header_is_400_and_the_stream_goes_on() {
    for (header, name) in [
        ("Message-ID: a_b\r\n", "Message-ID"),
        ("Message-ID: abcd\r\nByte-Range: 0-*/*\r\n", "Byte-Range"),
        ("Message-ID: abcd\r\nSuccess-Report: maybe\r\n", "Success-Report"),
        ("Message-ID: abcd\r\nFailure-Report: YES\r\n", "Failure-Report"),
    ] {
        let wire = [send(header, Some(b"dropped"), '$'), send(ID, Some(b"kept"), '$')].concat();
        let [Seen::Fault(fault), Seen::Request { body, .. }] = &read(&wire)[..] else {
            panic!("{header}")
        };
        let Fault::Answerable(rejected) = fault else { panic!("{header}") };
        assert_eq!(rejected.defect, Defect::Malformed(name));
        assert_eq!(rejected.status(), Status::BAD_REQUEST);
        assert!(text(&fault.answer().unwrap().to_bytes()).starts_with("MSRP abcd1234 400 "));
        assert_eq!(body, b"kept");
        assert_eq!(read_octets(&wire), read(&wire));
    }
    let missing = fault(&send("", None, '$'));
    assert!(matches!(missing, Fault::Answerable(r) if r.defect == Defect::Missing("Message-ID")));
}

#[test]
fn s7_1_1_chunks_of_one_message_say_the_same_and_where_they_lie() {
    let body = Body::from(Bytes::from(vec![b'x'; 5000]));
    let content = Some(("a/b".into(), body));
    let (success_report, failure_report) = (SuccessReport::Yes, FailureReport::Partial);
    let whole = SendRequest { content, success_report, failure_report, ..hello() };

    let (mut at, mut seen) = (Some(0), Vec::new());
    while let Some(start) = at {
        let (chunk, next) = whole.chunk(start, 2048);
        at = next;
        seen.push(request(&chunk.encode_as(tid()).unwrap().to(&address()).to_bytes()));
    }

    let ranges: Vec<String> = seen.iter().map(|chunk| chunk.range.to_string()).collect();
    assert_eq!(ranges, ["1-2048/5000", "2049-4096/5000", "4097-5000/5000"]);
    let flags: Vec<Flag> = seen.iter().map(msrp::Chunk::flag).collect();
    assert_eq!(flags, [Flag::More, Flag::More, Flag::End]);
    for chunk in &seen {
        assert_eq!(chunk.head.message_id(), Some(whole.message_id));
        assert_eq!(chunk.head.success_report(), success_report);
        assert_eq!(chunk.head.failure_report(), failure_report);
    }
}

#[test]
fn s7_1_2_a_report_has_message_id_and_status_and_is_never_answered() {
    let to: Path = "msrp://r:1/r;tcp msrp://a:2/a;tcp".parse().unwrap();
    let from: Path = "msrp://b:3/b;tcp".parse().unwrap();
    let report = Report {
        to_path: &to,
        from_path: &from,
        message_id: MessageId::parse(b"m123").unwrap(),
        range: ByteRange::whole(5120),
        status: Status::OK,
        comment: "OK",
    };

    let wire = report.encode(tid()).to_bytes();

    assert_eq!(
        text(&wire),
        "MSRP d93kswow REPORT\r\nTo-Path: msrp://r:1/r;tcp msrp://a:2/a;tcp\r\n\
         From-Path: msrp://b:3/b;tcp\r\nMessage-ID: m123\r\nByte-Range: 1-5120/5120\r\n\
         Status: 000 200 OK\r\n-------d93kswow$\r\n"
    );
    let head = request(&wire).head;
    assert_eq!(head.report_status().map(|status| status.status), Some(Status::OK));
    assert!(Reply::new(&head, Status::BAD_REQUEST).unwrap().encode().is_none());
    assert!(fault(&message("REPORT", ID, None, '$')).answer().is_none());
}

#[test]
fn s7_1_4_failure_report_decides_which_answers_are_sent() {
    for (value, ok, bad) in
        [("", true, true), ("yes", true, true), ("partial", false, true), ("no", false, false)]
    {
        let header =
            if value.is_empty() { String::new() } else { format!("Failure-Report: {value}\r\n") };
        let head = request(&send(&format!("{ID}{header}"), None, '$')).head;
        let answered = |status| Reply::new(&head, status).unwrap().encode().is_some();

        assert_eq!((answered(Status::OK), answered(Status::STOP_SENDING)), (ok, bad), "{value}");
        let broken = fault(&send(&format!("Message-ID: x\r\n{header}"), None, '$'));
        assert_eq!(broken.answer().is_some(), bad, "{value}");
    }
}

#[test]
fn s7_2_a_response_to_send_goes_one_hop_and_any_other_the_whole_way() {
    let (one, all) = (
        "msrps://relay.example:2855/r;tcp",
        "msrps://relay.example:2855/r;tcp msrps://alice.example:9/a;tcp",
    );
    for (method, to) in [("SEND", one), ("NICKNAME", all), ("AUTH", all), ("FOO", all)] {
        let head = request(&message(method, ID, None, '$')).head;
        let reply = Reply::new(&head, Status::OK).unwrap().encode().unwrap().to_bytes();

        let expected = format!(
            "MSRP abcd1234 200 OK\r\nTo-Path: {to}\r\n\
             From-Path: msrps://bob.example:2855/b;tcp\r\n-------abcd1234$\r\n"
        );
        assert_eq!(text(&reply), expected);
    }
}

#[test]
fn s7_3_1_the_real_length_counts_whatever_the_range_says() {
    for range in ["11-12/*", "11-99/*", "11-*/*"] {
        let chunk = request(&send(&format!("{ID}Byte-Range: {range}\r\n"), Some(b"abcde"), '+'));

        assert_eq!(chunk.range, ByteRange { start: 11, end: Some(15), total: None });
    }
    let beyond = request(&send(&format!("{ID}Byte-Range: 1-*/3\r\n"), Some(b"abcde"), '+'));
    assert!(beyond.range.exceeds_total());
}

#[test]
fn s9_a_response_needs_no_header_and_no_comment() {
    let bare = message("200", "", None, '$');
    let full = message("481 gone away", "Message-ID: abcd\r\nByte-Range: zzz\r\n", None, '$');

    for (wire, status, comment) in [(bare, 200, ""), (full, 481, "gone away")] {
        let item = msrp::Decoder::default().next(&mut BytesMut::from(&wire[..])).unwrap();
        let Some(msrp::Item::Response(head)) = item else { panic!("no response") };
        assert_eq!(head.status(), Status::new(status));
        assert_eq!(head.comment(), Some(comment));
        assert!(Reply::new(&head, Status::OK).is_none());
    }
}

#[test]
fn s9_a_malformed_start_line_ends_the_stream() {
    for start in [
        "MSRP abc SEND",
        "MSRP abcd",
        "MSRP abcd  SEND",
        "MSRP abcd send",
        "MSRP abcd 20",
        "MSRP abcd 200OK",
        "MSRP abcd ",
    ] {
        let wire = format!("{start}\r\nTo-Path: msrp://a:1/s;tcp\r\n\r\n");
        let Fault::Fatal { why, .. } = fault(wire.as_bytes()) else { panic!("{start}") };
        assert_eq!(why, Defect::StartLine, "{start}");
    }
    assert!(matches!(fault(b"G"), Fault::Fatal { why: Defect::NotMsrp, .. }));
}

#[test]
fn s9_header_names_are_read_in_any_case_and_written_in_one() {
    let wire =
        String::from_utf8(send("MESSAGE-id:   abcd  \r\nbyte-range: 3-4/9\r\n", Some(b"x"), '+'));
    let wire = wire.unwrap().replace("To-Path", "to-path").replace("Content-Type", "CONTENT-TYPE");

    let chunk = request(wire.as_bytes());

    assert_eq!(chunk.head.message_id(), MessageId::parse(b"abcd"));
    assert_eq!(chunk.head.byte_range().start, 3);
    assert!(chunk.head.is_type("TEXT/plain"));
}

#[test]
fn s12_unknown_headers_and_methods_are_kept_for_whoever_forwards_them() {
    let headers = "X-Foo: one\r\nX-Foo: two\r\nContent-Disposition: render; a=\"b\"\r\n";
    let head = request(&message("FOO", headers, Some(b"x"), '$')).head;

    assert_eq!(head.method(), Some(&Method::Other(Bytes::from_static(b"FOO"))));
    let all: Vec<&[u8]> = head.headers().all("x-foo").collect();
    assert_eq!(all, [b"one", b"two"]);
    let names: Vec<&[u8]> = head.headers().iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"X-Foo"[..], b"X-Foo", b"Content-Disposition", b"Content-Type"]);
}

#[test]
fn s14_5_an_announced_size_allocates_nothing() {
    let headers = format!("{ID}Byte-Range: 1-999999999999/9999999999999\r\n");
    let chunk = request(&send(&headers, Some(b"ten octets"), '+'));

    assert_eq!(chunk.body.len(), 10);
    assert_eq!(chunk.range, ByteRange { start: 1, end: Some(10), total: Some(9_999_999_999_999) });
}

#[test]
fn limits_end_the_stream_with_an_answer_where_somebody_can_be_answered() {
    let endless = [send("X: ", None, '$'), vec![b'y'; 1 << 20]].concat();
    let long = String::from_utf8(endless).unwrap().replace("\r\n-------abcd1234$\r\n", "");
    let many = String::from_utf8(send(&"X: y\r\n".repeat(63), None, '$')).unwrap();
    let path = " msrp://h:1/s;tcp".repeat(16);
    let paths =
        String::from_utf8(send(ID, None, '$')).unwrap().replace("/b;tcp", &format!("/b;tcp{path}"));
    let lf = String::from_utf8(send("X: y\n", None, '$')).unwrap();

    for (wire, defect) in [
        (long.replace("-------abcd1234$\r\n", ""), Defect::LineTooLong),
        (many, Defect::TooManyHeaders),
        (lf, Defect::LineEnd),
    ] {
        let found = fault(wire.as_bytes());
        let Fault::Fatal { why, rejected: Some(_) } = &found else { panic!("{found:?}") };
        assert_eq!(*why, defect);
        assert!(found.answer().unwrap().to_bytes().starts_with(b"MSRP abcd1234 400 "));
        assert_eq!(read_octets(wire.as_bytes()), read(wire.as_bytes()));
    }
    let Fault::Answerable(rejected) = fault(paths.as_bytes()) else { panic!("too many URIs") };
    assert_eq!(rejected.defect, Defect::Malformed("To-Path"));
}

#[test]
fn a_fatal_fault_stays_and_takes_no_memory() {
    let (mut decoder, mut input) = (msrp::Decoder::default(), BytesMut::from(&b"GET /"[..]));
    let first = decoder.next(&mut input).unwrap_err();
    input.extend_from_slice(&send(ID, None, '$'));

    assert_eq!(decoder.next(&mut input).unwrap_err(), first);
    assert!(input.is_empty());
}
