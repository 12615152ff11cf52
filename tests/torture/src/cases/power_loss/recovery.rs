//! The machine after the power cut: another disk, another S3 that holds what it had confirmed, and
//! the same program.

use std::fs;
use std::path::Path;
use std::thread;

use tests::{Ledger, Sent, Setup, Site, Snapshot, wait_for};

use super::disk::{Blocks, Disk, Recording};
use super::mount::{Journal, Mounted, NotMounted, find};
use crate::figures::Figures;
use crate::judge::{Late, judge};

/// `EX_TEMPFAIL` of `sysexits.h`: something is still undelivered.
const UNDELIVERED: i32 = 75;

/// No sender of the load has this number.
const SENDER: usize = 1000;

/// What happened in it.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// On the disk.
    pub(crate) recording: Recording,
    /// In S3, stamped; what it held before has the stamp 0.
    pub(crate) site: Site,
    pub(crate) figures: Figures,
    /// Whether ingest took an event in it.
    pub(crate) took_one_more: bool,
}

impl Recovery {
    /// Mounts the image, starts ingest on it if that is wanted, lets a flusher deliver all there is,
    /// and judges by what was acknowledged. `None` where the file system was beyond repair.
    pub(crate) fn make(
        place: &Path,
        journal: Journal,
        image: Blocks,
        stored: &Snapshot,
        ledger: &Ledger,
        ingest_first: bool,
    ) -> Option<Self> {
        let disk = Disk::new(image);
        let mounted = match Mounted::new(place, "image", journal, &disk) {
            Ok(mounted) => mounted,
            Err(NotMounted::BeyondRepair(what)) => {
                eprintln!("passed over, ext4 is beyond repair: {what}");
                return None;
            }
            Err(NotMounted::Failed(error)) => panic!("ext4 does not mount: {error}"),
        };
        let data = mounted.root().join("log");
        let log = super::RUNS.to_owned();
        let site = Site::with(&Setup { data: Some(data.clone()), log, ..Setup::default() });
        site.s3.restore(stored);
        site.s3.stamp_by(disk.counter());
        let mut ledger = ledger.clone();
        // A flusher alone has nothing to do where the cut came before there was a log.
        let took_one_more = ingest_first || !data.join("format").exists();
        if took_one_more {
            ledger.note(one_more(), Some(send_one_more(&site)));
        }
        let mut found = Found { mounted: &mounted, said: String::new() };
        // The last minute's time may not be over yet.
        wait_for("every minute to be over and delivered", || {
            let output = site.flush_once();
            found.said = format!("{output:#?}");
            assert!(matches!(output.code, Some(0 | UNDELIVERED)), "the flusher fails");
            output.code == Some(0) && is_empty(&data.join("open"))
        });
        let figures = judge(&site, &ledger, Late::Forbidden);
        drop(found);
        let recording = disk.recording();
        drop(mounted);
        Some(Self { recording, site, figures, took_one_more })
    }
}

/// What there is to learn from, where a judgement fails.
struct Found<'m> {
    mounted: &'m Mounted,
    /// By the last flusher.
    said: String,
}

impl Drop for Found<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        eprintln!("e2fsck: {}", self.mounted.mended());
        eprintln!("the flusher: {}", self.said);
        match find(self.mounted.root(), &["-printf", "%10s bytes, inode %4i × %n  /%P\n"]) {
            Ok(files) => eprintln!("{files}"),
            Err(error) => eprintln!("find: {error}"),
        }
    }
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

fn one_more() -> Sent {
    Sent {
        bucket: "my-bucket".to_owned(),
        prefix: "p".to_owned(),
        payload: r#""after the power cut""#.to_owned(),
        sender: SENDER,
    }
}

/// Ingest starts whatever lies on the disk, and takes an event.
fn send_one_more(site: &Site) -> String {
    let ingest = site.ingest();
    let Sent { bucket, prefix, payload, .. } = one_more();
    let id = ingest.client().send(&bucket, &prefix, &payload);
    assert_eq!(ingest.terminate(), Some(0));
    id
}
