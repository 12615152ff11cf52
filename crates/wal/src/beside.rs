//! What sled keeps beside its log: `conf`, `snap.*` and `blobs`. All of it can be made anew from the
//! log and from our settings, so that damage to it costs nothing.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};
use crate::regular::open_file;

/// What is in the way of sled gets this before its name, which sled then takes for nothing of its own.
const ASIDE: &str = "damaged.";

/// sled's settings, as they were when the database was made.
pub(crate) const CONF_FILE: &str = "conf";

/// The extension of a snapshot until it is whole.
const UNFINISHED: &str = "generating";

const CHECKSUM_BYTES: usize = 4;
/// A snapshot ends with its length before its checksum.
const LENGTH_BYTES: usize = 8;

/// Removes half of a snapshot, which is what a crash leaves of sled's opening, and no damage. sled
/// would take it for a whole one, and refuse to open.
pub(crate) fn remove_unfinished_snapshots(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            durable::remove_dir(&path)?;
        }
    }
    Ok(())
}

/// Moves what sled would trip over out of its way; says what that was.
pub(crate) fn set_aside_damage(dir: &Path) -> Result<Option<String>> {
    remove_unfinished_snapshots(dir)?;
    let damaged = damaged_names(dir)?;
    for name in &damaged {
        let path = dir.join(name);
        tracing::error!(path = %path.display(), "not what was written: made anew from the log");
        durable::rename(&path, &dir.join(format!("{ASIDE}{name}")))?;
    }
    Ok(told(&damaged))
}

/// What of all this is not what was written, by its names in their order. Half of a snapshot is no
/// damage.
pub(crate) fn damaged_names(dir: &Path) -> Result<Vec<String>> {
    let mut damaged = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_whole = match name.as_str() {
            "blobs" => entry.file_type().map_err(Error::io(&path))?.is_dir(),
            CONF_FILE => body(&path, 0)?.is_some(),
            name if is_snapshot(name) => {
                body(&path, LENGTH_BYTES)?.is_some_and(|body| is_named(name, &body))
            }
            _ => true,
        };
        if !is_whole {
            damaged.push(name);
        }
    }
    damaged.sort_unstable();
    Ok(damaged)
}

/// What is said of damage under these names; `None` where there is none.
pub(crate) fn told(damaged: &[String]) -> Option<String> {
    (!damaged.is_empty()).then(|| format!("{} is not what was written", damaged.join(", ")))
}

/// Whether sled reads a file of this name as a snapshot, once what a crash left is removed.
pub(crate) fn is_snapshot(name: &str) -> bool {
    name.starts_with("snap.") && Path::new(name).extension().is_none_or(|it| it != UNFINISHED)
}

/// What stands in a file before `between` bytes and its checksum; `None` where that is wrong, or where
/// nothing stands there. sled 0.34's `read_config` and `read_snapshot`: it is the CRC-32 of the body.
fn body(path: &Path, between: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match open_file(path) {
        Ok(mut file) => file.read_to_end(&mut bytes).map_err(Error::io(path))?,
        Err(Error::Damaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((rest, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Ok(None);
    };
    let (checksum, length) = (u32::from_le_bytes(*checksum), rest.len().checked_sub(between));
    bytes.truncate(length.unwrap_or_default());
    let is_right = !bytes.is_empty() && crc32fast::hash(&bytes) == checksum;
    Ok(is_right.then_some(bytes))
}

/// Whether a snapshot stands under its own name. One of another log, with a right checksum, would lead
/// sled astray: a file system without a journal can leave it there, by an inode that was used again.
///
/// sled 0.34's `write_snapshot` and `shift_i64_opt`: the name has the log's stable position in
/// hexadecimal digits, 0 where there is none; the body begins with it, one higher, or with 0.
fn is_named(name: &str, body: &[u8]) -> bool {
    let position = name.strip_prefix("snap.").and_then(|it| i64::from_str_radix(it, 16).ok());
    let (Some(position), Some(begins)) = (position, body.first_chunk()) else { return false };
    let begins = i64::from_le_bytes(*begins);
    begins == position.saturating_add(1) || (begins, position) == (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::open_database;

    #[test]
    fn damage_beside_the_log_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        drop({
            let db = open_database(path).unwrap();
            db.insert("key", "value").unwrap();
            db.flush().unwrap();
            db
        });
        // Closing writes a snapshot at the next opening.
        drop(open_database(path).unwrap());
        assert_eq!(set_aside_damage(path).unwrap(), None);
        let names = |path: &Path| -> Vec<String> {
            let names = fs::read_dir(path).unwrap();
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect()
        };
        let snapshot = names(path).into_iter().find(|name| name.starts_with("snap.")).unwrap();
        for name in ["conf", &snapshot] {
            let whole = fs::read(path.join(name)).unwrap();
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 4;
                fs::write(path.join(name), &bytes).unwrap();
                // The length of a snapshot says nothing that its file does not.
                let counts = name == "conf" || at < whole.len() - 12 || at >= whole.len() - 4;
                assert_eq!(
                    set_aside_damage(path).unwrap().is_some(),
                    counts,
                    "byte {at} of {name}"
                );
                if counts {
                    let aside = path.join(format!("{ASIDE}{name}"));
                    assert_eq!(fs::read(&aside).unwrap(), bytes);
                    fs::remove_file(aside).unwrap();
                }
            }
            fs::write(path.join(name), &whole).unwrap();
        }
        let half = path.join("snap.0000000000001234.generating");
        fs::write(&half, "half of a").unwrap();
        assert_eq!(set_aside_damage(path).unwrap(), None, "what a crash leaves is no damage");
        assert!(!half.exists());
        fs::write(path.join("conf"), "").unwrap();
        fs::write(path.join(&snapshot), "").unwrap();
        fs::remove_dir_all(path.join("blobs")).unwrap();
        fs::write(path.join("blobs"), "").unwrap();
        let what = set_aside_damage(path).unwrap().unwrap();
        assert_eq!(what, format!("blobs, conf, {snapshot} is not what was written"));
        let db = open_database(path).unwrap();
        assert_eq!(db.get("key").unwrap().unwrap(), "value");
    }

    #[test]
    fn a_snapshot_of_another_log_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str, values: u32| {
            let path = dir.path().join(name);
            let db = open_database(&path).unwrap();
            for value in 0..values {
                db.insert(value.to_be_bytes(), vec![0; 1000]).unwrap();
            }
            db.flush().unwrap();
            drop(db);
            drop(open_database(&path).unwrap());
            let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            let is_snapshot = |path: &std::path::PathBuf| {
                path.file_name().unwrap().to_string_lossy().starts_with("snap.")
            };
            let snapshot = names.into_iter().find(is_snapshot).unwrap();
            (path, snapshot)
        };
        let ((one, of_one), (two, of_two)) = (made("one", 10), made("two", 20));
        assert_eq!(
            (damaged_names(&one).unwrap().len(), damaged_names(&two).unwrap().len()),
            (0, 0)
        );
        fs::copy(of_two, &of_one).unwrap();
        let what = set_aside_damage(&one).unwrap().unwrap();
        assert!(what.contains("snap."), "{what}");
        assert_eq!(open_database(&one).unwrap().len(), 10);
    }
}
