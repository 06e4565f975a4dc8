//! Chat on a terminal: what was said above, what is typed below, and a status line that says who can read.
use std::io::{self, Write as _};
use std::time::Duration;

use client::Conference;
use ratatui::crossterm::event::{
    self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Style;
use ratatui::text::Line as Row;
use ratatui::widgets::Paragraph;
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

use super::lines::{LINE_OCTETS_MAX, TOO_LONG, Typed};
use super::{HELP, Line, Next, Table, carry_out, turn, understand};
use crate::terminal::{counted, lines};

/// What stands before what is typed.
const PROMPT: &str = "> ";
/// Lines kept to scroll back in.
const LINES_MAX: usize = 1000;
/// How long the input thread waits for a key before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// What is on the screen.
struct Screen {
    name: String,
    said: Vec<String>,
    typed: String,
    /// More was typed, or pasted, than a line may have.
    over: bool,
}

impl Screen {
    fn add(&mut self, text: String) {
        self.said.extend(lines(&text).lines().map(str::to_owned));
        let over = self.said.len().saturating_sub(LINES_MAX);
        self.said.drain(..over);
    }

    /// What a line means; of one that is too long, that it is.
    fn line(&mut self, typed: Typed) -> Option<Line> {
        match typed {
            Typed::Line(line) => understand(&line),
            Typed::TooLong => {
                self.add(TOO_LONG.to_owned());
                None
            }
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, room: &Conference, files: Option<String>) {
        let rows = [Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)];
        let [above, status, below] = Layout::vertical(rows).areas(frame.area());
        let rows = last_rows(&self.said, above.width.into(), above.height.into());
        frame.render_widget(Paragraph::new(rows), above);
        let state = room.status();
        let line = format!(
            " {} | {} | {} | epoch {} | {}",
            self.name,
            room.id(),
            counted(state.members, "device"),
            state.epoch,
            if state.members > 0 { "sealed" } else { "waiting for the group key" },
        );
        // What is under way stands first: a narrow screen shows it too.
        let line = files.map_or_else(|| line.clone(), |files| format!(" {files} |{line}"));
        frame.render_widget(Paragraph::new(line).style(Style::new().reversed()), status);
        let typed = end_of(&self.typed, usize::from(below.width).saturating_sub(PROMPT.len() + 1));
        frame.render_widget(Paragraph::new(format!("{PROMPT}{typed}")), below);
    }

    /// Takes what was typed, as far as it goes on or to the end of a line: what is pasted is not drawn letter by letter.
    fn typed(&mut self, first: Input, keys: &mut mpsc::Receiver<Input>) -> Option<Line> {
        let mut input = Some(first);
        while let Some(next) = input {
            if let Input::Key(key) = next
                && key.kind != KeyEventKind::Release
                && let Some(typed) = self.key(key)
            {
                return self.line(typed);
            }
            input = keys.try_recv().ok();
        }
        None
    }

    /// Takes a key; a whole line comes back when Enter was pressed.
    fn key(&mut self, key: KeyEvent) -> Option<Typed> {
        match key.code {
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(Typed::Line("/quit".to_owned()))
            }
            // A line that was pasted ends so.
            KeyCode::Char('j' | 'm') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(self.take())
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                (self.typed, self.over) = (String::new(), false);
                None
            }
            KeyCode::Char('w') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                let words = self.typed.trim_end();
                let end = words.rfind(char::is_whitespace).map_or(0, |space| space + 1);
                self.typed.truncate(end);
                None
            }
            // What a key means together with others is no letter.
            KeyCode::Char(_) if is_command(key.modifiers) => None,
            KeyCode::Char(c) => {
                self.over |= self.typed.len() + c.len_utf8() > LINE_OCTETS_MAX;
                if !self.over {
                    self.typed.push(c);
                }
                None
            }
            KeyCode::Backspace => {
                self.typed.pop();
                None
            }
            KeyCode::Enter => Some(self.take()),
            _ => None,
        }
    }

    /// What was typed, as a whole.
    fn take(&mut self) -> Typed {
        let line = std::mem::take(&mut self.typed);
        let is_over = std::mem::take(&mut self.over);
        if is_over { Typed::TooLong } else { Typed::Line(line) }
    }
}

/// Whether a key is held with which letters are commands. Both together make letters on some keyboards.
fn is_command(held: KeyModifiers) -> bool {
    held.contains(KeyModifiers::CONTROL) != held.contains(KeyModifiers::ALT)
}

/// The last rows of what was said, so many as fit: a line that is too wide goes on below.
fn last_rows(said: &[String], width: usize, height: usize) -> Vec<Row<'static>> {
    let mut rows: Vec<Row<'static>> = Vec::new();
    for line in said.iter().rev() {
        if rows.len() >= height {
            break;
        }
        rows.extend(wrapped(line, width).into_iter().rev());
    }
    rows.truncate(height);
    rows.reverse();
    rows
}

/// As much of the end of a line as has room.
fn end_of(line: &str, width: usize) -> &str {
    let (mut taken, mut from) = (0, line.len());
    for (at, c) in line.char_indices().rev() {
        taken += columns(c);
        if taken > width {
            break;
        }
        from = at;
    }
    line.get(from..).unwrap_or_default()
}

fn columns(c: char) -> usize {
    Row::raw(c.to_string()).width()
}

fn wrapped(line: &str, width: usize) -> Vec<Row<'static>> {
    let (mut rows, mut row, mut taken) = (Vec::new(), String::new(), 0);
    for c in line.chars() {
        let columns = columns(c);
        if taken + columns > width && !row.is_empty() {
            rows.push(Row::raw(std::mem::take(&mut row)));
            taken = 0;
        }
        row.push(c);
        taken += columns;
    }
    rows.push(Row::raw(row));
    rows
}

/// Talks until the person quits, the conference is over or the terminal is gone.
pub(super) async fn talk(
    table: &mut Table<'_>,
    name: &str,
    first: Vec<String>,
) -> anyhow::Result<Next> {
    let mut terminal = ratatui::try_init()?;
    let said = HELP.lines().map(str::to_owned).chain(first).collect();
    let mut screen = Screen { name: name.to_owned(), said, typed: String::new(), over: false };
    let next = converse(&mut terminal, &mut screen, table).await;
    // The terminal may be gone, and the end is an orderly one all the same. Then nothing is left to be put right, which
    // dropping it would try, and panic because it cannot complain either.
    if ratatui::try_restore().is_err() {
        std::mem::forget(terminal);
    }
    for line in turn::rest(table).await {
        let _there = writeln!(io::stdout(), "{}", lines(&line));
    }
    Ok(next)
}

async fn converse(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    table: &mut Table<'_>,
) -> Next {
    let mut keys = keys();
    loop {
        if terminal
            .draw(|frame| screen.draw(frame, table.room, table.files.underway.line()))
            .is_err()
        {
            return Next::Quit;
        }
        tokio::select! {
            happened = turn::next(table) => {
                let (said, next) = turn::lines(happened, table).await;
                said.into_iter().for_each(|line| screen.add(line));
                if next != Next::Go {
                    return next;
                }
            }
            input = keys.recv() => {
                // The terminal is gone.
                let Some(input) = input else { return Next::Quit };
                let Some(line) = screen.typed(input, &mut keys) else { continue };
                if let Line::Say(text) = &line {
                    let own = format!("<{}> {text}", screen.name);
                    screen.add(own);
                }
                let next = carry_out(&line, table, &mut |text| screen.add(text)).await;
                if next != Next::Go {
                    return next;
                }
            }
        }
    }
}

/// Reads the keyboard on a thread of its own: terminals have no asynchronous input. It ends with the receiver.
fn keys() -> mpsc::Receiver<Input> {
    let (to, from) = mpsc::channel(64);
    std::thread::spawn(move || {
        while !to.is_closed() {
            match event::poll(KEY_WAIT) {
                Ok(true) => match event::read() {
                    Ok(input) => {
                        if to.blocking_send(input).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Ok(false) => {}
                Err(_) => return,
            }
        }
    });
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_wider_than_the_screen_goes_on_below_and_the_last_rows_are_shown() {
        let shown = |said: &[&str], width, height| -> Vec<String> {
            let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
            last_rows(&said, width, height).iter().map(ToString::to_string).collect()
        };

        assert_eq!(shown(&["one", "abcdefgh", ""], 4, 9), ["one", "abcd", "efgh", ""]);
        assert_eq!(shown(&["one", "abcdefghi"], 4, 2), ["efgh", "i"]);
        // Wide characters take two columns.
        assert_eq!(shown(&["\u{4f60}\u{597d}\u{5417}"], 5, 9), ["\u{4f60}\u{597d}", "\u{5417}"]);
        assert_eq!(shown(&["ab"], 0, 9), ["a", "b"]);
    }

    #[test]
    fn of_what_is_typed_the_end_is_shown() {
        assert_eq!(end_of("abc", 4), "abc");
        assert_eq!(end_of("abcdef", 4), "cdef");
        assert_eq!(end_of("a\u{4f60}\u{597d}", 3), "\u{597d}");
        assert_eq!(end_of("ab", 0), "");
    }

    #[test]
    fn a_line_that_is_longer_than_one_may_be_is_not_cut_but_refused() {
        let (name, said, typed) = ("alice".to_owned(), Vec::new(), String::new());
        let mut screen = Screen { name, said, typed, over: false };
        let mut type_in = |octets: usize| {
            for _ in 0..octets {
                assert_eq!(screen.key(KeyEvent::from(KeyCode::Char('x'))), None);
            }
            screen.key(KeyEvent::from(KeyCode::Enter)).unwrap()
        };

        assert_eq!(type_in(LINE_OCTETS_MAX), Typed::Line("x".repeat(LINE_OCTETS_MAX)));
        assert_eq!(type_in(LINE_OCTETS_MAX + 1), Typed::TooLong);
        assert_eq!(type_in(1), Typed::Line("x".to_owned()));
    }

    #[test]
    fn keys_that_are_commands_type_no_letters() {
        let (name, said, typed) = ("alice".to_owned(), Vec::new(), String::new());
        let mut screen = Screen { name, said, typed, over: false };
        let mut type_in = |keys: &str, held: KeyModifiers| {
            let all = keys.chars().map(|key| KeyEvent::new(KeyCode::Char(key), held));
            all.filter_map(|key| screen.key(key)).collect::<Vec<_>>()
        };
        let line = |text: &str| vec![Typed::Line(text.to_owned())];

        assert_eq!(type_in("half a line", KeyModifiers::NONE), []);
        assert_eq!(type_in("aelz", KeyModifiers::CONTROL), []);
        assert_eq!(type_in("x", KeyModifiers::ALT), []);
        assert_eq!(type_in("w", KeyModifiers::CONTROL), []);
        assert_eq!(type_in("j", KeyModifiers::CONTROL), line("half a "));
        assert_eq!(type_in("half", KeyModifiers::NONE), []);
        assert_eq!(type_in("u", KeyModifiers::CONTROL), []);
        assert_eq!(type_in("/who", KeyModifiers::NONE), []);
        assert_eq!(type_in("@", KeyModifiers::CONTROL | KeyModifiers::ALT), []);
        assert_eq!(type_in("m", KeyModifiers::CONTROL), line("/who@"));
    }
}
