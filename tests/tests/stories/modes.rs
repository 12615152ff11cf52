//! Nobody but the services' user may look at what is on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tests::{Fault, Rule, Site, wait_for};

/// Asserts that every directory below `dir` is 0700 and everything else 0600; returns the paths.
fn assert_closed(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // What a service removes meanwhile has no mode any more.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let closed = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o7777, closed, "{}", path.display());
        if metadata.is_dir() {
            paths.extend(assert_closed(&path));
        }
        paths.push(path);
    }
    paths
}

#[test]
fn nobody_else_may_look_at_what_is_on_disk() {
    let site = Site::new();
    // Made beforehand, with the mode that `mkdir` gives it.
    fs::create_dir(site.data()).unwrap();
    fs::set_permissions(site.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let hanging = site.s3.add(Rule::new(Fault::Hang).on("PutObject").prefix("hanging"));
    let (ingest, flusher) = (site.ingest(), site.flusher());
    ingest.client().send("my-bucket", "hanging", "1");
    ingest.client().send("my-bucket", "delivered", "2");
    site.wait_for_objects(1);
    wait_for("a receipt on disk", || site.s3.hits(hanging) > 0);
    // A minute that is open beside the one that is on its way, and one that is all in S3.
    ingest.client().send("my-bucket", "open", "3");
    wait_for("a journal", || {
        assert_closed(&site.data()).iter().any(|it| it.ends_with("deliveries"))
    });
    let paths = assert_closed(&site.data());
    let names =
        ["format", "flusher.lock", "flusher.sock", "lock", "db", "blobs", "segments", "index"];
    for name in names {
        assert!(paths.iter().any(|path| path.ends_with(name)), "there is no {name}: {paths:?}");
    }
    site.s3.mend(hanging);
    assert_eq!(ingest.terminate(), Some(0));
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    assert_closed(&site.data());
    let root = fs::metadata(site.data()).unwrap().permissions().mode();
    assert_eq!(root & 0o7777, 0o700);
}
