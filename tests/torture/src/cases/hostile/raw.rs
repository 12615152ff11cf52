//! Requests byte by byte, and what must come of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;
use tests::PATIENCE;

/// No problem is told in more bytes, whatever was sent.
const MAX_PROBLEM_BYTES: usize = 4096;

/// What must come of an attack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// One problem document with this status and the end of this type.
    Problem(u16, &'static str),
    /// It is no request: a status of 4xx without a document, or a closed connection.
    NoRequest,
    /// The connection ends, and nothing that was sent on it was accepted.
    Cut,
    /// Nobody waits for what comes: the connection is reset.
    Gone,
}

/// Bytes on a connection of their own.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) expect: Expect,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(super) struct RawAnswer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Attack {
    pub(super) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self { name: name.into(), bytes: bytes.into(), expect }
    }

    /// Sends it, and asserts what comes.
    pub(super) fn run(&self, address: SocketAddr) {
        let name = &self.name;
        let mut stream = connect(address);
        // The service may have had enough before the end: what it answers counts.
        let sent = stream.write_all(&self.bytes);
        match self.expect {
            Expect::Gone => {}
            Expect::Cut => {
                drop(stream.shutdown(Shutdown::Write));
                assert_nothing_accepted(name, &rest(&mut stream));
            }
            Expect::NoRequest => {
                let answer = rest(&mut stream);
                let refused = status_of(&answer).is_none_or(|status| status / 100 == 4);
                assert!(refused, "{name}: {answer}");
                assert_nothing_accepted(name, &answer);
            }
            Expect::Problem(status, slug) => {
                let answer = read_answer(&mut stream);
                let answer = answer.unwrap_or_else(|| panic!("{name}: no answer; sent: {sent:?}"));
                answer.assert_problem(name, status, slug);
                drop(stream.shutdown(Shutdown::Write));
                assert_nothing_accepted(name, &rest(&mut stream));
            }
        }
    }
}

impl RawAnswer {
    /// The id of the first event of an acceptance by `/v1/send/s3`.
    pub(super) fn first_id(&self) -> Option<String> {
        let document: Value = serde_json::from_str(&self.body).ok()?;
        Some(document["ids"][0].as_str()?.to_owned())
    }

    fn assert_problem(&self, name: &str, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{name}: {}", self.body);
        let is_problem = self.head.contains("content-type: application/problem+json");
        assert!(is_problem, "{name}: {}", self.head);
        let document: Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", self.body));
        let kind = document["type"].as_str().unwrap_or_default();
        assert_eq!(kind, format!("urn:minutelog:problem:{slug}"), "{name}: {document}");
        assert_eq!(document["status"], status, "{name}: {document}");
        assert!(document["detail"].as_str().is_some_and(|it| !it.is_empty()), "{name}: {document}");
        let length = self.body.len();
        assert!(length <= MAX_PROBLEM_BYTES, "{name}: a problem of {length} bytes");
    }
}

/// A connection on which nothing is waited for without end.
pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the service takes connections");
    stream.set_read_timeout(Some(PATIENCE * 2)).expect("it is not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
    stream
}

/// The next answer; `None` where the connection ends before it does.
pub(super) fn read_answer(stream: &mut TcpStream) -> Option<RawAnswer> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        bytes.push(byte(stream)?);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = status_of(&head)?;
    if (100..200).contains(&status) {
        return read_answer(stream);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(RawAnswer { status, head, body: String::from_utf8(body).ok()? })
}

/// The status of an answer by HTTP/1.
fn status_of(answer: &str) -> Option<u16> {
    let versions = ["HTTP/1.1 ", "HTTP/1.0 ", "http/1.1 ", "http/1.0 "];
    let rest = versions.iter().find_map(|version| answer.strip_prefix(version))?;
    rest.get(..3)?.parse().ok()
}

fn byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok().map(|()| byte[0])
}

/// All that comes until the connection ends, in good order or not.
pub(super) fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the connection was not closed")
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn assert_nothing_accepted(name: &str, answers: &str) {
    let versions = ["HTTP/1.1 2", "HTTP/1.0 2"];
    assert!(!versions.iter().any(|it| answers.contains(it)), "{name}: {answers}");
    assert!(!answers.contains("\"accepted\""), "{name}: {answers}");
}

/// A `POST` with these header lines, each ended, and a body that no header speaks of.
pub(super) fn post(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: minutelog\r\n{headers}\r\n");
    [head.as_bytes(), body.as_ref()].concat()
}

/// A `POST` whose length is told as it should be.
pub(super) fn post_whole(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = body.as_ref().len();
    post(path, &format!("Content-Length: {length}\r\n{headers}"), body)
}
