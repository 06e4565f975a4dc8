//! Finding the end of a head while its octets arrive, line by line, without looking at an octet twice and within the
//! bounds. What the lines say is read later, by `parse`.

use std::sync::Arc;

use crate::fault::Defect;
use crate::ident::TransactionId;
use crate::limits::Limits;
use crate::parse::{self, Line};
use crate::paths::{Known, Paths};
use crate::scan;
use crate::start::Flag;

/// The lines of the head at hand.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Start line first; each without its CRLF. Kept from head to head, to be used again.
    pub(crate) spans: Vec<Line>,
    line_at: usize,
    searched: usize,
    /// Known as soon as the start line is.
    pub(crate) transaction: Option<TransactionId>,
    /// The paths, where their lines were known; `spans` has none for them then.
    pub(crate) paths: Option<Arc<Paths>>,
}

/// What every message starts with.
const MARK: &[u8] = b"MSRP ";

/// What became of looking for the end of a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// More octets are needed.
    Nothing,
    /// The head has so many octets.
    Head { octets: usize, transaction: TransactionId, ending: Ending },
    /// Nobody knows where this message ends.
    Broken(Defect),
}

/// What ends a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A blank line: a body follows.
    Blank,
    /// The end-line: there is no body.
    EndLine(Flag),
}

impl Lines {
    /// Whether nothing of this head was looked at.
    pub(crate) fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// Starts over, at the head of the next message.
    pub(crate) fn restart(&mut self) {
        self.spans.clear();
        (self.line_at, self.searched) = (0, 0);
        (self.transaction, self.paths) = (None, None);
    }

    /// Steps over path lines that are known, right behind the start line.
    fn step_over_paths(&mut self, input: &[u8], known: &Known) {
        if self.spans.len() == 1
            && self.searched == self.line_at
            && let Some((paths, octets)) = known.find(input.get(self.line_at..).unwrap_or_default())
        {
            self.paths = Some(Arc::clone(paths));
            self.line_at += octets;
            self.searched = self.line_at;
        }
    }

    /// How many headers there are, the paths among them.
    fn headers(&self) -> usize {
        // The start line is no header.
        self.spans.len().saturating_sub(1) + if self.paths.is_some() { 2 } else { 0 }
    }

    /// Looks at what has arrived since it looked last.
    pub(crate) fn find(&mut self, input: &[u8], known: &Known, limits: &Limits) -> Found {
        if self.searched < MARK.len() && !starts_like_msrp(input) {
            return Found::Broken(Defect::NotMsrp);
        }
        loop {
            if self.paths.is_none() {
                self.step_over_paths(input, known);
            }
            let unseen = input.get(self.searched..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', unseen) else {
                self.searched = input.len();
                let broken = beyond(limits, input.len(), input.len() - self.line_at);
                return broken.map_or(Found::Nothing, Found::Broken);
            };
            let (start, end) = (self.line_at, self.searched + at + 1);
            (self.line_at, self.searched) = (end, end);
            if let Some(defect) = beyond(limits, end, end - start) {
                return Found::Broken(defect);
            }
            let Some([line @ .., b'\r', b'\n']) = input.get(start..end) else {
                return Found::Broken(Defect::LineEnd);
            };
            let ended = match self.transaction {
                None => {
                    self.transaction = parse::transaction(line);
                    if self.transaction.is_none() {
                        return Found::Broken(Defect::StartLine);
                    }
                    None
                }
                Some(transaction) => ending(line, transaction).map(|ending| (ending, transaction)),
            };
            if let Some((ending, transaction)) = ended {
                return Found::Head { octets: end, transaction, ending };
            }
            if !self.spans.is_empty() && self.headers() >= limits.headers_max {
                return Found::Broken(Defect::TooManyHeaders);
            }
            self.spans.push(span(start, line.len()));
        }
    }
}

fn ending(line: &[u8], transaction: TransactionId) -> Option<Ending> {
    if line.is_empty() {
        return Some(Ending::Blank);
    }
    scan::is_end_line(line, transaction).map(Ending::EndLine)
}

/// Which bound a head of these sizes breaks.
fn beyond(limits: &Limits, head: usize, line: usize) -> Option<Defect> {
    if line > limits.line_octets_max {
        return Some(Defect::LineTooLong);
    }
    (head > limits.head_octets_max).then_some(Defect::HeadTooLong)
}

fn span(start: usize, length: usize) -> Line {
    let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
    (narrow(start), narrow(start + length))
}

/// As much as has arrived is looked at, so garbage is known by its first octet.
fn starts_like_msrp(input: &[u8]) -> bool {
    input.iter().zip(MARK).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "MSRP abcd SEND\r\nTo-Path: x\r\nFrom-Path: y\r\n-------abcd$\r\n";

    fn find(input: &str) -> Found {
        Lines::default().find(input.as_bytes(), &Known::default(), &Limits::default())
    }

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let mut lines = Lines::default();
        for cut in 0..HEAD.len() {
            let found = lines.find(&HEAD.as_bytes()[..cut], &Known::default(), &Limits::default());
            assert_eq!(found, Found::Nothing, "{cut}");
        }
        let found = lines.find(HEAD.as_bytes(), &Known::default(), &Limits::default());
        let transaction = TransactionId::parse(b"abcd").unwrap();
        let ending = Ending::EndLine(Flag::End);
        assert_eq!(found, Found::Head { octets: HEAD.len(), transaction, ending });
        assert_eq!(lines.spans.len(), 3);
    }

    #[test]
    fn garbage_is_known_by_its_first_octet() {
        assert_eq!(find("G"), Found::Broken(Defect::NotMsrp));
        assert_eq!(find("\r"), Found::Broken(Defect::NotMsrp));
        assert_eq!(find("MSRQ"), Found::Broken(Defect::NotMsrp));
        assert_eq!(find("MSR"), Found::Nothing);

        let mut lines = Lines::default();
        assert_eq!(lines.find(b"M", &Known::default(), &Limits::default()), Found::Nothing);
        assert_eq!(
            lines.find(b"MX", &Known::default(), &Limits::default()),
            Found::Broken(Defect::NotMsrp)
        );
    }

    #[test]
    fn each_bound_ends_the_search() {
        let limits = Limits { headers_max: 2, ..Limits::default() };
        let many = HEAD.replace("-------abcd$", "X: y");
        let found = Lines::default().find(many.as_bytes(), &Known::default(), &limits);
        assert_eq!(found, Found::Broken(Defect::TooManyHeaders));

        let long = format!("MSRP abcd SEND\r\nX: {}", "y".repeat(8192));
        assert_eq!(find(&long), Found::Broken(Defect::LineTooLong));

        let line = format!("X: {}\r\n", "y".repeat(1000));
        let tall = format!("MSRP abcd SEND\r\n{}", line.repeat(17));
        assert_eq!(find(&tall), Found::Broken(Defect::HeadTooLong));

        assert_eq!(find("MSRP abcd SEND\n"), Found::Broken(Defect::LineEnd));
        assert_eq!(find("MSRP ab SEND\r\n"), Found::Broken(Defect::StartLine));
    }
}
