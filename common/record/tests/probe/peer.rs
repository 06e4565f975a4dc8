//! A peer that seals whatever it likes under the keys that were agreed on: records that no honest TLS would send.
use std::sync::{Arc, OnceLock};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use record::{Records, Renewal};
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, ConnectionTrafficSecrets, ServerConfig};
use service::tls::{self, ClientAuth, DevCa};

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// Which end is the record layer's. The peer has the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Client,
}

/// The other end.
pub(crate) struct Peer {
    tx: Way,
    rx: Way,
    state: Renewal,
}

/// One direction.
struct Way {
    aead: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

impl Way {
    fn new((number, secrets): &(u64, ConnectionTrafficSecrets)) -> Self {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            panic!("the suite is fixed")
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap();
        let iv = iv.as_ref().try_into().unwrap();
        Self { aead: LessSafeKey::new(key), iv, number: *number }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.number.to_be_bytes()).for_each(|(a, b)| *a ^= b);
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Peer {
    /// One record: `content` of this kind, and so many zeros behind it. The number is used up even if it is never sent.
    pub(crate) fn seal(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(kind);
        inner.resize(inner.len() + padding, 0);
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let nonce = self.tx.nonce();
        self.tx.aead.seal_in_place_append_tag(nonce, Aad::from(header), &mut inner).unwrap();
        [&header[..], &inner].concat()
    }

    /// A KeyUpdate; what follows has the next key.
    pub(crate) fn update(&mut self, requested: bool) -> Vec<u8> {
        let record = self.seal(HANDSHAKE, &[24, 0, 0, 1, u8::from(requested)], 0);
        self.change_key();
        record
    }

    /// Goes over to the next key without a word.
    pub(crate) fn change_key(&mut self) {
        let next = match &mut self.state {
            Renewal::Server(state) => state.update_tx_secret(),
            Renewal::Client(state) => state.update_tx_secret(),
        };
        self.tx = Way::new(&next.unwrap());
    }

    /// Opens what the record layer sealed: the kind of each record and what it holds.
    pub(crate) fn open(&mut self, mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut opened = Vec::new();
        while !wire.is_empty() {
            let length = usize::from(u16::from_be_bytes([wire[3], wire[4]]));
            let (record, rest) = wire.split_at(5 + length);
            let header: [u8; 5] = record[..5].try_into().unwrap();
            let (nonce, mut inner) = (self.rx.nonce(), record[5..].to_vec());
            let plain = self.rx.aead.open_in_place(nonce, Aad::from(header), &mut inner).unwrap();
            let (kind, content) = plain.split_last().unwrap();
            if (*kind, content) == (HANDSHAKE, &[24, 0, 0, 1, 0]) {
                let next = match &mut self.state {
                    Renewal::Server(state) => state.update_rx_secret(),
                    Renewal::Client(state) => state.update_rx_secret(),
                };
                self.rx = Way::new(&next.unwrap());
            }
            opened.push((*kind, content.to_vec()));
            wire = rest;
        }
        opened
    }
}

/// Both ends behind a handshake that rustls has done.
pub(crate) fn pair(end: End) -> (Records, Peer) {
    let (server, client) = configs();
    let name = ServerName::try_from("localhost").unwrap();
    let mut server = UnbufferedServerConnection::new(server).unwrap();
    let mut client = UnbufferedClientConnection::new(client, name).unwrap();
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    while client.is_handshaking() || server.is_handshaking() {
        loop {
            let UnbufferedStatus { discard, state } = client.process_tls_records(&mut to_client);
            let waits = advance(state.unwrap(), &mut to_server);
            to_client.drain(..discard);
            if waits {
                break;
            }
        }
        loop {
            let UnbufferedStatus { discard, state } = server.process_tls_records(&mut to_server);
            let waits = advance(state.unwrap(), &mut to_client);
            to_server.drain(..discard);
            if waits {
                break;
            }
        }
    }
    let (server_keys, server) = server.dangerous_into_kernel_connection().unwrap();
    let (client_keys, client) = client.dangerous_into_kernel_connection().unwrap();
    let (ours, theirs) = match end {
        End::Server => {
            ((server_keys, Renewal::Server(server)), (client_keys, Renewal::Client(client)))
        }
        End::Client => {
            ((client_keys, Renewal::Client(client)), (server_keys, Renewal::Server(server)))
        }
    };
    let peer = Peer { tx: Way::new(&theirs.0.tx), rx: Way::new(&theirs.0.rx), state: theirs.1 };
    (Records::new(&ours.0, ours.1).unwrap(), peer)
}

/// One step of a handshake. True: this end waits for the other.
fn advance<D>(state: ConnectionState<'_, '_, D>, out: &mut Vec<u8>) -> bool {
    match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let mut room = [0; 16 * 1024];
            let octets = data.encode(&mut room).unwrap();
            out.extend_from_slice(&room[..octets]);
            false
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            false
        }
        _ => true,
    }
}

/// Made once: nothing in it is looked at.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = OnceLock::new();
    CONFIGS.get_or_init(make_configs).clone()
}

fn make_configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    tls::install_provider();
    let ca = DevCa::new("test", service::clock::wall()).unwrap();
    let identity = ca.issue(&["localhost"]).unwrap();
    let server = tls::server_config(&identity, ClientAuth::None, &[]).unwrap();
    let mut server = Arc::unwrap_or_clone(server);
    server.enable_secret_extraction = true;
    // Tickets would be on their way when the keys are taken.
    server.send_tls13_tickets = 0;
    let mut provider: CryptoProvider = Arc::unwrap_or_clone(tls::provider());
    provider.cipher_suites.truncate(1);
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(ca.roots().unwrap())
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}
