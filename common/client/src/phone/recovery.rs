//! A lost flow is opened again and registered again, without anybody typing anything (RFC 5626, 4.5). Calls that were on
//! the old one have ended; who was in a conference joins it again.
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng as _;

use super::{Phone, dial};

/// The first wait; it doubles with each failure (RFC 5626, 4.5: `base-time` is for who has no other flow, and 30 s).
const BASE: Duration = Duration::from_secs(30);
/// The longest wait (RFC 5626, 4.5).
const WAIT_MAX: Duration = Duration::from_secs(1800);

/// How long to wait before attempt `failures + 1`. The first one comes almost at once, at a time that differs from device
/// to device, so that a focus that comes back is not met by all at once; later ones as RFC 5626 says.
fn wait(failures: u32, random: f64) -> Duration {
    match failures {
        0 => Duration::from_millis(500).mul_f64(random),
        1 => Duration::from_secs(2).mul_f64(0.5 + random / 2.0),
        _ => {
            let factor = 1_u32.checked_shl(failures - 2).unwrap_or(u32::MAX);
            let upper = BASE.saturating_mul(factor).min(WAIT_MAX);
            upper.mul_f64(0.5 + random / 2.0)
        }
    }
}

impl Phone {
    /// Opens a new flow and registers on it, however long that takes; false if the phone was put away meanwhile.
    pub(super) async fn come_back(&self) -> bool {
        loop {
            let failures = self.shared.failures.fetch_add(1, Ordering::Relaxed);
            let random = rand::rng().random_range(0.0..1.0);
            tokio::time::sleep(wait(failures, random)).await;
            if self.shared.gone.load(Ordering::Relaxed) {
                return false;
            }
            match dial(&self.shared.sip, &self.shared.profile, &self.shared.tls).await {
                Ok(wire) => {
                    *self.shared.line.lock().unwrap_or_else(PoisonError::into_inner) = wire;
                    // Its own events are read by whoever called us, so the registration runs beside.
                    let phone = self.clone();
                    tokio::spawn(async move { phone.register_again().await });
                    return true;
                }
                Err(error) => tracing::debug!(%error, failures, "the flow cannot be opened again"),
            }
        }
    }

    async fn register_again(&self) {
        let flow = self.flow();
        match self.register().await {
            Ok(()) => self.shared.failures.store(0, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "the new flow is not registered");
                // Another one may fare better; the loss of this one brings us here again.
                self.shared.sip.close(flow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use edge::driver::{self, DriverSettings, Sip, SipEvent};
    use edge::{Edge, EdgeLimits, Listen};
    use service::clock;
    use service::tls::{self, ClientAuth, DevCa, Trust};
    use sip::endpoint::FlowId;
    use sip::{Method, Name, Response, Status};
    use tokio::sync::mpsc;

    use crate::profile::{Limits, Profile, System};

    /// Waits for a REGISTER, accepts it, and says on which flow it came.
    async fn registered(sip: &Sip, events: &mut mpsc::Receiver<SipEvent>) -> FlowId {
        while let Some(event) = events.recv().await {
            let SipEvent::Request { key, flow, request } = event else { continue };
            assert_eq!(request.method, Method::Register);
            let contact = request.headers.text(&Name::Contact).unwrap().into_owned();
            let response = Response::to(&request, Status::OK).with(Name::Contact, contact);
            sip.respond(key, response).await;
            return flow;
        }
        panic!("nobody registers");
    }

    /// S2-OR3.
    #[tokio::test]
    async fn s2_nr2_a_lost_flow_is_registered_again_and_nobody_is_asked() {
        tls::install_provider();
        let ca = DevCa::new("control", clock::wall()).unwrap();
        let identity = ca.issue(&["localhost"]).unwrap();
        let (edge, events) = Edge::new(EdgeLimits::default());
        let config = tls::server_config(&identity, ClientAuth::None, &[]).unwrap();
        let sip = edge.listen(([127, 0, 0, 1], 0).into(), Listen::Tls(config)).await.unwrap();
        let (server, mut events) = driver::spawn(edge, events, DriverSettings::default()).unwrap();
        let roots = ca.roots().unwrap();
        let system = System {
            domain: "example.net".to_owned(),
            sip,
            https: sip,
            server_name: "localhost".to_owned(),
            roots: Arc::clone(&roots),
            issuer: Vec::new(),
            authorities: Vec::new(),
        };
        let profile = Profile {
            transport: crate::Transport::default(),
            aor: "sip:alice@example.net".parse().unwrap(),
            password: "secret".to_owned().into(),
            device: "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap(),
            system,
            limits: Limits::default(),
            pins: crate::Pins::default(),
            waits: crate::Waits::default(),
        };
        let tls = tls::client_config(Trust::Roots(roots), None, &[]).unwrap();
        let (phone, _incoming) =
            Phone::connect(&profile, tls, crate::phone::Post::default()).await.unwrap();
        let device = phone.clone();
        let registering = tokio::spawn(async move { device.register().await });
        let first = registered(&server, &mut events).await;
        registering.await.unwrap().unwrap();

        server.close(first);
        let second = registered(&server, &mut events).await;

        assert_ne!(first, second);
        // A phone that is put away stays away.
        phone.vanish();
        assert!(!phone.come_back().await);
    }

    #[test]
    fn r5626_4_5_waits_double_and_have_an_end() {
        assert!(wait(0, 0.99) < Duration::from_secs(1));
        assert_eq!(wait(2, 1.0), Duration::from_secs(30));
        assert_eq!(wait(3, 1.0), Duration::from_secs(60));
        assert_eq!(wait(3, 0.0), Duration::from_secs(30));
        assert_eq!(wait(40, 1.0), WAIT_MAX);
    }
}
