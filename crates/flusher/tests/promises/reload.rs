//! Another store, while an upload by the one before is under way.

use async_trait::async_trait;
use flusher::Change;
use store::{Confirmation, Object, Store};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Refuses for good, as soon as it is let go on.
#[derive(Debug, Default)]
struct Held {
    asked: Notify,
    go_on: Notify,
}

#[async_trait]
impl Store for Held {
    async fn put(&self, _: &Object) -> Result<Confirmation, PutError> {
        self.asked.notify_one();
        self.go_on.notified().await;
        let message = "told to by the store before".to_owned();
        Err(PutError::NotStored { class: Class::ParkBucket, message })
    }
}

#[tokio::test]
async fn what_fails_by_the_store_before_is_held_against_nobody() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    bench.clock.advance(Duration::from_secs(60));
    let (held, stop) = (Arc::new(Held::default()), CancellationToken::new());
    let clock = Arc::clone(&bench.clock) as Arc<dyn Clock>;
    let (changes, taken_up) = mpsc::channel(1);
    let store = Arc::clone(&held) as Arc<dyn Store>;
    let running = tokio::spawn(flusher::run(bench.config(), store, clock, stop.clone(), taken_up));
    timeout(PATIENCE, held.asked.notified()).await.unwrap();
    changes.send(Change::Store(bench.store.clone())).await.unwrap();
    // One at a time: there is room for the third when the second has come, after the first.
    changes.send(Change::Refused).await.unwrap();
    changes.send(Change::Refused).await.unwrap();
    held.go_on.notify_one();
    // The clock stands still: what was parked would never be due.
    let delivered = async {
        while bench.delivered() != Bench::expected(&["a"]) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, delivered).await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
}
