//! Tells the parent process that a server serves: one line of JSON on stdout. Nothing else may write there.
use std::io::{self, Write};

use serde::Serialize;

/// Writes the one line, for instance `{"ready":"mrfp","msrp":"127.0.0.1:40001"}`.
///
/// A parent that has closed our stdout does not want to know: the error is returned and may be ignored.
pub fn announce(line: &impl Serialize) -> io::Result<()> {
    write(line, &mut io::stdout().lock())
}

fn write(line: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Line {
        ready: &'static str,
        msrp: std::net::SocketAddr,
    }

    #[test]
    fn the_ready_line_is_one_line_of_json() {
        let line = Line { ready: "mrfp", msrp: "127.0.0.1:40001".parse().unwrap() };
        let mut out = Vec::new();

        write(&line, &mut out).unwrap();

        assert_eq!(out, b"{\"ready\":\"mrfp\",\"msrp\":\"127.0.0.1:40001\"}\n");
    }
}
