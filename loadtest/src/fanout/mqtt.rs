//! MQTT 3.1.1 with quality of service 0: one topic. Pure.
use super::content::Content;
use super::speech::{Item, Nonsense, Speech};

const TOPIC: &[u8] = b"\x00\x04room";

/// One client; each needs a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mqtt {
    /// It publishes.
    Publisher,
    /// It has subscribed, under this number.
    Subscriber(usize),
}

/// A packet: its type and flags, its length (MQTT 3.1.1, 2.2.3), its octets.
fn packet(kind: u8, body: &[&[u8]], out: &mut Vec<u8>) {
    let mut length = body.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    loop {
        let low = u8::try_from(length & 127).unwrap_or_default();
        length >>= 7;
        out.push(if length > 0 { low | 128 } else { low });
        if length == 0 {
            break;
        }
    }
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// Type, start of the body and its end; `None` if the length is not complete.
fn frame(input: &[u8]) -> Result<Option<(u8, usize, usize)>, Nonsense> {
    let (mut length, mut shift) = (0_usize, 0);
    for (at, octet) in input.iter().enumerate().skip(1) {
        length |= usize::from(octet & 127) << shift;
        shift += 7;
        if octet & 128 == 0 {
            let kind = input.first().copied().unwrap_or_default();
            return Ok(Some((kind, at + 1, at + 1 + length)));
        }
        if shift == 28 {
            return Err(Nonsense("a packet whose length is none".into()));
        }
    }
    Ok(None)
}

impl Speech for Mqtt {
    fn greeting(&self) -> Vec<u8> {
        let name = match self {
            Self::Publisher => "sender".to_owned(),
            Self::Subscriber(number) => format!("receiver{number}"),
        };
        let length = u16::try_from(name.len()).unwrap_or_default().to_be_bytes();
        let mut out = Vec::new();
        // Protocol level 4, clean session, no keep-alive.
        packet(0x10, &[b"\x00\x04MQTT\x04\x02\x00\x00", &length, name.as_bytes()], &mut out);
        if matches!(self, Self::Subscriber(_)) {
            packet(0x82, &[b"\x00\x01", TOPIC, b"\x00"], &mut out);
        }
        out
    }

    fn message(&self, number: u64, content: &Content, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(content.octets());
        content.write(number, &mut body);
        packet(0x30, &[TOPIC, &body], out);
    }

    fn hear<'a>(
        &mut self,
        input: &'a [u8],
        _reply: &mut Vec<u8>,
    ) -> Result<Option<(usize, Item<'a>)>, Nonsense> {
        let Some((kind, start, end)) = frame(input)? else { return Ok(None) };
        let Some(body) = input.get(start..end) else { return Ok(None) };
        let item = match (kind, body) {
            (0x20, [_, 0]) if *self == Self::Publisher => Item::Accepted,
            (0x20, [_, 0]) => Item::Other,
            (0x90, [_, _, 0]) => Item::Accepted,
            (0x30, _) => {
                let octets = body.strip_prefix(TOPIC);
                let octets = octets.ok_or_else(|| Nonsense("a message of another topic".into()))?;
                Item::Piece { offset: 0, octets, ends: true }
            }
            _ => return Err(Nonsense(format!("a packet of type {kind:#x}"))),
        };
        Ok(Some((end, item)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_when_it_is_complete() {
        let content = Content::new(b"", 300);
        let mut stream = Vec::new();
        Mqtt::Publisher.message(9, &content, &mut stream);
        let mut receiver = Mqtt::Subscriber(1);

        for cut in 0..stream.len() {
            assert_eq!(receiver.hear(&stream[..cut], &mut Vec::new()), Ok(None), "{cut}");
        }
        let heard = receiver.hear(&stream, &mut Vec::new()).unwrap();
        let Some((taken, Item::Piece { offset: 0, octets, ends: true })) = heard else { panic!() };
        assert_eq!(taken, stream.len());
        assert!(content.matches(9, 0, octets));
    }

    #[test]
    fn a_subscriber_is_accepted_with_its_subscription_and_a_publisher_with_its_connection() {
        let (connack, suback) = ([0x20, 2, 0, 0], [0x90, 3, 0, 1, 0]);
        let heard = |mut who: Mqtt, bytes: &[u8]| who.hear(bytes, &mut Vec::new()).map(|_| ());
        let item = |mut who: Mqtt, bytes: &'static [u8]| {
            who.hear(bytes, &mut Vec::new()).unwrap().unwrap().1
        };

        assert_eq!(item(Mqtt::Publisher, &[0x20, 2, 0, 0]), Item::Accepted);
        assert_eq!(item(Mqtt::Subscriber(1), &[0x20, 2, 0, 0]), Item::Other);
        assert_eq!(item(Mqtt::Subscriber(1), &[0x90, 3, 0, 1, 0]), Item::Accepted);
        assert!(
            heard(Mqtt::Publisher, &connack).is_ok() && heard(Mqtt::Subscriber(1), &suback).is_ok()
        );
        assert!(heard(Mqtt::Publisher, &[0x20, 2, 0, 5]).is_err(), "not authorised");
        assert!(heard(Mqtt::Publisher, &[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
