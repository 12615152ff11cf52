use std::net::SocketAddr;

use model::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::*;
use crate::fixture::config;

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    let request = format!("{request}Host: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// An address that was free a moment ago.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_from_its_start_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    config.listen = free_address().await;
    config.ops_listen = free_address().await;
    let (listen, ops) = (config.listen, config.ops_listen);
    let shutdown = CancellationToken::new();
    let service = tokio::spawn(run(config, Arc::new(SystemClock), shutdown.clone()));

    let answer = ask(ops, "GET /healthz HTTP/1.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    let answer = ask(ops, "GET /readyz HTTP/1.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(listen, "GET /v1/events/nobody HTTP/1.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = ask(ops, "GET /metrics HTTP/1.1\r\n").await;
    let counted = "minutelog_ingest_requests_total{route=\"/v1/events/{id}\",status=\"404\"} 1";
    assert!(answer.contains(counted), "{answer}");

    shutdown.cancel();
    service.await.unwrap().unwrap();
    assert!(TcpStream::connect(listen).await.is_err());
    assert!(TcpStream::connect(ops).await.is_err());
}

#[tokio::test]
async fn a_service_that_can_not_listen_leaves_no_log_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.listen = taken.local_addr().unwrap();
    let data_dir = config.data_dir.clone();
    let error = run(config, Arc::new(SystemClock), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::Bind { setting: "ingest.listen", .. }), "{error}");
    assert!(!data_dir.exists());
}
