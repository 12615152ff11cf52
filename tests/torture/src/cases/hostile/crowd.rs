//! Many connections at once that do as good as nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tests::PATIENCE;

use super::raw::{connect, post, read_answer};
use crate::figures::Figures;

/// Connections a round that say nothing.
pub(super) const IDLE: u64 = 500;
/// Connections a round with slow headers, and as many with slow bodies.
pub(super) const SLOW: u64 = 50;

/// How often each slow connection sends a byte.
const PACE: Duration = Duration::from_secs(1);

/// Opens them all, keeps the slow ones going, and returns once the service has let go of each.
/// Slow bodies are told so; the others are closed.
pub(super) fn stand(address: SocketAddr, rounds: u64) -> Figures {
    let open = |count: u64| (0..count).map(|_| connect(address)).collect::<Vec<_>>();
    let mut headers = open(SLOW * rounds);
    let mut bodies = open(SLOW * rounds);
    let head = post("/v1/send/s3", "Content-Length: 1000\r\n", "[");
    for stream in &mut bodies {
        stream.write_all(&head).expect("it fits into the socket's buffer");
    }
    let idle = open(IDLE * rounds);
    let mut figures = Figures::default();
    figures.add("idle_connections", idle.len() as u64);
    figures.add("slow_headers", headers.len() as u64);
    figures.add("slow_bodies", bodies.len() as u64);
    thread::scope(|scope| {
        scope.spawn(move || idle.into_iter().for_each(assert_closed));
        scope.spawn(move || {
            drip(
                &mut headers,
                b"POST /v1/send/s3 HTTP/1.1\r\nHost: minutelog\r\nX-Slow: aaaaaaaaaaa",
            );
            headers.into_iter().for_each(assert_closed);
        });
        scope.spawn(move || {
            drip(&mut bodies, &[b' '; 900]);
            for mut stream in bodies {
                let answer = read_answer(&mut stream).expect("a slow body is told so");
                assert_eq!(answer.status, 408, "{}", answer.body);
                assert!(answer.body.contains(":slow-body\""), "{}", answer.body);
            }
        });
    });
    figures
}

/// One byte on each connection, over and over, until none takes any more or the text ends.
fn drip(streams: &mut [TcpStream], text: &[u8]) {
    let start = Instant::now();
    for byte in text {
        let taken = streams.iter_mut().map(|stream| stream.write_all(&[*byte]).is_ok());
        let taken = taken.filter(|taken| *taken).count();
        // The longest that a body may take is a minute.
        if taken == 0 || start.elapsed() > PATIENCE + Duration::from_secs(5) {
            return;
        }
        thread::sleep(PACE);
    }
}

fn assert_closed(mut stream: TcpStream) {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("a connection without a request was kept")
        }
        // In good order or by a reset: it is closed.
        _ => assert!(!answer.starts_with(b"HTTP/1.1 2"), "an answer without a request"),
    }
}
