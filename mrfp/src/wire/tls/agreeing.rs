//! TLS as rustls does it: the handshake, and with TLS 1.2 all of a connection. Octets wait here until rustls has used
//! them. When to go over to `record` is said here, and done by `tls`: at the end of the record that ends the handshake,
//! for what rustls made of the next one it would keep to itself (the answer to a KeyUpdate, for one).
use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use record::{FRAGMENT_OCTETS_MAX, Records, Renewal};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, ProtocolVersion, ServerConfig};

/// More than any record adds to what it carries: header, explicit nonce and tag of TLS 1.2, and a KeyUpdate before it.
const OVERHEAD_OCTETS_MAX: usize = 256;

/// Octets of a record's header (RFC 8446, 5.1).
const HEADER_OCTETS: usize = 5;

pub(super) struct Agreeing {
    end: End,
    /// What rustls has not used yet, behind the first `used` octets.
    incoming: Vec<u8>,
    used: usize,
    /// The front of a header that is not all here.
    header: Vec<u8>,
    /// Octets that the record lacks whose header is here.
    lacks: usize,
    /// rustls gives the keys away, if the version is the right one.
    gives_keys: bool,
    /// It has ended with an error.
    failed: bool,
}

enum End {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What came of what came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    /// The peer said that nothing follows.
    Closed,
    /// The handshake is done, nothing waits, and `record` can go on.
    Complete,
}

/// What rustls is to do when it is ready for it.
enum Errand<'a> {
    Nothing,
    Seal(&'a [u8]),
    Close,
}

/// What rustls did.
enum Step {
    Again,
    Wait,
    Closed,
}

impl Agreeing {
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let gives_keys = config.enable_secret_extraction;
        let end = End::Server(UnbufferedServerConnection::new(config)?);
        Ok(Self::new(end, gives_keys))
    }

    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let gives_keys = config.enable_secret_extraction;
        let end = End::Client(UnbufferedClientConnection::new(config, name)?);
        Ok(Self::new(end, gives_keys))
    }

    fn new(end: End, gives_keys: bool) -> Self {
        let (incoming, header) = (Vec::new(), Vec::new());
        Self { end, incoming, used: 0, header, lacks: 0, gives_keys, failed: false }
    }

    fn state(&self) -> &CommonState {
        match &self.end {
            End::Server(server) => server,
            End::Client(client) => client,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    pub(super) fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.state().peer_certificates()
    }

    /// Opens what came in; what rustls wants to say is added to `out`. What is left is for whoever goes on.
    pub(super) fn open<'a>(
        &mut self,
        mut sealed: &'a [u8],
        opened: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(Progress, &'a [u8]), rustls::Error> {
        if self.failed {
            return Ok((Progress::Closed, &[]));
        }
        loop {
            sealed = self.take(sealed);
            let progress = self.advance(opened, out)?;
            if sealed.is_empty() || progress != Progress::Open {
                return Ok((progress, sealed));
            }
        }
    }

    /// Takes what rustls is to see next: in the handshake a record at a time. What is left.
    fn take<'a>(&mut self, sealed: &'a [u8]) -> &'a [u8] {
        let octets = if self.gives_keys && self.is_handshaking() {
            self.rest_of_record(sealed)
        } else {
            sealed.len()
        };
        let (now, rest) = sealed.split_at(octets);
        self.incoming.extend_from_slice(now);
        rest
    }

    /// How much of `sealed` belongs to one record, the one that has begun or the next.
    fn rest_of_record(&mut self, sealed: &[u8]) -> usize {
        let mut octets = 0;
        if self.lacks == 0 {
            octets = (HEADER_OCTETS - self.header.len()).min(sealed.len());
            self.header.extend_from_slice(sealed.get(..octets).unwrap_or_default());
            let [_, _, _, high, low] = *self.header else { return octets };
            self.lacks = usize::from(u16::from_be_bytes([high, low]));
            self.header.clear();
        }
        let body = self.lacks.min(sealed.len() - octets);
        self.lacks -= body;
        octets + body
    }

    fn advance(
        &mut self,
        opened: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        let ran = self.run(Errand::Nothing, opened, out);
        if ran.is_err() {
            // It wants to say why. After that it must not be asked again: it would stumble over the same.
            drop(self.once(&mut Errand::Nothing, opened, out));
            self.failed = true;
        }
        let closed = ran?;
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        let thirteen = self.state().protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let complete = self.gives_keys && thirteen && !self.is_handshaking();
        Ok(match closed {
            Step::Closed => Progress::Closed,
            // Otherwise something is half read.
            _ if complete && self.incoming.is_empty() => Progress::Complete,
            _ => Progress::Open,
        })
    }

    /// Seals octets that lie in many places, one behind the other.
    pub(super) fn seal<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), record::Error> {
        let gathered: Vec<u8> = slices.flatten().copied().collect();
        for fragment in gathered.chunks(FRAGMENT_OCTETS_MAX) {
            self.put(Errand::Seal(fragment), out)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> Result<(), record::Error> {
        if self.is_handshaking() { Ok(()) } else { self.put(Errand::Close, out) }
    }

    fn put(&mut self, errand: Errand<'_>, out: &mut Vec<u8>) -> Result<(), record::Error> {
        if self.failed {
            return Ok(());
        }
        let ran = self.run(errand, &mut BytesMut::new(), out);
        ran.map(|_| ()).map_err(|_| record::Error::Exhausted)
    }

    /// Lets rustls do what it can, and the errand when it is ready for that.
    fn run(
        &mut self,
        mut errand: Errand<'_>,
        opened: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<Step, rustls::Error> {
        let mut closed = false;
        let ran = loop {
            match self.once(&mut errand, opened, out) {
                Ok(Step::Again) => {}
                Ok(Step::Closed) => closed = true,
                Ok(Step::Wait) => break Ok(if closed { Step::Closed } else { Step::Wait }),
                Err(error) => break Err(error),
            }
        };
        // Once, and not for each of what may be thousands of records.
        self.incoming.drain(..self.used);
        self.used = 0;
        ran
    }

    fn once(
        &mut self,
        errand: &mut Errand<'_>,
        opened: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<Step, rustls::Error> {
        let incoming = self.incoming.get_mut(self.used..).unwrap_or_default();
        let (discard, step) = match &mut self.end {
            End::Server(end) => step(end.process_tls_records(incoming), errand, opened, out),
            End::Client(end) => step(end.process_tls_records(incoming), errand, opened, out),
        };
        self.used += discard;
        step
    }

    /// Gives the keys away.
    pub(super) fn into_records(self) -> Result<Records, rustls::Error> {
        let (secrets, renewal) = match self.end {
            End::Server(end) => {
                let (secrets, state) = end.dangerous_into_kernel_connection()?;
                (secrets, Renewal::Server(state))
            }
            End::Client(end) => {
                let (secrets, state) = end.dangerous_into_kernel_connection()?;
                (secrets, Renewal::Client(state))
            }
        };
        let records = Records::new(&secrets, renewal);
        records.map_err(|error| rustls::Error::General(error.to_string()))
    }
}

/// One step of rustls, and how much of what came in it has used.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    errand: &mut Errand<'_>,
    opened: &mut BytesMut,
    out: &mut Vec<u8>,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { discard, state } = status;
    (discard, state.and_then(|state| follow(state, errand, opened, out)))
}

fn follow<Data>(
    state: ConnectionState<'_, '_, Data>,
    errand: &mut Errand<'_>,
    opened: &mut BytesMut,
    out: &mut Vec<u8>,
) -> Result<Step, rustls::Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                opened.extend_from_slice(record?.payload);
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed => Ok(Step::Closed),
        ConnectionState::WriteTraffic(mut traffic) => {
            let errand = std::mem::replace(errand, Errand::Nothing);
            carry_out(&mut traffic, errand, out).map(|()| Step::Wait)
        }
        ConnectionState::Closed | ConnectionState::BlockedHandshake => Ok(Step::Wait),
        // Nobody was offered to say anything before the handshake.
        _ => Err(rustls::Error::General("early data".into())),
    }
}

fn encode<Data>(
    data: &mut EncodeTlsData<'_, Data>,
    out: &mut Vec<u8>,
) -> Result<Step, rustls::Error> {
    let at = out.len();
    let mut room = 0;
    loop {
        out.resize(at + room, 0);
        match data.encode(out.get_mut(at..).unwrap_or_default()) {
            Ok(octets) => {
                out.truncate(at + octets);
                return Ok(Step::Again);
            }
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(error @ EncodeError::AlreadyEncoded) => {
                return Err(rustls::Error::General(error.to_string()));
            }
        }
    }
}

fn carry_out<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    errand: Errand<'_>,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let at = out.len();
    let octets = match errand {
        Errand::Nothing => return Ok(()),
        Errand::Seal(octets) => octets,
        Errand::Close => &[],
    };
    let mut room = octets.len() + OVERHEAD_OCTETS_MAX;
    loop {
        out.resize(at + room, 0);
        let place = out.get_mut(at..).unwrap_or_default();
        let sealed = match errand {
            Errand::Close => traffic.queue_close_notify(place),
            _ => traffic.encrypt(octets, place),
        };
        match sealed {
            Ok(octets) => {
                out.truncate(at + octets);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) => room = size.required_size,
            Err(EncryptError::EncryptExhausted) => {
                out.truncate(at);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

/// Keys are in it, so nothing of it shows.
impl fmt::Debug for Agreeing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreeing").field("octets", &self.incoming.len()).finish_non_exhaustive()
    }
}
