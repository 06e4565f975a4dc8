//! The security agreement (RFC 3329): what protects the first hop is told to whoever asks, and a client that offers only
//! what is weaker than TLS gets no service. Pure.
use sip::header::{Headers, Name};
use sip::{Request, Response, Status};

/// The option tag.
pub(super) const TAG: &str = "sec-agree";

/// What a listener offers, best first. It never depends on what a client offers (RFC 3329, 2.3.1).
const OFFERED: &str = "tls;q=0.2, digest;d-alg=SHA-256;d-qop=auth;q=0.1";

/// What is agreed on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The connection is TLS.
    pub(super) tls: bool,
    /// Whether a client must take part.
    pub(super) required: bool,
}

impl Agreement {
    /// The request goes on, or this is its answer: 421 or 494, with what we offer.
    pub(super) fn check(self, request: &Request) -> Result<(), Response> {
        let headers = &request.headers;
        let refuse = |status| {
            let refusal = Response::to(request, status).with(Name::Require, TAG);
            Err(refusal.with(Name::SecurityServer, OFFERED))
        };
        let verified = elements(headers, &Name::SecurityVerify);
        if !verified.is_empty() {
            // Somebody on the way may have taken the best mechanism out of our list.
            let same = same_list(&verified, OFFERED);
            return if same { Ok(()) } else { refuse(Status::SECURITY_AGREEMENT_REQUIRED) };
        }
        let client = elements(headers, &Name::SecurityClient);
        let strong = self.tls && client.iter().any(|offer| mechanism(offer) == "tls");
        if (demands(headers) || !client.is_empty()) && !strong {
            return refuse(Status::SECURITY_AGREEMENT_REQUIRED);
        }
        if !self.required || strong {
            return Ok(());
        }
        refuse(match headers.lists(&Name::Supported, TAG) {
            true => Status::SECURITY_AGREEMENT_REQUIRED,
            false => Status::EXTENSION_REQUIRED,
        })
    }
}

/// The answer with what we offer, for a client that takes part.
pub(super) fn told(request: &Request, response: Response) -> Response {
    let headers = &request.headers;
    let asks = demands(headers) || headers.lists(&Name::Supported, TAG);
    match asks && !response.headers.has(&Name::SecurityServer) {
        true => response.with(Name::SecurityServer, OFFERED),
        false => response,
    }
}

fn demands(headers: &Headers) -> bool {
    headers.lists(&Name::Require, TAG) || headers.lists(&Name::ProxyRequire, TAG)
}

fn elements(headers: &Headers, name: &Name) -> Vec<String> {
    headers.elements(name).collect()
}

fn mechanism(offer: &str) -> String {
    offer.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// RFC 3329, 2.3.1: the same mechanisms in the same order, with the same parameters.
fn same_list(verified: &[String], ours: &str) -> bool {
    let parts = |offer: &str| {
        let mut params: Vec<String> = offer
            .split(';')
            .map(|param| param.split_whitespace().collect::<String>().to_ascii_lowercase())
            .collect();
        let rest = params.get_mut(1..).unwrap_or_default();
        rest.sort_unstable();
        params
    };
    let ours: Vec<_> = ours.split(',').map(parts).collect();
    verified.iter().map(|offer| parts(offer)).collect::<Vec<_>>() == ours
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: Agreement = Agreement { tls: true, required: false };

    fn request(headers: &[(Name, &str)]) -> Request {
        let uri: sip::Uri = "sip:example.net".parse().unwrap();
        let request = Request::new(sip::Method::Register, uri);
        headers.iter().fold(request, |request, (name, value)| request.with(name.clone(), *value))
    }

    fn verdict(agreement: Agreement, headers: &[(Name, &str)]) -> u16 {
        match agreement.check(&request(headers)) {
            Ok(()) => 200,
            Err(response) => {
                assert!(response.headers.has(&Name::SecurityServer), "RFC 3329, 2.3.1");
                assert!(response.headers.lists(&Name::Require, TAG));
                response.status.code()
            }
        }
    }

    #[test]
    fn t33203_01_only_weaker_mechanisms_are_494_and_the_list_does_not_depend_on_them() {
        use Name::{Require, SecurityClient};

        assert_eq!(verdict(TLS, &[]), 200);
        assert_eq!(verdict(TLS, &[(SecurityClient, "digest, ipsec-man")]), 494);
        assert_eq!(verdict(TLS, &[(SecurityClient, "digest, tls")]), 200);
        assert_eq!(verdict(TLS, &[(Require, TAG)]), 494);
        assert_eq!(verdict(TLS, &[(Require, TAG), (SecurityClient, "TLS;q=1")]), 200);
        let plain = Agreement { tls: false, ..TLS };
        assert_eq!(verdict(plain, &[(Require, TAG), (SecurityClient, "tls")]), 494);
    }

    #[test]
    fn r3329_2_3_1_a_list_that_was_changed_on_the_way_is_494() {
        let verify = |text| verdict(TLS, &[(Name::Require, TAG), (Name::SecurityVerify, text)]);

        assert_eq!(verify(OFFERED), 200);
        assert_eq!(verify("TLS; q=0.2, digest; q=0.1;d-qop=auth ;d-alg=sha-256"), 200);
        assert_eq!(verify("digest;d-alg=SHA-256;d-qop=auth;q=0.1, tls;q=0.2"), 494);
        assert_eq!(verify("digest;d-alg=SHA-256;d-qop=auth;q=0.1"), 494);
        assert_eq!(verify("tls;q=0.9, digest;d-alg=SHA-256;d-qop=auth;q=0.1"), 494);
    }

    #[test]
    fn r3329_2_3_2_where_it_is_required_who_does_not_know_it_gets_421() {
        let strict = Agreement { required: true, ..TLS };

        assert_eq!(verdict(strict, &[]), 421);
        assert_eq!(verdict(strict, &[(Name::Supported, TAG)]), 494);
        assert_eq!(verdict(strict, &[(Name::SecurityClient, "tls")]), 200);
    }

    #[test]
    fn s1_08_whoever_takes_part_is_told_the_mechanisms() {
        let tell = |headers: &[(Name, &str)]| {
            let request = request(headers);
            told(&request, Response::to(&request, Status::OK)).headers.has(&Name::SecurityServer)
        };

        assert!(tell(&[(Name::Supported, TAG)]) && tell(&[(Name::ProxyRequire, TAG)]));
        assert!(!tell(&[]));
    }
}
