//! A name server on loopback that knows what a test tells it.
#![allow(dead_code, unreachable_pub, reason = "a module of each test file")]
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;

/// What a name has.
#[derive(Clone, Debug)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// Priority, port and target; the weight is 0.
    Srv(u16, u16, &'static str),
}

/// The server. It ends with its runtime.
pub struct Dns {
    pub address: SocketAddr,
}

impl Dns {
    /// The name `*` stands for all.
    pub async fn new(records: Vec<(&'static str, Record)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records = Arc::new(records);
        tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((octets, from)) = socket.recv_from(&mut question).await {
                if let Some(answer) = question.get(..octets).and_then(|all| answer(all, &records)) {
                    drop(socket.send_to(&answer, from).await);
                }
            }
        });
        Self { address }
    }
}

/// RFC 1035, 4.1, by hand.
fn answer(question: &[u8], records: &[(&'static str, Record)]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(question.get(at..at + length)?).ok()?);
        at += length;
    }
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let is_it = |known: &str| known == "*" || known.eq_ignore_ascii_case(&name);
    let of_name: Vec<_> = records.iter().filter(|(known, _)| is_it(known)).collect();
    let answers: Vec<Vec<u8>> =
        of_name.iter().filter_map(|(_, record)| data(record, kind)).collect();
    let mut out = question.get(..2)?.to_vec();
    // A response to a recursive question; no such name.
    out.extend([0x81, if of_name.is_empty() { 0x83 } else { 0x80 }, 0, 1]);
    out.extend(u16::try_from(answers.len()).ok()?.to_be_bytes());
    out.extend([0; 4]);
    out.extend_from_slice(question.get(12..at + 4)?);
    for data in answers {
        // The name of the question; the Internet; a minute.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Address(IpAddr::V4(address)), 1) => Some(address.octets().to_vec()),
        (Record::Address(IpAddr::V6(address)), 28) => Some(address.octets().to_vec()),
        (Record::Srv(priority, port, target), 33) => {
            let mut data = priority.to_be_bytes().to_vec();
            data.extend([0, 0]);
            data.extend(port.to_be_bytes());
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(u8::try_from(label.len()).ok()?);
                data.extend_from_slice(label.as_bytes());
            }
            data.push(0);
            Some(data)
        }
        _ => None,
    }
}
