//! A minute that is far larger than the memory that the services may have.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::bufread::GzDecoder;
use tests::{Kind, Random, Setup, Site, run_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::need::Need;

/// A round is 64 MiB of events: half of 640 of them are 20 GiB.
pub(crate) const CASE: Case = Case {
    name: "big-minute",
    about: "minutes of 20 GiB for one destination, in one run and in many, both services in a cgroup with little memory",
    needs: &[Need::Root, Need::MemoryCgroup],
    short: 4,
    long: 640,
    run,
};

const REQUEST_BYTES: usize = 8 * 1024 * 1024;
const REQUESTS_A_ROUND: u64 = 8;
const LINE_BYTES: usize = 16 * 1024;

const INGEST_LIMIT_BYTES: u64 = 512 * 1024 * 1024;
const FLUSHER_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// What 20 GiB take to be read and compressed, with a machine's patience.
const SEAL_PATIENCE_S: u64 = 3600;

/// In one run, which is read whole at once, and in as many as there are by themselves.
fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    for run_bytes in ["100GiB", "128MiB"] {
        figures.join(&big_minute(plan, plan.rounds.div_ceil(2), run_bytes));
    }
    figures
}

fn big_minute(plan: &Plan<'_>, rounds: u64, run_bytes: &str) -> Figures {
    let log = format!("max_bytes = \"100GiB\"\nrun_bytes = \"{run_bytes}\"\n");
    let site = Site::with(&Setup { log, ..Setup::long_minute() });
    let mut figures = Figures::default();
    let group = Group::new("ingest", INGEST_LIMIT_BYTES);
    let ingest = site.start_under(&group.runner(), Kind::Ingest, &[]);
    let (mut random, mut lines) = (plan.random("big-minute"), 0);
    for _ in 0..rounds * REQUESTS_A_ROUND {
        let (body, until) = request(lines, &mut random);
        let answer = ingest.client().post_bulk("my-bucket?prefix=p", "text/plain", body);
        assert_eq!(answer.status, 200, "{}", answer.text);
        lines = until;
    }
    figures.add("events", lines);
    figures.add("mebibytes", rounds * 64);
    assert_eq!(ingest.terminate(), Some(0));
    group.end("ingest_bytes", &mut figures);

    let group = Group::new("flusher", FLUSHER_LIMIT_BYTES);
    let mut once = site.command_under(&group.runner(), &["flusher", "--once"]);
    let output = run_for(&mut once, std::time::Duration::from_secs(SEAL_PATIENCE_S));
    // First, as it tells why the flusher was killed.
    group.end("flusher_bytes", &mut figures);
    output.exits(0);
    let objects = site.s3.bytes();
    let [(key, gzip)] = &objects[..] else { panic!("{} objects", objects.len()) };
    assert_eq!(read(gzip), lines, "{key}");
    figures.add("object_bytes", gzip.len() as u64);
    figures
}

/// The lines from a number on that fit into a request, and the number after the last.
///
/// They are of two letters in no order: gzip makes an eighth of them, so that the object finds room in
/// the memory of this process, and the log, which is packed, is still larger than what it is read in.
fn request(mut number: u64, random: &mut Random) -> (String, u64) {
    let mut body = String::with_capacity(REQUEST_BYTES);
    while body.len() + LINE_BYTES + 20 < REQUEST_BYTES {
        write!(body, "{number:012} ").expect("writing to a string cannot fail");
        for _ in 0..LINE_BYTES / 64 {
            let bits = random.number();
            body.extend((0..64).map(|bit| if bits >> bit & 1 == 0 { 'x' } else { 'y' }));
        }
        body.push('\n');
        number += 1;
    }
    (body, number)
}

/// Reads an object and asserts that its lines are numbered without a gap; how many there are.
#[track_caller]
fn read(gzip: &[u8]) -> u64 {
    let mut lines = 0;
    let mut reader = BufReader::new(GzDecoder::new(gzip));
    let mut line = String::new();
    while reader.read_line(&mut line).expect("the object is whole") > 0 {
        let number = line.split(' ').next().and_then(|number| number.parse::<u64>().ok());
        assert_eq!(number, Some(lines), "the object's order");
        lines += 1;
        line.clear();
    }
    lines
}

/// A control group whose memory, the page cache included, is limited. The kernel kills what cannot
/// live in it.
#[derive(Debug)]
struct Group {
    dir: PathBuf,
    script: String,
}

impl Group {
    fn new(name: &str, limit_bytes: u64) -> Self {
        let name = format!("minutelog-torture-{}-{name}", std::process::id());
        let dir = Path::new(Need::MEMORY_CGROUPS).join(name);
        fs::create_dir(&dir).expect("root may make a control group");
        fs::write(dir.join("memory.limit_in_bytes"), limit_bytes.to_string()).expect("a limit");
        let script = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", dir.display());
        Self { dir, script }
    }

    /// What runs a command in the group.
    fn runner(&self) -> [&str; 4] {
        ["sh", "-c", &self.script, "sh"]
    }

    /// Notes the most that was resident besides the page cache, and that nothing was refused.
    fn end(self, name: &'static str, figures: &mut Figures) {
        let read = |file: &str| fs::read_to_string(self.dir.join(file)).expect("a group's file");
        let killed = read("memory.oom_control");
        assert!(killed.contains("oom_kill 0"), "killed for want of memory: {killed}");
        let peak = read("memory.max_usage_in_bytes");
        figures.add(name, peak.trim().parse().expect("a number"));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group is removed when its last process is gone.
        let mut command = Command::new("rmdir");
        drop(command.arg(&self.dir).status());
    }
}
