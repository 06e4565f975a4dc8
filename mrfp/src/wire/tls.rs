//! rustls between a socket's octets and MSRP's: opens what came in, seals what goes out. It owns no socket and starts
//! no task. A body is copied once on its way in (out of rustls) and once on its way out (gathered as it is sealed).
use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;

use bytes::BytesMut;
use msrp::Frame;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use tokio::net::tcp::OwnedWriteHalf;

use super::{Incoming, Written};

/// One end of a TLS connection.
#[derive(Debug)]
pub(crate) struct Tls {
    rustls: Connection,
}

impl Tls {
    /// The server's end: the peer connected to us.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::over(ServerConnection::new(config)?.into()))
    }

    /// The client's end: we connected, to a peer of this name.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::over(ClientConnection::new(config, name)?.into()))
    }

    pub(crate) fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.rustls.peer_certificates()
    }

    fn over(mut rustls: Connection) -> Self {
        // The outbox is the bound; a second one here would cut frames.
        rustls.set_buffer_limit(None);
        Self { rustls }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// Opens `sealed`, as it came from the socket, and adds what was inside to `opened`.
    pub(crate) fn open(
        &mut self,
        mut sealed: &[u8],
        opened: &mut BytesMut,
    ) -> Result<Incoming, rustls::Error> {
        // One allocation of the right size for the batch: it is shared by all frames made of it, and keeps nothing
        // else alive while they wait.
        opened.reserve(sealed.len());
        while !sealed.is_empty() {
            // Reading from a slice cannot fail; rustls says so only when its plaintext is not taken, and it is.
            let read = self.rustls.read_tls(&mut sealed).unwrap_or(0);
            let state = self.rustls.process_new_packets()?;
            if state.plaintext_bytes_to_read() > 0 {
                self.take(opened);
            }
            if state.peer_has_closed() || read == 0 {
                return Ok(Incoming::Closed);
            }
        }
        Ok(Incoming::Open)
    }

    fn take(&mut self, opened: &mut BytesMut) {
        let mut reader = self.rustls.reader();
        while let Ok(piece) = reader.fill_buf() {
            let octets = piece.len();
            if octets == 0 {
                return;
            }
            opened.extend_from_slice(piece);
            reader.consume(octets);
        }
    }

    /// Whether sealed octets wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.rustls.wants_write()
    }

    /// Seals frames, one behind the other, into as few records as they fit.
    pub(crate) fn seal(&mut self, frames: &[Frame]) {
        let slices: Vec<IoSlice<'_>> =
            frames.iter().flat_map(Frame::slices).map(|slice| IoSlice::new(slice)).collect();
        self.seal_slices(&slices);
    }

    /// Seals octets that lie in many places, one behind the other.
    pub(super) fn seal_slices(&mut self, slices: &[IoSlice<'_>]) {
        // Without a limit, writing to memory takes everything.
        let taken = self.rustls.writer().write_vectored(slices);
        debug_assert_eq!(taken.ok(), Some(slices.iter().map(|slice| slice.len()).sum()));
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn close(&mut self) {
        self.rustls.send_close_notify();
    }

    /// Writes what is sealed, in as few calls as the socket allows. Adds the number of calls to `writes`.
    pub(crate) fn write(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        let mut socket = Socket(to);
        while self.rustls.wants_write() {
            match self.rustls.write_tls(&mut socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => *writes += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Written::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Written::All)
    }
}

/// The socket as rustls wants it.
struct Socket<'a>(&'a OwnedWriteHalf);

impl Write for Socket<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
