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
            CONF_FILE => ends_with_its_checksum(&path, 0)?,
            name if is_snapshot(name) => ends_with_its_checksum(&path, LENGTH_BYTES)?,
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

/// sled 0.34's `read_config` and `read_snapshot`: the CRC-32 of all that stands before `between`
/// bytes and itself.
fn ends_with_its_checksum(path: &Path, between: usize) -> Result<bool> {
    let mut bytes = Vec::new();
    match open_file(path) {
        Ok(mut file) => file.read_to_end(&mut bytes).map_err(Error::io(path))?,
        Err(Error::Damaged { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let Some((rest, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Ok(false);
    };
    let body = rest.len().checked_sub(between).and_then(|length| rest.get(..length));
    let is_right = |body: &[u8]| crc32fast::hash(body) == u32::from_le_bytes(*checksum);
    Ok(body.is_some_and(|body| !body.is_empty() && is_right(body)))
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
}
