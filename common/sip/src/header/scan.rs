//! Reads the pieces that header fields are made of: white space, tokens, quoted strings, parameters. No meaning here.
use std::borrow::Cow;

use super::params::Params;
use crate::token::{is_token, is_token_byte};

/// What is left to read of one header field.
pub(crate) struct Scan<'a> {
    rest: &'a str,
}

/// The text does not follow the grammar.
#[derive(Debug)]
pub(crate) struct Broken;

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// LWS; folds are already gone, so it is spaces and tabs.
    pub(crate) fn space(&mut self) -> &mut Self {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self
    }

    /// Takes `mark`, and the white space around it, if it comes next.
    pub(crate) fn eat(&mut self, mark: char) -> bool {
        self.space();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                self.space();
                true
            }
            None => false,
        }
    }

    pub(crate) fn expect(&mut self, mark: char) -> Result<(), Broken> {
        if self.eat(mark) { Ok(()) } else { Err(Broken) }
    }

    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        if self.space().rest.is_empty() { Ok(()) } else { Err(Broken) }
    }

    /// The longest run of bytes that `wanted` agrees to; all of them are ASCII.
    pub(crate) fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !byte.is_ascii() || !wanted(byte));
        let (run, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        run
    }

    /// Everything up to and with `mark`.
    pub(crate) fn through(&mut self, mark: char) -> Result<&'a str, Broken> {
        let end = self.rest.find(mark).ok_or(Broken)? + mark.len_utf8();
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(run)
    }

    pub(crate) fn token(&mut self) -> Result<&'a str, Broken> {
        let token = self.run(is_token_byte);
        if token.is_empty() { Err(Broken) } else { Ok(token) }
    }

    /// A quoted string, quotes included, if one comes next. It must be closed.
    pub(crate) fn quoted(&mut self) -> Result<Option<&'a str>, Broken> {
        if !self.rest.starts_with('"') {
            return Ok(None);
        }
        let end = quoted_end(self.rest).ok_or(Broken)?;
        let (quoted, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Some(quoted))
    }

    /// `*( SEMI generic-param )`.
    pub(crate) fn params(&mut self) -> Result<Params, Broken> {
        let mut params = Params::default();
        while self.eat(';') {
            let name = self.token()?;
            let value = if self.eat('=') { Some(self.param_value()?) } else { None };
            params.push_raw(name, value);
        }
        Ok(params)
    }

    /// A token, a host (with the brackets and colons of IPv6) or a quoted string.
    pub(crate) fn param_value(&mut self) -> Result<&'a str, Broken> {
        if let Some(quoted) = self.quoted()? {
            return Ok(quoted);
        }
        let stops = |byte| matches!(byte, b';' | b',' | b'"' | b'<' | b'>' | b'?');
        let value = self.run(|byte| byte.is_ascii_graphic() && !stops(byte));
        if value.is_empty() { Err(Broken) } else { Ok(value) }
    }

    pub(crate) fn number(&mut self) -> Result<u32, Broken> {
        self.run(|byte| byte.is_ascii_digit()).parse().map_err(|_| Broken)
    }
}

/// Where the quoted string at the start of `text` ends, after its closing quote.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Splits at the commas that stand outside quotes and angle brackets. An unclosed quote runs to the end.
pub(crate) fn split_commas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match comma(text) {
            Some(at) => {
                let (head, tail) = text.split_at(at);
                rest = tail.get(1..);
                Some(head.trim())
            }
            None => {
                rest = None;
                Some(text.trim())
            }
        }
    })
}

fn comma(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return Some(at),
            _ => {}
        }
    }
    None
}

/// `text` without the quotes around it and the backslashes inside; text without quotes stays as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    Cow::Owned(plain)
}

/// `text` as it may stand after a `=`: itself if it is a token or a host, else in quotes. It never ends the line.
pub(crate) fn quote(text: &str) -> Cow<'_, str> {
    let plain = |byte| is_token_byte(byte) || matches!(byte, b':' | b'[' | b']');
    if is_token(text.as_bytes()) || (!text.is_empty() && text.bytes().all(plain)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(in_quotes(text))
}

/// `text` in quotes, escaped; control characters become spaces.
pub(crate) fn in_quotes(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => quoted.push(' '),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let parts: Vec<_> = split_commas(r#""a, \"b" <sip:c,d@e>;x="1,2" , <sip:f@g>"#).collect();
        assert_eq!(parts, [r#""a, \"b" <sip:c,d@e>;x="1,2""#, "<sip:f@g>"]);
    }

    #[test]
    fn what_is_quoted_comes_back() {
        for text in ["", "plain", "a b", r#"q"\"#, "[2001:db8::1]"] {
            assert_eq!(unquote(&quote(text)), text);
        }
        assert_eq!(quote("a\r\nb"), "\"a  b\"");
    }
}
