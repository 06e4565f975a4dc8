//! F14 where the blob store is a bucket of an S3 server: what is left for somebody lies there and on no disk of the focus, and
//! is fetched after the focus was killed. The server is moto, from PyPI.
use std::fs;
use std::path::Path;

use client::{FileToSend, Folder};
use mls::wire::SEALED_FILE;

use crate::deferred::{message, noise, of};
use crate::files::{Desk, content};
use crate::large::{device, leave, left_for};
use crate::left::{arrived, selector};
use crate::moto;
use crate::servers::{Server, settle};
use crate::soon;

const BUCKET: &str = "conclave-of-a-test";
const PREFIX: &str = "chat/blobs";

/// Puts the blob store of a focus into the bucket.
fn in_bucket(config: &Path, server: &moto::Server) {
    let credentials = config.with_file_name("s3");
    fs::write(&credentials, "a-key\na-secret-nobody-sees\n").unwrap();
    let text = fs::read_to_string(config).unwrap();
    let mut settings: toml::Table = text.parse().unwrap();
    let blobs = format!(
        "[s3]\nendpoint = {:?}\nbucket = {BUCKET:?}\nprefix = {PREFIX:?}\nallow_http = true\n\
         credentials_file = {credentials:?}",
        server.endpoint(),
    );
    settings.insert("blobs".to_owned(), toml::Value::Table(blobs.parse().unwrap()));
    fs::write(config, settings.to_string()).unwrap();
}

/// What lies in the bucket.
fn lies(server: &moto::Server) -> Vec<Vec<u8>> {
    let list = server.ask("GET", &format!("{BUCKET}?list-type=2&prefix={PREFIX}/"));
    let list = String::from_utf8(list).unwrap();
    let keys = list.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap());
    keys.map(|key| server.ask("GET", &format!("{BUCKET}/{key}"))).collect()
}

/// S4-02, S4-03, S4-09.
#[tokio::test]
async fn f14_what_is_left_lies_in_a_bucket_as_it_was_sent_and_is_fetched_after_a_crash() {
    let Some(server) = moto::Server::start(BUCKET) else { return };
    service::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let (folder, desk) = (folder.path().join("dev"), Desk::new());
    let [_relay, mut focus]: [Server; 2] = settle(&folder);
    in_bucket(&focus.config, &server);
    focus.start();
    let alice = device(&folder, "alice").await;
    let who = of("bob");
    // The larger one takes several parts of an upload.
    let files = [content(300_000), content((17 << 20) + 5)];
    for content in &files {
        let file = desk.file("sealed", content);
        let file = FileToSend { media_type: SEALED_FILE.to_owned(), ..file };
        arrived(soon(alice.leave_file(&who, &file)).await).await;
    }
    let mut left = left_for(&alice, &who).await;
    leave(&mut left, "application/octet-stream", noise(70 << 10)).await;

    let there = lies(&server);
    assert_eq!(there.len(), 3);
    assert!(files.iter().all(|content| there.contains(content)), "they lie there changed");
    assert!(!there.contains(&noise(70 << 10).to_vec()), "what a server could read lies open");
    let on_disk = fs::read_dir(folder.join("blobs"));
    assert!(on_disk.map_or(true, |mut files| files.next().is_none()));
    focus.kill();
    drop(alice);
    focus.start();

    let bob = device(&folder, "bob").await;
    let mut inbox = bob.inbox();
    assert_eq!(message(&mut inbox).await.inside().1, noise(70 << 10));
    for content in &files {
        let into: &Folder = &desk.into;
        let fetched = soon(bob.fetch_left(&who, &selector(content), into)).await;
        let path = arrived(fetched).await.path.unwrap();
        assert!(fs::read(path).unwrap() == *content, "it arrived changed");
    }
}
