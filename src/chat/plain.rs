//! Chat through pipes: each line of standard input is said, each event is a line on standard output. At the end of
//! the input the conversation is over, but not before everything said was accepted.
#![expect(clippy::print_stdout, reason = "standard output is what this mode is for")]
use client::{Conference, Event, Events};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Next, carry_out, told, understand};

/// Talks until the input ends, the person quits or the conference is over.
pub(super) async fn talk(
    room: &Conference,
    mut events: Events,
    domain: &str,
) -> anyhow::Result<Next> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    println!("{}", told(&event));
                    if matches!(event, Event::Ended { .. }) {
                        return Ok(Next::Quit);
                    }
                }
                None => return Ok(Next::Quit),
            },
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(Next::Quit) };
                let Some(line) = understand(&line) else { continue };
                let next = carry_out(line, room, domain, &mut |text| println!("{text}")).await;
                if next != Next::Go {
                    return Ok(next);
                }
            }
        }
    }
}
