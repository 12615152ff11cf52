//! A disk that fills up: by the log itself, and by somebody else, to the last byte, while both
//! services work.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tests::{Ended, Kind, LoadPlan, Pair, Setup, Site, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, settle};
use crate::mount::Mounted;
use crate::need::Need;

/// A round fills the disk once more to the last byte, and frees it again.
pub(crate) const CASE: Case = Case {
    name: "disk-full",
    about: "a disk full by the log itself, and filled by another to the last byte, then freed",
    needs: &[Need::Root, Need::Loop],
    short: 6,
    long: 200,
    run,
};

const DISK_BYTES: u64 = 96 * 1024 * 1024;

/// What ingest leaves free for seals at the least is 16 MiB and its largest minute; a request that was
/// looked at before the last count of a second ago may take some of it.
const LEFT_AT_LEAST_BYTES: u64 = 8 * 1024 * 1024;

/// What ingest ends with after an error of the disk.
const IO: i32 = 74;

fn run(plan: &Plan<'_>) -> Figures {
    let disk = Mounted::ext4(plan.work, "disk", DISK_BYTES);
    let data = disk.path().join("data");
    let site = Site::with(&Setup { data: Some(data), ..Setup::default() });
    let mut random = plan.random("disk-full");
    let mut load_plan = LoadPlan::new(random.number());
    load_plan.pad_bytes = 60_000;
    let load = plan.load(&load_plan);
    let mut figures = Figures::default();

    // By the log itself: nobody delivers.
    let ingest = site.ingest();
    load.aim(Some(ingest.address()));
    wait_for("the log to be full", || {
        ingest.ops("/readyz").is_some_and(|it| it.status == 503 && it.text.contains("full"))
    });
    let refusal = ingest.client().post_send(r#"{"bucket":"my-bucket","prefix":"p","payload":1}"#);
    refusal.problem(503, "log-full");
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    let left = disk.free_bytes();
    assert!(left >= LEFT_AT_LEAST_BYTES, "{left} bytes are left for seals");
    figures.highest("free_bytes_when_full", left);
    load.aim(None);
    assert_eq!(ingest.terminate(), Some(0));

    // By somebody else.
    let mut pair = Pair::new(&site, &load);
    pair.start_both();
    let before = load.acknowledged();
    wait_for("events to be accepted again", || load.acknowledged() > before);
    let filler = Filler(disk.path().join("somebody-elses"));
    for _ in 0..plan.rounds {
        thread::sleep(Duration::from_millis(random.below(1500)));
        filler.fill();
        figures.add("times_filled", 1);
        thread::sleep(Duration::from_millis(random.below(3000)));
        supervise(&mut pair, &mut figures);
        filler.free();
        let before = load.acknowledged();
        wait_for("events to be accepted again", || {
            supervise(&mut pair, &mut figures);
            load.acknowledged() > before
        });
    }
    supervise(&mut pair, &mut figures);
    pair.kill_both();
    figures.join(&settle(&site, &load.stop(), Late::Forbidden));
    figures
}

/// Starts ingest again where the disk has ended it; the flusher goes on by itself.
fn supervise(pair: &mut Pair<'_>, figures: &mut Figures) {
    for kind in Kind::BOTH {
        let ended = pair.service(kind).is_none_or(|service| service.has_ended().is_some());
        if !ended {
            continue;
        }
        match pair.kill(kind) {
            Some(Ended::ByItself(code, log)) if kind == Kind::Flusher || code != Some(IO) => {
                panic!("{kind:?} ended with {code:?}: {log}");
            }
            Some(Ended::ByItself(..)) => figures.add("restarts_of_ingest", 1),
            _ => {}
        }
        pair.start(kind);
    }
}

/// A file that takes all there is.
struct Filler(PathBuf);

impl Filler {
    fn fill(&self) {
        let mut file = File::create(&self.0).expect("a name is always to be had");
        // To the last byte: what a large write finds no room for, a small one may.
        for size in [1 << 20, 4096, 1] {
            let piece = vec![7; size];
            while file.write_all(&piece).is_ok() {}
        }
        file.sync_all().ok();
    }

    fn free(&self) {
        fs::remove_file(&self.0).expect("it was made");
    }
}
