//! The octets of a program, and the messages it is about.
use mrfp::session::{BUNDLE, SEALED, SEALED_FILE};

/// What is left of the program. Past its end every octet is nought.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn octet(&mut self) -> u8 {
        self.octets(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.octet() % bound
    }

    pub(crate) fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A message that somebody sends, in whatever pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// All of it, CPIM headers first.
    pub(crate) octets: Vec<u8>,
    /// Where the sender is.
    pub(crate) at: usize,
    /// The epoch it is sealed under, if it is a sealed message to the room.
    pub(crate) epoch: Option<u64>,
}

/// Somebody's URI. The last is nobody's.
fn uri(who: u8) -> String {
    match who {
        0 => "sip:room7@example.net".into(),
        1..=4 => format!("sip:user{who}@example.net"),
        5 => "tel:+15551234".into(),
        _ => "sip:nobody@example.org".into(),
    }
}

impl Source {
    /// Another message of this seat in this slot.
    pub(crate) fn new(seat: usize, slot: usize, script: &mut Script<'_>, count: u32) -> Self {
        let (kind, to) = (script.below(8), script.below(8));
        let length = usize::from(script.octet()) * [1, 16, 300][usize::from(script.below(3))];
        let epoch = u64::from(script.below(4));
        // Mostly the sender's own.
        let from = match script.below(8) {
            odd @ 5.. => odd,
            _ => u8::try_from(seat).unwrap() + 1,
        };
        let content_type = match kind {
            0 | 1 => SEALED,
            2 => BUNDLE,
            3 => SEALED_FILE,
            4 => "text/plain",
            5 => "image/png",
            6 => "application/im-iscomposing+xml",
            _ => "bad type/",
        };
        let second = if to == 7 { "To: <sip:user1@example.net>\r\n" } else { "" };
        let mut octets = format!(
            "From: <{}>\r\nTo: <{}>\r\n{second}\r\nContent-Type: {content_type}\r\n\r\n",
            uri(from),
            uri(to)
        )
        .into_bytes();
        if kind < 2 {
            octets.extend_from_slice(&[0, 1, 0, 2, 7]);
            octets.extend_from_slice(b"room7#0");
            octets.extend_from_slice(&epoch.to_be_bytes());
            octets.push(1);
        }
        // Something like end-lines is in it too.
        octets.extend(b"abcdefgh\r\n-------t0000001$\r\n".iter().cycle().take(length));
        let sealed = kind < 2 && to == 0;
        let name = format!("m{seat}x{slot}x{count}");
        Self { name, octets, at: 0, epoch: sealed.then_some(epoch) }
    }
}
