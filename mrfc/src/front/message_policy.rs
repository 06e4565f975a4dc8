//! Which messages pass: what the operator lets people send, what people here are sent, and what the filter says of
//! content in the clear (3GPP TR 33.829, 8.2.1.1, steps 4 and 8). Pure.
use bytes::Bytes;
use sip::header::{MediaType, Name};
use sip::{Request, Response, Status};

use super::protection::{Protection, inside};
use crate::config;
use crate::filter::{Cleartext, Filter, is_one_of};

/// Which way a message goes; each has its own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// From a person of ours.
    Originating,
    /// To a person of ours.
    Terminating,
}

/// What somebody is to get.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) media_type: Option<MediaType>,
    pub(super) body: Bytes,
}

impl Content {
    /// The body of a request. One without a type needs one (RFC 3261, 20.15), unless it is empty.
    pub(super) fn of(request: &Request) -> Result<Self, Response> {
        let bad = |_| Response::to(request, Status::BAD_REQUEST);
        let media_type = request.headers.content_type().map_err(bad)?;
        if media_type.is_none() && !request.body.is_empty() {
            return Err(Response::to(request, Status::BAD_REQUEST));
        }
        Ok(Self { media_type, body: request.body.clone() })
    }

    pub(super) fn protection(&self) -> Protection {
        Protection::of(self.media_type.as_ref(), &self.body)
    }
}

/// What the operator lets pass on this side.
pub(super) fn judge(
    policy: &config::Messages,
    side: Side,
    request: &Request,
    content: &Content,
) -> Result<(), Response> {
    let refuse = |status| Response::to(request, status);
    let (octets_max, types) = match side {
        Side::Originating => (policy.octets_max, &policy.types),
        Side::Terminating if policy.terminating_octets_max == 0 => {
            (usize::MAX, &policy.terminating_types)
        }
        Side::Terminating => (policy.terminating_octets_max, &policy.terminating_types),
    };
    if !policy.enabled {
        return Err(refuse(Status::FORBIDDEN));
    }
    if content.body.len() > octets_max {
        return Err(refuse(Status::REQUEST_ENTITY_TOO_LARGE));
    }
    let Some(media) = &content.media_type else { return Ok(()) };
    if types.is_empty() || is_one_of(types, &media.essence) {
        return Ok(());
    }
    Err(refuse(Status::UNSUPPORTED_MEDIA_TYPE).with(Name::Accept, types.join(", ")))
}

/// What the filter says of it, if it can be read at all.
pub(super) fn filter(
    filter: &dyn Filter,
    request: &Request,
    content: &Content,
) -> Result<(), Response> {
    let Some(media) = &content.media_type else { return Ok(()) };
    if content.protection() == Protection::EndToEnd {
        return Ok(());
    }
    let inner = inside(media, &content.body);
    let media_type = inner.as_ref().map_or(media.essence.as_str(), |inner| inner.essence.as_str());
    let content = Cleartext { media_type, octets: &content.body };
    match filter.refuses(content) {
        Some(status) => Err(Response::to(request, status)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Rules;

    fn request(media: &str, octets: usize) -> Request {
        let uri: sip::Uri = "sip:bob@example.net".parse().unwrap();
        Request::new(sip::Method::Message, uri).with_body(media, vec![b'x'; octets])
    }

    fn policy(types: &[&str]) -> config::Messages {
        let types = types.iter().map(ToString::to_string).collect();
        config::Messages { octets_max: 100, types, ..config::Messages::default() }
    }

    fn verdict(policy: &config::Messages, side: Side, request: &Request) -> u16 {
        let judged =
            Content::of(request).and_then(|content| judge(policy, side, request, &content));
        judged.map_or_else(|response| response.status.code(), |()| 200)
    }

    #[test]
    fn s3_25_policy_bounds_size_and_type_and_says_what_it_takes() {
        let out =
            |types: &[&str], request: &Request| verdict(&policy(types), Side::Originating, request);

        assert_eq!(out(&[], &request("application/x-any", 100)), 200);
        assert_eq!(out(&[], &request("text/plain", 101)), 413);
        assert_eq!(out(&["text/plain", "image/*"], &request("IMAGE/jpeg", 1)), 200);
        assert_eq!(out(&["text/plain"], &request("text/html", 1)), 415);
    }

    #[test]
    fn s3_25_each_side_has_rules_of_its_own() {
        let mut policy = policy(&["text/*"]);
        policy.terminating_octets_max = 10;
        policy.terminating_types = vec!["text/plain".into()];

        let html = request("text/html", 5);
        assert_eq!(verdict(&policy, Side::Originating, &html), 200);
        assert_eq!(verdict(&policy, Side::Terminating, &html), 415);
        assert_eq!(verdict(&policy, Side::Originating, &request("text/plain", 11)), 200);
        assert_eq!(verdict(&policy, Side::Terminating, &request("text/plain", 11)), 413);
        policy.terminating_octets_max = 0;
        assert_eq!(verdict(&policy, Side::Terminating, &request("text/plain", 11)), 200);
    }

    #[test]
    fn a_body_without_a_type_is_400_and_no_body_needs_none() {
        let mut untyped = request("text/plain", 1);
        untyped.headers.remove(&Name::ContentType);
        assert_eq!(verdict(&policy(&[]), Side::Originating, &untyped), 400);
        untyped.body = Bytes::new();
        assert_eq!(verdict(&policy(&[]), Side::Originating, &untyped), 200);
    }

    #[test]
    fn a_switched_off_service_is_403() {
        let off = config::Messages { enabled: false, ..config::Messages::default() };

        assert_eq!(verdict(&off, Side::Originating, &request("text/plain", 1)), 403);
    }

    #[test]
    fn s3_37_the_filter_reads_what_is_clear_and_never_what_is_sealed() {
        let rules = toml::from_str("words = [\"xxx\"]\nstatus = 606").unwrap();
        let rules = Rules::new(&[rules]);
        let refused = |media: &str| {
            let request = request(media, 5);
            let content = Content::of(&request).unwrap();
            filter(&rules, &request, &content).map_err(|response| response.status.code())
        };

        assert_eq!(refused("text/plain"), Err(606));
        assert_eq!(refused("message/mls"), Ok(()));
    }
}
