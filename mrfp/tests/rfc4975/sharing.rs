//! One connection, and much that waits for it: a reader that does not read for a while, so that the relay has to choose
//! what leaves first.
use control::Level;
use msrp::{Flag, MessageId, SendRequest, SuccessReport};
use tokio::net::TcpSocket;

use crate::common::person::trusting;
use crate::common::{Got, Person, ROOM, Stage, aor, cpim, id, message, seat, text};

/// More than the relay's system keeps for a reader that takes next to nothing.
const FILE_OCTETS: usize = 12 * 1024 * 1024;

async fn stage() -> Stage {
    let mut stage = Stage::with(|config| config.limits.outbox_octets_max = 64 * 1024 * 1024).await;
    stage.open(Level::Open, None).await;
    stage
}

fn file(name: &str, to: &str) -> SendRequest {
    message(name, cpim(1, to, "application/octet-stream", vec![b'x'; FILE_OCTETS]))
}

/// Takes a seat over a connection that takes little while nobody reads from it.
async fn slow_reader(stage: &mut Stage, n: u64) -> Person {
    let path = stage.seat(seat(n)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let socket = socket.connect(stage.msrp).await.unwrap();
    let mut person = Person::over(socket, trusting(&stage.ca)).await.unwrap();
    person.aim(&path, &seat(n).peer_path.unwrap());
    person.bind().await;
    person
}

#[tokio::test]
async fn m4975_03_a_response_and_a_report_interrupt_a_long_message_to_a_slow_reader() {
    let mut stage = stage().await;
    let (mut alice, mut bob) = (stage.join(1).await, slow_reader(&mut stage, 2).await);
    assert_eq!(alice.ask(&file("file1", ROOM)).await.0, 200, "the relay has all of it");
    let asked = SendRequest {
        success_report: SuccessReport::Yes,
        ..message("hello1", text(2, "is anybody there?"))
    };
    let transaction = bob.send(&asked).await;
    assert_eq!(alice.message().await, text(2, "is anybody there?"), "the answers wait by now");

    let (mut before, mut behind) = (0, 0);
    let (mut answered, mut reported) = (false, false);
    loop {
        match bob.next().await {
            Got::Response(of, 200, _) => answered |= of == transaction,
            Got::Report(of, 200, _) => reported |= of == id("hello1"),
            Got::Chunk(chunk) => {
                let octets = chunk.body.len();
                *(if answered && reported { &mut behind } else { &mut before }) += octets;
                if chunk.end == Some(Flag::End) {
                    break;
                }
                assert_eq!(
                    chunk.end,
                    Some(Flag::More),
                    "a message goes on behind what interrupts it"
                );
            }
            other => panic!("{other:?}"),
        }
    }

    assert!(behind > FILE_OCTETS / 3, "{before} octets before the answers, {behind} behind them");
}

#[tokio::test]
async fn m4975_05_a_long_message_of_another_session_has_its_turns_at_once() {
    let mut stage = stage().await;
    let (mut alice, mut bob) = (stage.join(1).await, slow_reader(&mut stage, 2).await);
    // The same device has a second session on its connection.
    let path = stage.seat(seat(3)).await;
    bob.aim(&path, &seat(3).peer_path.unwrap());
    bob.bind().await;
    assert_eq!(alice.ask(&file("first1", &aor(2))).await.0, 200);
    assert_eq!(alice.ask(&file("other1", &aor(3))).await.0, 200);

    let mut order: Vec<MessageId> = Vec::new();
    let mut ended = 0;
    while ended < 2 {
        if let Got::Chunk(chunk) = bob.next().await {
            order.push(chunk.head.message_id().unwrap());
            ended += usize::from(chunk.end == Some(Flag::End));
        }
    }

    // From where the second comes in, each has had its turn, until the first has nothing more to say.
    let first = order[0];
    let joins = order.iter().position(|of| *of != first).unwrap();
    let last = order.iter().rposition(|of| *of == first).unwrap();
    let shared = order.get(joins..last).unwrap_or_default();
    assert!(shared.len() > order.len() / 3, "{joins} of {} came before", order.len());
    let mut lead = 0_i32;
    for of in shared {
        lead += if *of == first { 1 } else { -1 };
        assert!(lead.abs() <= 2, "{lead} chunks ahead");
    }
}
