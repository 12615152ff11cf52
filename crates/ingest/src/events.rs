//! `GET /v1/events/{id}`: what became of an event.

use std::sync::Arc;
use std::time::Duration;

use model::{Destination, EventId, EventName};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wal::{DeliveryState, EventRow, Inspector};

use crate::auth::Grant;
use crate::destinations::shown;
use crate::problem::{Kind, Problem};

/// Lookups read the disk that the log needs: this many at a time, whatever is asked.
const AT_A_TIME: usize = 2;
/// How long a lookup waits for its turn.
const WAIT: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Looks events up in the log and in the receipts.
#[derive(Debug)]
pub(crate) struct Lookups {
    inspector: Arc<Inspector>,
    turns: Arc<Semaphore>,
}

impl Lookups {
    /// Lookups through this inspector.
    pub(crate) fn new(inspector: Inspector) -> Self {
        Self { inspector: Arc::new(inspector), turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// The event with this id or, if there is none, with this name, as far as `grant` reaches.
    pub(crate) async fn find(&self, wanted: &str, grant: &Grant) -> Result<EventRow, Problem> {
        let turn = timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            let detail = "too many lookups at a time: ask again later";
            Problem::new(Kind::Overloaded, detail).retry_after(RETRY_AFTER)
        })?;
        let (inspector, text) = (Arc::clone(&self.inspector), wanted.to_owned());
        let found = spawn_blocking(move || {
            // Held on this side: a client that goes away frees no turn while the disk still reads.
            let _turn = turn;
            look_up(&inspector, &text)
        });
        let found = match found.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!(%error, "an event can't be looked up");
                let detail =
                    format!("the event can't be looked up: {error}: see the service's log");
                return Err(Problem::new(Kind::LookupFailed, detail).retry_after(RETRY_AFTER));
            }
            Err(error) => {
                tracing::error!(%error, "looking up an event failed");
                let detail = "the lookup failed: report this as a defect";
                return Err(Problem::new(Kind::Internal, detail));
            }
        };
        found.and_then(|found| visible(found, grant)).ok_or_else(|| {
            let detail = format!(
                "no event `{}` is known: it was never accepted, its receipt has expired, it was a \
                 repeat and is known by the first one's id, or the token does not reach its \
                 destination",
                shown(wanted)
            );
            Problem::new(Kind::NotFound, detail)
        })
    }
}

/// What was found, and whether it was looked for by its id.
struct Found {
    row: EventRow,
    by_id: bool,
}

/// A name may well look like an id, so what is no id of ours is looked for as a name.
fn look_up(inspector: &Inspector, text: &str) -> Result<Option<Found>, wal::Error> {
    if let Ok(id) = text.parse::<EventId>()
        && let Some(row) = inspector.event_by_id(id)?
    {
        return Ok(Some(Found { row, by_id: true }));
    }
    match EventName::new(text) {
        Ok(name) => Ok(inspector.event_by_name(&name)?.map(|row| Found { row, by_id: false })),
        Err(_) => Ok(None),
    }
}

/// The part of the event that the sender may see; `None` if that is nothing, or lacks the id that
/// was asked for.
fn visible(Found { mut row, by_id }: Found, grant: &Grant) -> Option<EventRow> {
    row.deliveries.retain(|delivery| {
        grant.allows(&Destination::new(delivery.bucket.clone(), delivery.prefix.clone()))
    });
    let first = row.deliveries.first()?.id;
    if row.deliveries.iter().all(|delivery| delivery.id != row.id) {
        if by_id {
            return None;
        }
        row.id = first;
        row.accepted_at = first.time();
    }
    let delivered = row.deliveries.iter().filter(|it| it.state == DeliveryState::Delivered).count();
    row.dest.delivered = u32::try_from(delivered).unwrap_or(u32::MAX);
    row.dest.total = u32::try_from(row.deliveries.len()).unwrap_or(u32::MAX);
    Some(row)
}

#[cfg(test)]
mod tests {
    use model::{Bucket, Prefix, RunId, Seq, UnixMillis};
    use wal::{Delivery, Dest};

    use super::*;
    use crate::auth::Gate;
    use crate::config::Auth;
    use crate::fixture::token;

    fn id(seq: u32) -> EventId {
        EventId::new(UnixMillis::new(u64::from(seq)), RunId::from_bits(1), Seq::new(seq))
    }

    fn found(asked: u32, by_id: bool) -> Found {
        let states = [DeliveryState::Delivered, DeliveryState::Delivered, DeliveryState::Parked];
        let deliveries = (0..).zip(["my-bucket", "other-bucket", "other-bucket"]).zip(states);
        let deliveries = deliveries.map(|((seq, bucket), state)| Delivery {
            id: id(seq),
            bucket: Bucket::new(bucket).unwrap(),
            prefix: Prefix::new(&format!("p{seq}")).unwrap(),
            state,
            key: None,
            line: None,
            error: None,
        });
        let deliveries = deliveries.collect();
        let dest = Dest { delivered: 2, total: 3 };
        let accepted_at = id(asked).time();
        Found { row: EventRow { id: id(asked), event: None, accepted_at, dest, deliveries }, by_id }
    }

    fn grant(allow: &str) -> Grant {
        let mut headers = http::HeaderMap::new();
        let bearer = http::HeaderValue::from_static("Bearer secret-one");
        headers.insert(http::header::AUTHORIZATION, bearer);
        Gate::new(Auth::Tokens(vec![token("one", allow)])).identify(&headers).unwrap()
    }

    #[test]
    fn a_sender_sees_what_it_may_reach_and_no_more() {
        let all = visible(found(0, true), &Grant::All).unwrap();
        assert_eq!(all, found(0, true).row);
        let part = visible(found(0, false), &grant("other-bucket/*")).unwrap();
        assert_eq!((part.id, part.accepted_at), (id(1), id(1).time()));
        assert_eq!(part.dest, Dest { delivered: 1, total: 2 });
        assert_eq!(part.deliveries.iter().map(|it| it.id).collect::<Vec<_>>(), [id(1), id(2)]);
        let part = visible(found(2, true), &grant("other-bucket/*")).unwrap();
        assert_eq!((part.id, part.dest.total), (id(2), 2));
        assert_eq!(visible(found(0, true), &grant("other-bucket/*")), None);
        assert_eq!(visible(found(0, false), &grant("third-bucket/*")), None);
    }
}
