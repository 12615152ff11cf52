//! Appending what may have been sent before.

use std::time::{Duration, Instant};

use model::EventId;
use wal::{Appended, Batch, Origin};

use super::{Service, refused, work};
use crate::idempotency::{Claim, Claimed, Content, Each, EventKey, KeyHash};
use crate::memory::Share;
use crate::problem::{Kind, Problem};
use crate::sent::SentBody;

/// When to come back where too many keys are dealt with: a commit takes far less.
const RETRY_CLAIM: Duration = Duration::from_secs(1);

impl Service {
    /// Appends the events of a request with a key, unless they are in the log already.
    pub(super) async fn append_once(
        &self,
        key: KeyHash,
        content: Content,
        mut batch: Batch,
        share: Share,
    ) -> Result<Appended, Problem> {
        let (mut answers, claim) = self.claim(&[(key, content)], |_| reused()).await?;
        if let Some(origin) = answers.pop().flatten() {
            self.metrics.repeated(batch.events());
            return Ok(batch.appended_at(&origin));
        }
        batch.identify(key.identity(content));
        let settle = |appended: Appended| (vec![appended.origin().clone()], appended);
        self.append_claimed(batch, share, claim, settle).await
    }

    /// Appends those events of a request that are not in the log already; returns the ids of all.
    pub(super) async fn append_each(
        &self,
        keys: Vec<EventKey>,
        body: SentBody,
        mut batch: Batch,
        share: Share,
    ) -> Result<Vec<EventId>, Problem> {
        let mut each = Each::new(batch.events(), keys)?;
        let (answers, claim) = self.claim(&each.keys(), |number| each.reused(number)).await?;
        each.answered(answers);
        let known = each.known();
        let repeats = u32::try_from(known.len()).unwrap_or(u32::MAX);
        if repeats == batch.events() && claim.is_empty() {
            self.metrics.repeated(repeats);
            return Ok(each.ids(None).0);
        }
        if repeats > 0 {
            drop(batch);
            batch = work(body.bytes.len(), move || body.read_without(&known)).await?;
        }
        let settle = move |appended: Appended| {
            let (ids, origins) = each.ids(Some(&appended));
            (origins, ids)
        };
        let ids = self.append_claimed(batch, share, claim, settle).await?;
        self.metrics.repeated(repeats);
        Ok(ids)
    }

    /// Claims keys; waits for those that somebody else has claimed.
    async fn claim(
        &self,
        keys: &[(KeyHash, Content)],
        reused: impl Fn(usize) -> Problem,
    ) -> Result<(Vec<Option<Origin>>, Claim), Problem> {
        loop {
            match self.keys.claim(keys, Instant::now()) {
                Claimed::Done { answers, claim } => return Ok((answers, claim)),
                Claimed::InFlight(settled) => settled.cancelled().await,
                Claimed::Reused(number) => return Err(reused(number)),
                Claimed::Full => {
                    let detail = "too many requests with keys at a time: send it again later";
                    return Err(Problem::new(Kind::Overloaded, detail).retry_after(RETRY_CLAIM));
                }
            }
        }
    }

    /// Appends what `claim` stands for. It goes on where the client has gone: its repeat gets the
    /// answer that it did not wait for.
    async fn append_claimed<T: Send + 'static>(
        &self,
        batch: Batch,
        share: Share,
        claim: Claim,
        settle: impl FnOnce(Appended) -> (Vec<Origin>, T) + Send + 'static,
    ) -> Result<T, Problem> {
        self.fits_into_a_minute(&batch)?;
        let (events, payload_bytes) = (batch.events(), batch.payload_bytes());
        let (appender, metrics) = (self.appender.clone(), self.metrics.clone());
        let append = async move {
            let appended = appender.append(batch).await.map_err(refused)?;
            drop(share);
            let (origins, answer) = settle(appended);
            claim.settle(origins.into_iter(), Instant::now());
            metrics.accepted(events, payload_bytes);
            Ok(answer)
        };
        tokio::spawn(append).await.unwrap_or_else(|error| {
            tracing::error!(%error, "appending failed");
            Err(Problem::new(Kind::Internal, "the request failed: report this as a defect"))
        })
    }
}

fn reused() -> Problem {
    let detail = "the `Idempotency-Key` was sent before with another body or to another place: \
                  give each request a key of its own, and send it again byte by byte";
    Problem::new(Kind::IdempotencyKeyReused, detail)
}

#[cfg(test)]
mod tests {
    use futures::future::FutureExt;
    use serde_json::json;
    use tower::ServiceExt;
    use wal::{DataDir, RunReader};

    use crate::fixture::{Fixture, post};
    use crate::routes::{SEND, router};

    /// How many events the log holds, and of how many of them it knows whose they are.
    async fn in_the_log(fixture: Fixture) -> (u64, usize) {
        let Fixture { service, log, directory } = fixture;
        drop(service);
        log.close().await.unwrap();
        let data = DataDir::at(directory.path().join("data"));
        let run = RunReader::open(&data, data.runs().unwrap()[0]).unwrap();
        let identified = run.identified().map(|places| places.unwrap().len()).sum();
        (run.closed().unwrap().events, identified)
    }

    #[tokio::test]
    async fn a_request_whose_client_has_gone_is_finished_and_answered_to_its_repeat() {
        const ROUNDS: usize = 6;
        let fixture = Fixture::new(|_| {});
        for round in 0..ROUNDS {
            let key = round.to_string();
            let request = || {
                let body = json!({"bucket": "my-bucket", "payload": round}).to_string();
                post(SEND, &[("idempotency-key", &*key)], body)
            };
            // It goes a little further each time before its client goes.
            let mut first = Box::pin(router(&fixture.service).oneshot(request()));
            for _ in 0..round {
                if (&mut first).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(first);
            let (status, _, repeat) = fixture.json(request()).await;
            assert_eq!(status, 200, "{repeat}");
            assert_eq!(fixture.json(request()).await.2, repeat);
        }
        assert_eq!(in_the_log(fixture).await, (ROUNDS as u64, ROUNDS));
    }

    #[tokio::test]
    async fn a_refused_request_leaves_no_key_behind() {
        let fixture = Fixture::new(|config| config.max_destinations_per_minute = 1);
        let send = |prefix: &str, id: Option<&str>| {
            let body = json!({"bucket": "my-bucket", "prefix": prefix, "payload": 1, "id": id});
            let headers = [("idempotency-key", "k")];
            let headers = if id.is_some() { &[][..] } else { &headers[..] };
            fixture.json(post(SEND, headers, body.to_string()))
        };
        assert_eq!(send("a", Some("id")).await.0, 200);
        for id in [None, Some("other")] {
            assert_eq!(send("b", id).await.0, 429);
            assert_eq!(send("a", id).await.0, 200, "what was refused is no conflict");
            assert_eq!(send("b", id).await.0, 409);
        }
        assert_eq!(in_the_log(fixture).await, (3, 3));
    }
}
