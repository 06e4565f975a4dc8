//! An S3 server for the tests of one process: moto, from PyPI, where `.ci/setup` has put it. It ends with the process.
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use blobs::S3;

/// The server does not outlive who started it.
const WATCH: &str = "\"$0\" -H 127.0.0.1 -p 0 </dev/null & cat >/dev/null; kill $!; wait";
const BUCKET: &str = "blobs-of-a-test";

pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/s3/bin/moto_server");
        if !tools.exists() {
            eprintln!(
                "SKIPPED on S3: no .tools/s3/bin/moto_server; .ci/setup installs it from PyPI"
            );
            return None;
        }
        let mut child = Command::new("sh")
            .args(["-c", WATCH])
            .arg(&tools)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut lines = said.lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split("http://127.0.0.1:").nth(1)?.trim().parse::<u16>().ok());
        // Somebody has to read what it says, or it stops.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { child, port: port.expect("it says where it listens") };
        server.make_bucket();
        Some(server)
    }

    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn bucket(&self, prefix: &str) -> S3 {
        S3 {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: prefix.to_owned(),
            allow_http: true,
            access_key_id: "a-key".to_owned(),
            secret_access_key: "a-secret-nobody-sees".to_owned(),
            session_token: None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}
