//! What ENUM's records say of a number (RFC 6116, RFC 3403): which addresses it leads to. Records come from anywhere, so
//! their expressions have bounds, and what is no address of a person leads nowhere.
use std::collections::BTreeSet;

use ids::Aor;
use regex::{Captures, Regex, RegexBuilder};
use sip::tel::E164;

/// Octets of an expression, and of what it may be compiled to.
const EXPRESSION_OCTETS_MAX: usize = 512;
const COMPILED_OCTETS_MAX: usize = 64 * 1024;
/// Records that are looked at: a person has a handful.
const RULES_MAX: usize = 32;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) order: u16,
    pub(crate) flags: String,
    pub(crate) services: String,
    pub(crate) regexp: String,
}

/// The name that is asked for: the digits in reverse (RFC 6116, 3.2).
pub(crate) fn domain(number: &E164, root: &str) -> String {
    let digits: String = number
        .as_str()
        .trim_start_matches('+')
        .chars()
        .rev()
        .flat_map(|digit| [digit, '.'])
        .collect();
    format!("{digits}{}.", root.trim_matches('.'))
}

/// The addresses that the records of the lowest order give, each once. How much each is preferred says nothing about
/// who is meant.
pub(crate) fn addresses(rules: &[Rule], number: &E164) -> BTreeSet<Aor> {
    let useful =
        rules.iter().take(RULES_MAX).filter_map(|rule| Some((rule.order, address(rule, number)?)));
    let useful: Vec<(u16, Aor)> = useful.collect();
    let lowest = useful.iter().map(|(order, _)| *order).min();
    useful.into_iter().filter(|(order, _)| Some(*order) == lowest).map(|(_, aor)| aor).collect()
}

/// The address that a record gives, if it is for SIP and ends the search.
fn address(rule: &Rule, number: &E164) -> Option<Aor> {
    if !rule.flags.eq_ignore_ascii_case("u") || !is_sip(&rule.services) {
        return None;
    }
    let address = rewrite(&rule.regexp, number.as_str())?;
    address.parse().ok()
}

/// RFC 6116, 3.4.3: `E2U` and services; RFC 3764 has `sip`, others have it behind a colon (`im:sip`).
fn is_sip(services: &str) -> bool {
    let mut all = services.split('+');
    let e2u = all.next().is_some_and(|first| first.eq_ignore_ascii_case("e2u"));
    e2u && all.any(|one| one.rsplit(':').next().is_some_and(|it| it.eq_ignore_ascii_case("sip")))
}

/// RFC 3402, 3.2: `!expression!replacement!flags`, by whatever sign comes first.
fn rewrite(regexp: &str, number: &str) -> Option<String> {
    if regexp.len() > EXPRESSION_OCTETS_MAX {
        return None;
    }
    let delimiter = regexp.chars().next()?;
    let parts = cut(regexp.get(delimiter.len_utf8()..)?, delimiter);
    let [expression, replacement, flags] = <[String; 3]>::try_from(parts).ok()?;
    let expression: Regex = RegexBuilder::new(&expression)
        .case_insensitive(flags.contains(['i', 'I']))
        .size_limit(COMPILED_OCTETS_MAX)
        .build()
        .ok()?;
    let found = expression.captures(number)?;
    let whole = found.get(0)?;
    let (before, after) = (number.get(..whole.start())?, number.get(whole.end()..)?);
    Some(format!("{before}{}{after}", expand(&replacement, &found)))
}

/// At each delimiter that has no backslash before it; that backslash goes.
fn cut(text: &str, delimiter: char) -> Vec<String> {
    let (mut parts, mut part, mut signs) = (Vec::new(), String::new(), text.chars());
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some(next) if next == delimiter => part.push(next),
                Some(next) => part.extend(['\\', next]),
                None => part.push('\\'),
            },
            sign if sign == delimiter => parts.push(std::mem::take(&mut part)),
            sign => part.push(sign),
        }
    }
    parts.push(part);
    parts
}

/// The replacement with `\1` to `\9` filled in.
fn expand(replacement: &str, found: &Captures<'_>) -> String {
    let (mut text, mut signs) = (String::new(), replacement.chars());
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            text.push(sign);
            continue;
        }
        match signs.next() {
            Some(digit @ '1'..='9') => {
                let group =
                    digit.to_digit(10).and_then(|digit| found.get(usize::try_from(digit).ok()?));
                text.push_str(group.map_or("", |group| group.as_str()));
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> E164 {
        "+15551230001".parse().unwrap()
    }

    fn rule(order: u16, services: &str, regexp: &str) -> Rule {
        let (flags, services) = (String::from("u"), services.to_owned());
        Rule { order, flags, services, regexp: regexp.to_owned() }
    }

    fn found(rules: &[Rule]) -> Vec<String> {
        addresses(rules, &number()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn r6116_3_2_the_name_has_the_digits_in_reverse() {
        assert_eq!(domain(&number(), "e164.arpa"), "1.0.0.0.3.2.1.5.5.5.1.e164.arpa.");
        assert_eq!(domain(&number(), ".e164.test."), "1.0.0.0.3.2.1.5.5.5.1.e164.test.");
    }

    #[test]
    fn r6116_3_4_an_expression_makes_an_address_of_the_number() {
        let cases = [
            ("E2U+sip", "!^.*$!sip:bob@example.net!", Some("sip:bob@example.net")),
            ("e2u+SIP", "!^.*$!sip:bob@Example.NET;transport=tls!", Some("sip:bob@example.net")),
            (
                "E2U+im:sip",
                "#^\\+1555(.*)$#sip:u\\1@example.net#",
                Some("sip:u1230001@example.net"),
            ),
            (
                "E2U+sip",
                "!^\\+(1)(555).*$!sip:\\2.\\1@example.net!i",
                Some("sip:555.1@example.net"),
            ),
            ("E2U+sip", "!^.*$!sip:a\\!b@example.net!", Some("sip:a!b@example.net")),
            ("E2U+mailto", "!^.*$!mailto:bob@example.net!", None),
            ("E2U+sip", "!^.*$!tel:+15551230009!", None),
            ("E2U+sip", "!^\\+49.*$!sip:bob@example.net!", None),
            ("E2U+sip", "!^(.*$!sip:bob@example.net!", None),
            ("E2U+sip", "!^.*$!sip:bob@example.net", None),
            ("E2U+sip", "", None),
            ("sip+E2U", "!^.*$!sip:bob@example.net!", None),
        ];
        for (services, regexp, expected) in cases {
            let seen = found(&[rule(10, services, regexp)]);

            assert_eq!(seen.first().map(String::as_str), expected, "{services} {regexp}");
        }
    }

    #[test]
    fn only_the_lowest_order_counts_and_one_address_counts_once() {
        let bob = "!^.*$!sip:bob@example.net!";
        let eve = "!^.*$!sip:eve@example.net!";

        let same =
            [rule(10, "E2U+sip", bob), rule(10, "E2U+im:sip", bob), rule(20, "E2U+sip", eve)];
        assert_eq!(found(&same), ["sip:bob@example.net"]);
        let several = [rule(10, "E2U+sip", bob), rule(10, "E2U+sip", eve)];
        assert_eq!(found(&several).len(), 2);
        let useless_first = [rule(1, "E2U+mailto", bob), rule(20, "E2U+sip", eve)];
        assert_eq!(found(&useless_first), ["sip:eve@example.net"]);
    }

    #[test]
    fn a_record_that_goes_on_elsewhere_or_is_too_large_leads_nowhere() {
        let mut on = rule(1, "E2U+sip", "!^.*$!sip:bob@example.net!");
        on.flags = String::new();
        assert!(found(&[on]).is_empty());
        let bomb = format!("!{}!sip:bob@example.net!", "(a{999}){999}");
        assert!(found(&[rule(1, "E2U+sip", &bomb)]).is_empty());
        let long = format!("!^.*{}$!sip:bob@example.net!", ".?".repeat(300));
        assert!(found(&[rule(1, "E2U+sip", &long)]).is_empty());
    }
}
