//! The client protocol of nats-server: one subject, messages without headers. Pure.
use super::content::Content;
use super::speech::{Item, Nonsense, Speech};

/// One client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nats {
    /// It publishes.
    Publisher,
    /// It has subscribed.
    Subscriber,
}

impl Speech for Nats {
    fn greeting(&self) -> Vec<u8> {
        let subscribe = match self {
            Self::Publisher => "",
            Self::Subscriber => "SUB room 1\r\n",
        };
        let options =
            r#"{"verbose":false,"pedantic":false,"lang":"loadtest","version":"1","protocol":1}"#;
        format!("CONNECT {options}\r\n{subscribe}PING\r\n").into()
    }

    fn message(&self, number: u64, content: &Content, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("PUB room {}\r\n", content.octets()).as_bytes());
        content.write(number, out);
        out.extend_from_slice(b"\r\n");
    }

    fn hear<'a>(
        &mut self,
        input: &'a [u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<(usize, Item<'a>)>, Nonsense> {
        let Some(line) = memchr::memchr(b'\n', input) else { return Ok(None) };
        let text = input.get(..line).unwrap_or_default().trim_ascii_end();
        let Some(words) = text.strip_prefix(b"MSG room 1 ") else {
            return match text {
                b"PING" => {
                    reply.extend_from_slice(b"PONG\r\n");
                    Ok(Some((line + 1, Item::Other)))
                }
                b"PONG" => Ok(Some((line + 1, Item::Accepted))),
                _ if text.starts_with(b"INFO ") => Ok(Some((line + 1, Item::Other))),
                _ => Err(Nonsense(String::from_utf8_lossy(text).into_owned())),
            };
        };
        let length: Option<usize> =
            std::str::from_utf8(words).ok().and_then(|text| text.parse().ok());
        let length = length.ok_or_else(|| Nonsense("a MSG without a length".into()))?;
        let end = line + 1 + length;
        match input.get(end..end + 2) {
            None => Ok(None),
            Some(b"\r\n") => {
                let octets = input.get(line + 1..end).unwrap_or_default();
                Ok(Some((end + 2, Item::Piece { offset: 0, octets, ends: true })))
            }
            Some(_) => Err(Nonsense("a MSG that is longer than it says".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_when_it_is_complete() {
        let text = b"MSG room 1 5\r\nhello\r\nPING\r\n";
        let mut reply = Vec::new();

        for cut in 0..21 {
            assert_eq!(Nats::Subscriber.hear(&text[..cut], &mut reply), Ok(None), "{cut}");
        }
        let heard = Nats::Subscriber.hear(text, &mut reply).unwrap();
        assert_eq!(heard, Some((21, Item::Piece { offset: 0, octets: b"hello", ends: true })));
        assert!(Nats::Subscriber.hear(&text[21..], &mut reply).unwrap().is_some());
        assert_eq!(reply, b"PONG\r\n");
    }

    #[test]
    fn an_error_and_a_wrong_length_are_nonsense() {
        for text in [&b"-ERR 'Slow Consumer'\r\n"[..], b"MSG room 1 x\r\n", b"MSG room 1 2\r\nabcd"]
        {
            assert!(Nats::Subscriber.hear(text, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn what_is_published_says_its_length() {
        let content = Content::new(b"", 20);
        let mut out = Vec::new();
        Nats::Publisher.message(1, &content, &mut out);

        assert!(out.starts_with(b"PUB room 20\r\n0000000000000001"));
        assert_eq!(out.len(), 13 + 20 + 2);
    }
}
