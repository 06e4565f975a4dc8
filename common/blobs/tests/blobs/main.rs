//! What a blob store does, in a folder and on an S3 server alike.
#![expect(clippy::unwrap_used, reason = "a test that fails should say so")]
mod moto;

use std::time::Duration;

use blobs::{Blobs, Error, S3};
use bytes::Bytes;

const BUCKET: &str = "blobs-of-a-test";

fn bucket(server: &moto::Server, prefix: &str) -> S3 {
    S3 {
        endpoint: server.endpoint(),
        bucket: BUCKET.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: prefix.to_owned(),
        allow_http: true,
        access_key_id: "a-key".to_owned(),
        secret_access_key: "a-secret-nobody-sees".to_owned(),
        session_token: None,
    }
}

/// Each place that blobs may be in, empty.
async fn everywhere<F: Future<Output = ()>>(run: impl Fn(Blobs) -> F) {
    let folder = tempfile::tempdir().unwrap();
    run(Blobs::in_folder(&folder.path().join("blobs")).unwrap()).await;
    let Some(server) = moto::Server::start(BUCKET) else { return };
    for prefix in ["", "conclave/blobs"] {
        run(Blobs::in_bucket(&bucket(&server, prefix)).unwrap()).await;
    }
}

async fn write(blobs: &Blobs, name: &str, content: &[u8], piece: usize) {
    let mut writing = blobs.write(name).await.unwrap();
    for piece in content.chunks(piece) {
        writing.push(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writing.finish().await.unwrap();
}

fn content(octets: usize) -> Vec<u8> {
    (0..octets).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn a_blob_is_what_was_written_whatever_its_size_and_pieces() {
    everywhere(async |blobs| {
        blobs.check("check").await.unwrap();
        let sizes = [(0, 1), (1, 1), (2049, 1000), (8 << 20, 1 << 20), ((17 << 20) + 5, 3 << 20)];
        for (octets, piece) in sizes {
            let content = content(octets);
            write(&blobs, "b1", &content, piece).await;

            let (end, half) = (octets as u64, octets / 2);
            assert!(blobs.read("b1", 0..end).await.unwrap() == content, "{octets}");
            let second = blobs.read("b1", half as u64..end).await.unwrap();
            assert!(second == content[half..], "{octets}");
            blobs.remove("b1").await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_blob_that_is_not_finished_is_not_there() {
    everywhere(async |blobs| {
        let mut writing = blobs.write("b1").await.unwrap();
        writing.push(content(20 << 20).into()).await.unwrap();

        assert!(matches!(blobs.read("b1", 0..1).await, Err(Error::Nothing)));
        drop(writing);
        assert!(matches!(blobs.read("b1", 0..1).await, Err(Error::Nothing)));
        let later = service::clock::wall() + Duration::from_secs(60);
        assert_eq!(blobs.names(later, 10).await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn what_was_removed_is_gone_and_may_be_removed_again() {
    everywhere(async |blobs| {
        write(&blobs, "b1", b"one", 3).await;
        write(&blobs, "b2", b"two", 3).await;
        let now = service::clock::wall();
        let (earlier, later) = (now - Duration::from_secs(3600), now + Duration::from_secs(60));
        let mut names = blobs.names(later, 10).await.unwrap();
        names.sort();
        assert_eq!(names, ["b1", "b2"]);
        assert_eq!(blobs.names(later, 1).await.unwrap().len(), 1);
        assert_eq!(blobs.names(earlier, 10).await.unwrap(), Vec::<String>::new());

        blobs.remove("b1").await.unwrap();
        blobs.remove("b1").await.unwrap();

        assert!(matches!(blobs.read("b1", 0..1).await, Err(Error::Nothing)));
        assert_eq!(&blobs.read("b2", 0..3).await.unwrap()[..], b"two");
        blobs.remove("b2").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_name_cannot_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::in_folder(&folder.path().join("blobs")).unwrap();
    for name in ["", "..", "../x", "/x", "a/b", "a\\b", "a%2fb", "a\0", &"a".repeat(129)] {
        assert!(matches!(blobs.write(name).await, Err(Error::Name)), "{name:?}");
        assert!(matches!(blobs.read(name, 0..1).await, Err(Error::Name)), "{name:?}");
        assert!(matches!(blobs.remove(name).await, Err(Error::Name)), "{name:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_no_secret_is() {
    let bucket = S3 {
        endpoint: "http://127.0.0.1:1".into(),
        bucket: "b".into(),
        region: "r".into(),
        prefix: "p".into(),
        allow_http: true,
        access_key_id: "the-key-id".into(),
        secret_access_key: "the-secret".into(),
        session_token: Some("the-token".into()),
    };
    let described = format!("{bucket:?} {:?}", Blobs::in_bucket(&bucket).unwrap());
    let http = S3 { allow_http: false, ..bucket.clone() };
    let refused = Blobs::in_bucket(&http).unwrap().check("check").await.unwrap_err();

    let told = format!("{described} {refused} {refused:?}");
    for secret in ["the-secret", "the-token"] {
        assert!(!told.contains(secret), "{told}");
    }
}
