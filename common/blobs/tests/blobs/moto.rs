//! An S3 server for the tests of one process: moto, from PyPI, where `.ci/setup` has put it. It ends with the process.
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server does not outlive who started it.
const WATCH: &str = "\"$0\" -H 127.0.0.1 -p 0 </dev/null & cat >/dev/null; kill $!; wait";
const PROGRAM: &str = ".tools/s3/bin/moto_server";

pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// A server with one bucket, which is empty; none where there is no such program.
    #[expect(clippy::print_stderr, reason = "a test that shows nothing should say so")]
    pub(crate) fn start(bucket: &str) -> Option<Self> {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let Some(program) = folders.map(|at| at.join(PROGRAM)).find(|it| it.exists()) else {
            eprintln!("SKIPPED on S3: no {PROGRAM}; .ci/setup installs it from PyPI");
            return None;
        };
        let mut child = Command::new("sh")
            .args(["-c", WATCH])
            .arg(&program)
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
        server.ask("PUT", bucket);
        Some(server)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it answers to a request for this path, without its head.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // It looks at no signature, and gives nothing to who has none.
        let request = format!(
            "{method} /{path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=a-key/20000101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
        let (head, body) = answer.split_at(end + 4);
        let head = String::from_utf8_lossy(head);
        assert!(head.split(' ').nth(1) == Some("200"), "{head}");
        body.to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}
