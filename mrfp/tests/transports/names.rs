//! Where the relay connects to when a URI names its host: the addresses of the name, and the servers of its domain
//! (RFC 4975, 6.2; RFC 4976, 8).
use std::net::IpAddr;

use control::{Cause, Level};
use msrp::Status;

use crate::common::Stage;
use crate::common::dns::{Dns, Record};
use crate::dialing::{Waiting, bound};

fn address(text: &str) -> Record {
    Record::Address(text.parse::<IpAddr>().unwrap())
}

async fn stage(records: Vec<(&'static str, Record)>) -> Stage {
    let dns = Dns::new(records).await;
    let mut stage = Stage::with(|config| config.msrp.nameserver = Some(dns.address)).await;
    stage.open(Level::Open, None).await;
    stage
}

#[tokio::test]
async fn m4975_23_the_addresses_of_a_name_are_tried_one_after_the_other() {
    let names = vec![
        ("four.test", address("127.0.0.2")),
        ("four.test", address("127.0.0.1")),
        ("six.test", address("127.0.0.2")),
        ("six.test", address("::1")),
    ];
    let mut stage = stage(names).await;

    for (n, at, name) in [(1, "127.0.0.1:0", "four.test"), (2, "[::1]:0", "six.test")] {
        let waiting = Waiting::at(at).await;
        let port = waiting.listener.local_addr().unwrap().port();
        stage.seat(waiting.seat(n, &format!("{name}:{port}"), None)).await;

        let first = waiting.accept().await.request(Status::OK).await;

        assert_eq!(first.head.to_path().first().host(), name);
        bound(&mut stage, n).await;
    }
}

#[tokio::test]
async fn m4976_16_without_a_port_the_servers_of_the_domain_are_tried_in_their_order() {
    let waiting = Waiting::at("127.0.0.1:0").await;
    let port = waiting.listener.local_addr().unwrap().port();
    let names = vec![
        ("_msrps._tcp.domain.test", Record::Srv(2, port, "here.test")),
        ("_msrps._tcp.domain.test", Record::Srv(1, port, "dead.test")),
        ("_msrps._tcp.domain.test", Record::Srv(0, port, "nowhere.test")),
        ("here.test", address("127.0.0.1")),
        ("dead.test", address("127.0.0.2")),
    ];
    let mut stage = stage(names).await;

    stage.seat(waiting.seat(1, "domain.test", None)).await;

    let first = waiting.accept().await.request(Status::OK).await;
    assert_eq!(first.head.to_path().first().as_str(), "msrps://domain.test/u1;tcp");
    bound(&mut stage, 1).await;
}

#[tokio::test]
async fn m4975_23_a_name_that_nobody_has_is_not_connected_to() {
    let mut stage = stage(Vec::new()).await;
    let waiting = Waiting::at("127.0.0.1:0").await;

    stage.seat(waiting.seat(1, "nobody.test:7000", None)).await;

    assert_eq!(stage.lost(1).await, Cause::Disconnected);
}
