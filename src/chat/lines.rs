//! Lines of standard input, read on a thread of its own: a read that nobody ends does not keep the program from ending. A
//! line has a bound, and octets that are no UTF-8 are replaced; neither ends the conversation.
use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

/// What is said of a line that is longer.
pub(super) const TOO_LONG: &str = "! the line is too long: send it as a file";
/// Octets of a line: more than anybody types, less than anybody has to fear.
pub(super) const LINE_OCTETS_MAX: usize = 64 * 1024;
/// Lines that wait to be carried out.
const LINES_MAX: usize = 16;

/// A line as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// It was longer than a line may be, and is gone.
    TooLong,
}

/// Reads standard input to its end.
pub(super) fn typed() -> mpsc::Receiver<Typed> {
    let (to, from) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Ok(Some(line)) = next(&mut input, LINE_OCTETS_MAX as u64) {
            if to.blocking_send(line).is_err() {
                return;
            }
        }
    });
    from
}

/// The next line, without its end. Of one that is too long the rest is passed over.
fn next(input: &mut impl BufRead, octets_max: u64) -> io::Result<Option<Typed>> {
    let mut line = Vec::new();
    if input.by_ref().take(octets_max + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let ended = line.last() == Some(&b'\n');
    if ended || u64::try_from(line.len()).is_ok_and(|octets| octets <= octets_max) {
        let text = String::from_utf8_lossy(&line);
        return Ok(Some(Typed::Line(text.trim_end_matches(['\r', '\n']).to_owned())));
    }
    loop {
        let passed = input.fill_buf()?;
        let end = passed.iter().position(|octet| *octet == b'\n');
        let (over, octets) =
            (end.is_some() || passed.is_empty(), end.map_or(passed.len(), |at| at + 1));
        input.consume(octets);
        if over {
            return Ok(Some(Typed::TooLong));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_whole() {
        let mut input = io::Cursor::new(b"12345\n1234567890123\nnext\r\nlast".to_vec());

        let lines: Vec<Typed> = std::iter::from_fn(|| next(&mut input, 6).unwrap()).collect();

        let line = |text: &str| Typed::Line(text.to_owned());
        assert_eq!(lines, [line("12345"), Typed::TooLong, line("next"), line("last")]);
    }

    #[test]
    fn octets_that_are_no_text_do_not_end_the_conversation() {
        let mut input = io::Cursor::new(b"caf\xe9\nnext\n".to_vec());

        let lines: Vec<Typed> = std::iter::from_fn(|| next(&mut input, 64).unwrap()).collect();

        let line = |text: &str| Typed::Line(text.to_owned());
        assert_eq!(lines, [line("caf\u{fffd}"), line("next")]);
    }
}
