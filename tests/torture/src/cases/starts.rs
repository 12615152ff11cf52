//! Data directories that nobody can work on: each is refused by every command that needs one, with
//! what to do about it, and nothing is written.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tests::{Output, Setup, Site, run as run_command};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::mount::Mounted;
use crate::need::Need;

/// A round is every kind of directory with every command.
pub(crate) const CASE: Case = Case {
    name: "starts",
    about: "data directories that are read-only, forbidden, missing, a file, of another format",
    needs: &[Need::Root, Need::Loop],
    short: 1,
    long: 3,
    run,
};

const SERVICES: [&[&str]; 4] = [&["ingest"], &["flusher"], &["flusher", "--once"], &["check"]];

/// Looking needs no more than to read.
const ALL: [&[&str]; 5] =
    [&["ingest"], &["flusher"], &["flusher", "--once"], &["check"], &["admin", "drain"]];

/// `sysexits.h`.
const DATA: i32 = 65;
const IO: i32 = 74;

/// Nobody's user, in whose name nothing may be written.
const NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    for round in 0..plan.rounds {
        let place = plan.work.join(round.to_string());
        fs::create_dir(&place).expect("the disk takes it");
        // Everybody may pass: it is the data directory that is in question.
        fs::set_permissions(&place, Permissions::from_mode(0o755)).expect("it is ours");
        figures.join(&one_round(&place));
    }
    figures
}

fn one_round(place: &Path) -> Figures {
    let mut figures = Figures::default();
    let mut refused = |path: PathBuf, commands: &[&[&str]], code: i32, told: &[&str]| {
        for command in commands {
            let setup = Setup { data: Some(path.clone()), ..Setup::default() };
            let site = Site::with(&setup);
            let before = listing(place);
            let mut command = site.command(command);
            // The listeners of a service that comes so far take any port.
            for key in ["INGEST__LISTEN", "INGEST__OPS_LISTEN", "FLUSHER__OPS_LISTEN"] {
                command.env(format!("MINUTELOG__{key}"), "127.0.0.1:0");
            }
            let output = run_command(&mut command);
            assert_refused(&output, code, told);
            assert_eq!(listing(place), before, "{command:?} has written something");
            figures.add("refusals", 1);
        }
    };

    refused(place.join("above/data"), &ALL, IO, &["above", "data_dir"]);

    let file = place.join("file");
    fs::write(&file, "text").expect("the disk takes it");
    refused(file, &ALL, IO, &["file", "has to name a directory"]);

    for version in ["minutelog 2\n", "minutelog 999\n"] {
        let other = place.join(version.trim().replace(' ', "-"));
        fs::create_dir(&other).expect("the disk takes it");
        fs::write(other.join("format"), version).expect("the disk takes it");
        refused(other, &ALL, DATA, &[version.trim(), "with the version that wrote it"]);
    }

    let disk = Mounted::ext4(place, "read-only", 16 << 20);
    disk.read_only(true);
    refused(disk.path().to_owned(), &SERVICES, IO, &["Read-only file system", "for writing"]);
    disk.read_only(false);
    let used = disk.path().join("data");
    let site = Site::with(&Setup { data: Some(used.clone()), ..Setup::default() });
    assert_eq!(site.ingest().terminate(), Some(0));
    disk.read_only(true);
    refused(used, &SERVICES, IO, &["Read-only file system", "for writing"]);

    let forbidden = place.join("forbidden");
    fs::create_dir(&forbidden).expect("the disk takes it");
    fs::set_permissions(&forbidden, Permissions::from_mode(0o700)).expect("it is ours");
    for_nobody(&forbidden, &mut figures);
    figures
}

/// Somebody who may do nothing in a directory. The binary and the configuration are copied to where
/// they can be read.
fn for_nobody(forbidden: &Path, figures: &mut Figures) {
    let readable = tempfile::TempDir::with_prefix("minutelog-nobody-").expect("a directory");
    fs::set_permissions(readable.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let binary = readable.path().join("minutelog");
    fs::copy(tests::binary(), &binary).expect("the disk takes it");
    for command in ALL {
        let mut run = std::process::Command::new(NOBODY[0]);
        run.args(&NOBODY[1..]).arg(&binary).args(command).arg("--data-dir").arg(forbidden);
        run.current_dir("/").env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
        run.env("MINUTELOG__INGEST__AUTH", "none").env("MINUTELOG__S3__REGION", "us-east-1");
        for key in ["INGEST__LISTEN", "INGEST__OPS_LISTEN", "FLUSHER__OPS_LISTEN"] {
            run.env(format!("MINUTELOG__{key}"), "127.0.0.1:0");
        }
        assert_refused(&run_command(&mut run), IO, &["Permission denied", "belongs to"]);
        figures.add("refusals", 1);
    }
    assert_eq!(fs::read_dir(forbidden).expect("it is ours").count(), 0);
}

fn assert_refused(output: &Output, code: i32, told: &[&str]) {
    output.exits(code);
    let error = output.stderr.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no error is told: {output:?}"));
    for word in told {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

/// Every path below a directory, but what lies on the way to the mounts' images.
fn listing(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths.extend(listing(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}
