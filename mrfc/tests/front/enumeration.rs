//! A name server on loopback that knows telephone numbers (ENUM, RFC 6116): it answers questions for NAPTR records.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;

const NAPTR: u16 = 35;

/// The server. It ends with its runtime.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Dns {
    /// Knows each of these numbers by an address of it; one number may have several.
    pub(crate) async fn knows(numbers: &[(&str, &str)]) -> Self {
        let records = numbers.iter().map(|(number, address)| {
            let digits: Vec<String> =
                number.trim_start_matches('+').chars().rev().map(String::from).collect();
            (format!("{}.e164.test", digits.join(".")), format!("!^.*$!{address}!"))
        });
        let records: Vec<(String, String)> = records.collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((octets, from)) = socket.recv_from(&mut question).await {
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&question[..octets], &records) {
                    drop(socket.send_to(&answer, from).await);
                }
            }
        });
        Self { address, asked }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// RFC 1035, 4.1, by hand.
fn answer(question: &[u8], records: &[(String, String)]) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(std::str::from_utf8(question.get(at..at + length)?).ok()?);
        at += length;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let of_name = records.iter().filter(|(known, _)| known.eq_ignore_ascii_case(&name));
    let answers: Vec<Vec<u8>> =
        of_name.filter(|_| kind == NAPTR).map(|(_, regexp)| data(regexp)).collect();
    let mut out = question.get(..2)?.to_vec();
    // An authoritative answer; or no such name.
    out.extend([0x85, if answers.is_empty() { 0x83 } else { 0x80 }, 0, 1]);
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

/// RFC 3403, 4.1.
fn data(regexp: &str) -> Vec<u8> {
    let mut data = vec![0, 10, 0, 100];
    for text in ["u", "E2U+sip", regexp] {
        data.push(u8::try_from(text.len()).unwrap());
        data.extend_from_slice(text.as_bytes());
    }
    data.push(0);
    data
}
