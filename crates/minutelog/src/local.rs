//! Everything on this machine: the embedded S3 server, ingest and flusher, as `demo` and `dev` run
//! them.
//!
//! Both services are processes of their own, with a configuration file of their own, as in
//! production. In the directory lie `s3/` (buckets), `data/` (the log), `minutelog.toml` (for the
//! services, and for `admin` to look with), `credentials` for the S3 server, and one log file per service.

mod ports;
mod service;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::{Bucket, Interval};

pub(crate) use self::ports::{Ports, free_near};
use self::service::{Service, write_file};
use crate::config::{AuthMode, Config, StreamConfig};
use crate::embedded::{REGION, Server};
use crate::failure::{Code, Failure};

/// The one stream that there is, for what sends to Amazon Data Firehose.
pub(crate) const STREAM: &str = "my-stream";

/// The three, running and ready.
pub(crate) struct Local {
    /// The configuration file of the services.
    pub(crate) config_file: PathBuf,
    /// Where ingest takes events.
    pub(crate) ingest_address: SocketAddr,
    /// Where ingest's health and metrics are.
    pub(crate) ingest_ops: SocketAddr,
    /// Where the flusher's health and metrics are.
    pub(crate) flusher_ops: SocketAddr,
    /// The URL of the S3 server.
    pub(crate) s3_url: String,
    server: Server,
    ingest: Service,
    flusher: Service,
}

impl Local {
    /// Starts the three in `directory` and waits until they are ready. `bucket` is there from the
    /// beginning.
    pub(crate) async fn start(
        directory: &Path,
        bucket: &Bucket,
        interval: Interval,
        ports: Ports,
    ) -> Result<Self, Failure> {
        let in_directory = |error| {
            Failure::io(
                &directory.display().to_string(),
                &error,
                "choose another directory with --data-dir",
            )
        };
        let (s3, data) = (directory.join("s3"), directory.join("data"));
        fs::create_dir_all(&s3).map_err(in_directory)?;
        fs::create_dir_all(&data).map_err(in_directory)?;
        let [ingest_address, ingest_ops, flusher_ops] = ports.services;
        let server = Server::start(&s3, &[bucket], ports.s3)?;
        let s3_url = server.url();

        let mut config = Config { data_dir: data, ..Config::default() };
        config.log.interval = interval;
        config.ingest.listen = ingest_address;
        config.ingest.ops_listen = ingest_ops;
        config.ingest.auth = AuthMode::None;
        config.streams.extend(StreamConfig::new(STREAM, bucket.clone()));
        config.flusher.ops_listen = flusher_ops;
        config.s3.region = REGION.to_owned().try_into().ok();
        config.s3.endpoint = s3_url.clone().try_into().ok();
        config.s3.path_style = true;
        let config_file = directory.join("minutelog.toml");
        let text = toml::to_string(&config).map_err(|error| {
            Failure::new(
                Code::Internal,
                format!("configuration as TOML: {error}: report this defect"),
            )
        })?;
        write_file(&config_file, &text)?;
        // For whoever looks with `admin doctor`, `verify --objects` or AWS's own tools.
        let credentials = directory.join("credentials");
        let keys = server.keys();
        let (id, secret) = (&keys.access_key_id, &keys.secret_access_key);
        let text =
            format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        write_file(&credentials, &text)?;

        let ingest = Service::start("ingest", directory, &config_file, None)?;
        let flusher = Service::start("flusher", directory, &config_file, Some(server.keys()))?;
        let mut local = Self {
            config_file,
            ingest_address,
            ingest_ops,
            flusher_ops,
            s3_url,
            server,
            ingest,
            flusher,
        };
        local.ingest.ready(ingest_ops).await?;
        local.flusher.ready(flusher_ops).await?;
        Ok(local)
    }

    /// Waits for a service to end, which none of them does by itself: the failure tells which.
    pub(crate) async fn failed(&mut self) -> Failure {
        tokio::select! {
            failure = self.ingest.ended() => failure,
            failure = self.flusher.ended() => failure,
        }
    }

    /// What both services logged lately.
    pub(crate) fn logs(&self) -> String {
        format!("{}\n{}", self.ingest.log_tail(), self.flusher.log_tail())
    }

    /// The process ids of ingest and flusher.
    pub(crate) fn pids(&self) -> (u32, u32) {
        (self.ingest.pid(), self.flusher.pid())
    }

    /// Stops ingest, then the flusher; the S3 server goes on. The first failure is reported, after
    /// both were stopped.
    pub(crate) async fn stop_services(&mut self) -> Result<(), Failure> {
        let ingest = self.ingest.stop().await;
        let flusher = self.flusher.stop().await;
        ingest.and(flusher)
    }

    /// Stops all three.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let services = self.stop_services().await;
        self.server.stop().await;
        services
    }
}
