//! How fast a minute is read, compressed and delivered, beside flate2 alone.

use anyhow::Result;

use super::{BULK_EVENTS, Bench, FLUSHER_MIB, per_million};
use crate::events::EVENT_BYTES;
use crate::figure::{Goal, Report, mib};
use crate::limits;
use crate::progress::Doing;
use crate::site::Site;

/// The slowest of the usual levels, and the fastest: where the log's share is the largest.
const LEVELS: [u32; 2] = [6, 1];

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let bodies = bench.bodies();
    for level in LEVELS {
        let site = Site::new(&bench.place, "15m", &level.to_string())?;
        let ingest = site.ingest()?;
        let sent = bench.fill(&ingest, bench.settings.amount(50_000))?;
        ingest.terminate()?;
        let limit = || {
            let _doing = Doing::new(format!("flate2 at level {level}"));
            limits::gzip(level, &bodies, bench.settings.limit())
        };
        let before = limit()?;
        let flushed = {
            let _doing = Doing::new(format!("the flusher at level {level}"));
            site.flush()?
        };
        let after = limit()?;
        let speed = f64::midpoint(before.bytes_per_second, after.bytes_per_second);
        let events = sent.requests * BULK_EVENTS;
        let bytes = events * EVENT_BYTES as u64;
        let gzip_seconds = limits::ratio(bytes, 1) / speed;
        let cpu = flushed.cpu.as_secs_f64();
        let name = |name: &str| format!("level {level}: {name}");
        let mib = mib(bytes);
        report.add(name("seal and delivery"), mib / flushed.elapsed.as_secs_f64(), "MiB/s");
        report.add(name("cores that it used"), cpu / flushed.elapsed.as_secs_f64(), "");
        report.add(name("flate2 alone, a core"), mib / gzip_seconds, "MiB/s");
        let share = gzip_seconds / cpu;
        report.goal(name("flusher / flate2, a core"), share, "", Goal::AtLeast(0.9));
        report.add(name("flusher, CPU"), per_million(flushed.cpu, events), "s/M events");
        report.add(name("bytes of events for each byte of gzip"), before.ratio, "");
        report.resident(&name("flusher"), flushed.peak_resident_bytes, FLUSHER_MIB);
        let written = limits::ratio(flushed.written_bytes, bytes);
        report.add(name("written to disk by the flusher"), written, "bytes a byte");
    }
    Ok(())
}
