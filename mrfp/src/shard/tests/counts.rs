//! What a chunk costs, in instructions, which are the same on a busy machine and an idle one. Run by `.ci/counts` under
//! callgrind, which counts while a function of the name that it is told is running, and compares with `.ci/counts.tsv`.
//! Each of these functions does a thing so often as its row there says.
use super::*;

/// Receivers of the room.
const RECEIVERS: u64 = 50;
const MESSAGES: usize = 40;

/// Counted: messages are addressed to all receivers and queued.
#[inline(never)]
fn count_fan_out(shard: &Rc<Shard>, errands: Vec<Errand>, now: Instant) {
    errands.into_iter().for_each(|errand| shard.run_errand(errand, now));
}

/// Counted: a buffer full of messages of a session is cut into chunks.
#[inline(never)]
fn count_decode(decoder: &mut Decoder, input: &mut BytesMut) -> usize {
    std::iter::from_fn(|| decoder.next(input).unwrap()).map(drop).count()
}

/// Counted: chunks are admitted, numbered and handed to the shard.
#[inline(never)]
fn count_admit(scene: &Scene, connection: &Rc<Connection>, chunks: Vec<msrp::Chunk>) {
    chunks.into_iter().for_each(|chunk| connection.request(&scene.shard, chunk, scene.now));
}

/// Seat 1 sends messages of 1 KiB.
fn messages(scene: &mut Scene) -> BytesMut {
    let from: msrp::Path = "msrps://ua.example:9/u1;tcp".parse().unwrap();
    let address = Address::new(&msrp::Path::from(own(1)), &from);
    let mut wire = BytesMut::new();
    for _ in 0..MESSAGES {
        let text = bytes::Bytes::from(vec![7; 1024]);
        let room = "sip:room7@example.net";
        let body =
            msrp::cpim::Builder::new("sip:user1@example.net", room).content("text/plain", text);
        let id = MessageId::random(&mut scene.rng);
        let send = SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, body);
        wire.extend_from_slice(&send.encode(&mut scene.rng).to(&address).to_bytes());
    }
    wire
}

fn chunks(mut wire: BytesMut) -> Vec<msrp::Chunk> {
    let mut decoder = Decoder::default();
    let items = std::iter::from_fn(|| decoder.next(&mut wire).unwrap());
    let chunk = |item| match item {
        Item::Request(chunk) => Some(chunk),
        Item::Response(_) => None,
    };
    items.filter_map(chunk).collect()
}

#[tokio::test]
#[ignore = "counted by .ci/counts"]
async fn the_way_of_a_chunk_to_the_outboxes() {
    let mut scene = scene(Limits::default());
    let mut connections = Vec::new();
    for n in 1..=RECEIVERS + 1 {
        let connection = scene.connection();
        scene.seat(n);
        scene.bind(&connection, n);
        connections.push(connection);
    }
    scene.shard.settle();
    connections.iter().for_each(|it| drop(it.take_waiting_frames()));

    let wire = messages(&mut scene);
    let mut copy = wire.clone();
    assert_eq!(count_decode(&mut Decoder::default(), &mut copy), MESSAGES);
    let chunks = chunks(wire);
    count_admit(&scene, &connections[0], chunks);
    let mut errands = Vec::new();
    scene.shard.door.take(&mut errands);
    count_fan_out(&scene.shard, errands, scene.now);

    for receiver in &connections[1..] {
        assert_eq!(receiver.take_waiting_frames().len(), MESSAGES);
    }
}
