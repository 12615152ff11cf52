//! What the machine allows: the limits that everything is compared with, measured beside it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::time::{ClockId, clock_gettime};

use crate::latency::Latencies;

/// How often the time of an fdatasync is taken beside a load.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// What one probe writes before it syncs.
const PROBE_BYTES: usize = 4096;

/// gzip is fed as the flusher feeds it.
const GZIP_BLOCK_BYTES: usize = 64 * 1024;

/// How many of `commits` a second can be appended to a file and made durable, one after the other.
pub(crate) fn append(dir: &Path, commits: &[Bytes], duration: Duration) -> Result<f64> {
    let path = dir.join("append");
    let mut file = File::create(&path)?;
    let started = Instant::now();
    let mut done = 0_u32;
    for commit in commits.iter().cycle() {
        file.write_all(commit).and_then(|()| file.sync_data()).context("the disk takes it")?;
        done += 1;
        if started.elapsed() >= duration {
            break;
        }
    }
    let rate = f64::from(done) / started.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    Ok(rate)
}

/// Takes the time of an append with fdatasync every now and then, beside a load.
#[derive(Debug)]
pub(crate) struct SyncProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Latencies>>,
}

impl SyncProbe {
    /// Begins, on a file in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let path = dir.join("probe");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut file = File::create(&path)?;
            let mut latencies = Latencies::new();
            while !stopped.load(Ordering::SeqCst) {
                let started = Instant::now();
                file.write_all(&[0x5a; PROBE_BYTES])?;
                file.sync_data()?;
                latencies.record(started.elapsed());
                thread::sleep(PROBE_EVERY);
            }
            fs::remove_file(&path)?;
            Ok(latencies)
        });
        Self { stop, thread }
    }

    /// Ends, and says how long each took.
    pub(crate) fn stop(self) -> Result<Latencies> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("a probe ends without a panic")
    }
}

/// How flate2 compresses on one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gzip {
    /// Bytes in, for each second of CPU time.
    pub(crate) bytes_per_second: f64,
    /// Bytes in, for each byte out.
    pub(crate) ratio: f64,
}

/// Compresses `texts` again and again for a while.
pub(crate) fn gzip(level: u32, texts: &[Bytes], duration: Duration) -> Result<Gzip> {
    let mut encoder = GzEncoder::new(Counted(0), Compression::new(level));
    let (started, before) = (Instant::now(), thread_cpu());
    let mut taken = 0;
    for text in texts.iter().cycle() {
        for block in text.chunks(GZIP_BLOCK_BYTES) {
            encoder.write_all(block)?;
        }
        taken += text.len() as u64;
        if started.elapsed() >= duration {
            break;
        }
    }
    let given = encoder.finish()?.0;
    let cpu = thread_cpu().saturating_sub(before);
    Ok(Gzip { bytes_per_second: ratio(taken, 1) / cpu.as_secs_f64(), ratio: ratio(taken, given) })
}

/// How much was written.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// One number for each of another.
#[expect(clippy::cast_precision_loss, reason = "a figure needs no more than 53 bits")]
pub(crate) fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}
