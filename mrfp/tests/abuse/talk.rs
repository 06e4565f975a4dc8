//! A room of people who talk, and how long their messages take.
use std::net::SocketAddr;
use std::time::Duration;

use control::Level;
use mrfp::Config;
use service::clock;
use tokio::net::{TcpSocket, TcpStream};

use crate::common::{Person, Stage, message, text};

/// Messages that one measurement takes.
const MESSAGES: u32 = 200;

/// What harm may add to the 99th percentile beyond ten times the quiet one: a machine may be busy with other things.
const SLACK: Duration = Duration::from_millis(500);

/// Alice talks, and Bob and Carol listen.
pub(crate) struct Talk {
    pub(crate) stage: Stage,
    pub(crate) alice: Person,
    bob: Person,
    carol: Person,
    said: u32,
}

impl Talk {
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Stage::with(change).await).await
    }

    /// In a room of this relay.
    pub(crate) async fn on(mut stage: Stage) -> Self {
        stage.open(Level::Open, None).await;
        let (alice, bob, carol) = (stage.join(1).await, stage.join(2).await, stage.join(3).await);
        Self { stage, alice, bob, carol, said: 0 }
    }

    /// One message, and how long it took to reach both. Others may talk in between.
    pub(crate) async fn say(&mut self) -> Duration {
        self.said += 1;
        let body = text(1, &format!("{:1000}", self.said));
        let before = clock::now();
        self.alice.send(&message(&format!("said{}", self.said), body.clone())).await;
        while self.bob.message().await != body {}
        while self.carol.message().await != body {}
        let took = clock::now() - before;
        while !matches!(self.alice.next().await, crate::common::Got::Response(_, 200, _)) {}
        took
    }

    /// The 99th percentile of many messages.
    pub(crate) async fn p99(&mut self) -> Duration {
        let mut took = Vec::new();
        for _ in 0..MESSAGES {
            took.push(self.say().await);
        }
        took.sort();
        took.swap_remove(took.len() * 99 / 100)
    }

    /// Fails if the harm shows in the innocents' messages, or in what the relay says of them.
    pub(crate) async fn is_unharmed(&mut self, what: &str, quiet: Duration, harmed: Duration) {
        println!("{what}: p99 {quiet:?} alone, {harmed:?} beside it");
        assert!(harmed < quiet * 10 + SLACK, "{what}: p99 {quiet:?} became {harmed:?}");
        let relayed = self.stage.metric("mrfp_relayed_messages_total").await;
        assert!(relayed >= f64::from(self.said), "{relayed} relayed of {}", self.said);
        assert_eq!(self.stage.metric("mrfp_slow_consumer_disconnects_total").await, 0.0);
        self.say().await;
    }
}

/// A socket from another address of this machine.
pub(crate) async fn from_elsewhere(relay: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse().unwrap())?;
    socket.connect(relay).await
}
