//! How `admin` talks to a running service: a Unix socket in the data directory.
//!
//! Whoever may read the data directory may use it, and nobody else: no port, no password. A
//! request is one line of JSON, an answer any number of lines until the connection closes.
//! A socket that nobody listens on any more is what a crash left behind; it is treated as absent.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::durable::FILE_MODE;
use crate::error::{Error, Result};
use crate::layout::DataDir;

const MAX_CONNECTIONS: usize = 16;
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// What nobody listens on is left alone for so long: a socket is there a moment before its listener.
const ABANDONED_AFTER: Duration = Duration::from_secs(10);

/// How long `admin` waits for a service to say something. One that is stopped or hung says nothing.
pub const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Answers one request, a line of JSON.
pub type Handler = dyn Fn(&str, &mut dyn Write) -> io::Result<()> + Send + Sync;

/// A socket that is being served, until it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    dir: File,
    stop: Arc<AtomicBool>,
}

/// A path of at most 108 bytes to a socket in `dir`, however long the path of `dir` is.
fn short_path(dir: &File, socket: &Path) -> PathBuf {
    let name = socket.file_name().unwrap_or_default();
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

impl ControlServer {
    /// Serves requests at `<data directory>/<name>.sock`.
    pub fn start(data: &DataDir, name: &str, handler: Arc<Handler>) -> Result<Self> {
        let path = data.root().join(format!("{name}.sock"));
        let dir = File::open(data.root()).map_err(Error::io(data.root()))?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(&path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(short_path(&dir, &path)).map_err(Error::io(&path))?;
        fs::set_permissions(&path, Permissions::from_mode(FILE_MODE)).map_err(Error::io(&path))?;
        remove_abandoned(data, &dir, &path).map_err(Error::io(data.root()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || accept(&listener, &handler, &stopped))
            .map_err(Error::io(&path))?;
        Ok(Self { path, dir, stop })
    }
}

/// Removes the sockets of processes that were killed: nobody listens on them, and they were there
/// long before our own, so that none of them is about to be listened on.
fn remove_abandoned(data: &DataDir, dir: &File, own: &Path) -> io::Result<()> {
    let made = fs::metadata(own)?.modified()?;
    for name in sockets(data, "") {
        let path = data.root().join(format!("{name}.sock"));
        let Ok(theirs) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else {
            continue;
        };
        let is_old = made.duration_since(theirs).is_ok_and(|age| age >= ABANDONED_AFTER);
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if is_old && UnixStream::connect(short_path(dir, &path)).is_err_and(|it| refused(&it)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread up, so that it sees the flag.
        drop(UnixStream::connect(short_path(&self.dir, &self.path)));
        drop(fs::remove_file(&self.path));
    }
}

fn accept(listener: &UnixListener, handler: &Arc<Handler>, stop: &AtomicBool) {
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if connections.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            continue;
        }
        connections.fetch_add(1, Ordering::SeqCst);
        let (handler, connections) = (Arc::clone(handler), Arc::clone(&connections));
        let work = move || {
            if let Err(error) = answer(&stream, &*handler) {
                tracing::debug!(%error, "a control connection broke");
            }
            connections.fetch_sub(1, Ordering::SeqCst);
        };
        if thread::Builder::new().name("control-answer".to_owned()).spawn(work).is_err() {
            return;
        }
    }
}

fn answer(stream: &UnixStream, handler: &Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST_BYTES)).read_line(&mut line)?;
    let mut out = BufWriter::with_capacity(64 * 1024, stream);
    handler(line.trim_end(), &mut out)?;
    out.flush()
}

/// Sends a request to the socket `name`; `None` where no service listens there. A read of the
/// answer fails when nothing comes for as long as `patience`.
pub fn call(
    data: &DataDir,
    name: &str,
    request: &impl Serialize,
    patience: Duration,
) -> Result<Option<BufReader<UnixStream>>> {
    let path = data.root().join(format!("{name}.sock"));
    let dir = match File::open(data.root()) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(data.root())(error)),
    };
    let stream = match UnixStream::connect(short_path(&dir, &path)) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::io(&path)(error)),
    };
    let send = || {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        (&stream).write_all(&line)
    };
    match send() {
        Ok(()) => Ok(Some(BufReader::with_capacity(64 * 1024, stream))),
        // It ended between the two.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Err(error) => Err(Error::io(&path)(error)),
    }
}

/// What it means that no value can be read from the answer of the socket `name`.
pub fn unread(data: &DataDir, name: &str) -> impl FnOnce(serde_json::Error) -> Error {
    move |error| {
        let silence = error.io_error_kind().and_then(|kind| silent(data, name, kind));
        silence.unwrap_or_else(|| Error::Control {
            path: data.root().join(format!("{name}.sock")),
            message: format!("cannot read the answer: {error}"),
        })
    }
}

/// An error where nobody was there to answer, or none came in time.
pub fn answered(data: &DataDir, name: &str, answer: Option<BufReader<UnixStream>>) -> Result<()> {
    let fails = |message: &str| Error::Control {
        path: data.root().join(format!("{name}.sock")),
        message: message.to_owned(),
    };
    let mut answer = answer.ok_or_else(|| fails("nobody listens"))?;
    let mut line = String::new();
    match answer.read_line(&mut line).map_err(unread_line(data, name))? {
        0 => Err(fails("there was no answer")),
        _ => Ok(()),
    }
}

/// What it means that no line can be read from the answer of the socket `name`.
pub(crate) fn unread_line(data: &DataDir, name: &str) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let silence = silent(data, name, error.kind());
        silence.unwrap_or_else(|| Error::io(&data.root().join(format!("{name}.sock")))(error))
    }
}

/// The error of a service that says nothing, where a read has failed for that.
fn silent(data: &DataDir, name: &str, kind: io::ErrorKind) -> Option<Error> {
    // A process id may follow the service's name.
    let service = name.split_once('-').map_or(name, |(service, _)| service);
    let path = data.root().join(format!("{name}.sock"));
    let message = format!("{service} does not answer: it is stopped or hung");
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        .then_some(Error::Control { path, message })
}

/// The names of the sockets in the data directory that begin with `prefix`.
pub(crate) fn sockets(data: &DataDir, prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data.root()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut sockets: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".sock").map(str::to_owned))
        .filter(|name| name.starts_with(prefix))
        .collect();
    sockets.sort();
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lines_in_a_directory_with_a_long_path() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path().join("d".repeat(150))).unwrap();
        assert!(call(&data, "echo", &"x", LOOK_PATIENCE).unwrap().is_none());
        let handler = |request: &str, out: &mut dyn Write| writeln!(out, "got {request}");
        let server = ControlServer::start(&data, "echo", Arc::new(handler)).unwrap();
        let mut answer = String::new();
        call(&data, "echo", &7, LOOK_PATIENCE)
            .unwrap()
            .unwrap()
            .read_to_string(&mut answer)
            .unwrap();
        assert_eq!(answer, "got 7\n");
        assert_eq!(sockets(&data, "ec"), ["echo"]);
        drop(server);
        assert!(call(&data, "echo", &"x", LOOK_PATIENCE).unwrap().is_none());
    }

    #[test]
    fn a_socket_that_a_crash_left_behind_goes_with_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path().join("data")).unwrap();
        let bind = |name: &str| UnixListener::bind(data.root().join(name)).unwrap();
        let age = |name: &str| {
            use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
            let long_ago = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
            let times = Timestamps { last_access: long_ago, last_modification: long_ago };
            utimensat(CWD, data.root().join(name), &times, AtFlags::empty()).unwrap();
        };
        drop(bind("ingest-1.sock"));
        age("ingest-1.sock");
        let _listened_on = bind("ingest-2.sock");
        age("ingest-2.sock");
        drop(bind("ingest-3.sock"));
        let handler = |_: &str, _: &mut dyn Write| Ok(());
        let _server = ControlServer::start(&data, "ingest-4", Arc::new(handler)).unwrap();
        assert_eq!(sockets(&data, ""), ["ingest-2", "ingest-3", "ingest-4"]);
    }
}
