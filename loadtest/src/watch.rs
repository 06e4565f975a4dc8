//! Looks at the servers under load: at their processes where they are children of ours, and at what they say of
//! themselves over HTTP (Prometheus's text) where somebody named their metrics. It draws no conclusions.
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::usage::{self, Usage};

/// The longest a server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most octets of it.
const TEXT_OCTETS_MAX: usize = 8 << 20;
/// How long a chunk takes through the relay.
const RELAYED: &str = "mrfp_relay_duration_seconds_bucket";

/// Where a server says how it is, as `NAME=http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// What it is called in the report.
    pub name: String,
    /// Host and port.
    pub authority: String,
    /// Path.
    pub path: String,
}

impl FromStr for Exporter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "{text} is not NAME=http://HOST:PORT/PATH, like mrfp=http://10.0.0.7:9100/metrics"
            )
        };
        let (name, url) = text.split_once('=').ok_or_else(form)?;
        let rest = url.strip_prefix("http://").ok_or_else(form)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').ok_or_else(form)?;
        if name.is_empty() || host.is_empty() || port.parse::<u16>().is_err() {
            return Err(form());
        }
        let path = if path.is_empty() { "/metrics" } else { path };
        Ok(Self { name: name.to_owned(), authority: authority.to_owned(), path: path.to_owned() })
    }
}

/// A server, and how it can be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// Its process, if it is ours.
    pub(crate) pid: Option<u32>,
    /// Where it says how it is.
    pub(crate) exporter: Option<Exporter>,
}

/// What was seen of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) usage: Usage,
    /// What it has relayed so far, by how long that took.
    pub(crate) relayed: Delays,
}

impl Server {
    /// What it has used so far. Of a server that is not ours, what it says.
    ///
    /// # Errors
    /// Its process is gone, or it does not say.
    pub(crate) async fn usage(&self) -> anyhow::Result<Usage> {
        match self.pid {
            Some(pid) => self.of(pid),
            None => Ok(self.look().await?.usage),
        }
    }

    fn of(&self, pid: u32) -> anyhow::Result<Usage> {
        usage::of(pid).with_context(|| format!("reading what {} has used", self.name))
    }

    /// All that can be seen of it.
    ///
    /// # Errors
    /// As with [`usage`](Self::usage).
    pub(crate) async fn look(&self) -> anyhow::Result<Look> {
        let text = match &self.exporter {
            Some(exporter) => exporter.text().await?,
            None => String::new(),
        };
        let relayed = Delays::of(&text, RELAYED);
        let usage = match self.pid {
            Some(pid) => self.of(pid)?,
            None => said(&text).with_context(|| {
                format!(
                    "{} says neither process_cpu_seconds_total nor process_resident_memory_bytes",
                    self.name
                )
            })?,
        };
        Ok(Look { usage, relayed })
    }
}

impl Exporter {
    async fn text(&self) -> anyhow::Result<String> {
        let asked = timeout(PATIENCE, self.ask()).await;
        let asked =
            asked.unwrap_or_else(|_| anyhow::bail!("no answer in {} s", PATIENCE.as_secs()));
        asked.with_context(|| format!("reading http://{}{}", self.authority, self.path))
    }

    async fn ask(&self) -> anyhow::Result<String> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let line = tokio::spawn(connection);
        let request = Request::get(&self.path).header(HOST, &self.authority);
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        anyhow::ensure!(response.status().is_success(), "it answers {}", response.status());
        let body = Limited::new(response.into_body(), TEXT_OCTETS_MAX).collect().await;
        line.abort();
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        String::from_utf8(body.into()).context("it is not text")
    }
}

/// What a server says it has used. It does not say what the most was.
fn said(text: &str) -> Option<Usage> {
    let value = |name: &str| samples(text, name).next().map(|(_, value)| value);
    let cpu = Duration::try_from_secs_f64(value("process_cpu_seconds_total")?).ok()?;
    let rss = value("process_resident_memory_bytes")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "octets of memory")]
    let rss_octets = rss.max(0.0) as u64;
    Some(Usage { cpu, rss_octets, rss_octets_max: rss_octets })
}

/// The samples of a metric: the text of the labels, and the value.
fn samples<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        // A time may stand behind the value.
        Some((labels, value.split_whitespace().next()?.parse().ok()?))
    })
}

/// A histogram as a server has it: how many were not above each bound so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Delays(Vec<(f64, f64)>);

impl Delays {
    /// All of one name together, whatever else the labels say.
    fn of(text: &str, name: &str) -> Self {
        let mut bounds: Vec<(f64, f64)> = Vec::new();
        for (labels, count) in samples(text, name) {
            let Some(bound) = bound(labels) else { continue };
            match bounds.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, counts)) => *counts += count,
                None => bounds.push((bound, count)),
            }
        }
        bounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Self(bounds)
    }

    /// What came after an earlier look.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let was = |bound: f64| {
            let known = before.0.iter().find(|(known, _)| known.total_cmp(&bound).is_eq());
            known.map_or(0.0, |(_, count)| *count)
        };
        // A server that was started anew counts from the beginning.
        Self(self.0.iter().map(|(bound, count)| (*bound, (count - was(*bound)).max(0.0))).collect())
    }

    /// How many there were.
    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The bound that this part of them, of one, is not above: infinite if there is none, nothing if there were none.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = self.count() * part;
        let found = self.0.iter().find(|(_, count)| *count >= wanted && *count > 0.0);
        found.map(|(bound, _)| *bound)
    }
}

/// The upper bound of a bucket.
fn bound(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    match rest.split_once('"')?.0 {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const TEXT: &str = "# HELP process_cpu_seconds_total CPU time used, user and system.\n\
        process_cpu_seconds_total 12.25\n\
        process_resident_memory_bytes 4194304 1795257600000\n\
        mrfp_relay_duration_seconds_bucket{path=\"client\",le=\"0.0001\"} 90\n\
        mrfp_relay_duration_seconds_bucket{path=\"client\",le=\"0.001\"} 99\n\
        mrfp_relay_duration_seconds_bucket{path=\"client\",le=\"+Inf\"} 100\n\
        mrfp_relay_duration_seconds_bucket{path=\"relay\",le=\"0.0001\"} 0\n\
        mrfp_relay_duration_seconds_bucket{path=\"relay\",le=\"0.001\"} 0\n\
        mrfp_relay_duration_seconds_bucket{path=\"relay\",le=\"+Inf\"} 100\n";

    fn exporter(authority: &str) -> Exporter {
        format!("mrfp=http://{authority}").parse().unwrap()
    }

    /// Answers one request with these octets.
    async fn answers(with: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 512];
            let read = stream.read(&mut asked).await.unwrap();
            assert!(asked[..read].starts_with(b"GET /metrics HTTP/1.1\r\n"));
            stream.write_all(with.as_bytes()).await.unwrap();
        });
        address
    }

    #[test]
    fn where_metrics_are_has_a_name_a_host_and_a_port_and_says_so_otherwise() {
        let full: Exporter = "relay=http://10.0.0.7:9100/other".parse().unwrap();
        assert_eq!(
            (&*full.name, &*full.authority, &*full.path),
            ("relay", "10.0.0.7:9100", "/other")
        );
        assert_eq!(exporter("[::1]:9100").path, "/metrics");
        for wrong in
            ["http://a:1/", "=http://a:1/", "a=https://a:1/", "a=http://a/", "a=http://:1/"]
        {
            let said = wrong.parse::<Exporter>().unwrap_err();
            assert!(said.contains(wrong) && said.contains("NAME=http://"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_ours_says_what_it_has_used_also_in_chunks() {
        let (head, tail) = TEXT.split_at(100);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let body = format!("{}{}0\r\n\r\n", chunk(head), chunk(tail));
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let exporter = Some(exporter(&answers(answer).await));

        let look = Server { name: "mrfp".into(), pid: None, exporter }.look().await.unwrap();

        assert_eq!(look.usage.cpu, Duration::from_millis(12_250));
        assert_eq!(look.usage.rss_octets, 4 << 20);
        assert!((look.relayed.count() - 200.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn who_says_nothing_of_use_is_named_with_the_reason() {
        for (answer, why) in [
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "process_cpu_seconds_total"),
        ] {
            let exporter = Some(exporter(&answers(answer.to_owned()).await));
            let server = Server { name: "mrfp".into(), pid: None, exporter };
            let error = server.look().await.unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }

    #[test]
    fn a_delay_is_named_by_the_bound_it_is_not_above_and_counts_since_the_look_before() {
        let early = Delays::of(TEXT, RELAYED);
        let late = Delays::of(
            &TEXT.replace(" 90", " 190").replace(" 99", " 200").replace(" 100", " 201"),
            RELAYED,
        );

        let between = late.since(&early);

        assert!((between.count() - 202.0).abs() < f64::EPSILON, "{between:?}");
        assert_eq!(between.quantile(0.4), Some(0.0001));
        assert_eq!(between.quantile(0.5), Some(0.001));
        assert_eq!(between.quantile(0.99), Some(f64::INFINITY));
        assert_eq!(Delays::default().quantile(0.5), None);
        assert!(early.since(&late).count().abs() < f64::EPSILON, "it was started anew");
    }
}
