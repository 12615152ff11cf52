//! One look a second at the data directory for all who listen, and none where nobody does.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use http::StatusCode;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::inspector::answers::problem;
use crate::inspector::reader::Reader;

/// So many may listen at a time.
const LISTENERS: usize = 32;

/// The pause between two looks, and how much longer than a look it is at least.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_PER_LOOK: u32 = 4;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells of changes.
#[derive(Clone, Debug)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listeners: AtomicUsize,
    came: Notify,
    news: watch::Sender<News>,
    stop: CancellationToken,
}

/// The version of what there is to see, or why it cannot be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum News {
    #[default]
    None,
    Version(u64),
    Failed(String),
}

impl Live {
    /// Starts looking, for as long as anybody listens, until `stop`.
    pub(crate) fn start(reader: Arc<Reader>, stop: CancellationToken) -> Self {
        let (news, _) = watch::channel(News::None);
        let (listeners, came) = (AtomicUsize::new(0), Notify::new());
        let shared = Arc::new(Shared { listeners, came, news, stop: stop.clone() });
        let of = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                () = of.look(&reader) => {}
                () = stop.cancelled() => {}
            }
        });
        Self(shared)
    }

    /// Whether somebody listens, so that changes are noticed.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.listeners.load(Ordering::SeqCst) > 0
            && matches!(*self.0.news.borrow(), News::Version(_))
    }

    /// Answers with a stream of changes.
    pub(crate) fn listen(&self) -> Response {
        let Some(listener) = Listener::new(&self.0) else {
            let what = "too many pages of the inspector are open: close one";
            return problem(StatusCode::SERVICE_UNAVAILABLE, what);
        };
        let alive = KeepAlive::new().interval(KEEP_ALIVE);
        Sse::new(changes(listener)).keep_alive(alive).into_response()
    }
}

impl Shared {
    async fn look(&self, reader: &Arc<Reader>) {
        loop {
            if self.listeners.load(Ordering::SeqCst) == 0 {
                self.news.send_replace(News::None);
                self.came.notified().await;
                continue;
            }
            let began = Instant::now();
            let news = match reader.read(Reader::version).await {
                Ok(version) => News::Version(version),
                Err(error) => News::Failed(error.to_string()),
            };
            self.news.send_if_modified(|last| {
                let is_new = *last != news;
                *last = news;
                is_new
            });
            sleep(PAUSE.max(began.elapsed() * PAUSE_PER_LOOK)).await;
        }
    }
}

/// Somebody who listens, until it is dropped.
struct Listener {
    shared: Arc<Shared>,
    news: watch::Receiver<News>,
}

impl Listener {
    fn new(shared: &Arc<Shared>) -> Option<Self> {
        if shared.listeners.fetch_add(1, Ordering::SeqCst) >= LISTENERS {
            shared.listeners.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        shared.came.notify_one();
        let mut news = shared.news.subscribe();
        news.mark_changed();
        Some(Self { shared: Arc::clone(shared), news })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, Ordering::SeqCst);
    }
}

fn changes(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, async |mut listener| {
        let stop = listener.shared.stop.clone();
        loop {
            tokio::select! {
                changed = listener.news.changed() => changed.ok()?,
                () = stop.cancelled() => return None,
            }
            let event = match &*listener.news.borrow_and_update() {
                News::None => continue,
                News::Version(version) => {
                    Event::default().event("change").data(version.to_string())
                }
                // A line break would begin another field.
                News::Failed(why) => {
                    Event::default().event("failure").data(why.replace(['\r', '\n'], " "))
                }
            };
            return Some((Ok(event), listener));
        }
    })
}
