//! The ways in which files are damaged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tests::Random;

/// A way to damage something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    FlipBit,
    FlipByte,
    /// Eight bytes of a length that is not there.
    Forge,
    Cut,
    Empty,
    Append,
    Random,
    SwapWithItsKind,
    SwapWithAnother,
    Remove,
    MakeDir,
    MakeLink,
    MakeFifo,
}

const FILE_WAYS: [Way; 13] = [
    Way::FlipBit,
    Way::FlipByte,
    Way::Forge,
    Way::Cut,
    Way::Empty,
    Way::Append,
    Way::Random,
    Way::SwapWithItsKind,
    Way::SwapWithAnother,
    Way::Remove,
    Way::MakeDir,
    Way::MakeLink,
    Way::MakeFifo,
];

const DIR_WAYS: [Way; 3] = [Way::Remove, Way::MakeLink, Way::MakeFifo];

/// One file or directory that was damaged.
#[derive(Clone, Debug)]
pub(super) struct Harm {
    pub(super) way: Way,
    /// Within the data directory.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The bytes that are there now, where it is a file with some.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Where a file lies and what it is called: `sealed/manifest`, `open/db`, `format`. A directory of
/// a run or a part ends with a slash: `open/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// `open`, `sealed`, `parked`, `receipts`; empty for what lies in none.
    pub(super) stage: String,
    /// The file; empty for the directory itself.
    pub(super) file: String,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.stage.is_empty() {
            f.write_str(&self.file)
        } else {
            write!(f, "{}/{}", self.stage, self.file)
        }
    }
}

impl Harm {
    /// The minute of the run or the part that it lies in.
    pub(super) fn minute(&self) -> Option<&str> {
        self.dir_name()?.split_once('.').map(|(minute, _)| minute)
    }

    /// The name of the run's or the part's directory.
    pub(super) fn dir_name(&self) -> Option<&str> {
        self.path.components().nth(1)?.as_os_str().to_str()
    }

    /// What a figure is called by.
    pub(super) fn figure(&self) -> &'static str {
        const NAMES: [(&str, &str); 14] = [
            ("db", "db"),
            ("conf", "conf"),
            ("snap", "snap"),
            ("blobs", "blobs"),
            ("lock", "lock"),
            ("closed", "closed"),
            ("manifest", "manifest"),
            ("segments", "segments"),
            ("index", "index"),
            ("identities", "identities"),
            ("deliveries", "deliveries"),
            ("format", "format"),
            ("flusher.lock", "flusher.lock"),
            ("", "directory"),
        ];
        let known = NAMES.iter().find(|(file, _)| *file == self.kind.file);
        known.map_or("another", |(_, name)| name)
    }
}

/// Everything in the data directory, by its kind. What kinds there are, the directory says.
pub(super) fn inventory(data: &Path) -> BTreeMap<Kind, Vec<PathBuf>> {
    let mut found = BTreeMap::<Kind, Vec<PathBuf>>::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(data.join(&dir)).expect("it is a directory").flatten() {
            let path = dir.join(entry.file_name());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let depth = path.components().count();
            if is_dir {
                dirs.push(path.clone());
            }
            // The directories of the stages are the program's own, as its executable is.
            if !is_dir || depth > 1 {
                found.entry(kind(&path, depth == 2)).or_default().push(path);
            }
        }
    }
    for paths in found.values_mut() {
        paths.sort_unstable();
    }
    found
}

fn kind(path: &Path, is_unit: bool) -> Kind {
    let words: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let file = match words.last() {
        _ if is_unit => String::new(),
        Some(name) if name.starts_with("snap.") => "snap".to_owned(),
        Some(name) if name.ends_with(".sock") => "socket".to_owned(),
        Some(name) => name.clone().into_owned(),
        None => String::new(),
    };
    let stage = if words.len() > 1 { words[0].clone().into_owned() } else { String::new() };
    Kind { stage, file }
}

/// Damages something.
pub(super) fn harm(data: &Path, random: &mut Random) -> Vec<Harm> {
    let inventory = inventory(data);
    let kinds: Vec<&Kind> = inventory.keys().collect();
    let kind = *pick(&kinds, random);
    let path = pick(&inventory[kind], random).clone();
    let full = data.join(&path);
    let is_file = fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_file());
    let length = fs::metadata(&full).map_or(0, |metadata| metadata.len());
    let way = if is_file { *pick(&FILE_WAYS, random) } else { *pick(&DIR_WAYS, random) };
    let others: Vec<(&Kind, &PathBuf)> = inventory
        .iter()
        .filter(|(other, _)| way != Way::SwapWithItsKind || *other == kind)
        .filter(|(other, _)| way != Way::SwapWithAnother || *other != kind)
        .flat_map(|(kind, paths)| paths.iter().map(move |path| (kind, path)))
        .filter(|(_, other)| **other != path && data.join(other).is_file())
        .collect();
    let is_swap = matches!(way, Way::SwapWithItsKind | Way::SwapWithAnother);
    let needs_bytes = matches!(way, Way::FlipBit | Way::FlipByte | Way::Forge | Way::Cut);
    if (is_swap && others.is_empty()) || (needs_bytes && length == 0) {
        return harm(data, random);
    }
    let mut harmed = vec![(kind.clone(), path.clone())];
    if is_swap {
        let (other_kind, other) = *pick(&others, random);
        let aside = data.join("aside");
        fs::rename(&full, &aside).expect("it can be moved");
        fs::rename(data.join(other), &full).expect("it can be moved");
        fs::rename(&aside, data.join(other)).expect("it can be moved");
        harmed.push((other_kind.clone(), other.clone()));
    } else {
        spoil(&full, way, random, others.first().map(|(_, other)| data.join(other)));
    }
    let note = |(kind, path): (Kind, PathBuf)| {
        let is_file = fs::symlink_metadata(data.join(&path)).is_ok_and(|it| it.is_file());
        let bytes = is_file.then(|| fs::read(data.join(&path)).expect("it can be read"));
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        Harm { way, path, kind, bytes }
    };
    harmed.into_iter().map(note).collect()
}

fn spoil(path: &Path, way: Way, random: &mut Random, other: Option<PathBuf>) {
    let remove = || {
        let is_dir = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
        let done = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        done.expect("it can be removed");
    };
    match way {
        Way::FlipBit => change(path, |bytes| {
            let at = index(bytes.len(), random);
            bytes[at] ^= 1 << random.below(8);
        }),
        Way::FlipByte => change(path, |bytes| {
            let at = index(bytes.len(), random);
            bytes[at] = !bytes[at];
        }),
        Way::Forge => change(path, |bytes| {
            let at = index(bytes.len(), random);
            bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0x7f);
        }),
        Way::Cut => change(path, |bytes| bytes.truncate(index(bytes.len(), random))),
        Way::Empty => change(path, Vec::clear),
        Way::Append => change(path, |bytes| {
            let count = 1 + random.below(300);
            bytes.extend((0..count).map(|_| random.number().to_le_bytes()[0]));
        }),
        Way::Random => change(path, |bytes| {
            for byte in bytes {
                *byte = random.number().to_le_bytes()[0];
            }
        }),
        Way::Remove => remove(),
        Way::MakeDir => {
            remove();
            fs::create_dir(path).expect("its name is free");
        }
        Way::MakeLink => {
            remove();
            let target = other.filter(|_| random.below(2) == 0);
            let target = target.unwrap_or_else(|| PathBuf::from("/nonexistent/target"));
            symlink(target, path).expect("its name is free");
        }
        Way::MakeFifo => {
            remove();
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, path, FileType::Fifo, mode, 0).expect("its name is free");
        }
        Way::SwapWithItsKind | Way::SwapWithAnother => {}
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("it can be read");
    change(&mut bytes);
    let write = File::create(path).and_then(|mut file| file.write_all(&bytes));
    write.expect("it can be written");
}

fn index(length: usize, random: &mut Random) -> usize {
    usize::try_from(random.below(length as u64)).expect("it is an index")
}

fn pick<'t, T>(from: &'t [T], random: &mut Random) -> &'t T {
    &from[index(from.len(), random)]
}
