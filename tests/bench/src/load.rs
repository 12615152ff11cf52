//! The load: connections that send one request after the other, as fast as they are answered or at
//! a fixed pace.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep_until;

use crate::client::Connection;
use crate::latency::Latencies;
use crate::usage::Usage;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so long.
    Elapsed(Duration),
    /// After so many requests.
    Sent(u64),
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// How many connections, each with one request under way.
    pub(crate) connections: usize,
    /// How many threads drive them.
    pub(crate) threads: usize,
    /// The requests, for each connection in its turn.
    pub(crate) requests: Arc<[Bytes]>,
    /// How many requests a second, all connections together; `None`: as many as are answered. At a
    /// pace, a latency counts from when the request was due.
    pub(crate) pace: Option<f64>,
    /// When it ends.
    pub(crate) until: Until,
    /// The length of a minute: latencies of the second before and after its end are kept apart.
    pub(crate) interval: Option<Duration>,
}

/// How it went.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// How many requests were answered with 200.
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Of all requests.
    pub(crate) latencies: Latencies,
    /// Of those about a minute's end.
    pub(crate) at_the_edge: Latencies,
    /// The CPU time of this process meanwhile: of the load and of the stand-in for S3.
    pub(crate) own_cpu: Duration,
}

/// What one connection saw.
#[derive(Debug)]
struct Seen {
    requests: u64,
    refused: BTreeMap<u16, u64>,
    latencies: Latencies,
    at_the_edge: Latencies,
}

impl Load {
    /// Runs it. A request that is refused is an error: what is measured then is something else.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let cpu = Usage::of(std::process::id())?;
        let started = Instant::now();
        let threads = self.threads.min(self.connections);
        let of_thread = |thread: usize| (thread..self.connections).step_by(threads);
        let seen = thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || self.run_thread(of_thread(thread), started)))
                .collect();
            let joined = running.into_iter().map(|thread| thread.join().expect("no thread panics"));
            joined.collect::<Result<Vec<_>>>()
        })?;
        let elapsed = started.elapsed();
        let mut all = Seen::new();
        seen.iter().flatten().for_each(|seen| all.join(seen));
        ensure!(all.refused.is_empty(), "requests were refused, by status: {:?}", all.refused);
        Ok(Outcome {
            requests: all.requests,
            elapsed,
            latencies: all.latencies,
            at_the_edge: all.at_the_edge,
            own_cpu: (Usage::of(std::process::id())? - cpu).cpu(),
        })
    }

    fn run_thread(
        &self,
        connections: impl Iterator<Item = usize>,
        started: Instant,
    ) -> Result<Vec<Seen>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = LocalSet::new();
        let running: Vec<_> = connections
            .map(|number| {
                let load = self.clone();
                tasks.spawn_local(async move { load.run_connection(number, started).await })
            })
            .collect();
        tasks.block_on(&runtime, async {
            let mut seen = Vec::new();
            for task in running {
                seen.push(task.await.expect("no task panics")?);
            }
            Ok(seen)
        })
    }

    async fn run_connection(&self, number: usize, started: Instant) -> Result<Seen> {
        let mut connection = Connection::open(self.address).await.context("ingest listens")?;
        let mut seen = Seen::new();
        let requests = self.requests.iter().cycle().skip(number).step_by(self.connections);
        for (sent, request) in (0_u64..).zip(requests) {
            let due = self.due(number, sent, started);
            if self.is_over(number, sent, due.unwrap_or_else(Instant::now), started) {
                break;
            }
            if let Some(due) = due {
                sleep_until(due.into()).await;
            }
            let begun = due.unwrap_or_else(Instant::now);
            let status = connection.call(request).await.context("ingest answers")?;
            seen.note(status, begun.elapsed(), self.is_at_the_edge());
        }
        Ok(seen)
    }

    /// When the request of this number is due.
    fn due(&self, connection: usize, sent: u64, started: Instant) -> Option<Instant> {
        let pace = self.pace?;
        let (all, connection) = (self.connections as u64, connection as u64);
        let number = u32::try_from(sent * all + connection).unwrap_or(u32::MAX);
        Some(started + Duration::from_secs_f64(f64::from(number) / pace))
    }

    fn is_over(&self, connection: usize, sent: u64, now: Instant, started: Instant) -> bool {
        match self.until {
            Until::Elapsed(duration) => now.saturating_duration_since(started) >= duration,
            Until::Sent(all) => sent * self.connections as u64 + connection as u64 >= all,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the services' clock is this machine's")]
    fn is_at_the_edge(&self) -> bool {
        let Some(interval) = self.interval else { return false };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let into = now.as_millis() % interval.as_millis();
        into < 1000 || into >= interval.as_millis() - 1000
    }
}

impl Seen {
    fn new() -> Self {
        Self {
            requests: 0,
            refused: BTreeMap::new(),
            latencies: Latencies::new(),
            at_the_edge: Latencies::new(),
        }
    }

    fn note(&mut self, status: u16, latency: Duration, at_the_edge: bool) {
        if status != 200 {
            *self.refused.entry(status).or_default() += 1;
            return;
        }
        self.requests += 1;
        self.latencies.record(latency);
        if at_the_edge {
            self.at_the_edge.record(latency);
        }
    }

    fn join(&mut self, other: &Self) {
        self.requests += other.requests;
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.latencies.join(&other.latencies);
        self.at_the_edge.join(&other.at_the_edge);
    }
}

impl Outcome {
    /// Requests a second.
    #[expect(clippy::cast_precision_loss, reason = "a figure needs no more than 53 bits")]
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}
