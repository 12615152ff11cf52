//! Events that travel in one request.

use bytes::Bytes;
use tokio::time::Instant;

use crate::encoded::Route;
use crate::error::{GaveUp, SendError};
use crate::key::Keys;
use crate::pending::Pending;

/// Its key and its body never change, so that whoever gets them a second time knows that they are the
/// same (C2). With other events it is another batch.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) pendings: Vec<Pending>,
    pub(crate) route: Route,
    /// `None` where each event has an id of its own, which does the same.
    pub(crate) key: Option<String>,
    pub(crate) body: Bytes,
    /// Whether a try of it may have been accepted although no answer told so.
    pub(crate) doubt: bool,
    /// What the last try failed with.
    pub(crate) trouble: Option<GaveUp>,
}

impl Batch {
    /// Events of one route; `None` where there are none.
    pub(crate) fn new(pendings: Vec<Pending>, keys: &mut Keys) -> Option<Self> {
        let route = pendings.first()?.event.route.clone();
        let key = (route != Route::EventsWithId).then(|| keys.next());
        let body = body(&pendings, &route);
        Some(Self { pendings, route, key, body, doubt: false, trouble: None })
    }

    /// How many events it has.
    pub(crate) fn size(&self) -> usize {
        self.pendings.len()
    }

    /// When the next of its events has no time left; `None` where none has.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let living = self.pendings.iter().filter(|pending| !pending.is_settled());
        living.map(|pending| pending.deadline).min()
    }

    /// Gives up the events that have no time left. `under_way`: while a request has no answer yet.
    pub(crate) fn expire(&mut self, now: Instant, under_way: bool) {
        let doubt = self.doubt || under_way;
        let reason = if under_way { "there was no answer" } else { "others were before it" };
        let gave_up = self.trouble.clone().unwrap_or_else(|| GaveUp::new(reason));
        for pending in self.pendings.iter_mut().filter(|pending| pending.deadline <= now) {
            let gave_up = gave_up.clone();
            pending.settle(Err(if doubt {
                SendError::Unknown(gave_up)
            } else {
                SendError::NotAccepted(gave_up)
            }));
        }
    }

    /// What to send next: itself, the rest of it where events ran out of time, or nothing. One that may
    /// have been accepted stays whole, as another body would be another request.
    pub(crate) fn living(mut self, keys: &mut Keys) -> Option<Self> {
        let left = self.pendings.iter().filter(|pending| !pending.is_settled()).count();
        if left == self.size() || (left > 0 && self.doubt) {
            return Some(self);
        }
        self.pendings.retain(|pending| !pending.is_settled());
        let trouble = self.trouble.take();
        Self::new(self.pendings, keys).map(|rest| Self { trouble, ..rest })
    }

    /// Fails all of its events that have no outcome yet.
    pub(crate) fn fail(mut self, error: &SendError) {
        for pending in &mut self.pendings {
            pending.settle(Err(error.clone()));
        }
    }

    /// Two batches of it. Only of one that was certainly not accepted.
    pub(crate) fn halves(mut self, keys: &mut Keys) -> Vec<Self> {
        let second = self.pendings.split_off(self.size().div_ceil(2));
        let halves = [self.pendings, second].map(|pendings| {
            let living = pendings.into_iter().filter(|pending| !pending.is_settled());
            Self::new(living.collect(), keys)
        });
        halves.into_iter().flatten().collect()
    }
}

fn body(pendings: &[Pending], route: &Route) -> Bytes {
    let mut body = Vec::with_capacity(2 + pendings.iter().map(|p| p.event.bytes()).sum::<usize>());
    if let Route::Lines(_) = route {
        for pending in pendings {
            body.extend_from_slice(pending.event.text.as_bytes());
            body.push(b'\n');
        }
        return body.into();
    }
    body.push(b'[');
    for (place, pending) in pendings.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(pending.event.text.as_bytes());
    }
    body.push(b']');
    body.into()
}
