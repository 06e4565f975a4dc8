//! Hostile and strange messages: those of RFC 4475 by their names there, on a stream, and some of our own. Each one is
//! taken, answered or ignored as it should be, and the message behind it still decodes unless the flow must end.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use bytes::BytesMut;
use sip::digest::Credentials;
use sip::{Decoder, Item, Limits, Message, Method, Request, Side, Status, Then};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// A message like any other.
    Taken,
    /// No message, answered with this status.
    Answered(u16, Then),
    /// No message, and nobody to answer.
    Ignored(Then),
    /// Not whole yet.
    Waiting,
}
use Then::{Close, Continue};
use Verdict::{Answered, Ignored, Taken, Waiting};

const GOOD: &[u8] =
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK7\r\nFrom: <sip:c@d>;tag=1\r\n\
To: <sip:a@b>\r\nCall-ID: last\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// What the decoder makes of the message, and whether the one behind it still comes out.
fn judge(bytes: &[u8]) -> (Verdict, Option<Item>) {
    let mut buffer = BytesMut::from(bytes);
    if !matches!(bytes, [.., b'w', b'a', b'i', b't']) {
        buffer.extend_from_slice(GOOD);
    }
    let mut decoder = Decoder::new(Side::Accepted, Limits::default());
    let first = decoder.decode(&mut buffer);
    let verdict = match &first {
        Some(Item::Message(_)) => Taken,
        Some(Item::Malformed(bad)) => match &bad.answer {
            Some(answer) => {
                assert_eq!(answer.status, bad.status);
                Answered(answer.status.code(), bad.then)
            }
            None => Ignored(bad.then),
        },
        _ => Waiting,
    };
    let last = std::iter::from_fn(|| decoder.decode(&mut buffer)).last();
    let follows =
        matches!(&last, Some(Item::Message(m)) if m.headers().call_id().unwrap() == "last");
    assert_eq!(
        follows,
        matches!(verdict, Taken | Answered(_, Continue) | Ignored(Continue)),
        "{verdict:?}"
    );
    (verdict, first)
}

/// A whole message: `head` with `\n` for line breaks and `LENGTH` for the length of the body.
fn whole(head: &str, body: &[u8]) -> Vec<u8> {
    let head = head.replace('\n', "\r\n").replace("LENGTH", &body.len().to_string());
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A request like those of RFC 4475, with `from` replaced by `to`.
fn changed(from: &str, to: &str) -> Vec<u8> {
    changed_with(from, to, b"v=0\r\n")
}

fn changed_with(from: &str, to: &str, body: &[u8]) -> Vec<u8> {
    let head = "INVITE sip:user@example.com SIP/2.0\nVia: SIP/2.0/TCP host.example.net;branch=z9hG4bK.1\n\
        Max-Forwards: 70\nFrom: \"A\" <sip:caller@example.net>;tag=3\nTo: <sip:user@example.com>\n\
        Call-ID: x.1@example.net\nCSeq: 9 INVITE\nContact: <sip:caller@host.example.net>\nDate: Fri, 01 Jan 2010 16:00:00 GMT\n\
        Content-Type: application/sdp\nContent-Length: LENGTH\n";
    assert!(head.contains(from), "{from}");
    whole(&if from.is_empty() { head.to_owned() } else { head.replace(from, to) }, body)
}

fn taken(bytes: &[u8]) -> Request {
    match judge(bytes) {
        (Taken, Some(Item::Message(Message::Request(request)))) => request,
        other => panic!("{other:?}"),
    }
}

const WSINV: &str = r#"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : LENGTH
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /TCP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     192.0.2.2   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / TCP     192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
"#;

#[test]
fn s3_1_1_1_wsinv_a_tortuous_invite_is_understood() {
    let request = taken(&whole(WSINV, b"v=0\r\n"));
    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(request.headers.to().unwrap().tag(), Some("1918181833n"));
    assert_eq!(request.headers.max_forwards().unwrap(), Some(68));
    assert_eq!(request.headers.vias().unwrap().len(), 3);
    assert_eq!(request.headers.contact().unwrap().preference(), 330);
    assert_eq!(request.headers.cseq().unwrap().number, 9);
    assert_eq!(request.headers.routes().unwrap().len(), 1);
}

#[test]
fn s3_1_1_2_intmeth_every_legal_character_is_legal() {
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)";
    let head = format!(
        "{method} sip:{user}@example.com SIP/2.0\nVia: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\n\
         To: \"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f\" <sip:{user}@example.com>\n\
         From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.\n\
         Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}}{{\nCSeq: 139122385 {method}\nMax-Forwards: 255\n\
         extensionHeader-!.%*+_`'~:\u{FEFF}大停電\nContent-Length: LENGTH\n"
    );

    let request = taken(&whole(&head, b""));

    assert!(matches!(&request.method, Method::Other(name) if name.as_str() == method));
    assert_eq!(request.headers.to().unwrap().display.unwrap(), "BEL:\x07 NUL:\0 DEL:\x7f");
    let from = request.headers.from().unwrap();
    assert_eq!(from.params.text("fromParam''~+*_!.-%").unwrap(), "работающий");
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
}

#[test]
fn s3_1_1_the_other_strange_but_legal_requests_are_taken() {
    let uri = |uri: &str| changed("sip:user@example.com SIP", &format!("{uri} SIP"));
    let long = format!("Subject: {}\nDate:", "x".repeat(30_000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("esc01", uri("sip:sips%3Auser%40example.com@example.net")),
        ("escnull", uri("sip:null-%00-null@example.com")),
        (
            "esc02",
            String::from_utf8(changed("", ""))
                .unwrap()
                .replace("INVITE", "RE%47IST%45R")
                .into_bytes(),
        ),
        ("lwsdisp", changed("\"A\" <", "caller<")),
        ("longreq", changed("Date:", &long)),
        ("semiuri", uri("sip:user;par=u%40example.net@example.com")),
        (
            "transports",
            changed(
                "Via:",
                "Via: SIP/2.0/UDP a;branch=1\nVia: SIP/2.0/SCTP b;branch=2\nVia: SIP/2.0/UNKNOWN c;branch=3\nVia:",
            ),
        ),
        ("baddate", changed("GMT", "EST")),
        ("badbranch", changed("z9hG4bK.1", "z9hG4bK")),
        ("unkscm", uri("nobodyKnowsThisScheme:totallyopaquecontent")),
        ("novelsc", uri("soap.beep://192.0.2.103:3002")),
        ("unksm2", changed("To: <sip:user@example.com>", "To: <isbn:2983792873>")),
        (
            "bext01",
            changed("Date:", "Require: nothingSupportsThis, nothingSupportsThisEither\nDate:"),
        ),
        ("invut", changed("application/sdp", "application/unknownformat")),
        ("zeromf", changed("70", "0")),
        ("sdp01", changed("Date:", "Accept: text/nobodyKnowsThis\nDate:")),
        ("inv2543", changed(";branch=z9hG4bK.1\nMax-Forwards: 70\n", "\n")),
        ("no tags at all", changed(";tag=3", "")),
        ("empty headers", changed("Date:", "Subject:\nX: \t \nSupported: ,,\nDate:")),
    ];
    for (name, bytes) in cases {
        assert_eq!(judge(&bytes).0, Taken, "{name}");
    }
    let method = taken(
        &String::from_utf8(changed("", "")).unwrap().replace("INVITE", "RE%47IST%45R").into_bytes(),
    )
    .method;
    assert_ne!(method, Method::Register, "esc02: methods have no escapes");
    let mut binary = b"--7a9cbec02ceef655\r\n\0\xff\x80\r\n\r\n\r\n".to_vec();
    binary.extend(GOOD);
    let mpart01 = taken(&changed_with("", "", &binary));
    assert_eq!(mpart01.body, binary);
}

#[test]
fn s3_1_1_12_and_13_unreason_and_noreason_responses_are_taken() {
    for reason in [" = 2**3 * 5**2 но сто девяносто девять - простое", " ", "", " \u{7f}"]
    {
        let head = format!(
            "SIP/2.0 200{reason}\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\nCall-ID: 1\nCSeq: 1 INVITE\n\
            From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nContent-Length: LENGTH\n"
        );
        assert_eq!(judge(&whole(&head, b"")).0, Taken, "{reason:?}");
    }
}

#[test]
fn s3_1_2_broken_start_lines_are_answered() {
    let cases = [
        ("ltgtruri", "INVITE <sip:user@example.com> SIP/2.0", 400),
        ("lwsruri", "INVITE sip:user@example.com; lr SIP/2.0", 400),
        ("lwsstart", "INVITE  sip:user@example.com  SIP/2.0", 400),
        ("trws", "INVITE sip:user@example.com SIP/2.0  ", 400),
        ("escruri", "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0", 400),
        ("badvers", "INVITE sip:user@example.com SIP/7.0", 505),
        ("mismatch02", "NEWMETHOD sip:user@example.com SIP/2.0", 400),
        ("a version that is none", "INVITE sip:user@example.com SIP/2.0.1", 400),
        ("no uri", "INVITE SIP/2.0", 400),
        ("a method that is no token", "INV<ITE sip:user@example.com SIP/2.0", 400),
    ];
    for (name, line, status) in cases {
        let bytes = changed("INVITE sip:user@example.com SIP/2.0", line);
        assert_eq!(judge(&bytes).0, Answered(status, Continue), "{name}");
    }
}

#[test]
fn s3_1_2_and_3_3_broken_header_fields_are_answered() {
    let cases = [
        ("badinv01 via", ";branch=z9hG4bK.1", ";branch=z9hG4bK.1;;,;,,"),
        ("badinv01 to", "To: <sip:user@example.com>", "To: \"\"\"\" <sip:u@a>;;;;"),
        ("scalar02 cseq", "CSeq: 9", "CSeq: 36893488147419103232"),
        ("scalar02 max-forwards", "70", "300"),
        ("quotbal", "To: <", "To: \"Mr. J. User <"),
        ("badaspec", "To: <sip:user@example.com>", "To: \"W, T\" < sip:t.watson@example.org >"),
        ("baddn", "From: \"A\" <", "From: Bell, Alexander <"),
        ("mismatch01", "9 INVITE", "9 OPTIONS"),
        ("insuf", "To: <sip:user@example.com>\nCall-ID: x.1@example.net\n", ""),
        ("multi01 from", "To:", "From: <sip:other@example.net>;tag=4\nTo:"),
        ("multi01 max-forwards", "To:", "Max-Forwards: 5\nTo:"),
        ("multi01 call-id", "To:", "i: other\nTo:"),
        ("multi01 cseq", "To:", "CSeq: 8 INVITE\nTo:"),
        ("a line without colon", "Date:", "this is no header\nDate:"),
        ("a name that is no token", "Date:", "bad name: x\nDate:"),
        ("a fold of the start line", "Via:", " Via: x\nVia:"),
        ("a lone cr", "Date:", "X: a\rb\nDate:"),
        ("a tag that is nothing", ";tag=3", ";tag="),
        ("a via of another protocol", "SIP/2.0/TCP", "HTTP/1.1/TCP"),
    ];
    for (name, from, to) in cases {
        assert_eq!(judge(&changed(from, to)).0, Answered(400, Continue), "{name}");
    }
}

#[test]
fn s3_3_9_mcl01_and_ncl_a_broken_content_length_ends_the_flow() {
    let line = "Content-Length: LENGTH\n";
    for bad in ["", "Content-Length: -999\n", "Content-Length: 13\nContent-Length: 5\n"] {
        assert_eq!(judge(&changed(line, bad)).0, Answered(400, Close), "{bad}");
    }
}

#[test]
fn what_cannot_be_answered_is_not_answered() {
    let response = |line: &str, cseq: &str| {
        whole(
            &format!(
                "{line}\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\nCall-ID: 1\nCSeq: {cseq}\nFrom: <sip:a@b>;tag=1\n\
            To: <sip:c@d>;tag=2\nContent-Length: LENGTH\n"
            ),
            b"",
        )
    };
    let cases: Vec<(&str, Vec<u8>, Verdict)> = vec![
        (
            "scalarlg",
            response("SIP/2.0 503 Service Unavailable", "9292394834772304023312 OPTIONS"),
            Ignored(Continue),
        ),
        (
            "bigcode",
            response("SIP/2.0 4294967301 better not break the receiver", "1 INVITE"),
            Ignored(Continue),
        ),
        ("code 099", response("SIP/2.0 099 x", "1 INVITE"), Ignored(Continue)),
        ("a response of SIP/7.0", response("SIP/7.0 200 OK", "1 INVITE"), Ignored(Continue)),
        ("a TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), Ignored(Close)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n".to_vec(), Ignored(Close)),
        (
            "MSRP",
            b"MSRP a786hjs2 SEND\r\nTo-Path: msrp://a:1/b;tcp\r\n\r\n".to_vec(),
            Ignored(Close),
        ),
        ("zeros", vec![0; 100], Ignored(Close)),
        ("a broken ack", changed("INVITE sip:user", "ACK sip:user"), Ignored(Continue)),
        ("clerr", [&changed("LENGTH", "9999")[..], b"wait"].concat(), Waiting),
    ];
    for (name, bytes, verdict) in cases {
        assert_eq!(judge(&bytes).0, verdict, "{name}");
    }
}

#[test]
fn s3_3_what_is_broken_in_one_field_only_hurts_who_reads_that_field() {
    let regbadct = taken(&changed(
        "Contact: <sip:caller@host.example.net>",
        "Contact: sip:u@a?Route=%3Csip:sip.example.com%3E",
    ));
    assert!(regbadct.headers.contacts().is_err());
    let cparam01 = taken(&changed(
        "Contact: <sip:caller@host.example.net>",
        "Contact: sip:+19725552222@gw1.example.net;unknownparam",
    ));
    assert!(cparam01.headers.contact().unwrap().params.has("unknownparam"));
    let cparam02 = taken(&changed("host.example.net>", "host.example.net;unknownparam>"));
    assert!(cparam02.headers.contact().unwrap().uri.sip().unwrap().params().has("unknownparam"));
    let regescrt =
        taken(&changed("host.example.net>", "host.example.net?Route=%3Csip:sip.example.com%3E>"));
    assert_eq!(regescrt.headers.contact().unwrap().uri.sip().unwrap().headers().len(), 1);
    let regaut01 =
        taken(&changed("Date:", "Authorization: NoOneKnowsThisScheme opaque-data=here\nDate:"));
    assert_eq!(Credentials::find(&regaut01.headers, "example.net"), Ok(None));
}

#[test]
fn s3_1_1_8_dblreq_two_messages_in_one_read_are_two_messages() {
    let both = [changed("", ""), GOOD.to_vec()].concat();
    assert_eq!(judge(&both).0, Taken);
}

#[test]
fn the_answer_to_a_broken_request_can_be_matched_and_sent() {
    let (_, Some(Item::Malformed(bad))) = judge(&changed("70", "x")) else {
        panic!("malformed was expected")
    };
    let answer = bad.answer.unwrap();
    assert_eq!(answer.status, Status::BAD_REQUEST);
    assert_eq!(answer.headers.via().unwrap().branch(), Some("z9hG4bK.1"));
    assert_eq!(answer.headers.cseq().unwrap().number, 9);
    assert!(answer.headers.to().unwrap().tag().is_some());
    assert_eq!(judge(&answer.to_bytes()).0, Taken);
}
