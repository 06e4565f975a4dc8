//! A connection of the generator: a socket, TLS 1.3 or none, and what is left of an incomplete message. It reads all that
//! is there in one call and says what is heard; it does not know what is said.
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};

/// The name in every server's certificate.
pub const SERVER_NAME: &str = "localhost";
/// The longest a server may take to answer while connections are set up.
pub const SETUP_MAX: Duration = Duration::from_secs(20);

/// TLS as every connection of a run speaks it: 1.3, one cipher suite for whatever server, no resumption.
///
/// # Errors
/// rustls does not like it.
pub fn tls(roots: Arc<RootCertStore>) -> anyhow::Result<Arc<ClientConfig>> {
    let cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    let provider = CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A connection.
#[derive(Debug)]
pub struct Line {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    /// What was heard and is not complete.
    heard: Vec<u8>,
    /// What the socket did not take; with TLS it waits there.
    unsent: Vec<u8>,
    /// Nothing was read since the handshake, in whose last flight the peer's first octets may have come along.
    fresh: bool,
}

impl Line {
    /// Connects, and blocks until it is done. With `clear` the server's first line comes before TLS.
    ///
    /// # Errors
    /// The server does not answer, or not as it should.
    pub fn connect(
        server: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        clear: bool,
    ) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SETUP_MAX))?;
        let mut octet = [0];
        while clear && octet != *b"\n" {
            socket.read_exact(&mut octet)?;
        }
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(SERVER_NAME)?;
                Some(Connection::Client(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        Self::over(socket, tls)
    }

    /// A connection that somebody else opened.
    ///
    /// # Errors
    /// The handshake fails.
    pub fn over(mut socket: TcpStream, mut tls: Option<Connection>) -> anyhow::Result<Self> {
        socket.set_read_timeout(Some(SETUP_MAX))?;
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(None);
            while tls.is_handshaking() {
                tls.complete_io(&mut socket)?;
            }
            while tls.wants_write() {
                tls.write_tls(&mut socket)?;
            }
        }
        Ok(Self {
            socket,
            tls: tls.map(Box::new),
            heard: Vec::new(),
            unsent: Vec::new(),
            fresh: true,
        })
    }

    /// The socket, to be told when it is ready.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// From now on nothing blocks.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn unblock(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    /// Reads what is there. `hear` gets what came, is called again with more behind it, and says how much it took.
    ///
    /// # Errors
    /// The connection is over (an `UnexpectedEof` if the server ended it), or `hear` did not understand it.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut hear: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        if std::mem::take(&mut self.fresh)
            && let Some(tls) = &mut self.tls
        {
            drain(tls, &mut self.heard, &mut hear)?;
        }
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut octets = buffer.get(..count).unwrap_or_default();
            match &mut self.tls {
                None => take(&mut self.heard, octets, &mut hear)?,
                Some(tls) => {
                    while !octets.is_empty() {
                        tls.read_tls(&mut octets)?;
                        tls.process_new_packets().map_err(io::Error::other)?;
                        drain(tls, &mut self.heard, &mut hear)?;
                    }
                }
            }
            // A short read has emptied the socket; epoll tells of what comes later.
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Sends as much as the socket takes now; [`flush`](Self::flush) sends the rest.
    ///
    /// # Errors
    /// The connection is over.
    pub fn say(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(octets)?,
            None => self.unsent.extend_from_slice(octets),
        }
        self.flush()
    }

    /// The same for octets in several places, which are not copied unless the socket blocks.
    ///
    /// # Errors
    /// The connection is over.
    pub fn say_all(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                while !parts.is_empty() {
                    let count = tls.writer().write_vectored(parts)?;
                    IoSlice::advance_slices(&mut parts, count);
                }
            }
            None => {
                while self.unsent.is_empty() && !parts.is_empty() {
                    match self.socket.write_vectored(parts) {
                        Ok(count) => IoSlice::advance_slices(&mut parts, count),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                parts.iter().for_each(|part| self.unsent.extend_from_slice(part));
            }
        }
        self.flush()
    }

    /// Octets wait for the socket.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.is_behind() {
            let wrote = match &mut self.tls {
                Some(tls) => tls.write_tls(&mut self.socket),
                None => self.socket.write(&self.unsent),
            };
            match wrote {
                Ok(count) if self.tls.is_none() => drop(self.unsent.drain(..count)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Hands on what TLS has opened.
fn drain(
    tls: &mut Connection,
    heard: &mut Vec<u8>,
    hear: &mut impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    loop {
        let mut reader = tls.reader();
        let count = match reader.fill_buf() {
            Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(plain) => {
                take(heard, plain, hear)?;
                plain.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        reader.consume(count);
    }
}

/// Hands on `octets` behind what was left before, and keeps what is left now.
fn take(
    heard: &mut Vec<u8>,
    octets: &[u8],
    hear: &mut impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    if heard.is_empty() {
        let taken = hear(octets)?;
        heard.extend_from_slice(octets.get(taken..).unwrap_or_default());
    } else {
        heard.extend_from_slice(octets);
        let taken = hear(heard)?;
        drop(heard.drain(..taken));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_comes_again_with_more_behind_it() {
        let (mut left, mut seen) = (Vec::new(), Vec::new());
        for octets in [&b"ab"[..], b"c", b"defg"] {
            let hear = |heard: &[u8]| {
                seen.push(heard.to_vec());
                Ok(heard.len() / 3 * 3)
            };
            take(&mut left, octets, &mut { hear }).unwrap();
        }

        assert_eq!(seen, [&b"ab"[..], b"abc", b"defg"]);
        assert_eq!(left, b"g");
    }
}
