//! Where participants connect: one socket for each transport that is on, and the authority in the URIs that lead there.
//! Who accepts is `accept`.
use std::net::SocketAddr;

use control::Transport;
use msrp::Uri;
use tokio::net::TcpListener;

use crate::config;
use crate::server::RunError;

/// The sockets, and where each one is.
#[derive(Debug)]
pub(crate) struct Listeners {
    open: Vec<(Transport, TcpListener)>,
}

/// `host:port` in the URIs we hand out, for each transport that is on.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    by_transport: Vec<(Transport, String)>,
}

impl Listeners {
    /// Opens what the configuration names.
    pub(crate) async fn bind(config: &config::Msrp) -> Result<Self, RunError> {
        let mut open = vec![(Transport::Tls, bind("msrp.listen", config.listen).await?)];
        if let Some(address) = config.websocket_listen {
            open.push((Transport::WebSocket, bind("msrp.websocket_listen", address).await?));
        }
        if let Some(address) = config.protected_listen {
            open.push((Transport::Tcp, bind("msrp.protected_listen", address).await?));
        }
        Ok(Self { open })
    }

    /// Where a transport listens.
    pub(crate) fn address(&self, transport: Transport) -> Option<SocketAddr> {
        let found = self.open.iter().find(|(its, _)| *its == transport);
        found.and_then(|(_, socket)| socket.local_addr().ok())
    }

    /// What our URIs say: what the configuration advertises, or where we listen.
    pub(crate) fn authorities(&self, config: &config::Msrp) -> Authorities {
        let advertised = |transport| match transport {
            Transport::Tls => config.advertise.clone(),
            Transport::WebSocket => config.websocket_advertise.clone(),
            Transport::Tcp => config.protected_advertise.clone(),
        };
        let of = |transport| {
            let here = || self.address(transport).map(|address| address.to_string());
            Some((transport, advertised(transport).or_else(here)?))
        };
        Authorities { by_transport: self.open.iter().filter_map(|(its, _)| of(*its)).collect() }
    }

    /// The sockets, for whoever accepts.
    pub(crate) fn into_sockets(self) -> Vec<(Transport, TcpListener)> {
        self.open
    }
}

impl Authorities {
    /// `host:port` of a transport; none where it is off.
    pub(crate) fn of(&self, transport: Transport) -> Option<&str> {
        let found = self.by_transport.iter().find(|(its, _)| *its == transport);
        found.map(|(_, authority)| authority.as_str())
    }

    /// The text of a URI that leads to us; none where the transport is off.
    pub(crate) fn uri(&self, transport: Transport, session_id: &str) -> Option<String> {
        let authority = self.of(transport)?;
        Some(match transport {
            Transport::Tls => format!("msrps://{authority}/{session_id};tcp"),
            Transport::WebSocket => format!("msrps://{authority}/{session_id};ws"),
            Transport::Tcp => format!("msrp://{authority}/{session_id};tcp"),
        })
    }

    /// Whether a URI leads to this relay, over this transport.
    pub(crate) fn has(&self, transport: Transport, uri: &Uri) -> bool {
        let own = self.uri(transport, uri.session_id().unwrap_or_default());
        // An IPv6 address has many spellings.
        own.is_some_and(|own| own.parse::<Uri>().is_ok_and(|own| own == *uri))
    }

    #[cfg(test)]
    pub(crate) fn tls(authority: &str) -> Self {
        Self { by_transport: vec![(Transport::Tls, authority.to_owned())] }
    }
}

/// Opens the TCP listener that this key of the configuration names.
pub(crate) async fn bind(
    setting: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|why| RunError::Bind { setting, address, why })
}
