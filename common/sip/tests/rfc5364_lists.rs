//! Lists of recipients (RFC 4826, RFC 5364) and the bodies of several parts they come in (RFC 2046): what is read, what
//! is shown to others, and what is refused.
use bytes::Bytes;
use sip::header::{MediaType, Name};
use sip::multipart::{self, BadMultipart, Part};
use sip::resource_lists::{BadList, Bounds, CopyControl, Entry, distinct, history, read};

fn document(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\" \
         xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\">{inner}</resource-lists>"
    )
}

fn entries(inner: &str) -> Result<Vec<Entry>, BadList> {
    read(document(inner).as_bytes(), Bounds::default())
}

#[test]
fn s3_2_entries_of_lists_in_lists_are_one_list_with_what_each_says() {
    let list = entries(
        "<list name=\"a\"><display-name>not a person</display-name>\
         <entry uri=\"sip:bob@example.net\" cp:copyControl=\"to\">\
         <display-name xml:lang=\"en\"> Bob &amp; <!-- no --> Co\n&#46;</display-name></entry>\
         <list><entry uri=\"sip:carol@example.net?Subject=a&amp;x=y\" cp:copyControl=\"cc\" \
         cp:anonymize=\"true\"/></list>\
         <external anchor=\"https://example.org/x\"/><entry-ref ref=\"resource-lists/x\"/>\
         <entry uri=\"tel:+15551230000\"/></list>",
    )
    .unwrap();

    assert_eq!(list.len(), 3);
    assert_eq!(list[0].display_name.as_deref(), Some("Bob & Co ."));
    assert_eq!((list[0].copy, list[0].anonymize), (CopyControl::To, false));
    assert_eq!((list[1].copy, list[1].anonymize), (CopyControl::Cc, true));
    assert_eq!(list[1].uri.to_string(), "sip:carol@example.net?Subject=a&x=y");
    // RFC 5364, 4: who says nothing is blind.
    assert_eq!((list[2].copy, list[2].uri.scheme()), (CopyControl::Bcc, "tel"));
}

#[test]
fn names_are_known_by_their_namespace_and_not_by_their_prefix() {
    let other = "<rl:resource-lists xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\" \
                 xmlns:x=\"urn:ietf:params:xml:ns:copycontrol\" xmlns:cp=\"urn:elsewhere\"><rl:list>\
                 <rl:entry uri=\"sip:bob@example.net\" x:copyControl=\"to\" cp:copyControl=\"cc\"/>\
                 <entry uri=\"sip:nobody@example.net\"/></rl:list></rl:resource-lists>";

    let list = read(other.as_bytes(), Bounds::default()).unwrap();

    assert_eq!(list.len(), 1);
    assert_eq!(list[0].copy, CopyControl::To);
    let elsewhere = "<resource-lists xmlns=\"urn:elsewhere\"/>";
    assert_eq!(read(elsewhere.as_bytes(), Bounds::default()), Err(BadList::Malformed));
}

#[test]
fn a_bomb_of_entities_is_refused_before_it_is_lit() {
    let bombs = [
        "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><r>&b;</r>",
        "<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><r/>",
        "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>",
    ];
    for bomb in bombs {
        assert_eq!(read(bomb.as_bytes(), Bounds::default()), Err(BadList::Dtd), "{bomb}");
    }
    let entity = "<list><entry uri=\"sip:a@b\"><display-name>&lol;</display-name></entry></list>";
    assert_eq!(entries(entity), Err(BadList::Dtd));
    assert_eq!(entries("<list><entry uri=\"sip:&lol;@b\"/></list>"), Err(BadList::Dtd));
}

#[test]
fn octets_depth_entries_and_attributes_have_their_bounds() {
    let deep = format!("{}{}", "<list>".repeat(8), "</list>".repeat(8));
    assert_eq!(entries(&deep), Err(BadList::TooLarge));
    let many = "<entry uri=\"sip:a@b\"/>".repeat(101);
    assert_eq!(entries(&format!("<list>{many}</list>")), Err(BadList::TooLarge));
    let long = " ".repeat(64 * 1024);
    assert_eq!(entries(&long), Err(BadList::TooLarge));
    let attributes: String = (0..17).map(|n| format!(" a{n}=\"\"")).collect();
    assert_eq!(
        entries(&format!("<list><entry uri=\"sip:a@b\"{attributes}/></list>")),
        Err(BadList::TooLarge)
    );
    let spaces: String = (0..2000).map(|n| format!(" xmlns:a{n}=\"u\"")).collect();
    assert!(entries(&format!("<list{spaces}/>")).is_err());
}

#[test]
fn what_is_no_list_is_malformed_and_an_entry_needs_a_uri() {
    let bad = [
        "",
        "hello",
        "<resource-lists/>",
        &document("<list>"),
        &document("<list></entry>"),
        &document("<list><entry uri=\"sip:a@b\" uri=\"sip:c@d\"/></list>"),
        &document("<list><entry uri=\"sip:a@b\" cp:copyControl=\"loud\"/></list>"),
        &format!(
            "{}{}",
            document(""),
            document("").replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "")
        ),
        &document("").replace("UTF-8", "UTF-16"),
    ];
    for xml in bad {
        assert_eq!(read(xml.as_bytes(), Bounds::default()), Err(BadList::Malformed), "{xml}");
    }
    assert_eq!(read(b"<r>\xff</r>", Bounds::default()), Err(BadList::Malformed));
    for entry in ["<entry/>", "<entry uri=\"bob\"/>", "<entry uri=\"sip:a b\"/>"] {
        assert_eq!(entries(&format!("<list>{entry}</list>")), Err(BadList::BadUri), "{entry}");
    }
}

#[test]
fn list_04_one_recipient_gets_one_copy_with_the_strongest_control() {
    let list = entries(
        "<list><entry uri=\"sip:bob@EXAMPLE.net\" cp:copyControl=\"bcc\"/>\
         <entry uri=\"sip:bob@example.net\" cp:copyControl=\"to\" cp:anonymize=\"1\"/>\
         <entry uri=\"sip:b%6fb@example.net\" cp:copyControl=\"cc\"/>\
         <entry uri=\"sip:Bob@example.net\"/></list>",
    )
    .unwrap();

    let once = distinct(list);

    // The user part has its case.
    assert_eq!(once.len(), 2);
    assert_eq!((once[0].copy, once[0].anonymize), (CopyControl::To, true));
}

#[test]
fn list_08_the_history_leaves_out_the_blind_and_counts_the_anonymous() {
    let list = entries(
        "<list><entry uri=\"sip:bob@example.net;x=&quot;1&quot;\" cp:copyControl=\"to\"/>\
         <entry uri=\"sip:eve@example.net\" cp:copyControl=\"bcc\" cp:anonymize=\"true\"/>\
         <entry uri=\"sip:silent@example.net\"/>\
         <entry uri=\"sip:carol@example.net\" cp:copyControl=\"cc\" cp:anonymize=\"true\"/>\
         <entry uri=\"sip:dave@example.net\" cp:copyControl=\"cc\" cp:anonymize=\"true\"/></list>",
    );
    // A quote is no part of a URI; the list is refused as a whole, and not written back by us.
    assert_eq!(list, Err(BadList::BadUri));
    let list = entries(
        "<list><entry uri=\"sip:bob@example.net?a=1&amp;b=2\" cp:copyControl=\"to\"/>\
         <entry uri=\"sip:eve@example.net\" cp:copyControl=\"bcc\" cp:anonymize=\"true\"/>\
         <entry uri=\"sip:silent@example.net\"/>\
         <entry uri=\"sip:carol@example.net\" cp:copyControl=\"cc\" cp:anonymize=\"true\"/>\
         <entry uri=\"sip:dave@example.net\" cp:copyControl=\"cc\" cp:anonymize=\"true\"/></list>",
    )
    .unwrap();

    let shown = history(&list).unwrap();

    for hidden in ["eve", "silent", "carol", "dave", "bcc"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(shown.contains("cp:count=\"2\""), "{shown}");
    let again = read(shown.as_bytes(), Bounds::default()).unwrap();
    assert_eq!(again[0], list[0]);
    assert_eq!(again[1].uri.to_string(), "sip:anonymous@anonymous.invalid");
    assert_eq!(history(&list[1..3]), None);
}

fn parts(boundary: &str, body: &str) -> Result<Vec<Part>, BadMultipart> {
    let mut kind = MediaType::new("multipart/mixed");
    kind.params.set("boundary", Some(boundary));
    multipart::read(&kind, &Bytes::from(body.to_owned()))
}

#[test]
fn s5_1_parts_are_cut_at_their_boundary_and_nowhere_else() {
    let body = "preamble\r\n--b1\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n\r\nhello\r\n--b12 is \
                text\r\n--b1 \t\r\n\r\nuntyped\r\n--b1\r\nContent-Disposition: Recipient-List; x=1\r\n\
                Content-Type: a/b\r\n\r\n\r\n--b1--\r\nepilogue\r\n--b1";

    let found = parts("b1", body).unwrap();

    assert_eq!(found.len(), 3);
    assert_eq!(&found[0].body[..], b"hello\r\n--b12 is text");
    assert_eq!(found[0].content_type().unwrap().params.value("charset"), Some("utf-8"));
    assert_eq!(
        (&found[1].body[..], found[1].content_type().unwrap().essence.as_str()),
        (&b"untyped"[..], "text/plain")
    );
    assert_eq!(found[2].disposition().as_deref(), Some("recipient-list"));
    assert!(found[2].body.is_empty());
}

#[test]
fn what_is_no_multipart_and_what_is_one_inside_of_another_is_refused() {
    let nested =
        "--b\r\nContent-Type: Multipart/Mixed;boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--";
    assert_eq!(parts("b", nested), Err(BadMultipart::Nested));
    let many = "--b\r\n\r\nx\r\n".repeat(17) + "--b--";
    assert_eq!(parts("b", &many), Err(BadMultipart::TooMany));
    for bad in [
        "",
        "--b",
        "--b\r\n",
        "--b\r\n\r\nx",
        "--b\r\n\r\nx\r\n--b",
        "--b\r\nno head\r\n--b--",
        "--b\r\nNo Name: x\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Type: x\r\n\r\nx\r\n--b--",
    ] {
        assert_eq!(parts("b", bad), Err(BadMultipart::Malformed), "{bad:?}");
    }
    assert_eq!(parts(&"b".repeat(71), "--b--"), Err(BadMultipart::Malformed));
    let kind = MediaType::new("multipart/mixed");
    assert_eq!(multipart::read(&kind, &Bytes::new()), Err(BadMultipart::Malformed));
    assert_eq!(parts("b", "--b--"), Ok(Vec::new()));
}

#[test]
fn what_is_written_is_read_again_whatever_the_octets_are() {
    let octets: Vec<u8> = (0..=255).cycle().take(700).chain(*b"\r\n--part-\r\n").collect();
    let one =
        Part::new("application/x-any;v=\"1\"", octets).with(Name::ContentDisposition, "render");
    let two = Part::new("text/plain", "");

    let (content_type, body) = multipart::write(&[one.clone(), two.clone()], 7);

    let mut headers = sip::Headers::new();
    headers.push(Name::ContentType, content_type);
    let kind = headers.content_type().unwrap().unwrap();
    assert_eq!(multipart::read(&kind, &body).unwrap(), [one, two]);
}

#[test]
fn a_list_that_is_written_is_read_as_it_was() {
    let mut hidden = Entry::to("sip:carol@example.net".parse::<sip::Uri>().unwrap());
    hidden.anonymize = true;
    hidden.display_name = Some("Carol <& Co>".into());
    let blind = Entry { copy: CopyControl::Bcc, ..hidden.clone() };
    let entries = [Entry::to("sip:bob@example.net".parse::<sip::Uri>().unwrap()), hidden, blind];

    let written = sip::resource_lists::write(&entries);

    assert_eq!(read(written.as_bytes(), Bounds::default()).unwrap(), entries);
}
