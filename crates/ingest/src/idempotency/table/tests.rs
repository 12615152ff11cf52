use model::{EventId, RunId, Seq, UnixMillis};

use super::*;
use crate::auth::Grant;
use crate::idempotency::key::Scope;

const WINDOW: Duration = Duration::from_secs(900);

fn key(id: usize) -> KeyHash {
    Scope::of(&Grant::All).event(&id.to_string())
}

fn content(text: &str) -> Content {
    Content::of_request(&[], text.as_bytes())
}

fn origin(seq: u32) -> Origin {
    Origin::of(EventId::new(UnixMillis::new(7), RunId::from_bits(1), Seq::new(seq)))
}

#[track_caller]
fn done(claimed: Claimed) -> (Vec<Option<Origin>>, Claim) {
    match claimed {
        Claimed::Done { answers, claim } => (answers, claim),
        other => panic!("{other:?}"),
    }
}

fn table(max_keys: usize) -> Arc<Table> {
    let max_positions = 10;
    Arc::new(Table { state: Mutex::default(), window: WINDOW, max_keys, max_positions })
}

#[test]
fn the_first_answer_is_given_within_the_window() {
    let table = table(10);
    let start = Instant::now();
    let keys = [(key(1), content("a")), (key(2), content("b"))];
    let (answers, claim) = done(table.claim(&keys, start));
    assert_eq!((answers, claim.is_empty()), (vec![None, None], false));
    claim.settle([origin(1), origin(2)].into_iter(), start);
    let more = [(key(2), content("b")), (key(3), content("c")), (key(1), content("a"))];
    let (answers, claim) = done(table.claim(&more, start + WINDOW));
    assert_eq!(answers, [Some(origin(2)), None, Some(origin(1))]);
    claim.settle([origin(3)].into_iter(), start + WINDOW);
    assert_eq!(table.len(), (3, 0));
    let late = start + WINDOW + Duration::from_millis(1);
    let (answers, _claim) = done(table.claim(&more, late));
    assert_eq!(answers, [None, Some(origin(3)), None]);
}

#[test]
fn another_content_is_a_conflict_before_and_after_the_answer() {
    let table = table(10);
    let now = Instant::now();
    let (_, claim) = done(table.claim(&[(key(1), content("a"))], now));
    let other = [(key(2), content("x")), (key(1), content("b"))];
    assert!(matches!(table.claim(&other, now), Claimed::Reused(1)));
    claim.settle([origin(1)].into_iter(), now);
    assert!(matches!(table.claim(&other, now), Claimed::Reused(1)));
    assert_eq!(table.len(), (1, 0), "nothing of it is claimed");
}

#[test]
fn whoever_comes_in_between_waits_for_the_outcome() {
    let table = table(10);
    let now = Instant::now();
    let keys = [(key(1), content("a"))];
    let (_, claim) = done(table.claim(&keys, now));
    let Claimed::InFlight(settled) = table.claim(&keys, now) else { panic!("it is in flight") };
    assert!(!settled.is_cancelled());
    drop(claim);
    assert!(settled.is_cancelled());
    let (answers, claim) = done(table.claim(&keys, now));
    assert_eq!(answers, [None], "what failed was never sent");
    claim.settle([origin(5)].into_iter(), now);
    assert_eq!(done(table.claim(&keys, now)).0, [Some(origin(5))]);
}

#[test]
fn the_oldest_are_forgotten_where_there_are_too_many() {
    let table = table(3);
    let now = Instant::now();
    for id in 0..5 {
        let (_, claim) = done(table.claim(&[(key(id), content("a"))], now));
        claim.settle([origin(1)].into_iter(), now);
    }
    assert_eq!(table.len(), (3, 0));
    for (id, known) in [(0, false), (1, false), (2, true), (4, true)] {
        let (answers, _) = done(table.claim(&[(key(id), content("a"))], now));
        assert_eq!(answers[0].is_some(), known, "{id}");
    }
}

#[test]
fn claims_have_a_bound() {
    let table = Table::new(WINDOW);
    let now = Instant::now();
    let keys: Vec<_> = (0..MAX_CLAIMED).map(|id| (key(id), content("a"))).collect();
    let (_, claim) = done(table.claim(&keys, now));
    assert!(matches!(table.claim(&[(key(MAX_CLAIMED), content("a"))], now), Claimed::Full));
    drop(claim);
    assert_eq!(table.len(), (0, 0));
}

#[test]
fn memory_is_what_the_documents_say() {
    const MIB: usize = 1024 * 1024;
    // One byte of the map's own for each place.
    let place = size_of::<(KeyHash, Settled)>() + 1;
    let settled = (1 << 18) * (place + size_of::<(Instant, KeyHash)>());
    let claimed = (1 << 15) * (size_of::<(KeyHash, InFlight)>() + 1);
    let all = settled + MAX_POSITIONS * 4 + claimed;
    assert!(all <= 32 * MIB, "{all}");
    let table = Table::new(WINDOW);
    let mut state = table.lock();
    state.settled.reserve(MAX_KEYS);
    state.claimed.reserve(MAX_CLAIMED);
    assert_eq!(state.settled.capacity(), MAX_KEYS);
    assert_eq!(state.claimed.capacity(), MAX_CLAIMED);
}
