//! The worker: takes events from the queue, one request at a time (C3), until each has its outcome.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::backoff;
use crate::batch::Batch;
use crate::error::{GaveUp, Refusal, SendError};
use crate::key::Keys;
use crate::pending::Pending;
use crate::post::{NoAnswer, Post};
use crate::queue::Message;
use crate::verdict::{Answer, Verdict, verdict};

/// How large a request may be, and how long it waits for company.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) linger: Duration,
}

/// Ends when it was told to close, or when nobody is left who could tell it anything, and then only after
/// all that is in the queue has its outcome.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) inbox: UnboundedReceiver<Message>,
    /// What was taken and did not fit the last batch.
    pub(crate) held: Option<Message>,
    pub(crate) post: Post,
    pub(crate) sizes: Sizes,
    pub(crate) keys: Keys,
    /// Dropped with the worker, which is how others learn of its end.
    pub(crate) _ended: watch::Sender<()>,
}

impl Worker {
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.next().await {
            match message {
                Message::Event(first) => {
                    let batch = self.gather(first).await;
                    self.deliver(batch).await;
                }
                // All that came before it has its outcome: there is one batch at a time.
                Message::Flush(done) => drop(done),
                Message::Close => self.inbox.close(),
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        match self.held.take() {
            Some(message) => Some(message),
            None => self.inbox.recv().await,
        }
    }

    /// What comes together travels together: what waits already, and what comes within a moment.
    async fn gather(&mut self, first: Box<Pending>) -> Option<Batch> {
        let until = Instant::now() + self.sizes.linger;
        let route = first.event.route.clone();
        let mut bytes = 2 + first.event.bytes();
        let mut pendings = vec![*first];
        while pendings.len() < self.sizes.events && bytes < self.sizes.bytes {
            let message = match self.inbox.try_recv() {
                Ok(message) => Some(message),
                Err(_) => timeout_at(until, self.inbox.recv()).await.ok().flatten(),
            };
            let Some(message) = message else { break };
            match message {
                Message::Event(next)
                    if next.event.route == route
                        && bytes + next.event.bytes() <= self.sizes.bytes =>
                {
                    bytes += next.event.bytes();
                    pendings.push(*next);
                }
                other => {
                    self.held = Some(other);
                    break;
                }
            }
        }
        Batch::new(pendings, &mut self.keys)
    }

    /// Sends a batch, and what it is split into, in order.
    async fn deliver(&mut self, batch: Option<Batch>) {
        let mut line: VecDeque<Batch> = batch.into_iter().collect();
        while let Some(batch) = line.pop_front() {
            for next in self.settle(batch).await.into_iter().rev() {
                line.push_front(next);
            }
        }
    }

    /// Sends a batch until it has an outcome, or no time left. Returns what is to be sent in its place.
    async fn settle(&mut self, batch: Batch) -> Vec<Batch> {
        let mut next = Some(batch);
        let mut tries = 0_u32;
        loop {
            let living = next.take().and_then(|mut batch| {
                batch.expire(Instant::now(), false);
                batch.living(&mut self.keys)
            });
            let Some(mut batch) = living else { return Vec::new() };
            tries = tries.saturating_add(1);
            // All of its events ran out of time where there is no outcome.
            let Some(outcome) = self.attempt(&mut batch).await else { return Vec::new() };
            let verdict = match outcome {
                Ok(answer) => verdict(&answer, batch.size(), tries),
                Err(NoAnswer { reason, distrust: true, .. }) => Verdict::Strange(reason),
                Err(NoAnswer { reason, doubt, .. }) => {
                    Verdict::Again { wait: Duration::ZERO, doubt, why: GaveUp::new(reason) }
                }
            };
            let again = match self.judge(batch, verdict) {
                Step::Done(rest) => return rest,
                Step::Again(batch, asked_for) => {
                    let wait = backoff(tries, asked_for, self.keys.chance());
                    pause(batch, wait).await
                }
            };
            next = Some(again);
        }
    }

    /// One request. Events that run out of time meanwhile are given up; with the last of them, it is.
    async fn attempt(&self, batch: &mut Batch) -> Option<Result<Answer, NoAnswer>> {
        for pending in &mut batch.pendings {
            pending.was_sent = true;
        }
        let mut request = pin!(self.post.send(batch));
        loop {
            let deadline = batch.deadline()?;
            tokio::select! {
                biased;
                answer = &mut request => return Some(answer),
                () = sleep_until(deadline) => batch.expire(Instant::now(), true),
            }
        }
    }

    fn judge(&mut self, mut batch: Batch, verdict: Verdict) -> Step {
        let refusal = match &verdict {
            Verdict::Halves(refusal) | Verdict::Without(_, refusal) | Verdict::Refused(refusal) => {
                Some(refusal.clone())
            }
            _ => None,
        };
        if let Some(refusal) = refusal.filter(|_| batch.doubt) {
            if Verdict::leaves_no_doubt(&refusal) {
                batch.doubt = false;
            } else {
                return doubtful(batch, refusal);
            }
        }
        Step::Done(match verdict {
            Verdict::Accepted(ids) => {
                for (pending, id) in batch.pendings.iter_mut().zip(ids) {
                    pending.settle(Ok(id));
                }
                Vec::new()
            }
            Verdict::Again { wait, doubt, why } => {
                tracing::debug!(events = batch.size(), why = why.reason(), "sent again");
                batch.doubt |= doubt;
                batch.trouble = Some(why);
                return Step::Again(batch, wait);
            }
            Verdict::Halves(_) => batch.halves(&mut self.keys),
            Verdict::Without(place, refusal) => self.without(batch, place, &refusal),
            Verdict::Refused(refusal) => done(batch, &SendError::Refused(refusal)),
            Verdict::Unclear(gave_up) => done(batch, &SendError::Unknown(gave_up)),
            Verdict::Strange(reason) if batch.doubt => {
                done(batch, &SendError::Unknown(GaveUp::new(reason)))
            }
            Verdict::Strange(reason) => done(batch, &SendError::NotTheService { reason }),
        })
    }

    /// One bad event does not take the others with it: they are sent without it.
    fn without(&mut self, mut batch: Batch, place: usize, refusal: &Refusal) -> Vec<Batch> {
        let event = batch.pendings.get(place).map(|pending| pending.event.clone());
        for (at, pending) in batch.pendings.iter_mut().enumerate() {
            let is_alike =
                event.as_ref().is_some_and(|event| event.is_alike(refusal.kind(), &pending.event));
            if at == place || is_alike {
                pending.settle(Err(SendError::Refused(refusal.clone())));
            }
        }
        batch.living(&mut self.keys).into_iter().collect()
    }
}

/// What comes next for a batch.
enum Step {
    /// It has its outcome; these are sent in its place.
    Done(Vec<Batch>),
    /// The same once more, after so long at the earliest.
    Again(Batch, Duration),
}

fn done(batch: Batch, error: &SendError) -> Vec<Batch> {
    batch.fail(error);
    Vec::new()
}

/// A refusal of what may have been accepted before. Whatever was sent in its place, under another key,
/// could be a second event (C2).
fn doubtful(mut batch: Batch, refusal: Refusal) -> Step {
    if refusal.status() == 408 {
        batch.trouble = Some(GaveUp::refused(refusal));
        return Step::Again(batch, Duration::ZERO);
    }
    Step::Done(done(batch, &SendError::Unknown(GaveUp::refused(refusal))))
}

/// Waits; events that run out of time meanwhile are given up, and with the last of them the wait.
async fn pause(mut batch: Batch, wait: Duration) -> Batch {
    let until = Instant::now() + wait;
    while let Some(deadline) = batch.deadline() {
        sleep_until(until.min(deadline)).await;
        let now = Instant::now();
        batch.expire(now, false);
        if now >= until {
            break;
        }
    }
    batch
}
