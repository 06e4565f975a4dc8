//! Optimistic locking (RFC 9110, 13): who changes something says which version they have seen.
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::problem::Problem;

/// The ETag of a version, as a header field.
pub(super) fn etag(version: u64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// Lets a change through if its If-Match names the version there is (RFC 9110, 13.1.1; RFC 6585, 3). A weak tag never
/// matches, and `*` is any version but none.
pub(super) fn may_change(headers: &HeaderMap, version: u64) -> Result<(), Problem> {
    let mut given = headers.get_all(header::IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        let mend = "GET it first, and send its ETag as If-Match";
        let what = "which version do you change?";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, what, "If-Match", mend));
    }
    let current = format!("\"{version}\"");
    let tags = given.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let matches = |tag: &str| tag == current || (tag == "*" && version > 0);
    if tags.map(str::trim).any(matches) { Ok(()) } else { Err(stale(version)) }
}

/// Somebody was faster.
pub(super) fn stale(version: u64) -> Problem {
    let mend = "GET it again, and make your change to what is there now";
    let what = "it has been changed meanwhile";
    Problem::new(StatusCode::PRECONDITION_FAILED, what, "If-Match", mend)
        .with(header::ETAG, format!("\"{version}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(if_match: Option<&str>, version: u64) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(value) = if_match {
            headers.insert(header::IF_MATCH, value.parse().unwrap());
        }
        may_change(&headers, version).is_ok()
    }

    #[test]
    fn r9110_13_1_1_only_the_version_that_is_there_matches() {
        assert!(may(Some("\"3\""), 3) && may(Some("\"1\", \"3\""), 3) && may(Some("*"), 3));
        assert!(may(Some("\"0\""), 0));
        for wrong in ["\"2\"", "3", "W/\"3\"", "", "\"33\""] {
            assert!(!may(Some(wrong), 3), "{wrong}");
        }
        assert!(!may(None, 3) && !may(Some("*"), 0));
    }
}
