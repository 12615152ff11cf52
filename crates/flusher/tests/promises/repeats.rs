//! F7: what is sent again under its key is delivered once, whoever sealed it where.

use std::sync::Arc;
use std::time::Duration;

use flusher::Drained;
use store::{Class, FaultyStore, MemoryStore};
use wal::{Batch, DataDir, Identity, Inspector, ManifestReader, Stage};

use super::{Bench, destination, is_empty, refusal};

/// What one life of ingest accepts: requests with a key, each with one event for every prefix.
async fn accept_keyed(bench: &Bench, requests: &[(u8, &[&str])]) {
    let (log, appender) = bench.log();
    for (key, prefixes) in requests {
        let mut batch = Batch::new();
        for prefix in *prefixes {
            batch.push(&destination(prefix), None, prefix.as_bytes());
        }
        batch.identify(Identity::new([*key; 16]));
        appender.append(batch).await.unwrap();
    }
    log.close().await.unwrap();
}

/// How many events were left out of each part, wherever it is.
fn left_out(data: &DataDir) -> Vec<u64> {
    let mut parts = Vec::new();
    for stage in Stage::ALL {
        parts.extend(data.parts(stage).unwrap().into_iter().map(|name| (name, stage)));
    }
    parts.sort();
    let each = parts.into_iter().map(|(name, stage)| {
        let end = ManifestReader::open(&data.part_dir(stage, name)).unwrap().end().unwrap();
        assert!(end.runs.iter().all(|run| (run.missing, &run.damage) == (0, &None)), "{end:?}");
        end.identities.map_or(0, |identities| identities.repeats.iter().sum())
    });
    each.collect()
}

#[tokio::test]
async fn f7_a_repeat_is_in_no_object_and_what_it_repeats_is() {
    let bench = Bench::new();
    // In the same minute, from another life of ingest; then in each of the two that follow.
    accept_keyed(&bench, &[(1, &["a", "b", "a"])]).await;
    accept_keyed(&bench, &[(1, &["a", "b", "a"]), (2, &["a"])]).await;
    bench.accept(&["a"]).await;
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(3, &["c"]), (2, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(1, &["a", "b", "a"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "a", "a", "a", "b", "c"]));
    let data = bench.data();
    assert_eq!(left_out(&data), [3, 1], "the third minute has nothing of its own, and no part");
    assert!(data.runs().unwrap().is_empty() && is_empty(&data.sealing_dir()));
    let report = Inspector::new(data.root().to_owned()).verify(None, |_| {}).unwrap();
    assert_eq!((report.damaged, report.checked.lines), (Vec::new(), 6));
}

/// The next minute is read while the last of the one before is compressed and synced: what that one
/// holds must be known all the same.
#[tokio::test]
async fn f7_a_repeat_of_what_is_still_on_its_way_to_the_disk_is_one() {
    let bench = Bench::new();
    accept_keyed(&bench, &[(1, &["a"])]).await;
    let (log, appender) = bench.log();
    let hashes = (0_u32..15_000).map(|number| blake3::hash(&number.to_le_bytes()).to_string());
    let line: String = hashes.collect();
    for _ in 0..4 {
        let mut batch = Batch::new();
        batch.push(&destination("large"), None, line.as_bytes());
        appender.append(batch).await.unwrap();
    }
    log.close().await.unwrap();
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(1, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.once().await, Drained::Yes);
    let prefixes: Vec<_> = bench.delivered().into_iter().map(|(prefix, _)| prefix).collect();
    assert_eq!(prefixes, ["a", "large", "large", "large", "large"]);
}

#[tokio::test]
async fn f7_a_repeat_beyond_the_window_is_another_event() {
    let bench = Bench::new();
    accept_keyed(&bench, &[(1, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(900));
    accept_keyed(&bench, &[(1, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(1));
    accept_keyed(&bench, &[(1, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "a"]));
}

#[tokio::test]
async fn f7_whoever_is_sealed_first_wins_wherever_it_stands() {
    let bench = Bench::new();
    for _ in 0..40 {
        bench.store.script_for(destination("parked"), refusal(Class::Park));
    }
    let (stopped, appender) = bench.log();
    for (key, prefix) in [(1, "a"), (2, "parked"), (3, "own")] {
        let mut batch = Batch::new();
        batch.push(&destination(prefix), None, prefix.as_bytes());
        batch.identify(Identity::new([key; 16]));
        appender.append(batch).await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(1, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(2, &["parked"])]).await;
    bench.clock.advance(Duration::from_secs(80));
    assert_eq!(bench.once().await, Drained::No);
    let data = bench.data();
    let stages = Stage::ALL.map(|stage| data.parts(stage).unwrap().len());
    assert_eq!(stages, [0, 1, 1], "one is parked, the other delivered");
    // The earliest run turns up last: it gives what is nowhere else.
    stopped.close().await.unwrap();
    bench.once().await;
    assert_eq!(bench.delivered(), Bench::expected(&["a", "own"]));
    assert_eq!(left_out(&data), [2, 0, 0]);
}

#[tokio::test]
async fn f7_what_is_quarantined_holds_nothing() {
    let bench = Bench::new();
    accept_keyed(&bench, &[(1, &["a"])]).await;
    for _ in 0..20 {
        bench.store.script_for(destination("a"), refusal(Class::Retry));
    }
    assert_eq!(bench.once().await, Drained::No);
    let data = bench.data();
    let part = data.parts(Stage::Sealed).unwrap()[0];
    let segments = data.part_dir(Stage::Sealed, part).join("segments");
    std::fs::write(&segments, b"changed").unwrap();
    let bench = Bench { store: Arc::new(FaultyStore::new(MemoryStore::new())), ..bench };
    assert_eq!(bench.once().await, Drained::No);
    assert!(bench.delivered().is_empty() && !data.quarantined().unwrap().is_empty());
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(1, &["a"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    bench.once().await;
    assert_eq!(bench.delivered(), Bench::expected(&["a"]));
}

#[tokio::test]
async fn f7_identities_that_are_gone_are_told_and_cost_no_event() {
    let bench = Bench::new();
    accept_keyed(&bench, &[(1, &["a"])]).await;
    assert_eq!(bench.once().await, Drained::Yes);
    let data = bench.data();
    let part = data.parts(Stage::Receipts).unwrap()[0];
    let identities = data.part_dir(Stage::Receipts, part).join("identities");
    let bytes = std::fs::read(&identities).unwrap();
    let damages = |damage: &dyn Fn()| {
        damage();
        let report = Inspector::new(data.root().to_owned()).verify(None, |_| {}).unwrap();
        assert_eq!(report.damaged.len(), 1, "{report:?}");
        assert_eq!((&report.damaged[0].path, report.damaged[0].missing), (&identities, Some(0)));
    };
    damages(&|| std::fs::remove_file(&identities).unwrap());
    damages(&|| std::fs::write(&identities, &bytes[..bytes.len() - 1]).unwrap());
    bench.clock.advance(Duration::from_secs(60));
    accept_keyed(&bench, &[(1, &["a"]), (2, &["b"])]).await;
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "a", "b"]));
}
