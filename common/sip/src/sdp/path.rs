//! Just enough of an MSRP URI to check a `path` attribute. Comparing and routing by it is the business of `msrp`.

/// The parts of an MSRP URI that SDP rules speak of.
pub(super) struct PathUri {
    pub(super) secure: bool,
    /// An IPv6 address with its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) has_session: bool,
}

impl PathUri {
    /// Reads `msrps://host:port/session;tcp`. RFC 4975, 8.2: the port must be there.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = scheme.eq_ignore_ascii_case("msrps");
        if !secure && !scheme.eq_ignore_ascii_case("msrp") {
            return None;
        }
        let (place, transport) = rest.split_once(';')?;
        let (authority, session) = match place.split_once('/') {
            Some((authority, session)) => (authority, session),
            None => (place, ""),
        };
        let address = authority.split_once('@').map_or(authority, |(_, address)| address);
        let (host, port) = crate::uri::parse_hostport(address)?;
        let legal = rest.bytes().all(|byte| byte.is_ascii_graphic());
        let named = transport.split(';').next().is_some_and(|name| !name.is_empty());
        if !legal || !named {
            return None;
        }
        let host = host.to_owned();
        Some(Self { secure, host, port: port?, has_session: !session.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_uri_needs_scheme_host_port_and_transport() {
        for good in [
            "msrp://a.example:2855/s1;tcp",
            "msrps://[2001:db8::1]:9/s;ws",
            "MSRPS://u@h:1/s;tcp;x=y",
        ] {
            assert!(PathUri::parse(good).is_some_and(|uri| uri.has_session), "{good}");
        }
        for bad in [
            "",
            "sip:a@b",
            "msrp://a/s;tcp",
            "msrp://a:1/s",
            "msrp://:1/s;tcp",
            "msrp://a:99999/s;tcp",
        ] {
            assert!(PathUri::parse(bad).is_none(), "{bad}");
        }
    }
}
