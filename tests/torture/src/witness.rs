//! The ledger: a process that keeps what was acknowledged on stable storage, so that neither the
//! services nor the rig can take an acknowledgement back.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use tests::Witness;

/// The process of one sender.
#[derive(Debug)]
pub(crate) struct LedgerProcess {
    child: Child,
    file: PathBuf,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    noted: usize,
}

impl LedgerProcess {
    /// Starts a process that writes to `file`, or goes on with what is there.
    pub(crate) fn start(file: &Path) -> Self {
        let this = std::env::current_exe().expect("a process knows its executable");
        let mut command = Command::new(this);
        command.arg("ledger").arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the ledger can be started");
        let to = child.stdin.take().expect("it was asked for");
        let from = BufReader::new(child.stdout.take().expect("it was asked for"));
        let noted = lines(file);
        Self { child, file: file.to_owned(), to, from, noted }
    }
}

impl Witness for LedgerProcess {
    fn acknowledged(&mut self, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        let line = ids.join(" ");
        writeln!(self.to, "{line}").expect("the ledger lives as long as the rig");
        let mut synced = String::new();
        self.from.read_line(&mut synced).expect("the ledger answers");
        assert_eq!(synced.trim_end(), ids.len().to_string(), "the ledger has lost its way");
        self.noted += ids.len();
    }
}

impl Drop for LedgerProcess {
    /// What counted is what the file holds: nothing was counted that was not synced.
    fn drop(&mut self) {
        let kept = lines(&self.file);
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
        if !std::thread::panicking() {
            assert_eq!(kept, self.noted, "{} is not what was noted", self.file.display());
        }
    }
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// The process: each line of its input, ids with spaces between them, is synced before it answers
/// with their number.
pub(crate) fn serve(path: &Path) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    // The name is there for ever before anything counts that is under it.
    let parent = path.parent().context("a file has a directory")?;
    File::open(parent)?.sync_all()?;
    let mut answers = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line?;
        let mut ids = line.replace(' ', "\n");
        ids.push('\n');
        file.write_all(ids.as_bytes())?;
        file.sync_data()?;
        writeln!(answers, "{}", line.split(' ').count())?;
        answers.flush()?;
    }
    Ok(())
}
