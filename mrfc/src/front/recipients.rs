//! The list of people in a request's body (RFC 5363, 4; RFC 5364): what it names, and what is left of the body without
//! it. Pure. Whether they may be asked, and for what, is decided by `list` (MESSAGE) and `guests` (INVITE).
use sip::header::{MediaType, Name, Warning};
use sip::multipart::{self, BadMultipart, Part};
use sip::resource_lists::{self, BadList, Bounds, Entry};
use sip::{Request, Response, Status};

/// The extension a MESSAGE for many is known by (RFC 5365, 4).
pub(super) const FOR_MESSAGE: &str = "recipient-list-message";
/// The extension an INVITE for many is known by (RFC 5366, 3).
pub(super) const FOR_INVITE: &str = "recipient-list-invite";
/// What the list is for (RFC 5363, 4.2).
const RECIPIENT_LIST: &str = "recipient-list";

/// A body taken apart.
#[derive(Debug)]
pub(super) struct Recipients {
    /// Whom the request is for, each once. Empty only where nobody asked for a list.
    pub(super) entries: Vec<Entry>,
    /// What is left for each of them.
    pub(super) parts: Vec<Part>,
}

/// Why a request for many goes to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRecipients {
    #[error("a request for many is multipart/mixed, with a part of disposition recipient-list")]
    NoList,
    #[error("a list of recipients is application/resource-lists+xml")]
    ListType,
    #[error("a part that is needed and not understood")]
    Part,
    #[error(transparent)]
    Multipart(#[from] BadMultipart),
    #[error(transparent)]
    List(#[from] BadList),
}

impl NoRecipients {
    pub(super) fn response(self, request: &Request, agent: &str) -> Response {
        let (status, accept) = match self {
            Self::NoList if is_mixed(request) => (Status::BAD_REQUEST, None),
            Self::NoList => (Status::UNSUPPORTED_MEDIA_TYPE, Some("multipart/mixed")),
            Self::ListType => (Status::UNSUPPORTED_MEDIA_TYPE, Some(resource_lists::MEDIA_TYPE)),
            Self::Part => (
                Status::UNSUPPORTED_MEDIA_TYPE,
                Some("application/sdp, multipart/mixed, application/resource-lists+xml"),
            ),
            Self::Multipart(BadMultipart::Malformed) => (Status::BAD_REQUEST, None),
            Self::Multipart(BadMultipart::Nested) => (Status::UNSUPPORTED_MEDIA_TYPE, None),
            Self::Multipart(BadMultipart::TooMany) | Self::List(BadList::TooLarge) => {
                (Status::REQUEST_ENTITY_TOO_LARGE, None)
            }
            Self::List(BadList::Malformed | BadList::Dtd | BadList::BadUri) => {
                (Status::BAD_REQUEST, None)
            }
        };
        let response = Response::to(request, status)
            .with(Name::Warning, Warning::new(399, agent, &self.to_string()));
        match accept {
            Some(types) => response.with(Name::Accept, types),
            None => response,
        }
    }
}

fn mixed(request: &Request) -> Option<MediaType> {
    let kind = request.headers.content_type().ok().flatten();
    kind.filter(|kind| kind.is("multipart/mixed"))
}

/// Whether the body has several parts.
pub(super) fn is_mixed(request: &Request) -> bool {
    mixed(request).is_some()
}

impl Recipients {
    /// The recipients and the rest of a body. Several lists are one (RFC 5363, 4.1).
    pub(super) fn of(request: &Request, recipients_max: usize) -> Result<Self, NoRecipients> {
        let found = Self::perhaps(request, recipients_max)?;
        if found.entries.is_empty() { Err(NoRecipients::NoList) } else { Ok(found) }
    }

    /// The same, where there may be no list among the parts.
    pub(super) fn perhaps(request: &Request, recipients_max: usize) -> Result<Self, NoRecipients> {
        let kind = mixed(request).ok_or(NoRecipients::NoList)?;
        let all = multipart::read(&kind, &request.body)?;
        let is_list = |part: &Part| part.disposition().as_deref() == Some(RECIPIENT_LIST);
        let (lists, parts): (Vec<_>, Vec<_>) = all.into_iter().partition(is_list);
        let bounds = Bounds { entries_max: recipients_max, ..Bounds::default() };
        let mut entries = Vec::new();
        for list in &lists {
            if !list.content_type().is_some_and(|kind| kind.is(resource_lists::MEDIA_TYPE)) {
                return Err(NoRecipients::ListType);
            }
            entries.extend(resource_lists::read(&list.body, bounds)?);
            if entries.len() > recipients_max {
                return Err(BadList::TooLarge.into());
            }
        }
        if entries.is_empty() && !lists.is_empty() {
            return Err(NoRecipients::NoList);
        }
        Ok(Self { entries: resource_lists::distinct(entries), parts })
    }
}

/// What each of them may know of the others (RFC 5364, 4), if anything.
pub(super) fn history(entries: &[Entry]) -> Option<Part> {
    resource_lists::history(entries).map(|list| {
        Part::new(resource_lists::MEDIA_TYPE, list)
            .with(Name::ContentDisposition, "recipient-list-history; handling=optional")
    })
}
