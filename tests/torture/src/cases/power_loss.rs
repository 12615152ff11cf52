//! Power loss: what was not flushed to the disk is gone, in whole or in part.
//!
//! Both services work on an ext4 file system, on a loop device, on a disk of the rig's own that
//! records every write and every flush in their order ([`disk`], [`device`]). From the recording,
//! images are made of what the disk may hold after a cut at any position ([`image`]): all that was
//! flushed before it, and of the writes after the last flush none, all, some, or torn ones. Each
//! image is mounted, a flusher delivers, with an S3 that holds what it held at that position, and
//! the judge asks for all that was acknowledged up to it ([`history`], [`recovery`]). The power may
//! fail again in the recovery.
//!
//! ext4's one journal makes every name safe with any file's sync. So half of the histories do
//! without it: there, a name whose directory nobody synced is gone.

mod device;
mod disk;
mod history;
mod image;
mod mount;
mod recovery;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tests::{Ledger, Random, Snapshot};

use self::disk::Blocks;
use self::history::{History, Size};
use self::image::{Image, Kept, Replay};
use self::mount::Journal;
use self::recovery::Recovery;
use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::need::Need;

/// A round is an image.
pub(crate) const CASE: Case = Case {
    name: "power-loss",
    about: "what was not synced is gone or torn, at any moment, in images of an ext4 file system",
    needs: &[Need::Root, Need::Loop, Need::Fuse],
    short: 24,
    long: 1200,
    run,
};

const DISK_BYTES: usize = 256 * 1024 * 1024;

/// Of `[log]`. Runs that are smaller take more room on such a disk than what they hold.
const RUNS: &str = "run_bytes = \"4MiB\"\n";

/// How many images at most are made of one history; there are at least two histories.
const IMAGES_A_HISTORY: u64 = 25;

/// The histories, in turn.
const KINDS: [(Journal, Size); 4] = [
    (Journal::Kept, Size::Small),
    (Journal::None, Size::Large),
    (Journal::Kept, Size::Large),
    (Journal::None, Size::Small),
];

/// How many recoveries are under way at once.
const AT_ONCE: usize = 2;

fn run(plan: &Plan<'_>) -> Figures {
    mount::remove_stale();
    let place = mount::place();
    let formats =
        [Journal::Kept, Journal::None].map(|journal| (journal, mount::format(journal, DISK_BYTES)));
    let mut figures = Figures::default();
    let mut left = plan.rounds;
    let mut kinds = KINDS.into_iter().cycle();
    while left > 0 {
        let (journal, size) = kinds.next().expect("it goes round");
        let empty = formats.iter().find(|(of, _)| *of == journal).map(|(_, empty)| empty);
        let empty = empty.expect("there is one of each kind");
        let images = left.min(plan.rounds.div_ceil(2)).min(IMAGES_A_HISTORY);
        let random = plan.random(&format!("load {left}"));
        let history = History::make(place.path(), journal, empty, size, random);
        let work = Work { place: place.path(), history: &history, journal, size, seed: plan.seed };
        figures.add("histories", 1);
        figures.add("operations_recorded", history.recording.operations.len() as u64);
        figures.add("acknowledged_under_load", history.acknowledged() as u64);
        figures.join(&work.lose_power(images, plan.random(&format!("cuts {left}"))));
        left -= images;
        eprintln!("power-loss: {left} of {} images to go", plan.rounds);
    }
    let (lost, images) = (figures.get("beyond_e2fsck"), figures.get("images"));
    // They come in twos and threes, of one history: of a few images they may be a good part.
    assert!(
        lost * 3 <= images.max(CASE.short),
        "ext4 itself was lost on {lost} of {images} images"
    );
    figures
}

/// A machine to be made from an image, and what is to be found on it.
struct Cut {
    image: Image,
    kept: Kept,
    position: u64,
    stored: Snapshot,
    ledger: Ledger,
    random: Random,
}

struct Work<'h> {
    place: &'h Path,
    history: &'h History,
    journal: Journal,
    size: Size,
    seed: u64,
}

impl Work<'_> {
    /// Loses the power at so many moments, and judges each machine that comes up again.
    fn lose_power(&self, images: u64, mut random: Random) -> Figures {
        let count = usize::try_from(images).expect("a number of images");
        let moments = self.history.moments(count, &mut random);
        let mut replay = Replay::new(&self.history.recording, self.journal.piece_bytes());
        // Each is made when a worker has its hands free: they hold much.
        let cuts = Mutex::new(moments.into_iter().enumerate().map(move |(number, position)| {
            let kept = Kept::random(&mut random);
            let at = usize::try_from(position).expect("a position in memory");
            let image = replay.image(at, kept, &mut random);
            let stored = self.history.site.s3.snapshot(position);
            let ledger = self.history.ledger_at(position);
            let random = Random::new(random.number());
            (number, Cut { image, kept, position, stored, ledger, random })
        }));
        let next = || cuts.lock().unwrap_or_else(PoisonError::into_inner).next();
        let has_failed = AtomicBool::new(false);
        let worker = |number: usize| {
            let place = self.place.join(format!("worker-{number}"));
            let mut figures = Figures::default();
            while !has_failed.load(Ordering::SeqCst)
                && let Some((number, cut)) = next()
            {
                let recover = AssertUnwindSafe(|| self.recover(&place, number, cut));
                match catch_unwind(recover) {
                    Ok(of_one) => figures.join(&of_one),
                    Err(why) => {
                        has_failed.store(true, Ordering::SeqCst);
                        resume_unwind(why);
                    }
                }
            }
            figures
        };
        let mut figures = Figures::default();
        thread::scope(|scope| {
            let worker = &worker;
            let workers: Vec<_> =
                (0..AT_ONCE).map(|number| scope.spawn(move || worker(number))).collect();
            for worker in workers {
                figures.join(&worker.join().unwrap_or_else(|why| resume_unwind(why)));
            }
        });
        figures
    }

    fn recover(&self, place: &Path, number: usize, cut: Cut) -> Figures {
        let Cut { image, kept, position, stored, ledger, mut random } = cut;
        let of = self.history.recording.operations.len();
        let (journal, size, seed) = (self.journal, self.size, self.seed);
        let what = format!(
            "seed {seed}, journal {journal:?}, {size:?} events, image {number}: cut at operation {position} of {of}, \
             {kept:?} kept of {} pending writes, {} damaged; {} acknowledged, {} objects in S3",
            image.pending,
            image.damaged,
            ledger.acknowledged(),
            stored.len()
        );
        let told = Told { what: &what, blocks: &image.blocks };
        let mut figures = Figures::default();
        figures.add("images", 1);
        figures.add("writes_unflushed", image.pending);
        figures.add("writes_lost_or_torn", image.damaged);
        figures.add("ids_judged", ledger.acknowledged() as u64);
        let with_ingest = random.below(4) == 0;
        let recovery =
            Recovery::make(place, journal, image.blocks.clone(), &stored, &ledger, with_ingest);
        drop(told);
        let Some(recovery) = recovery else {
            figures.add("beyond_e2fsck", 1);
            return figures;
        };
        for name in ["delivered", "objects", "lost", "twice"] {
            figures.add(name, recovery.figures.get(name));
        }
        if journal == Journal::Kept && !recovery.took_one_more && random.below(3) == 0 {
            figures.add("power_lost_again", 1);
            again(place, &what, &recovery, &ledger, &mut random);
        }
        figures
    }
}

/// Loses the power once more, during the recovery. Only where there is a journal: `e2fsck` frees
/// inodes that may be given to others before the names that lead to them are gone.
fn again(place: &Path, what: &str, recovery: &Recovery, ledger: &Ledger, random: &mut Random) {
    const JOURNAL: Journal = Journal::Kept;
    let position = random.below(recovery.recording.operations.len() as u64 + 1);
    let kept = Kept::random(random);
    let at = usize::try_from(position).expect("a position in memory");
    let image = Replay::new(&recovery.recording, JOURNAL.piece_bytes()).image(at, kept, random);
    let what = format!("{what}; and again at operation {position} of the recovery, {kept:?} kept");
    let told = Told { what: &what, blocks: &image.blocks };
    let stored = recovery.site.s3.snapshot(position);
    let recovery = Recovery::make(place, JOURNAL, image.blocks.clone(), &stored, ledger, false);
    assert!(recovery.is_some(), "a journal mends its file system");
    drop(told);
}

/// Tells which image it was, and keeps it if that is wanted, where a judgement fails.
struct Told<'w> {
    what: &'w str,
    blocks: &'w Blocks,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let path = std::env::temp_dir().join(format!("power-loss-{}.img", std::process::id()));
        let kept = match std::env::var_os("MINUTELOG_TEST_KEEP") {
            None => "kept with MINUTELOG_TEST_KEEP=1".to_owned(),
            Some(_) => match self.blocks.save(&path) {
                Ok(()) => format!("kept in {}", path.display()),
                Err(error) => format!("lost: {error}"),
            },
        };
        eprintln!("{}; the image is {kept}", self.what);
    }
}
