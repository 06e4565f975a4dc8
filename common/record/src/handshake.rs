//! What may come of the handshake protocol behind the handshake (RFC 8446, 4.6): KeyUpdate, and at a client tickets, which
//! are dropped. Messages may come in pieces; a KeyUpdate must end its record, for what follows has another key.
use crate::Error;

/// KeyUpdate, and none is wanted in return.
pub(crate) const KEY_UPDATE: [u8; 5] = [KEY_UPDATE_TYPE, 0, 0, 1, 0];

const NEW_SESSION_TICKET_TYPE: u8 = 4;
const KEY_UPDATE_TYPE: u8 = 24;

/// Octets of a ticket's message: more than any server sends.
const MESSAGE_OCTETS_MAX: usize = 64 * 1024;

/// A message that is not all here yet.
pub(crate) struct Handshake {
    octets: Vec<u8>,
    client: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Nothing to be done.
    Nothing,
    KeyUpdate {
        /// This end must change its key, too.
        requested: bool,
    },
}

impl Handshake {
    pub(crate) fn new(client: bool) -> Self {
        Self { octets: Vec::new(), client }
    }

    /// Whether no message has begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Reads the content of one record.
    pub(crate) fn read(&mut self, octets: &[u8]) -> Result<Message, Error> {
        if octets.is_empty() {
            return Err(Error::Unexpected);
        }
        let mut all = std::mem::take(&mut self.octets);
        all.extend_from_slice(octets);
        let mut rest = &*all;
        while let Some(kind) = rest.first() {
            let known = match *kind {
                KEY_UPDATE_TYPE => true,
                NEW_SESSION_TICKET_TYPE => self.client,
                _ => false,
            };
            if !known {
                return Err(Error::Unexpected);
            }
            let Some(([_, high, middle, low], behind)) = rest.split_first_chunk() else { break };
            let length = u32::from_be_bytes([0, *high, *middle, *low]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let most = if *kind == KEY_UPDATE_TYPE { 1 } else { MESSAGE_OCTETS_MAX };
            if length > most {
                return Err(Error::Malformed);
            }
            let Some((message, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            if *kind == KEY_UPDATE_TYPE {
                return match message {
                    [requested @ (0 | 1)] if rest.is_empty() => {
                        Ok(Message::KeyUpdate { requested: *requested == 1 })
                    }
                    [0 | 1] => Err(Error::Unexpected),
                    [_] => Err(Error::Illegal),
                    _ => Err(Error::Malformed),
                };
            }
        }
        self.octets = rest.to_vec();
        Ok(Message::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 5] = [24, 0, 0, 1, 1];

    #[test]
    fn s4_6_3_a_key_update_may_come_in_pieces_and_must_end_its_record() {
        let mut handshake = Handshake::new(false);
        assert_eq!(handshake.read(&REQUEST[..2]), Ok(Message::Nothing));
        assert!(!handshake.is_empty());
        assert_eq!(handshake.read(&REQUEST[2..]), Ok(Message::KeyUpdate { requested: true }));
        assert!(handshake.is_empty());
        assert_eq!(handshake.read(&KEY_UPDATE), Ok(Message::KeyUpdate { requested: false }));

        assert_eq!(handshake.read(&[&REQUEST[..], &[24]].concat()), Err(Error::Unexpected));
        assert_eq!(Handshake::new(false).read(&[24, 0, 0, 1, 2]), Err(Error::Illegal));
        assert_eq!(Handshake::new(false).read(&[24, 0, 0, 2]), Err(Error::Malformed));
    }

    #[test]
    fn s4_6_1_a_client_drops_tickets_and_a_server_takes_none() {
        let tickets = [4, 0, 0, 2, 9, 9, 4, 0, 0, 1];
        let mut client = Handshake::new(true);
        assert_eq!(client.read(&tickets), Ok(Message::Nothing));
        assert!(!client.is_empty(), "the second is not all there");
        assert_eq!(client.read(&[9]), Ok(Message::Nothing));
        assert!(client.is_empty());

        assert_eq!(Handshake::new(false).read(&tickets), Err(Error::Unexpected));
        assert_eq!(client.read(&[4, 1, 0, 1]), Err(Error::Malformed), "too long a ticket");
        assert_eq!(client.read(&[]), Err(Error::Unexpected), "5.1: no empty fragments");
    }
}
