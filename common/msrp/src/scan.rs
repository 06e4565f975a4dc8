//! Finding the end-line of a message in what has arrived of its body (RFC 4975, sections 7.1 and 7.3.1). It looks at
//! octets and moves none.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::ident::TransactionId;
use crate::start::Flag;

/// CRLF, seven hyphens, 32 characters of id, flag, CRLF.
pub(crate) const END_LINE_OCTETS_MAX: usize = 2 + 7 + 32 + 1 + 2;

const LEAD: &[u8] = b"\r\n-------";

static LEAD_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(LEAD));

/// What is known about the octets looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The first `data` octets are body, and the message ends with the first `taken`.
    End { data: usize, taken: usize, flag: Flag },
    /// The first so many octets are body; what follows may be the start of the end-line.
    Data(usize),
}

/// How a text compares to what an end-line has behind its hyphens.
enum Tail {
    Ends(Flag),
    Unfinished,
    Differs,
}

/// Looks for the end-line of `transaction`. `started` is whether an octet of the body was taken before: until then
/// the end-line also counts without the CRLF before it, because many senders leave it out after an empty body.
pub(crate) fn end_line(input: &[u8], transaction: TransactionId, started: bool) -> Scan {
    if !started {
        let hyphens = LEAD.get(2..).unwrap_or_default();
        let seen = input.len().min(hyphens.len());
        if input.get(..seen) == hyphens.get(..seen) {
            match tail(input.get(seen..).unwrap_or_default(), transaction) {
                Tail::Ends(flag) => {
                    let taken = hyphens.len() + transaction.as_bytes().len() + 3;
                    return Scan::End { data: 0, taken, flag };
                }
                Tail::Unfinished => return Scan::Data(0),
                Tail::Differs => {}
            }
        }
    }
    let mut from = 0;
    while let Some(found) = LEAD_FINDER.find(input.get(from..).unwrap_or_default()) {
        let data = from + found;
        let behind = data + LEAD.len();
        match tail(input.get(behind..).unwrap_or_default(), transaction) {
            Tail::Ends(flag) => {
                let taken = behind + transaction.as_bytes().len() + 3;
                return Scan::End { data, taken, flag };
            }
            Tail::Unfinished => return Scan::Data(data),
            // The hyphens hold no CR, so the next candidate starts behind them.
            Tail::Differs => from = behind,
        }
    }
    Scan::Data(input.len() - unfinished_lead(input.get(from..).unwrap_or_default()))
}

/// Whether `line`, without its CRLF, is the end-line of `transaction`.
pub(crate) fn is_end_line(line: &[u8], transaction: TransactionId) -> Option<Flag> {
    let rest = line.strip_prefix(LEAD.get(2..).unwrap_or_default())?;
    match rest.strip_prefix(transaction.as_bytes())? {
        [flag] => Flag::parse(*flag),
        _ => None,
    }
}

fn tail(rest: &[u8], transaction: TransactionId) -> Tail {
    let id = transaction.as_bytes();
    let seen = rest.len().min(id.len());
    if rest.get(..seen) != id.get(..seen) {
        return Tail::Differs;
    }
    match rest.get(seen..).unwrap_or_default() {
        [] => Tail::Unfinished,
        [flag, end @ ..] => match (Flag::parse(*flag), end) {
            (Some(flag), [b'\r', b'\n', ..]) => Tail::Ends(flag),
            (Some(_), [] | [b'\r']) => Tail::Unfinished,
            _ => Tail::Differs,
        },
    }
}

/// How many octets at the end of `input` may be the start of [`LEAD`].
fn unfinished_lead(input: &[u8]) -> usize {
    (1..LEAD.len())
        .rev()
        .find(|&n| LEAD.get(..n).is_some_and(|start| input.ends_with(start)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> TransactionId {
        TransactionId::parse(b"abcd1234").unwrap()
    }

    fn scan(input: &str) -> Scan {
        end_line(input.as_bytes(), id(), true)
    }

    #[test]
    fn only_the_whole_end_line_of_this_transaction_ends_the_body() {
        let end = Scan::End { data: 2, taken: 22, flag: Flag::More };
        assert_eq!(scan("hi\r\n-------abcd1234+\r\nMSRP"), end);
        for data in [
            "hi-------abcd1234$\r\n",
            "hi\n-------abcd1234$\r\n",
            "hi\r\n------abcd1234$\r\n",
            "hi\r\n-------abcd123$\r\n",
            "hi\r\n-------abcd12345$\r\n",
            "hi\r\n-------abcd1234!\r\n",
            "hi\r\n-------abcd1234$\n",
            "hi\r\n-------abcd1234$x",
        ] {
            let data = format!("{data}.");
            assert_eq!(scan(&data), Scan::Data(data.len()), "{data:?}");
        }
    }

    #[test]
    fn exactly_what_may_start_an_end_line_is_held_back() {
        let whole = "hi\r\n-------abcd1234$\r\n";
        for cut in 2..whole.len() {
            assert_eq!(scan(&whole[..cut]), Scan::Data(2), "{cut}");
        }
        assert_eq!(scan("hi\r\r"), Scan::Data(3));
        assert_eq!(scan("hi\r\n--x"), Scan::Data(7));
    }

    #[test]
    fn an_end_line_without_crlf_counts_only_at_the_start_of_the_body() {
        let at_start = end_line(b"-------abcd1234$\r\n", id(), false);
        assert_eq!(at_start, Scan::End { data: 0, taken: 18, flag: Flag::End });
        assert_eq!(end_line(b"-------abcd", id(), false), Scan::Data(0));
        assert_eq!(end_line(b"", id(), false), Scan::Data(0));
        assert_eq!(scan("-------abcd1234$\r\n"), Scan::Data(16));
    }
}
