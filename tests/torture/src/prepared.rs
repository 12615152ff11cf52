//! A log that is made once and used often: finished minutes that nobody has sealed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tests::{Ledger, Sent, Site};

/// What one run of ingest has left, and what it had acknowledged.
#[derive(Debug)]
pub(crate) struct Prepared {
    data: PathBuf,
    ledger: Ledger,
}

impl Prepared {
    /// Three destinations, a run that was closed and one that was killed; kept in `work`.
    pub(crate) fn make(work: &Path) -> Self {
        let site = Site::new();
        let mut ledger = Ledger::default();
        for sender in 0..2 {
            let ingest = site.ingest();
            for number in 0..6 {
                let prefix = ["p", "q", "r/s"][number % 3].to_owned();
                let payload = format!(r#""{sender}-{number:02}-{}""#, "x".repeat(number * 9000));
                let id = ingest.client().send("my-bucket", &prefix, &payload);
                ledger.note(
                    Sent { bucket: "my-bucket".to_owned(), prefix, payload, sender },
                    Some(id),
                );
            }
            if sender == 0 {
                assert_eq!(ingest.terminate(), Some(0));
            } else {
                ingest.kill();
            }
        }
        let data = work.join("prepared");
        copy(&site.data(), &data);
        Self { data, ledger }
    }

    /// A machine with a copy of it.
    pub(crate) fn site(&self) -> Site {
        let site = Site::new();
        copy(&self.data, &site.data());
        site
    }

    /// The files that a flusher will write for what was prepared, on this machine.
    pub(crate) fn written_by_a_flusher(&self, site: &Site) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.data.join("open")).expect("it was copied");
        let names = runs.map(|run| run.expect("it can be listed").file_name());
        let minutes = names.map(|name| {
            let name = name.to_str().expect("it is ASCII");
            name.split_once('.').expect("a minute and a run").0.to_owned()
        });
        let minutes: BTreeSet<String> = minutes.collect();
        let of_minute = |minute: &String| {
            let files =
                ["sealing/segments", "sealing/index", "sealing/manifest", "sealed/deliveries"];
            files.map(|file| {
                let (stage, name) = file.split_once('/').expect("each has a stage");
                site.data().join(stage).join(format!("{minute}.0")).join(name)
            })
        };
        minutes.iter().flat_map(of_minute).collect()
    }

    /// What was acknowledged.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Copies directories and files; sockets stay behind.
fn copy(from: &Path, to: &Path) {
    DirBuilder::new().mode(0o700).create(to).expect("the disk takes it");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be listed");
        let kind = entry.file_type().expect("it has a type");
        let there = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &there);
        } else if kind.is_file() {
            fs::copy(entry.path(), there).expect("the disk takes it");
        }
    }
}
