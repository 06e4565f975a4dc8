//! Chat through pipes: each line of standard input is said, each event is a line on standard output. At the end of
//! the input the conversation is over, but not before everything said was accepted; and it is over when the conference is,
//! whatever the input does.
#![expect(clippy::print_stdout, reason = "standard output is what this mode is for")]
use client::{Event, Events, Roster};

use super::lines::{Typed, typed};
use super::{Next, Table, carry_out, mail, next_roster, roster, told, understand};

/// Talks until the input ends, the person quits or the conference is over.
pub(super) async fn talk(
    mut table: Table<'_>,
    mut events: Events,
    first: Option<String>,
) -> anyhow::Result<Next> {
    let mut show = |text: String| println!("{text}");
    first.into_iter().for_each(&mut show);
    let (mut lines, mut known) = (typed(), seen(&table));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    show(told(&event, &table).await);
                    if matches!(event, Event::Ended { .. }) {
                        return Ok(Next::Quit);
                    }
                }
                None => return Ok(Next::Quit),
            },
            arrival = mail::next(&mut table.inbox) => {
                if let Some(line) = mail::arrived(arrival, &table) {
                    show(line);
                }
            }
            Some(line) = table.later.1.recv() => show(line),
            now = next_roster(&mut table.watch) => match now {
                Some(now) => {
                    roster::changes(&known, &now).into_iter().for_each(&mut show);
                    known = now;
                }
                None => table.watch = None,
            },
            line = lines.recv() => {
                let line = match line {
                    Some(Typed::Line(line)) => line,
                    Some(Typed::TooLong) => {
                        show("! the line is too long: send it as a file".to_owned());
                        continue;
                    }
                    None => return Ok(Next::Quit),
                };
                let Some(line) = understand(&line) else { continue };
                let next = carry_out(&line, &table, &mut show).await;
                if next != Next::Go {
                    return Ok(next);
                }
            }
        }
    }
}

fn seen(table: &Table<'_>) -> Roster {
    table.watch.as_ref().map(client::Watch::roster).unwrap_or_default()
}
