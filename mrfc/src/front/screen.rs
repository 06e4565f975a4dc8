//! What every request must pass before anybody asks what it is about: hops, method, extensions. Pure.
//!
//! Order of RFC 3261, 8.2: who asks (`authenticate`) comes before these.
use sip::header::Name;
use sip::{Method, Request, Response, Status};

use super::recipients::{FOR_INVITE, FOR_MESSAGE};

/// The methods served here, for Allow.
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS, REGISTER, REFER, MESSAGE, SUBSCRIBE";

/// The extensions understood here, for Supported. A request that requires another one gets 420.
/// Lists of people are for single resources, and named in [`extensions`].
pub(crate) const SUPPORTED: [&str; 7] =
    ["path", "outbound", "gruu", "sec-agree", "norefersub", "tdialog", "timer"];

/// The request goes on, or this is its answer.
pub(crate) fn screen(request: &Request) -> Result<(), Response> {
    hops(request)?;
    method(request)?;
    extensions(request)?;
    // RFC 3261, 8.2.3: we decode no encoding. The content of a message is not for us.
    match request.method != Method::Message && request.headers.has(&Name::ContentEncoding) {
        true => Err(Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE)
            .with(Name::AcceptEncoding, "identity")),
        false => Ok(()),
    }
}

/// A focus is a back-to-back agent: what it does may send the request on its way again, so a request with no hops
/// left ends here (RFC 3261, 16.3). OPTIONS asks exactly for that (11.2).
fn hops(request: &Request) -> Result<(), Response> {
    match request.headers.max_forwards() {
        Ok(Some(0)) if request.method != Method::Options => {
            Err(Response::to(request, Status::TOO_MANY_HOPS))
        }
        _ => Ok(()),
    }
}

/// RFC 3261, 8.2.1: a known method that is not served is 405, an unknown one 501; both say what is.
fn method(request: &Request) -> Result<(), Response> {
    let status = match &request.method {
        Method::Invite
        | Method::Ack
        | Method::Cancel
        | Method::Bye
        | Method::Update
        | Method::Options
        | Method::Register
        | Method::Refer
        | Method::Subscribe
        | Method::Message => return Ok(()),
        // We subscribe to nothing, so whatever this tells of is not ours (RFC 6665, 4.1.3).
        Method::Notify => return Err(Response::to(request, Status::NO_SUCH_DIALOG)),
        Method::Other(_) => Status::NOT_IMPLEMENTED,
        _ => Status::METHOD_NOT_ALLOWED,
    };
    Err(Response::to(request, status).with(Name::Allow, ALLOW))
}

/// RFC 3261, 8.2.2.3.
fn extensions(request: &Request) -> Result<(), Response> {
    // RFC 5366, 5.1: nothing says what a list in a re-INVITE would mean.
    let begins = request.headers.to().is_ok_and(|to| to.tag().is_none());
    let list = match request.method {
        Method::Message => FOR_MESSAGE,
        Method::Invite if begins => FOR_INVITE,
        _ => "",
    };
    let known =
        |tag: &String| SUPPORTED.iter().chain([&list]).any(|ours| ours.eq_ignore_ascii_case(tag));
    let unknown: Vec<String> =
        request.headers.elements(&Name::Require).filter(|tag| !known(tag)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Response::to(request, Status::BAD_EXTENSION).with(Name::Unsupported, unknown.join(", ")))
}

/// What we can do, in the answer to OPTIONS and to INVITE.
pub(crate) fn with_abilities(response: Response) -> Response {
    response
        .with(Name::Allow, ALLOW)
        .with(Name::AllowEvents, super::watch::ALLOW_EVENTS)
        .with(Name::Supported, SUPPORTED.join(", "))
        .with(Name::Accept, "application/sdp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str) -> Request {
        Request::new(method.parse().unwrap(), "sip:room7@example.net".parse::<sip::Uri>().unwrap())
            .with(Name::MaxForwards, 70)
    }

    fn refusal(request: &Request) -> Response {
        screen(request).unwrap_err()
    }

    #[test]
    fn s8_2_1_an_unknown_method_is_501_and_an_unserved_one_405_and_both_say_what_is_served() {
        for (method, code) in [("FROBNICATE", 501), ("PUBLISH", 405), ("INFO", 405)] {
            let response = refusal(&request(method));

            assert_eq!(response.status.code(), code, "{method}");
            assert!(response.headers.lists(&Name::Allow, "INVITE"));
        }
    }

    #[test]
    fn s8_2_2_3_an_extension_nobody_knows_is_420_and_named() {
        let known = request("INVITE").with(Name::Require, "outbound");
        let unknown = request("INVITE").with(Name::Require, "outbound, 100rel, teleport");

        assert!(screen(&known).is_ok());
        let response = refusal(&unknown);
        assert_eq!(response.status, Status::BAD_EXTENSION);
        assert_eq!(response.headers.text(&Name::Unsupported).unwrap(), "100rel, teleport");
    }

    #[test]
    fn curi_04_a_list_of_people_is_known_to_the_method_it_is_for_and_to_no_re_invite() {
        let to = |method: &str, to: &str, tag: &str| {
            request(method).with(Name::To, to).with(Name::Require, tag)
        };

        assert!(screen(&to("INVITE", "<sip:f@example.net>", FOR_INVITE)).is_ok());
        assert!(screen(&to("MESSAGE", "<sip:list@example.net>", FOR_MESSAGE)).is_ok());
        for (method, whom, tag) in [
            ("INVITE", "<sip:f@example.net>", FOR_MESSAGE),
            ("MESSAGE", "<sip:list@example.net>", FOR_INVITE),
            ("INVITE", "<sip:f@example.net>;tag=1", FOR_INVITE),
            ("REFER", "<sip:f@example.net>", FOR_INVITE),
        ] {
            let response = refusal(&to(method, whom, tag));
            assert_eq!(response.status, Status::BAD_EXTENSION, "{method} {tag}");
            assert_eq!(response.headers.text(&Name::Unsupported).unwrap(), tag);
        }
    }

    #[test]
    fn no_hops_left_is_483_except_for_options() {
        let spent = |method: &str| {
            let mut request = request(method);
            request.headers.set(Name::MaxForwards, "0");
            request
        };

        assert_eq!(refusal(&spent("INVITE")).status, Status::TOO_MANY_HOPS);
        assert!(screen(&spent("OPTIONS")).is_ok());
    }
}
