//! When a certificate ends: the one date we show, read out of its DER (RFC 5280, 4.1). Whether a certificate is valid is
//! for the TLS library, which reads it itself.

/// Seconds since 1970 of `notAfter`; none where this is no certificate.
pub(super) fn of(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut body, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(body, VERSION) {
        body = rest;
    }
    // Serial number, signature, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, body) = element(body, tag)?;
    }
    let (validity, _) = element(body, SEQUENCE)?;
    let (_, rest) = time(validity)?;
    let (end, _) = time(rest)?;
    Some(end)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The content of the first element, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[its, first], rest) = der.split_first_chunk::<2>()?;
    if its != tag {
        return None;
    }
    if first < 0x80 {
        return rest.split_at_checked(first.into());
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet));
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` (1950 to 2049) or `YYYYMMDDHHMMSSZ`, as seconds since 1970.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, long) = match element(der, UTC_TIME) {
        Some((text, rest)) => (text, rest, false),
        None => element(der, GENERALIZED_TIME).map(|(text, rest)| (text, rest, true))?,
    };
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, digits) = digits.split_at_checked(if long { 4 } else { 2 })?;
    let year: i64 = year.parse().ok()?;
    let year = match (long, year) {
        (true, year) => year,
        (false, 50..) => year + 1900,
        (false, _) => year + 2000,
    };
    let two = |at: usize| digits.get(at..at + 2)?.parse::<i64>().ok();
    let days = days(year, two(0)?, two(2)?);
    Some((((days * 24 + two(4)?) * 60 + two(6)?) * 60 + two(8)?, rest))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the leap day.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::DevCa;
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_what_its_issuer_said() {
        for seconds in [0_i64, 951_782_400, 1_709_164_800, 2_524_608_000, 4_000_000_000] {
            let then = SystemTime::UNIX_EPOCH
                + Duration::from_secs(u64::try_from(seconds).unwrap() + 7200);
            let identity = DevCa::new("test", then).unwrap().issue(&["localhost"]).unwrap();
            let lifetime = 90 * 24 * 3600;
            assert_eq!(of(identity.certificate()), Some(seconds + 7200 + lifetime), "{seconds}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let identity = DevCa::new("test", crate::clock::wall()).unwrap().issue(&["x"]).unwrap();
        for cut in 0..identity.certificate().len().min(200) {
            assert_eq!(of(&identity.certificate()[..cut]), None);
        }
    }
}
