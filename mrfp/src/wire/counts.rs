//! What it costs to seal a chunk, in instructions: run by `.ci/counts`, as the counts of `shard` are.
use msrp::{Address, MessageId, Path, SendRequest};
use rand::SeedableRng;
use rand::rngs::StdRng;
use service::tls::{ClientAuth, DevCa, Trust, client_config, server_config};

use tokio::io::AsyncReadExt;

use super::*;

/// Batches, and messages in each.
const BATCHES: usize = 20;
const BATCH: usize = 16;

/// Counted: batches are gathered and sealed.
#[inline(never)]
fn count_seal(wire: &mut Wire, batches: &mut [Vec<Frame>]) {
    batches.iter_mut().for_each(|batch| wire.seal(batch));
}

/// A connection whose peers are agreed.
async fn agreed() -> Wire {
    let ca = DevCa::new("test", service::clock::wall()).unwrap();
    let identity = ca.issue(&["r.example"]).unwrap();
    let tls = server_config(&identity, ClientAuth::None, &[]).unwrap();
    let ways = Ways::new(Arc::clone(&tls), tls, Arc::new([]));
    let mut wire = Wire::accepted(Transport::Tls, &ways).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut read, write) = listener.accept().await.unwrap().0.into_split();
    let trust = client_config(Trust::Roots(ca.roots().unwrap()), None, &[]).unwrap();
    let name = ServerName::try_from("r.example").unwrap();
    let client = tokio::spawn(tokio_rustls::TlsConnector::from(trust).connect(name, client));
    while wire.is_handshaking() {
        let mut sealed = [0; 4096];
        let octets = read.read(&mut sealed).await.unwrap();
        wire.open(&sealed[..octets], &mut BytesMut::new()).unwrap();
        wire.write(&write, &mut 0).unwrap();
    }
    client.await.unwrap().unwrap();
    wire
}

#[tokio::test]
#[ignore = "counted by .ci/counts"]
async fn the_sealing_of_a_chunk() {
    let mut rng = StdRng::seed_from_u64(1);
    let path = |text: &str| text.parse::<Path>().unwrap();
    let to = path("msrps://192.0.2.10:9/s0123456789abcdefghi;tcp");
    let address = Address::new(&to, &path("msrps://r.example:2855/s0123456789abcdefghi;tcp"));
    let mut frame = || {
        let body = bytes::Bytes::from(vec![7; 1024]).into();
        let send = SendRequest::whole(MessageId::random(&mut rng), msrp::cpim::MEDIA_TYPE, body);
        send.encode(&mut rng).to(&address)
    };
    let mut batches: Vec<Vec<Frame>> =
        (0..BATCHES).map(|_| (0..BATCH).map(|_| frame()).collect()).collect();
    let mut wire = agreed().await;

    count_seal(&mut wire, &mut batches);

    assert!(batches.iter().all(Vec::is_empty) && wire.wants_write());
}
