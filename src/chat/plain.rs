//! Chat through pipes: each line of standard input is said, each event is a line on standard output. At the end of
//! the input the conversation is over, but not before everything said was accepted; and it is over when the conference is,
//! or nobody reads its output, whatever the input does.
use std::io::{self, Write as _};

use service::clock;

use super::lines::{TOO_LONG, Typed, typed};
use super::{Next, Table, carry_out, turn, understand};
use crate::terminal;

/// Talks until the input ends, the person quits or the conference is over.
pub(super) async fn talk(table: &mut Table<'_>, first: Vec<String>) -> Next {
    let stop = table.stop.clone();
    let mut show = |text: String| {
        if writeln!(io::stdout(), "{}", terminal::lines(&text)).is_err() {
            stop.trigger();
        }
    };
    first.into_iter().for_each(&mut show);
    let next = converse(table, &mut show).await;
    turn::rest(table).await.into_iter().for_each(&mut show);
    next
}

async fn converse(table: &mut Table<'_>, show: &mut dyn FnMut(String)) -> Next {
    let mut lines = typed();
    loop {
        tokio::select! {
            happened = turn::next(table) => {
                let (said, next) = turn::lines(happened, table).await;
                said.into_iter().for_each(&mut *show);
                table.files.underway.lines(clock::now()).into_iter().for_each(&mut *show);
                if next != Next::Go {
                    return next;
                }
            }
            line = lines.recv() => {
                let line = match line {
                    Some(Typed::Line(line)) => line,
                    Some(Typed::TooLong) => {
                        show(TOO_LONG.to_owned());
                        continue;
                    }
                    None => return Next::Quit,
                };
                let Some(line) = understand(&line) else { continue };
                let next = carry_out(&line, table, show).await;
                if next != Next::Go {
                    return next;
                }
            }
        }
    }
}
