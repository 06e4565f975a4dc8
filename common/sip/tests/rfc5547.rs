//! RFC 5547: what a media line says of a file, with RFC 2387 for the picture beside it.
use proptest::prelude::*;
use sip::multipart::{self, Part};
use sip::sdp::{
    BadFile, BadSdp, Direction, FileDates, FileHash, FileMedia, FileRange, FileSelector, MsrpMedia,
    Offer, Origin, Repetition, closed_file, offer, parse_answer,
};
use sip::{Headers, Name};

const ID: &str = "Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE";

fn origin() -> Origin {
    Origin { username: "-".into(), session: 7, version: 7, address: "192.0.2.10".into() }
}

fn line(file: FileMedia, direction: Direction) -> MsrpMedia {
    let path = vec!["msrps://192.0.2.10:7654/jshA7we;tcp".to_owned()];
    let file = Some(Box::new(file));
    MsrpMedia { file, direction, ..MsrpMedia::new("192.0.2.10", 7654, path) }
}

fn selector() -> FileSelector {
    FileSelector {
        name: Some("My cool picture.jpg".into()),
        media_type: Some("image/jpeg".into()),
        size: Some(4092),
        hashes: vec![
            FileHash::new("sha-1", &[0x72, 0x24, 0x5f]),
            FileHash::new("SHA-256", &[1; 32]),
        ],
    }
}

/// The offer of section 9.1 with these attributes in the place of those of its file.
fn with(attributes: &str) -> Result<Option<FileMedia>, BadSdp> {
    let sdp = format!(
        "v=0\r\no=alice 1 1 IN IP4 192.0.2.10\r\ns=\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=message 7654 TCP/TLS/MSRP *\r\ni=This is my latest picture\r\na=sendonly\r\n\
         a=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\n\
         a=path:msrps://192.0.2.10:7654/jshA7we;tcp\r\n{attributes}\r\n"
    );
    Offer::parse(sdp.as_bytes()).map(|offer| offer.media().file.as_deref().cloned())
}

fn refused(attributes: &str) -> BadFile {
    let attributes = format!("a=file-selector:size:1\r\na=file-transfer-id:x\r\n{attributes}");
    match with(&attributes) {
        Err(BadSdp::File(bad)) => bad,
        other => panic!("{attributes}: {other:?}"),
    }
}

#[test]
fn s9_1_the_example_of_the_document_is_read() {
    let file = with(
        "a=file-selector:name:\"My cool picture.jpg\" type:image/jpeg size:4092 \
         hash:sha-1:72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71:91:3E:E4:A2:CE:2E\r\n\
         a=file-transfer-id:Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE\r\na=file-disposition:render\r\n\
         a=file-date:creation:\"Mon, 15 May 2006 15:01:31 +0300\"\r\n\
         a=file-icon:cid:id2@alicepc.example.com",
    )
    .unwrap()
    .unwrap();

    assert_eq!(file.selector.name.as_deref(), Some("My cool picture.jpg"));
    assert_eq!(file.selector.media_type.as_deref(), Some("image/jpeg"));
    assert_eq!((file.selector.size, &file.transfer_id[..]), (Some(4092), ID));
    assert_eq!(file.selector.hash("sha-1").unwrap()[..3], [0x72, 0x24, 0x5f]);
    assert_eq!(file.disposition.as_deref(), Some("render"));
    assert_eq!(file.dates.creation.as_deref(), Some("Mon, 15 May 2006 15:01:31 +0300"));
    assert_eq!(file.icon.as_deref(), Some("id2@alicepc.example.com"));
    assert_eq!(file.range, None);
}

/// FT-01.
#[test]
fn s6_a_selector_names_something_unless_it_only_says_that_files_are_known() {
    assert!(with("a=file-selector").unwrap().unwrap().is_capability());
    assert_eq!(with("a=x:y").unwrap(), None);
    let capability = line(FileMedia::default(), Direction::SendRecv);
    let text = String::from_utf8(offer(&origin(), &capability).to_vec()).unwrap();
    assert!(text.contains("a=file-selector\r\n") && !text.contains("file-transfer-id"), "{text}");
}

#[test]
fn s6_what_is_malformed_is_refused_and_says_what_is_wrong() {
    for bad in [
        "size:-1",
        "size:+1",
        "size:1e3",
        "size:",
        "size:1 size:1",
        "name:a",
        "name:\"\"",
        "name:\"a",
        "name:\"%4\"",
        "name:\"%ff\"",
        "type:image",
        "type:a/b;x=\"",
        "hash:sha-1",
        "hash:sha-1:7",
        "hash:sha-1:+7",
        "hash:sha-1:01 hash:SHA-1:02",
        "name",
        "size:99999999999999999999",
    ] {
        let attributes = format!("a=file-selector:{bad}\r\na=file-transfer-id:x");
        assert_eq!(with(&attributes), Err(BadSdp::File(BadFile::Selector)), "{bad}");
    }
    for id in ["", "a=file-transfer-id:a b\r\n", "a=file-transfer-id:\r\n"] {
        let attributes = format!("a=file-selector:size:1\r\n{id}a=x:y");
        assert_eq!(with(&attributes), Err(BadSdp::File(BadFile::TransferId)), "{id}");
    }
    for range in ["0-1", "2-1", "1", "1-", "-", "*-1", "1-2-3", "a-b", "1-99999999999999999999"] {
        assert_eq!(refused(&format!("a=file-range:{range}")), BadFile::Range, "{range}");
    }
    for date in ["creation:now", "created:\"x\"", "read:\"a\" read:\"b\"", "read:\"a\"x"] {
        assert_eq!(refused(&format!("a=file-date:{date}")), BadFile::Date, "{date}");
    }
    assert_eq!(refused("a=file-icon:http://x/y"), BadFile::Icon);
    assert_eq!(refused("a=file-disposition:a b"), BadFile::Disposition);
}

/// FT-05: a line that is refused goes back with the file it was for.
#[test]
fn s8_3_a_refusal_mirrors_selector_and_transfer_and_nothing_else() {
    let file = FileMedia {
        disposition: Some("render".into()),
        range: Some(FileRange::new(2, None).unwrap()),
        ..FileMedia::new(selector(), ID)
    };
    let offered = Offer::parse(&offer(&origin(), &line(file, Direction::SendOnly))).unwrap();

    // It stands in the place of another line, too.
    let answer = offered.refuse(&origin());

    let text = String::from_utf8(answer.to_vec()).unwrap();
    assert!(text.contains("m=message 0 "), "{text}");
    assert_eq!(parse_answer(&answer), Err(BadSdp::Refused));
    let back = closed_file(&answer).unwrap();
    assert_eq!((back.selector, back.transfer_id.as_str()), (selector(), ID));
    assert!(!text.contains("file-disposition") && !text.contains("file-range"), "{text}");
}

/// FT-06: what a receiver answers.
#[test]
fn s8_3_1_the_answer_of_a_receiver_has_selector_transfer_and_range_and_no_more() {
    let range = Some(FileRange::new(2049, Some(4092)).unwrap());
    let file = FileMedia {
        disposition: Some("render".into()),
        icon: Some("id2@a".into()),
        dates: FileDates {
            creation: Some("Mon, 15 May 2006 15:01:31 +0300".into()),
            ..FileDates::default()
        },
        range,
        ..FileMedia::new(selector(), ID)
    };
    let offered =
        Offer::parse(&offer(&origin(), &line(file.clone(), Direction::SendOnly))).unwrap();
    assert_eq!(offered.media().file.as_deref(), Some(&file));

    let ours = line(file.mirrored(), offered.media().direction.reversed());
    let answer = parse_answer(&offered.answer(&origin(), &ours)).unwrap();

    assert_eq!(answer.direction, Direction::RecvOnly);
    let expected = FileMedia { range, ..FileMedia::new(selector(), ID) };
    assert_eq!(answer.file.as_deref(), Some(&expected));
}

/// FT-02: Figure 3 of the document.
#[test]
fn s8_1_transfer_and_selector_say_whether_an_offer_is_new() {
    let first = FileMedia::new(selector(), ID);
    let with_name =
        FileSelector { name: Some("My cool picture.jpg".into()), ..FileSelector::default() };
    let other = FileSelector { size: Some(1), ..selector() };

    assert_eq!(first.compared_with(&first), Repetition::Same);
    assert_eq!(FileMedia::new(with_name, ID).compared_with(&first), Repetition::Same);
    assert_eq!(FileMedia::new(other.clone(), ID).compared_with(&first), Repetition::Contradiction);
    assert_eq!(FileMedia::new(selector(), "other").compared_with(&first), Repetition::New);
    assert_eq!(FileMedia::new(other, "other").compared_with(&first), Repetition::New);
}

/// FT-09: both ends of a range belong to it.
#[test]
fn s6_a_range_counts_from_one_and_its_last_octet_belongs_to_it() {
    let of = |start, stop, size| FileRange::new(start, stop).and_then(|range| range.of(size));

    assert_eq!(of(1, None, 10), Ok((0, 10)));
    assert_eq!(of(1, Some(1), 10), Ok((0, 1)));
    assert_eq!(of(10, Some(10), 10), Ok((9, 1)));
    assert_eq!(of(11, None, 10), Ok((10, 0)));
    assert_eq!(of(1, None, 0), Ok((0, 0)));
    for (start, stop, size) in
        [(12, None, 10), (1, Some(11), 10), (u64::MAX, None, 10), (0, None, 10)]
    {
        assert_eq!(of(start, stop, size), Err(BadFile::Range), "{start}-{stop:?} of {size}");
    }
}

/// FT-04 and FT-05: one hash is enough to find a file, and what is not known does not fit.
#[test]
fn s8_3_2_a_file_fits_when_all_that_is_asked_is_so() {
    let asked = |selector: FileSelector| self::selector().fits(&selector);
    let nothing = FileSelector::default;

    assert!(asked(FileSelector {
        hashes: vec![FileHash::new("sha-1", &[0x72, 0x24, 0x5f])],
        ..nothing()
    }));
    assert!(asked(FileSelector { media_type: Some("IMAGE/jpeg;q=\"1\"".into()), ..nothing() }));
    assert!(!asked(FileSelector { hashes: vec![FileHash::new("sha-1", &[0; 20])], ..nothing() }));
    assert!(!asked(FileSelector { hashes: vec![FileHash::new("md5", &[0; 16])], ..nothing() }));
    assert!(!asked(FileSelector { size: Some(4091), ..selector() }));
    assert!(!asked(FileSelector { name: Some("my cool picture.jpg".into()), ..nothing() }));
}

/// FT-11: what could be taken for a folder is not written as it is.
#[test]
fn s6_no_name_is_written_with_what_could_be_a_folder_or_end_the_line() {
    let name = "../../etc/pass\"wd\r\na=evil\\%41\0";
    let text = FileSelector { name: Some(name.into()), ..FileSelector::default() }.to_string();

    assert!(!text.contains(['/', '\\', '\r', '\n', '\0']), "{text}");
    assert_eq!(text.matches('"').count(), 2);
    let read = with(&format!("a=file-selector:{text}\r\na=file-transfer-id:x")).unwrap().unwrap();
    assert_eq!(read.selector.name.as_deref(), Some(name));
}

/// FT-10.
#[test]
fn s8_8_the_icon_is_a_part_beside_the_description_which_is_the_root() {
    let sdp = offer(&origin(), &line(FileMedia::new(selector(), ID), Direction::SendOnly));
    let icon = Part::new("image/jpeg", &b"\xff\xd8\xff"[..])
        .with(multipart::content_id(), "<id2@a>")
        .with(Name::ContentDisposition, "icon");
    let parts = [Part::new("application/sdp", sdp.clone()), icon];
    let (kind, body) = multipart::write_related("application/sdp", &parts, 7);
    assert!(kind.starts_with("multipart/related;type=\"application/sdp\";"), "{kind}");
    let mut headers = Headers::new();
    headers.push(Name::ContentType, kind.clone());

    assert_eq!(multipart::find(&headers, &body, "application/sdp"), Some(sdp));
    assert_eq!(&multipart::related(&headers, &body, "id2@a").unwrap().body[..], b"\xff\xd8\xff");
    assert_eq!(multipart::related(&headers, &body, "id3@a"), None);
    // RFC 2387, 3.2: a root that is named and not there is none, and another part is not taken for it.
    let mut elsewhere = Headers::new();
    elsewhere.push(Name::ContentType, format!("{kind};start=\"<id2@a>\""));
    assert_eq!(multipart::find(&elsewhere, &body, "application/sdp"), None);
}

fn hashes() -> impl Strategy<Value = Vec<FileHash>> {
    let hash = |name| {
        prop::option::of(prop::collection::vec(any::<u8>(), 1..64))
            .prop_map(move |bytes| bytes.map(|bytes| FileHash::new(name, &bytes)))
    };
    (hash("sha-1"), hash("sha-256")).prop_map(|(one, other)| one.into_iter().chain(other).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s6_whatever_is_written_of_a_file_is_read_back(
        name in prop::option::of("\\PC{1,40}|[\"%/\\\\ \r\n\t\0a-z]{1,20}"),
        size in any::<u64>(), hashes in hashes(),
        range in prop::option::of((1..u64::MAX, prop::option::of(any::<u64>()))),
    ) {
        let range = range.and_then(|(start, stop)| FileRange::new(start, stop).ok());
        let selector = FileSelector { name, media_type: Some("a/b;c=\"d e\"".into()), size: Some(size), hashes };
        let file = FileMedia { range, ..FileMedia::new(selector, ID) };

        let read = Offer::parse(&offer(&origin(), &line(file.clone(), Direction::SendOnly))).unwrap();

        prop_assert_eq!(read.media().file.as_deref(), Some(&file));
    }

    #[test]
    fn s6_any_text_in_the_attributes_is_read_or_refused_without_a_panic(
        selector in "[a-z:\"% 0-9/;=-]{0,60}|\\PC{0,60}", id in "\\PC{0,20}", range in "[0-9*-]{0,30}",
        date in "[a-z:\" ]{0,40}",
    ) {
        let file = with(&format!(
            "a=file-selector:{selector}\r\na=file-transfer-id:{id}\r\na=file-range:{range}\r\na=file-date:{date}"
        ));
        if let Ok(Some(file)) = file {
            let again = Offer::parse(&offer(&origin(), &line(file.clone(), Direction::SendOnly))).unwrap();
            prop_assert_eq!(again.media().file.as_deref(), Some(&file));
        }
    }
}
