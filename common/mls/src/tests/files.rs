//! Sealed files: whatever is not the file as it was sealed is refused.
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use crate::files::{
    FileDescription, FileFault, FileOpener, FileSealer, HEADER_OCTETS, PICTURE_OCTETS_MAX, Picture,
    SEGMENT_OCTETS, TAG_OCTETS, ciphertext_octets, open_segment, segment_offset,
};

const SEALED: usize = SEGMENT_OCTETS + TAG_OCTETS;

fn content(rng: &mut StdRng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn pieces<'a>(rng: &mut StdRng, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(rng.random_range(1..=bytes.len().min(100_000)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn seal(rng: &mut StdRng, plaintext: &[u8]) -> (Vec<u8>, FileDescription) {
    let mut sealer = FileSealer::new(rng).unwrap();
    let mut sealed = Vec::new();
    for piece in pieces(rng, plaintext) {
        sealer.push(piece, &mut sealed).unwrap();
    }
    let file = sealer.finish(&mut sealed).unwrap();
    (sealed, file.describe("holiday.jpg", "image/jpeg"))
}

/// What comes out before the end or the fault, and which.
fn open(sealed: &[u8], description: &FileDescription) -> (Vec<u8>, Result<(), FileFault>) {
    let mut opener = FileOpener::new(description);
    let mut out = Vec::new();
    for piece in sealed.chunks(10_007) {
        if let Err(fault) = opener.push(piece, &mut out) {
            return (out, Err(fault));
        }
    }
    (out, opener.finish())
}

fn header(sealed: &[u8]) -> [u8; HEADER_OCTETS] {
    sealed[..HEADER_OCTETS].try_into().unwrap()
}

#[test]
fn a_file_of_any_size_comes_back_whatever_the_pieces() {
    let mut rng = StdRng::seed_from_u64(1);
    let segment = SEGMENT_OCTETS;
    for size in [0, 1, segment - 1, segment, segment + 1, 2 * segment, 3 * segment + 5, 500_000] {
        let plaintext = content(&mut rng, size);
        let (sealed, description) = seal(&mut rng, &plaintext);

        assert_eq!(sealed.len() as u64, ciphertext_octets(size as u64), "size {size}");
        assert_eq!(description.file.ciphertext_size, sealed.len() as u64);
        assert_eq!(open(&sealed, &description), (plaintext, Ok(())), "size {size}");
    }
}

#[test]
fn sealing_and_opening_hold_one_segment_at_most() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut sealer = FileSealer::new(&mut rng).unwrap();
    let piece = content(&mut rng, 5000);
    let (mut given, mut taken, mut sealed) = (0, 0, Vec::new());
    for _ in 0..100 {
        let before = sealed.len();
        sealer.push(&piece, &mut sealed).unwrap();
        given += piece.len();
        taken += sealed.len() - before;
        assert!(given <= taken + SEGMENT_OCTETS);
    }
}

#[test]
fn i20_a_file_cut_anywhere_never_ends_well() {
    let mut rng = StdRng::seed_from_u64(3);
    let plaintext = content(&mut rng, 3 * SEGMENT_OCTETS + 100);
    let (sealed, description) = seal(&mut rng, &plaintext);

    let boundaries = (0..=3).map(|i| HEADER_OCTETS + i * SEALED);
    for cut in [0, 1, 49, 51, sealed.len() - 1].into_iter().chain(boundaries) {
        let (out, end) = open(&sealed[..cut], &description);
        assert_eq!(end, Err(FileFault::Length), "cut at {cut}");
        assert!(plaintext.starts_with(&out));
    }
}

#[test]
fn a_file_shortened_by_a_segment_is_refused_also_if_its_description_agrees() {
    let mut rng = StdRng::seed_from_u64(4);
    let plaintext = content(&mut rng, 2 * SEGMENT_OCTETS);
    let (sealed, mut description) = seal(&mut rng, &plaintext);
    description.file.size = SEGMENT_OCTETS as u64;
    description.file.ciphertext_size = (HEADER_OCTETS + SEALED) as u64;

    let (out, end) = open(&sealed[..HEADER_OCTETS + SEALED], &description);

    assert_eq!((out.len(), end), (0, Err(FileFault::Segment(0))));
}

#[test]
fn octets_after_the_end_are_refused() {
    let mut rng = StdRng::seed_from_u64(5);
    let (mut sealed, description) = seal(&mut rng, b"short");
    sealed.push(0);

    assert_eq!(open(&sealed, &description).1, Err(FileFault::Length));
}

#[test]
fn i20_any_changed_octet_is_refused_before_its_segment_is_handed_out() {
    let mut rng = StdRng::seed_from_u64(6);
    let plaintext = content(&mut rng, 300);
    let (sealed, description) = seal(&mut rng, &plaintext);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 0x10;
        let (out, end) = open(&changed, &description);
        assert!(out.is_empty() && end.is_err(), "octet {at}");
    }

    let plaintext = content(&mut rng, 2 * SEGMENT_OCTETS + 9);
    let (mut sealed, description) = seal(&mut rng, &plaintext);
    sealed[HEADER_OCTETS + SEALED + 7] ^= 1;
    let (out, end) = open(&sealed, &description);
    assert_eq!((out.as_slice(), end), (&plaintext[..SEGMENT_OCTETS], Err(FileFault::Segment(1))));
}

#[test]
fn i20_segments_in_another_order_are_refused() {
    let mut rng = StdRng::seed_from_u64(7);
    let plaintext = content(&mut rng, 3 * SEGMENT_OCTETS);
    let (sealed, description) = seal(&mut rng, &plaintext);
    let (start, rest) = sealed.split_at(HEADER_OCTETS);
    let swapped = [start, &rest[SEALED..2 * SEALED], &rest[..SEALED], &rest[2 * SEALED..]].concat();

    let (out, end) = open(&swapped, &description);

    assert_eq!((out.len(), end), (0, Err(FileFault::Segment(0))));
}

#[test]
fn i20_a_segment_of_another_file_is_refused_also_under_the_same_key() {
    let mut rng = StdRng::seed_from_u64(8);
    let plaintext = content(&mut rng, 2 * SEGMENT_OCTETS);
    let (one, description) = seal(&mut rng, &plaintext);
    let (two, _) = seal(&mut rng, &plaintext);
    let spliced = [&one[..HEADER_OCTETS + SEALED], &two[HEADER_OCTETS + SEALED..]].concat();

    assert_eq!(open(&spliced, &description).1, Err(FileFault::Segment(1)));
    assert_eq!(open(&two, &description).1, Err(FileFault::OtherKey));
}

#[test]
fn a_file_opens_under_one_key_only() {
    let mut rng = StdRng::seed_from_u64(9);
    let (sealed, _) = seal(&mut rng, b"the same octets");
    let (_, other) = seal(&mut rng, b"the same octets");

    let opened = open_segment(&other, &header(&sealed), 0, &sealed[HEADER_OCTETS..]);

    assert_eq!(opened, Err(FileFault::OtherKey));
}

#[test]
fn a_genuine_file_that_is_not_the_described_one_is_refused() {
    let mut rng = StdRng::seed_from_u64(10);
    let (sealed, mut description) = seal(&mut rng, b"this one");
    description.file.plaintext_sha256[0] ^= 1;

    assert_eq!(open(&sealed, &description).1, Err(FileFault::OtherFile));
}

#[test]
fn i20_opening_goes_on_at_every_segment() {
    let mut rng = StdRng::seed_from_u64(11);
    let plaintext = content(&mut rng, 3 * SEGMENT_OCTETS + 77);
    let (sealed, description) = seal(&mut rng, &plaintext);

    for index in 0..4_u64 {
        let offset = usize::try_from(segment_offset(index)).unwrap();
        let start = usize::try_from(index).unwrap() * SEGMENT_OCTETS;
        let mut opener = FileOpener::resume(&description, &header(&sealed), index).unwrap();
        let mut out = Vec::new();
        opener.push(&sealed[offset..], &mut out).unwrap();
        opener.finish().unwrap();
        assert_eq!(out, plaintext[start..], "from segment {index}");

        let end = sealed.len().min(offset + SEALED);
        let one = open_segment(&description, &header(&sealed), index, &sealed[offset..end]);
        assert_eq!(one.unwrap(), out[..out.len().min(SEGMENT_OCTETS)]);
    }
    assert!(FileOpener::resume(&description, &header(&sealed), 4).is_err());
}

#[test]
fn a_description_comes_back_as_it_was_and_hides_its_key_in_logs() {
    let mut rng = StdRng::seed_from_u64(12);
    let (_, description) = seal(&mut rng, b"content");
    let bytes = description.to_bytes();

    assert_eq!(FileDescription::from_bytes(&bytes), Ok(description.clone()));
    assert!(format!("{description:?}").contains("FileKey(..)"));
    for cut in 0..bytes.len() {
        assert!(FileDescription::from_bytes(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_picture_travels_in_the_description_and_one_that_is_too_large_does_not() {
    let mut rng = StdRng::seed_from_u64(16);
    let (_, mut description) = seal(&mut rng, b"content");
    let without = description.to_bytes();
    let picture =
        |octets| Picture { media_type: "image/jpeg".to_owned(), content: vec![7; octets].into() };

    for octets in [0, 1, PICTURE_OCTETS_MAX] {
        description.picture = Some(picture(octets));
        let bytes = description.to_bytes();
        assert_eq!(FileDescription::from_bytes(&bytes), Ok(description.clone()), "{octets}");
        assert!(FileDescription::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }
    description.picture = Some(picture(PICTURE_OCTETS_MAX + 1));
    assert_eq!(description.to_bytes(), without);
}

#[test]
fn a_description_whose_sizes_do_not_fit_is_refused() {
    let mut rng = StdRng::seed_from_u64(13);
    let (_, mut description) = seal(&mut rng, b"content");
    description.file.size += 1;

    assert!(FileDescription::from_bytes(&description.to_bytes()).is_err());
}

#[test]
fn a_description_of_a_nonsensical_size_does_not_hang_or_panic() {
    let mut rng = StdRng::seed_from_u64(14);
    let (sealed, mut description) = seal(&mut rng, b"content");
    description.file.size = u64::MAX;
    assert!(FileDescription::from_bytes(&description.to_bytes()).is_err());

    assert!(open(&sealed, &description).1.is_err());
}

#[test]
fn a_long_file_name_is_cut_at_a_character() {
    let mut rng = StdRng::seed_from_u64(15);
    let (_, mut description) = seal(&mut rng, b"content");
    description.name = "ä".repeat(200);

    let read = FileDescription::from_bytes(&description.to_bytes()).unwrap();

    assert_eq!(read.name, "ä".repeat(127));
}
