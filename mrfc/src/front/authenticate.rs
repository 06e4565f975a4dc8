//! Who asks: digest (RFC 8760), or the registration on the same connection. Never a header somebody wrote.
use std::time::Instant;

use ids::Aor;
use rand::rngs::StdRng;
use sip::digest::{Challenger, Credentials, Denied, Freshness, NonceLimits};
use sip::endpoint::FlowId;
use sip::header::Name;
use sip::{Request, Response, Status};

use super::privacy;
use crate::registrar::Registrar;
use crate::users::Users;

/// Why a request has no known author. Each variant is one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// No proof at all: 401.
    Asked,
    /// A wrong proof: 401, and counted.
    Wrong,
    /// A right proof with a nonce that is no good any more: 401, `stale`.
    Stale,
    /// A proof that nobody can check: 400.
    Malformed,
    /// A right proof of somebody else than From says: 403.
    SomebodyElse,
}

impl Stranger {
    /// The label of the metric.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Asked => "challenged",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Malformed => "malformed",
            Self::SomebodyElse => "somebody_else",
        }
    }
}

/// Asks for passwords and checks them.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    challenger: Challenger,
    rng: StdRng,
}

impl Gatekeeper {
    pub(crate) fn new(
        realm: &str,
        limits: NonceLimits,
        md5: bool,
        now: Instant,
        mut rng: StdRng,
    ) -> Self {
        let challenger = Challenger::new(realm, limits, now, &mut rng);
        let challenger = if md5 { challenger.with_md5() } else { challenger };
        Self { challenger, rng }
    }

    /// Who sent this request: the person its From names, proven.
    pub(crate) fn author(
        &mut self,
        now: Instant,
        flow: FlowId,
        request: &Request,
        users: &Users,
        registrar: &Registrar,
    ) -> Result<Aor, Stranger> {
        let from = request.headers.from().map_err(|_| Stranger::Malformed)?;
        // RFC 3323, 4.1.1.3: whoever hides in From is known by the proof alone.
        let hides = privacy::is_anonymous(&from);
        let from = if hides { registrar.person_on(flow, now) } else { from.uri.aor() };
        let found = Credentials::find(&request.headers, self.challenger.realm());
        let Some(credentials) = found.map_err(|_| Stranger::Malformed)? else {
            // Only the person's own connection vouches: behind a proxy many share one.
            let direct = request.headers.vias().is_ok_and(|vias| vias.len() == 1);
            let vouched = |aor: &Aor| direct && registrar.vouches(flow, aor, now);
            return from.filter(vouched).ok_or(Stranger::Asked);
        };
        let (method, target) = (request.method.as_str(), request.uri.to_string());
        let aor = self.check(now, method, &target, &credentials, users)?;
        if hides || from.as_ref() == Some(&aor) { Ok(aor) } else { Err(Stranger::SomebodyElse) }
    }

    /// Whose credentials these are.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        method: &str,
        target: &str,
        credentials: &Credentials,
        users: &Users,
    ) -> Result<Aor, Stranger> {
        let user = users.secret(&credentials.username, credentials.algorithm);
        let ha1 = user.map(|(_, ha1)| ha1);
        match (self.challenger.check(now, method, target, credentials, ha1), user) {
            (Ok(()), Some((aor, _))) => Ok(aor.clone()),
            (Err(Denied::Wrong), _) | (Ok(()), None) => Err(Stranger::Wrong),
            (Err(Denied::Stale), _) => Err(Stranger::Stale),
            (Err(Denied::OtherUri), _) => Err(Stranger::Malformed),
        }
    }

    /// The values of WWW-Authenticate for a stranger.
    pub(crate) fn challenges(&mut self, now: Instant, stranger: Stranger) -> Vec<String> {
        let freshness = match stranger {
            Stranger::Stale => Freshness::Stale,
            Stranger::Asked | Stranger::Wrong | Stranger::Malformed | Stranger::SomebodyElse => {
                Freshness::First
            }
        };
        let challenges = self.challenger.challenges(freshness, now, &mut self.rng);
        challenges.iter().map(ToString::to_string).collect()
    }

    /// The answer to a stranger's request.
    pub(crate) fn refusal(
        &mut self,
        now: Instant,
        request: &Request,
        stranger: Stranger,
    ) -> Response {
        let status = match stranger {
            Stranger::Asked | Stranger::Wrong | Stranger::Stale => Status::UNAUTHORIZED,
            Stranger::Malformed => Status::BAD_REQUEST,
            Stranger::SomebodyElse => Status::FORBIDDEN,
        };
        let mut response = Response::to(request, status);
        if status == Status::UNAUTHORIZED {
            for challenge in self.challenges(now, stranger) {
                response = response.with(Name::WwwAuthenticate, challenge);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::{Asked, Bounds, Change, Origin};
    use rand::SeedableRng;
    use service::clock;
    use sip::Method;
    use sip::digest::{Algorithm, Ha1, Login};

    struct Fixture {
        now: Instant,
        gatekeeper: Gatekeeper,
        users: Users,
        registrar: Registrar,
        rng: StdRng,
    }

    fn fixture() -> Fixture {
        let ha1 = Ha1::new(Algorithm::Sha256, "alice", "example.net", "secret");
        let users = format!(
            "[[user]]\naor = \"sip:alice@example.net\"\nha1_sha256 = \"{}\"\n",
            ha1.to_hex()
        );
        let (now, rng) = (clock::now(), StdRng::seed_from_u64(1));
        let bounds = Bounds { per_person_max: 4, total_max: 4, secs: (60, 3_600, 7_200) };
        Fixture {
            now,
            gatekeeper: Gatekeeper::new(
                "example.net",
                NonceLimits::default(),
                false,
                now,
                rng.clone(),
            ),
            users: Users::parse(&users, "example.net").unwrap(),
            registrar: Registrar::new(bounds),
            rng,
        }
    }

    impl Fixture {
        fn author(&mut self, request: &Request) -> Result<Aor, Stranger> {
            let Self { now, gatekeeper, users, registrar, .. } = self;
            gatekeeper.author(*now, FlowId(1), request, users, registrar)
        }

        /// The request once more, with the proof of this password.
        fn logged_in(&mut self, request: Request, password: &str) -> Request {
            let mut login = Login::new("alice", password);
            let challenges = self.gatekeeper.challenges(self.now, Stranger::Asked);
            login.challenged(challenges.iter().map(String::as_str), None).unwrap();
            let uri = request.uri.to_string();
            let proof = login.authorize(request.method.as_str(), &uri, &mut self.rng).unwrap();
            request.with(Name::Authorization, proof)
        }
    }

    fn options(from: &str) -> Request {
        Request::new(Method::Options, "sip:example.net".parse::<sip::Uri>().unwrap())
            .with(Name::Via, "SIP/2.0/TLS ua.example.net;branch=z9hG4bK1")
            .with(Name::From, format!("<{from}>;tag=a"))
    }

    #[test]
    fn the_right_password_is_the_person_and_a_wrong_one_is_nobody() {
        let mut fixture = fixture();
        let plain = options("sip:alice@example.net");
        let right = fixture.logged_in(plain.clone(), "secret");
        let wrong = fixture.logged_in(plain.clone(), "guess");

        assert_eq!(fixture.author(&plain), Err(Stranger::Asked));
        assert_eq!(fixture.author(&wrong), Err(Stranger::Wrong));
        assert_eq!(fixture.author(&right).unwrap().as_str(), "sip:alice@example.net");
        // The same proof again is a replay.
        assert_eq!(fixture.author(&right), Err(Stranger::Stale));
    }

    #[test]
    fn a_right_password_does_not_speak_for_somebody_else() {
        let mut fixture = fixture();
        let forged = fixture.logged_in(options("sip:bob@example.net"), "secret");

        assert_eq!(fixture.author(&forged), Err(Stranger::SomebodyElse));
        let hidden = options("sip:anonymous@anonymous.invalid");
        assert_eq!(fixture.author(&hidden), Err(Stranger::Asked));
        let hidden = fixture.logged_in(hidden, "secret");
        assert_eq!(fixture.author(&hidden).unwrap().as_str(), "sip:alice@example.net");
    }

    #[test]
    fn a_registered_connection_vouches_for_its_person_only_and_only_directly() {
        let mut fixture = fixture();
        let alice: Aor = "sip:alice@example.net".parse().unwrap();
        let contact = Asked {
            uri: String::from("sip:alice@192.0.2.1"),
            device: None,
            reg_id: None,
            params: String::new(),
            secs: None,
        };
        let origin = Origin {
            flow: FlowId(1),
            via_core: false,
            path: Vec::new(),
            call_id: String::from("c"),
            cseq: 1,
        };
        let change = Change::Contacts(vec![contact]);
        fixture.registrar.register(fixture.now, &alice, &origin, &change).unwrap();

        assert_eq!(fixture.author(&options("sip:alice@example.net")), Ok(alice));
        assert_eq!(fixture.author(&options("sip:bob@example.net")), Err(Stranger::Asked));
        let hidden = options("sip:anonymous@anonymous.invalid");
        assert_eq!(fixture.author(&hidden).unwrap().as_str(), "sip:alice@example.net");
        let through_a_proxy = options("sip:alice@example.net")
            .with(Name::Via, "SIP/2.0/TLS proxy.example.net;branch=z9hG4bK2");
        assert_eq!(fixture.author(&through_a_proxy), Err(Stranger::Asked));
        let wrong = fixture.logged_in(options("sip:alice@example.net"), "guess");
        assert_eq!(fixture.author(&wrong), Err(Stranger::Wrong));
    }

    #[test]
    fn an_asserted_identity_proves_nothing() {
        let mut fixture = fixture();
        let asserted = options("sip:alice@example.net")
            .with(Name::PAssertedIdentity, "<sip:alice@example.net>");

        assert_eq!(fixture.author(&asserted), Err(Stranger::Asked));
    }
}
