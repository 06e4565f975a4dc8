//! Durations, octets and counts as people write and read them (`500us`, `64KiB`, `1.5s`), and as figures are reckoned with. Pure.
use std::str::FromStr;
use std::time::Duration;

/// Units by their suffix, longest suffix first where one ends in another.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// A count or a figure of a run, to be reckoned with.
#[expect(clippy::cast_precision_loss, reason = "figures of a run are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Reads a duration.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration: write it like 500us, 20ms, 1.5s or 2m");
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_not_a_number| bad())?;
    let (_, seconds) = UNITS.iter().find(|(unit, _)| *unit == suffix.trim()).ok_or_else(bad)?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_too_long| bad())
}

/// Reads a duration that is not nothing.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a time above 0s".to_owned()),
        time => Ok(time),
    }
}

/// Reads a count of at least 1.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn positive<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(count) if count >= T::from(1) => Ok(count),
        _ => Err("a whole number, at least 1".to_owned()),
    }
}

/// Reads a number of octets: `4096`, `64KiB`, `3MiB`, `1GiB`.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn octets(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no number of octets: write it like 4096, 64KiB or 3MiB");
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_not_a_number| bad())?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Microseconds as milliseconds, for a person.
#[must_use]
pub fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

/// Microseconds in the unit people say them in, with four digits of which the last may be rounded: 950 us, 3.801 ms, 12 s.
#[must_use]
pub fn time(micros: u64) -> String {
    match micros {
        micros if micros < 1000 => format!("{micros} us"),
        micros if micros < 1_000_000 => format!("{} ms", digits(float(micros) / 1e3)),
        micros => format!("{} s", digits(float(micros) / 1e6)),
    }
}

/// Octets in the unit people say them in, with four digits: 4096 as 4 KiB.
#[must_use]
pub fn said_octets(octets: u64) -> String {
    match octets {
        octets if octets < 1 << 10 => format!("{octets} B"),
        octets if octets < 1 << 20 => format!("{} KiB", digits(float(octets) / 1024.0)),
        octets => format!("{} MiB", digits(float(octets) / 1_048_576.0)),
    }
}

/// Four digits, without zeros that say nothing.
fn digits(value: f64) -> String {
    let text = match value {
        value if value < 10.0 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.2}"),
        value if value < 1000.0 => format!("{value:.1}"),
        value => return format!("{value:.0}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number with its digits in groups of three.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        let cases = [
            ("500us", Duration::from_micros(500)),
            ("500µs", Duration::from_micros(500)),
            ("20ms", Duration::from_millis(20)),
            ("1.5s", Duration::from_millis(1500)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
            ("0s", Duration::ZERO),
            (" 3 s ", Duration::from_secs(3)),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "20", "ms", "-1s", "1.2.3s", "5 parsecs", "1e9s", "999999999999999999999h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn octets_are_read_in_every_unit() {
        let read: Vec<_> = ["7", "64KiB", "3 MiB", "1GiB"].map(octets).into();
        assert_eq!(read, [Ok(7), Ok(65_536), Ok(3 << 20), Ok(1 << 30)]);
        for text in ["", "KiB", "1kB", "1ms", "-1", "99999999999GiB"] {
            assert!(octets(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_octets_are_said_in_the_unit_people_use() {
        let times = [0, 950, 3801, 25_000, 878_100, 1_234_567, 3_600_000_000].map(time);
        assert_eq!(times, ["0 us", "950 us", "3.801 ms", "25 ms", "878.1 ms", "1.235 s", "3600 s"]);
        let octets = [7, 4096, 3 << 20, 5_000_000_000].map(said_octets);
        assert_eq!(octets, ["7 B", "4 KiB", "3 MiB", "4768 MiB"]);
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(
            (millis(0), millis(950), millis(23_980)),
            ("0.0".into(), "0.9".into(), "23.9".into())
        );
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_440_000)),
            ("7".into(), "1 234".into(), "1 440 000".into())
        );
    }
}
