//! `kill -9` at random moments under load: what was acknowledged is delivered exactly once.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use tests::{Fault, Kind, Load, LoadPlan, Objects, Pair, Random, Rule, Setup, Site};

/// How often each service is killed. `MINUTELOG_TEST_KILLS` raises it.
fn kills() -> u64 {
    let kills = env::var("MINUTELOG_TEST_KILLS").ok().map(|kills| kills.parse().unwrap());
    kills.unwrap_or(20)
}

/// `MINUTELOG_TEST_SEED` runs a failed test again; its moments depend on the machine all the same.
pub(crate) fn seed() -> u64 {
    let seed = env::var("MINUTELOG_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("MINUTELOG_TEST_SEED={seed}");
    seed
}

#[test]
fn what_is_acknowledged_is_delivered_exactly_once() {
    let seed = seed();
    let site = Site::new();
    // Uploads that take a while, and answers that get lost: moments worth to be killed in.
    site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(5));
    site.s3.add(Rule::new(Fault::Delay(Duration::from_millis(150))).on("PutObject"));
    let load = Load::start(&LoadPlan::new(seed));
    kill(&mut Pair::new(&site, &load), Random::new(seed), |_| {});
    let ledger = load.stop();
    println!("{} events acknowledged", ledger.acknowledged());
    assert!(ledger.acknowledged() > 100, "there was no load");

    // Whatever the last ones left behind, one flusher alone clears it.
    let flusher = site.flusher();
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    let objects = Objects::read(&site.s3);
    ledger.judge(&objects, 1);
    objects.assert_one_per_minute();
    site.admin(&["verify"]).exits(0);
}

#[test]
fn a_request_that_ingest_dies_over_leaves_nothing_of_itself() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    ingest.client().send("my-bucket", "p", "\"whole\"");
    let mut half = TcpStream::connect(ingest.address()).unwrap();
    let head = "POST /v1/s3/my-bucket?prefix=p HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\
                Content-Length: 100\r\n\r\n";
    half.write_all(format!("{head}half of the events\n").as_bytes()).unwrap();
    // Long enough for what was sent to be read.
    thread::sleep(Duration::from_millis(300));
    ingest.kill();
    assert_eq!(half.read(&mut [0]).unwrap_or_default(), 0, "nobody answers it");
    assert_eq!(site.log_rows()[0]["events"], 1);
    site.admin(&["verify"]).exits(0);
    site.flush_once().exits(0);
    assert_eq!(Objects::read(&site.s3).lines("my-bucket", "p"), ["\"whole\""]);
}

/// Starts both services over and over, and kills each at a random moment: in its start, under
/// load, in a seal, in an upload. Says where ingest is from then on.
pub(crate) fn kill(pair: &mut Pair<'_>, mut random: Random, mut aim: impl FnMut(SocketAddr)) {
    let mut left = [(Kind::Ingest, kills()), (Kind::Flusher, kills())];
    let mut start = |pair: &mut Pair<'_>, kind| {
        pair.kill_and_start(kind);
        if let (Kind::Ingest, Some(service)) = (kind, pair.service(kind)) {
            aim(service.address());
        }
    };
    for kind in Kind::BOTH {
        start(pair, kind);
    }
    while left.iter().any(|(_, kills)| *kills > 0) {
        thread::sleep(Duration::from_millis(random.below(500)));
        let (kind, kills) = &mut left[usize::try_from(random.below(2)).unwrap()];
        if *kills > 0 {
            *kills -= 1;
            start(pair, *kind);
        }
    }
    thread::sleep(Duration::from_millis(random.below(500)));
    pair.kill_both();
}
