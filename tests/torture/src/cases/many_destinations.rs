//! More destinations in one minute than anybody has.

use std::time::Instant;

use tests::{Kind, Ledger, Sent, Setup, Site};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge};
use crate::process::peak_resident_bytes;

/// A round is a thousand destinations.
pub(crate) const CASE: Case = Case {
    name: "many-destinations",
    about: "100,000 destinations in one minute, memory under a cap",
    needs: &[],
    short: 3,
    long: 100,
    run,
};

const DESTINATIONS_A_ROUND: u64 = 1000;
const EVENTS_A_DESTINATION: u64 = 2;

/// CONTRACT G8; ingest's is sled's pages and commit buffers, however many destinations there are.
const INGEST_BYTES: u64 = 400 * 1024 * 1024;
const FLUSHER_BYTES: u64 = 250 * 1024 * 1024;

fn run(plan: &Plan<'_>) -> Figures {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let mut ledger = Ledger::default();
    let start = Instant::now();
    for round in 0..plan.rounds * EVENTS_A_DESTINATION {
        let first = round / EVENTS_A_DESTINATION * DESTINATIONS_A_ROUND;
        let sent: Vec<Sent> = (first..first + DESTINATIONS_A_ROUND)
            .map(|number| Sent {
                bucket: "my-bucket".to_owned(),
                prefix: format!("p/{number:06}"),
                payload: format!("{round:06}{number:09}"),
                sender: 0,
            })
            .map(|sent| Sent { payload: format!("\"{}\"", sent.payload), ..sent })
            .collect();
        let body: Vec<String> = sent
            .iter()
            .map(|Sent { prefix, payload, .. }| {
                format!(r#"{{"bucket":"my-bucket","prefix":"{prefix}","payload":{payload}}}"#)
            })
            .collect();
        let ids = ingest.client().post_send(format!("[{}]", body.join(","))).ids();
        for (sent, id) in sent.into_iter().zip(ids) {
            ledger.note(sent, Some(id));
        }
    }
    let mut figures = Figures::default();
    figures.add("destinations", plan.rounds * DESTINATIONS_A_ROUND);
    figures.add("accepted_ms", millis(start));
    let ingest_bytes = peak_resident_bytes(&ingest);
    assert!(ingest_bytes <= INGEST_BYTES, "ingest took {ingest_bytes} bytes");
    figures.add("ingest_bytes", ingest_bytes);
    assert_eq!(ingest.terminate(), Some(0));

    let start = Instant::now();
    let flusher = site.start(Kind::Flusher, &[]);
    // The minute is not over, and nobody holds it: a drain seals it now.
    let drained = site.drain();
    assert_eq!(drained.code, Some(0), "{drained:?}");
    figures.add("delivered_ms", millis(start));
    let flusher_bytes = peak_resident_bytes(&flusher);
    assert!(flusher_bytes <= FLUSHER_BYTES, "the flusher took {flusher_bytes} bytes");
    figures.add("flusher_bytes", flusher_bytes);
    assert_eq!(flusher.terminate(), Some(0));
    figures.join(&judge(&site, &ledger, Late::Forbidden));
    figures
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).expect("it has not been that long")
}
