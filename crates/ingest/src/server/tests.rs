use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::config::{Auth, RateLimits};
use crate::fixture::{Fixture, token};
use crate::routes;
use crate::tls::Reload;
use crate::tls::tests::Made;

/// A server of clients on a free port.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: Arc<Metrics>,
    _fixture: Fixture,
}

impl Running {
    fn start() -> Self {
        Self::with(|server| server)
    }

    fn with(change: impl FnOnce(Server) -> Server) -> Self {
        Self::of(RateLimits::default(), change)
    }

    /// With limits for each connection.
    fn of(connection_limits: RateLimits, change: impl FnOnce(Server) -> Server) -> Self {
        let auth = Auth::Tokens(vec![token("one", "my-bucket/*")]);
        let fixture = Fixture::new(|config| {
            config.rules.auth = auth;
            config.rules.connection_limits = connection_limits;
        });
        let listener = bind("listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::clone(&fixture.service.metrics);
        let router = routes::router(&fixture.service);
        let server = change(Server::new(listener, router, 10).with_metrics(Arc::clone(&metrics)));
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
    let running = Running::start();
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
    let running = Running::start();
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
    let running = Running::start();
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
        let running = Running::start();
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
    let running = Running::start();
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

fn tls_client(made: &Made, alpn: &[&str]) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config).into()
}

fn over_tls(made: &Made) -> (Running, Reload) {
    let metrics = Arc::new(Metrics::new());
    let opened = Reload::open(made.files.clone(), Arc::new(model::SystemClock), metrics);
    let (reload, served) = opened.unwrap();
    (Running::with(|server| server.with_tls(Some(served))), reload)
}

#[tokio::test]
async fn over_tls_the_client_chooses_the_version_of_http() {
    let made = Made::new();
    let (running, _reload) = over_tls(&made);
    let name = || "localhost".try_into().unwrap();
    let connector = tls_client(&made, &["h2", "http/1.1"]);
    let stream = connector.connect(name(), running.connect().await).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("https://localhost/v1/s3/my-bucket")
        .header("authorization", "Bearer secret-one")
        .header("content-type", "text/plain")
        .body(Full::new(bytes::Bytes::from_static(b"a")))
        .unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    drop(client);
    connection.await.unwrap().unwrap();

    for alpn in [&["http/1.1"][..], &[]] {
        let connector = tls_client(&made, alpn);
        let mut stream = connector.connect(name(), running.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), alpn.first().map(|name| name.as_bytes()));
        stream.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200");
    }
    assert!(tls_client(&made, &["h3"]).connect(name(), running.connect().await).await.is_err());
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_or_trusts_another_authority_gets_nowhere() {
    let made = Made::new();
    let (running, _reload) = over_tls(&made);
    let mut plain = running.connect().await;
    plain.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    assert!(!read_bytes(&mut plain).await.starts_with(b"HTTP"));
    let stranger = tls_client(&Made::new(), &[]);
    let name = "localhost".try_into().unwrap();
    assert!(stranger.connect(name, running.connect().await).await.is_err());
    let failed = "minutelog_ingest_tls_handshakes_failed_total 2";
    let counted = async {
        while !running.metrics.render().contains(failed) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), counted).await.unwrap();
}

async fn read_bytes(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    assert!(ended.is_ok_and(|read| read == bytes.len()), "{bytes:?}");
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_time_with_the_handshake_is_shown_out() {
    let made = Made::new();
    // The beginning of a record of a handshake.
    for beginning in [&b""[..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        let (running, _reload) = over_tls(&made);
        let mut stream = running.connect().await;
        stream.write_all(beginning).await.unwrap();
        let start = Instant::now();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        let seconds = start.elapsed().as_secs();
        assert!((9..=11).contains(&seconds), "{beginning:?}: {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_while_in_both_versions() {
    let running = Running::start();
    let mut stream = running.connect().await;
    stream.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    assert!(read_to(&mut stream, "}").await.starts_with("HTTP/1.1 200"));
    let start = Instant::now();
    assert_eq!(read_to(&mut stream, "}").await, "");
    assert!((74..=77).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    let stream = TokioIo::new(running.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    // It answers every ping, and sends nothing else.
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://x/v1/nothing").body(Full::<bytes::Bytes>::default());
    assert_eq!(client.send_request(request.unwrap()).await.unwrap().status(), 404);
    let start = Instant::now();
    connection.await.unwrap().unwrap();
    assert!((74..=77).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_time_with_its_next_headers_is_shown_out() {
    let running = Running::start();
    let mut stream = running.connect().await;
    stream.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    assert!(read_to(&mut stream, "}").await.starts_with("HTTP/1.1 200"));
    let start = Instant::now();
    stream.write_all(b"POST / HTTP/1.1\r\nHost:").await.unwrap();
    assert_eq!(read_to(&mut stream, "}").await, "");
    assert!((74..=82).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_new_client_takes_the_place_of_the_one_that_was_idle_the_longest() {
    let running = Running::start();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut stream = running.connect().await;
        stream.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
        assert!(read_to(&mut stream, "}").await.starts_with("HTTP/1.1 200"));
        clients.push(stream);
    }
    // The first one is at work.
    clients[0].write_all((head("secret-one", 2, "") + "x").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let mut new = running.connect().await;
    new.write_all((head("secret-one", 1, "") + "x").as_bytes()).await.unwrap();
    assert!(read_to(&mut new, "}").await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to(&mut clients[1], "}").await, "", "it was idle the longest");
    for at in [0, 2, 9] {
        let rest = if at == 0 { "y".to_owned() } else { head("secret-one", 1, "") + "x" };
        clients[at].write_all(rest.as_bytes()).await.unwrap();
        let answer = read_to(&mut clients[at], "}").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{at}: {answer}");
    }
    assert!(running.metrics.render().contains("minutelog_ingest_evicted_connections_total 1"));
}

#[tokio::test]
async fn a_connection_has_its_share_of_a_minute() {
    let limits = RateLimits { requests_per_minute: Some(2), ..RateLimits::default() };
    let running = Running::of(limits, |server| server);
    for _ in 0..2 {
        let mut stream = running.connect().await;
        // Whatever becomes of a request, it counts.
        for (token, status) in [
            ("nobody's", "HTTP/1.1 401"),
            ("secret-one", "HTTP/1.1 200"),
            ("secret-one", "HTTP/1.1 429"),
        ] {
            stream.write_all((head(token, 1, "") + "x").as_bytes()).await.unwrap();
            let answer = read_to(&mut stream, "}").await;
            assert!(answer.starts_with(status), "{answer}");
            if status.ends_with("429") {
                assert!(answer.contains("urn:minutelog:problem:rate-limited"), "{answer}");
                assert!(answer.contains("\r\nretry-after: "), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = Running::start();
    let error = bind("ingest.listen", running.address).unwrap_err().to_string();
    assert!(error.contains("ingest.listen"), "{error}");
    assert!(error.contains(&running.address.to_string()), "{error}");
}
