//! The frames of both directions, as checked values: greetings, numbered orders and notices, acknowledgements.
use crate::bad::BadFrame;
use crate::notice::Notice;
use crate::order::Order;
use crate::proto;

/// A frame from MRFC to MRFP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRelay {
    /// Answers [`ToFocus::Hello`]; the first frame.
    Welcome(Welcome),
    /// An order.
    Order {
        /// Its number on this link.
        number: u64,
        /// What it says.
        order: Order,
    },
    /// Every notice up to this number is safe with the MRFC.
    Acknowledge(u64),
    /// Rooms and seats not named since the greeting are not wanted any more.
    Complete,
}

/// The MRFC's greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The MRFC's name.
    pub focus: String,
    /// Which run of it.
    pub incarnation: String,
    /// The last notice of this run of the relay that is safe with the MRFC; 0: none.
    pub acknowledge: u64,
    /// Orders on this link start one above.
    pub last_order: u64,
}

/// A frame from MRFP to MRFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToFocus {
    /// The first frame.
    Hello(Hello),
    /// A notice.
    Notice {
        /// Its number within this run of the relay.
        number: u64,
        /// What it says.
        notice: Notice,
    },
    /// Every order up to this number has been carried out.
    Acknowledge(u64),
}

/// The MRFP's greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The relay's name.
    pub relay: String,
    /// Which run of it.
    pub incarnation: String,
    /// The run of the MRFC that it last heard; empty: none.
    pub focus_incarnation: String,
    /// The last order of that run that it carried out; 0: none.
    pub acknowledge: u64,
    /// The authority in the MSRP URIs it hands out, `host:port`.
    pub msrp: String,
    /// The fingerprint of its MSRP certificate, `SHA-256 AB:CD:…`.
    pub fingerprint: String,
}

impl From<ToRelay> for proto::ToRelay {
    fn from(frame: ToRelay) -> Self {
        use proto::to_relay::Frame;
        let frame = match frame {
            ToRelay::Welcome(Welcome { focus, incarnation, acknowledge, last_order }) => {
                Frame::Welcome(proto::Welcome { focus, incarnation, acknowledge, last_order })
            }
            ToRelay::Order { number, order } => {
                Frame::Order(proto::NumberedOrder { number, order: Some(order.into()) })
            }
            ToRelay::Acknowledge(number) => Frame::Acknowledge(number),
            ToRelay::Complete => Frame::Complete(proto::Complete {}),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<proto::ToRelay> for ToRelay {
    type Error = BadFrame;

    fn try_from(frame: proto::ToRelay) -> Result<Self, BadFrame> {
        use proto::to_relay::Frame;
        match frame.frame.ok_or_else(|| BadFrame::missing("to_relay.frame"))? {
            Frame::Welcome(proto::Welcome { focus, incarnation, acknowledge, last_order }) => {
                if incarnation.is_empty() {
                    return Err(BadFrame::missing("welcome.incarnation"));
                }
                Ok(Self::Welcome(Welcome { focus, incarnation, acknowledge, last_order }))
            }
            Frame::Order(numbered) => {
                let order = numbered.order.ok_or_else(|| BadFrame::missing("order.order"))?;
                Ok(Self::Order { number: numbered.number, order: order.try_into()? })
            }
            Frame::Acknowledge(number) => Ok(Self::Acknowledge(number)),
            Frame::Complete(proto::Complete {}) => Ok(Self::Complete),
        }
    }
}

impl From<ToFocus> for proto::ToFocus {
    fn from(frame: ToFocus) -> Self {
        use proto::to_focus::Frame;
        let frame = match frame {
            ToFocus::Hello(hello) => Frame::Hello(proto::Hello {
                relay: hello.relay,
                incarnation: hello.incarnation,
                acknowledge: hello.acknowledge,
                msrp: hello.msrp,
                fingerprint: hello.fingerprint,
                focus_incarnation: hello.focus_incarnation,
            }),
            ToFocus::Notice { number, notice } => {
                Frame::Notice(proto::NumberedNotice { number, notice: Some(notice.into()) })
            }
            ToFocus::Acknowledge(number) => Frame::Acknowledge(number),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<proto::ToFocus> for ToFocus {
    type Error = BadFrame;

    fn try_from(frame: proto::ToFocus) -> Result<Self, BadFrame> {
        use proto::to_focus::Frame;
        match frame.frame.ok_or_else(|| BadFrame::missing("to_focus.frame"))? {
            Frame::Hello(hello) => {
                if hello.incarnation.is_empty() {
                    return Err(BadFrame::missing("hello.incarnation"));
                }
                Ok(Self::Hello(Hello {
                    relay: hello.relay,
                    incarnation: hello.incarnation,
                    focus_incarnation: hello.focus_incarnation,
                    acknowledge: hello.acknowledge,
                    msrp: hello.msrp,
                    fingerprint: hello.fingerprint,
                }))
            }
            Frame::Notice(numbered) => {
                let notice = numbered.notice.ok_or_else(|| BadFrame::missing("notice.notice"))?;
                Ok(Self::Notice { number: numbered.number, notice: notice.try_into()? })
            }
            Frame::Acknowledge(number) => Ok(Self::Acknowledge(number)),
        }
    }
}
