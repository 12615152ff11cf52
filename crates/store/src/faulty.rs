//! A store that fails as it is told to, for the tests of whoever uses a store.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use model::{Destination, ObjectKey};

use crate::Store;
use crate::error::{Class, PutError};
use crate::object::{Confirmation, Object};

/// What happens to one put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the put goes to the store within.
    None,
    /// The put fails with this error and never reaches the store within.
    Refuse(PutError),
    /// The put reaches the store within, and its answer is lost: [`PutError::Unknown`].
    LoseAnswer,
    /// The put waits this long, then goes to the store within.
    Delay(Duration),
}

/// A store around another one, which takes its faults from a script: each put uses up the first
/// one that is meant for its destination. With no such fault left, puts go through.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<(Option<Destination>, Fault)>,
    tries: Vec<ObjectKey>,
}

impl<S> FaultyStore<S> {
    /// A store around `inner` that has no faults yet.
    pub fn new(inner: S) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Adds a fault for the next put that no earlier fault is meant for.
    pub fn script(&self, fault: Fault) {
        self.state().script.push_back((None, fault));
    }

    /// Adds a fault for a put to one destination.
    pub fn script_for(&self, destination: Destination, fault: Fault) {
        self.state().script.push_back((Some(destination), fault));
    }

    /// The keys of all puts so far, in order.
    pub fn tries(&self) -> Vec<ObjectKey> {
        self.state().tries.clone()
    }

    /// The store within.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn next_fault(&self, object: &Object) -> Fault {
        let mut state = self.state();
        state.tries.push(object.key.clone());
        let meant = |(destination, _): &(Option<Destination>, Fault)| {
            destination.as_ref().is_none_or(|destination| *destination == object.destination)
        };
        let position = state.script.iter().position(meant);
        let fault = position.and_then(|position| state.script.remove(position));
        fault.map_or(Fault::None, |(_, fault)| fault)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<S: Store> Store for FaultyStore<S> {
    async fn put(&self, object: &Object) -> Result<Confirmation, PutError> {
        match self.next_fault(object) {
            Fault::None => self.inner.put(object).await,
            Fault::Refuse(error) => Err(error),
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                self.inner.put(object).await
            }
            Fault::LoseAnswer => {
                self.inner.put(object).await?;
                Err(PutError::Unknown {
                    class: Class::Retry,
                    message: format!("object {}: the answer was lost by script", object.key),
                })
            }
        }
    }
}
