use std::net::SocketAddr;

use model::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::*;
use crate::fixture::config;

async fn ask(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    let length = body.len();
    let request =
        format!("{head}Host: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// An address that was free a moment ago.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A service on free ports.
struct Running {
    listen: SocketAddr,
    ops: SocketAddr,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
    directory: tempfile::TempDir,
}

const SEND: &str = "POST /v1/s3/my-bucket HTTP/1.1\r\nContent-Type: text/plain\r\n";

impl Running {
    async fn start(seconds: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&directory);
        config.interval = model::Interval::from_seconds(seconds).unwrap();
        (config.listen, config.ops_listen) = (free_address().await, free_address().await);
        let (listen, ops) = (config.listen, config.ops_listen);
        let shutdown = CancellationToken::new();
        let changes = mpsc::channel(1).1;
        let task = tokio::spawn(run(config, Arc::new(SystemClock), shutdown.clone(), changes));
        let running = Self { listen, ops, shutdown, task, directory };
        assert_answer(&running.ready().await, 200, "ready\n");
        running
    }

    async fn ready(&self) -> String {
        ask(self.ops, "GET /readyz HTTP/1.1\r\n", "").await
    }

    async fn send(&self) -> String {
        ask(self.listen, SEND, "x").await
    }
}

#[track_caller]
fn assert_answer(answer: &str, status: u16, text: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(answer.contains(text), "no {text} in {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_from_its_start_to_its_end() {
    let running = Running::start(900).await;
    assert_answer(&ask(running.ops, "GET /healthz HTTP/1.1\r\n", "").await, 200, "ok\n");
    assert_answer(&running.send().await, 200, "\"accepted\":1");
    let metrics = ask(running.ops, "GET /metrics HTTP/1.1\r\n", "").await;
    assert_answer(&metrics, 200, "minutelog_ingest_events_total 1");
    let counted = "minutelog_ingest_requests_total{route=\"/v1/s3/{bucket}\",status=\"200\"} 1";
    assert_answer(&metrics, 200, counted);
    // The log tells of a commit after it has acknowledged it.
    let committed = async {
        let line = "minutelog_ingest_commit_events_sum 1";
        while !ask(running.ops, "GET /metrics HTTP/1.1\r\n", "").await.contains(line) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), committed).await.unwrap();

    // One byte of two is on its way when the service is asked to end.
    let mut busy = TcpStream::connect(running.listen).await.unwrap();
    let request = format!("{SEND}Host: x\r\nContent-Length: 2\r\n\r\nx");
    busy.write_all(request.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    running.shutdown.cancel();
    sleep(Duration::from_millis(100)).await;
    assert_answer(&running.ready().await, 503, "stopping");
    assert!(TcpStream::connect(running.listen).await.is_err());
    busy.write_all(b"y").await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert_answer(&answer, 200, "\"accepted\":1");
    running.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.ops).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_service_refuses_events_and_still_answers_lookups() {
    let running = Running::start(900).await;
    let accepted = running.send().await;
    assert_answer(&accepted, 200, "\"first\":\"");
    let data = wal::DataDir::at(running.directory.path().join("data"));
    assert_eq!(spawn_blocking(move || wal::drain_ingest(&data)).await.unwrap().unwrap(), 1);
    assert_answer(&running.send().await, 503, "urn:minutelog:problem:draining");
    assert_answer(&running.ready().await, 503, "drained");
    let id = accepted.split("\"first\":\"").nth(1).unwrap().get(..26).unwrap();
    let look_up = format!("GET /v1/events/{id} HTTP/1.1\r\n");
    assert_answer(&ask(running.listen, &look_up, "").await, 200, "\"state\":\"logged\"");
    running.shutdown.cancel();
    running.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_error_ends_the_service() {
    let running = Running::start(1).await;
    assert_answer(&running.send().await, 200, "accepted");
    // The next minute has nowhere to go.
    let data = running.directory.path().join("data");
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::write(&data, "no directory").unwrap();
    sleep(Duration::from_millis(1100)).await;
    // The service may have noticed by itself, and ended before it was asked.
    if let Ok(mut stream) = TcpStream::connect(running.listen).await {
        let request = format!("{SEND}Host: x\r\nContent-Length: 1\r\n\r\nx");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        if stream.read_exact(&mut answer).await.is_ok() {
            assert_eq!(answer, b"HTTP/1.1 503");
        }
    }
    let error = running.task.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Disk { .. }), "{error}");
}

#[tokio::test]
async fn a_service_that_can_not_listen_leaves_no_log_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.listen = taken.local_addr().unwrap();
    let data_dir = config.data_dir.clone();
    let (stop, changes) = (CancellationToken::new(), mpsc::channel(1).1);
    let error = run(config, Arc::new(SystemClock), stop, changes).await.unwrap_err();
    assert!(matches!(error, Error::Bind { setting: "ingest.listen", .. }), "{error}");
    assert!(!data_dir.exists());
}
