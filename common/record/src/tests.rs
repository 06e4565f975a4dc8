//! The record layer against rustls's own, in memory: what one seals the other opens, in any cut, past every change of
//! keys, and what was tampered with ends the connection with the right alert.
use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::ConnectionState;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use service::tls::{self, ClientAuth, DevCa};

use super::*;

/// The suites of TLS 1.3.
const SUITES: usize = 3;

fn configs(suite: usize) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    tls::install_provider();
    let ca = DevCa::new("test", service::clock::wall()).unwrap();
    let identity = ca.issue(&["localhost"]).unwrap();
    let server = tls::server_config(&identity, ClientAuth::None, &[]).unwrap();
    let mut server = Arc::unwrap_or_clone(server);
    server.enable_secret_extraction = true;
    let mut provider: CryptoProvider = Arc::unwrap_or_clone(tls::provider());
    provider.cipher_suites = vec![provider.cipher_suites[suite]];
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots().unwrap())
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// rustls at one end, the record layer at the other.
struct Pair {
    rustls: Connection,
    records: Records,
}

/// Runs one step of an unbuffered connection. True: it is ready for traffic.
macro_rules! step {
    ($end:expr, $incoming:expr, $out:expr) => {{
        let status = $end.process_tls_records(&mut $incoming);
        let discard = status.discard;
        let done = match status.state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                let mut room = [0; 16 * 1024];
                let octets = data.encode(&mut room).unwrap();
                $out.extend_from_slice(&room[..octets]);
                None
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                None
            }
            ConnectionState::WriteTraffic(_) => Some(true),
            _ => Some(false),
        };
        $incoming.drain(..discard);
        done
    }};
}

/// Shakes hands until both ends are done and nothing is on its way.
macro_rules! shake_hands {
    ($rustls:expr, $end:expr) => {{
        let (mut incoming, mut out) = (Vec::new(), Vec::new());
        loop {
            let ready = loop {
                if let Some(ready) = step!($end, incoming, out) {
                    break ready;
                }
            };
            if !out.is_empty() {
                $rustls.read_tls(&mut &*std::mem::take(&mut out)).unwrap();
                $rustls.process_new_packets().unwrap();
            }
            if !$rustls.wants_write() && ready && incoming.is_empty() {
                break;
            }
            while $rustls.wants_write() {
                $rustls.write_tls(&mut incoming).unwrap();
            }
        }
    }};
}

fn server(suite: usize) -> Pair {
    let (server, client) = configs(suite);
    let name = ServerName::try_from("localhost").unwrap();
    let mut rustls: Connection = ClientConnection::new(client, name).unwrap().into();
    let mut end = UnbufferedServerConnection::new(server).unwrap();
    shake_hands!(rustls, end);
    let (secrets, state) = end.dangerous_into_kernel_connection().unwrap();
    Pair { rustls, records: Records::new(&secrets, Renewal::Server(state)).unwrap() }
}

fn client(suite: usize) -> Pair {
    let (server, client) = configs(suite);
    let name = ServerName::try_from("localhost").unwrap();
    let mut end = UnbufferedClientConnection::new(client, name).unwrap();
    let mut rustls: Connection = ServerConnection::new(server).unwrap().into();
    shake_hands!(rustls, end);
    let (secrets, state) = end.dangerous_into_kernel_connection().unwrap();
    Pair { rustls, records: Records::new(&secrets, Renewal::Client(state)).unwrap() }
}

impl Pair {
    /// What rustls seals of this, as it would be on the wire.
    fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        self.rustls.set_buffer_limit(None);
        self.rustls.writer().write_all(plain).unwrap();
        self.flushed()
    }

    fn flushed(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn open(&mut self, wire: &[u8]) -> Result<(Incoming, Vec<u8>), Error> {
        let mut opened = BytesMut::new();
        let incoming = self.records.open(wire, &mut opened)?;
        Ok((incoming, opened.to_vec()))
    }

    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.records.seal([plain], &mut out).unwrap();
        out
    }

    /// What rustls opens of this.
    fn heard(&mut self, mut wire: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut heard = Vec::new();
        while !wire.is_empty() {
            self.rustls.read_tls(&mut wire).unwrap();
            let state = self.rustls.process_new_packets()?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.rustls.reader().read_exact(&mut plain).unwrap();
            heard.extend(plain);
        }
        Ok(heard)
    }
}

fn text(octets: usize) -> Vec<u8> {
    (0..=250).cycle().take(octets).collect()
}

#[test]
fn with_every_suite_and_at_either_end_what_one_seals_the_other_opens() {
    for suite in 0..SUITES {
        for mut pair in [server(suite), client(suite)] {
            for octets in [1, 100, FRAGMENT_OCTETS_MAX, FRAGMENT_OCTETS_MAX + 1, 100_000] {
                let plain = text(octets);
                let wire = pair.sealed(&plain);
                assert_eq!(pair.open(&wire), Ok((Incoming::Open, plain.clone())));

                let wire = pair.seal(&plain);
                let records = octets.div_ceil(FRAGMENT_OCTETS_MAX);
                assert_eq!(wire.len(), octets + records * OVERHEAD_OCTETS);
                assert_eq!(pair.heard(&wire).unwrap(), plain);
            }
        }
    }
}

#[test]
fn records_are_opened_wherever_the_stream_is_cut() {
    let mut pair = server(0);
    for step in [1, 2, 4, 5, 6, 1000, 16_000] {
        let plain = text(40_000);
        let wire = pair.sealed(&plain);
        let mut opened = BytesMut::new();
        for piece in wire.chunks(step) {
            assert_eq!(pair.records.open(piece, &mut opened), Ok(Incoming::Open));
        }
        assert_eq!(opened, plain, "{step}");
    }
}

#[test]
fn octets_in_many_places_fill_records_as_if_they_lay_in_one() {
    let mut pair = server(0);
    let plain = text(50_000);
    let mut out = Vec::new();
    pair.records.seal(plain.chunks(777), &mut out).unwrap();

    assert_eq!(out.len(), 50_000 + 4 * OVERHEAD_OCTETS);
    assert_eq!(pair.heard(&out).unwrap(), plain);

    out.clear();
    pair.records.seal([&b""[..], b""], &mut out).unwrap();
    assert!(out.is_empty(), "nothing is no record");
}

#[test]
fn s4_6_3_after_a_key_update_both_go_on_and_a_request_is_answered() {
    for mut pair in [server(0), client(1)] {
        for round in 0..100 {
            pair.rustls.refresh_traffic_keys().unwrap();
            let plain = text(round + 1);
            let wire = pair.sealed(&plain);
            assert_eq!(pair.open(&wire).unwrap().1, plain);
            // rustls asks for an update in return.
            assert!(pair.records.wants_seal());
            let wire = pair.seal(b"");
            assert!(!pair.records.wants_seal() && !wire.is_empty());
            assert_eq!(pair.heard(&wire).unwrap(), b"");
            let wire = pair.seal(&plain);
            assert_eq!(pair.heard(&wire).unwrap(), plain);
        }
    }
}

#[test]
fn s5_5_a_worn_key_is_changed_before_it_may_seal_no_more() {
    let mut pair = server(0);
    pair.records.tx.wear(2);
    for round in 0..4 {
        let wire = pair.seal(b"hello");
        let update = if round == 1 { 5 + OVERHEAD_OCTETS } else { 0 };
        assert_eq!(wire.len(), 5 + OVERHEAD_OCTETS + update, "{round}");
        assert_eq!(pair.heard(&wire).unwrap(), b"hello");
    }

    pair.records.tx.wear_out();
    let mut out = Vec::new();
    assert_eq!(pair.records.seal([&b"secret"[..]], &mut out), Err(Error::Exhausted));
    assert!(out.is_empty(), "what is not sealed does not leave");
}

#[test]
fn key_updates_without_a_word_between_them_end_the_connection() {
    let mut pair = server(0);
    let flood = |pair: &mut Pair, count| {
        for _ in 0..count {
            pair.rustls.refresh_traffic_keys().unwrap();
        }
        let wire = pair.flushed();
        pair.open(&wire)
    };
    assert!(flood(&mut pair, 32).is_ok());
    let word = pair.sealed(b"word");
    assert!(pair.open(&word).is_ok());
    assert!(flood(&mut pair, 32).is_ok());
    let wire = pair.seal(b"one answer for all");
    assert_eq!(pair.heard(&wire).unwrap(), b"one answer for all");

    assert_eq!(flood(&mut pair, 1), Err(Error::Unexpected));
}

#[test]
fn s6_1_close_notify_goes_both_ways_and_nothing_behind_it_counts() {
    let mut pair = server(0);
    let before = pair.sealed(b"before");
    pair.rustls.send_close_notify();
    let mut wire = [before, pair.flushed()].concat();
    wire.extend_from_slice(b"whatever");
    assert_eq!(pair.open(&wire), Ok((Incoming::Closed, b"before".to_vec())));
    assert_eq!(pair.open(b"more"), Ok((Incoming::Closed, Vec::new())));

    let mut out = Vec::new();
    pair.records.close(&mut out).unwrap();
    pair.rustls.read_tls(&mut &*out).unwrap();
    assert!(pair.rustls.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn s5_2_a_record_that_was_touched_does_not_open_and_the_peer_is_told() {
    for at in [0, 1, 3, 5, 20, 30] {
        let mut pair = server(0);
        let mut wire = pair.sealed(b"hello, world");
        wire[at] ^= 1;
        let wanted = match at {
            0 => Err(Error::Unexpected),
            // The version is not looked at, but it is sealed with the rest.
            1 | 5 | 20 | 30 => Err(Error::Forged),
            _ => Ok((Incoming::Open, Vec::new())),
        };
        let got = pair.open(&wire);
        assert_eq!(got, wanted, "octet {at}: a length of 256 more is one that has not come");
        let Err(error) = got else { continue };
        let mut out = Vec::new();
        pair.records.alert(error, &mut out).unwrap();
        let told = pair.heard(&out).unwrap_err();
        assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told}");
    }
}

#[test]
fn a_record_that_comes_twice_or_out_of_order_does_not_open() {
    let mut pair = server(0);
    let one = pair.sealed(b"one");
    let two = pair.sealed(b"two");
    assert_eq!(pair.open(&two), Err(Error::Forged));

    let mut pair = server(0);
    let wire = pair.sealed(b"one");
    assert!(pair.open(&wire).is_ok());
    assert_eq!(pair.open(&wire), Err(Error::Forged));
    assert_ne!(one, wire);
}

#[test]
fn s5_1_what_no_record_may_be_is_refused_before_it_is_waited_for() {
    for (header, wanted) in [
        ([23, 3, 3, 0x41, 0x01], Error::TooLong),
        ([23, 3, 3, 0, 0], Error::Forged),
        ([23, 3, 3, 0, 16], Error::Forged),
        ([20, 3, 3, 0, 1], Error::Unexpected),
        ([21, 3, 3, 0, 2], Error::Unexpected),
        ([22, 3, 3, 0, 5], Error::Unexpected),
        (*b"GET /", Error::Unexpected),
    ] {
        assert_eq!(server(0).open(&header), Err(wanted), "{header:?}");
    }
}

#[test]
fn an_alert_of_the_peer_ends_the_connection_and_is_not_answered() {
    let mut pair = server(0);
    let mut wire = pair.seal(b"hello");
    wire[7] ^= 1;
    assert!(pair.heard(&wire).is_err());
    let told = pair.flushed();
    let error = pair.open(&told).unwrap_err();
    assert_eq!(error, Error::Alert(20), "bad_record_mac");
    let mut out = Vec::new();
    pair.records.alert(error, &mut out).unwrap();
    assert!(out.is_empty());
}
