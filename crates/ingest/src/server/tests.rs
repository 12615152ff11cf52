use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::config::Auth;
use crate::fixture::{Fixture, token};
use crate::routes;

/// A server of clients on a free port.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: Arc<Metrics>,
    _fixture: Fixture,
}

impl Running {
    async fn start() -> Self {
        let auth = Auth::Tokens(vec![token("one", "my-bucket/*")]);
        let fixture = Fixture::new(|config| config.auth = auth);
        let listener = bind("listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::clone(&fixture.service.metrics);
        let router = routes::router(&fixture.service);
        let server = Server::new(listener, router, 10, Some(Arc::clone(&metrics)));
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.serve(stop.clone(), Duration::from_secs(5)));
        Self { address, stop, task, metrics, _fixture: fixture }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn head(token: &str, length: usize, more: &str) -> String {
    format!(
        "POST /v1/s3/my-bucket HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

/// Reads until the text so far has `end`, or the connection ends.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 1024];
    while !String::from_utf8_lossy(&text).contains(end) {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_all_before_it_reads_gets_to_an_early_refusal() {
    let running = Running::start().await;
    let mut stream = running.connect().await;
    for status in ["HTTP/1.1 401", "HTTP/1.1 413"] {
        let token = if status.ends_with("401") { "nobody's" } else { "secret-one" };
        let length = 16 * 1024 * 1024;
        stream.write_all(head(token, length, "").as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; length]).await.unwrap();
        let answer = read_to(&mut stream, "}").await;
        assert!(answer.starts_with(status), "{answer}");
    }
    // And the connection is still good.
    stream.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_go_ahead_is_given_to_whoever_may_send() {
    let running = Running::start().await;
    let expect = "Expect: 100-continue\r\n";
    let mut stream = running.connect().await;
    stream.write_all(head("secret-one", 1, expect).as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "\r\n\r\n").await;
    assert_eq!(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"x").await.unwrap();
    let answer = read_to(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // A body that turns out to be too large on its way is read to its end all the same.
    let length = 16 * 1024 * 1024;
    let chunked = head("secret-one", 0, "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n");
    let chunked = chunked.replace("Content-Length: 0\r\n", "");
    stream.write_all(chunked.as_bytes()).await.unwrap();
    assert!(read_to(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    let body =
        [format!("{length:x}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n0\r\n\r\n"].concat();
    stream.write_all(&body).await.unwrap();
    let answer = read_to(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    stream.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let mut stream = running.connect().await;
    stream.write_all(head("nobody's", 1, expect).as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn http_2_is_served_on_the_same_port() {
    let running = Running::start().await;
    let stream = TokioIo::new(running.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://x/v1/s3/my-bucket")
        .header("authorization", "Bearer secret-one")
        .header("content-type", "text/plain")
        .body(Full::new(bytes::Bytes::from_static(b"a\nb\n")))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"accepted\":2,"), "{body:?}");
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_time_with_the_headers_is_shown_out() {
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST / HTTP/1.1\r\nHost:"] {
        let running = Running::start().await;
        let mut stream = running.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        let seconds = start.elapsed().as_secs();
        assert!((9..=11).contains(&seconds), "{beginning:?}: {seconds} s");
    }
}

#[tokio::test]
async fn what_is_in_flight_finishes_before_the_server_ends() {
    let running = Running::start().await;
    let mut idle = running.connect().await;
    idle.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    assert!(read_to(&mut idle, "}").await.starts_with("HTTP/1.1 200"));
    let mut busy = running.connect().await;
    busy.write_all((head("secret-one", 2, "") + "x").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(running.metrics.render().contains("minutelog_ingest_open_connections 2"));
    running.stop.cancel();
    assert_eq!(read_to(&mut idle, "}").await, "", "an idle connection is closed at once");
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody is accepted any more");
    busy.write_all(b"y").await.unwrap();
    let answer = read_to(&mut busy, "}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.task.await.unwrap();
    assert!(running.metrics.render().contains("minutelog_ingest_open_connections 0"));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = Running::start().await;
    let error = bind("ingest.listen", running.address).await.unwrap_err().to_string();
    assert!(error.contains("ingest.listen"), "{error}");
    assert!(error.contains(&running.address.to_string()), "{error}");
}
