//! The routes of the page.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{StatusCode, header};
use model::{EventId, UnixMillis};
use serde::Deserialize;
use wal::inspect::{NameFilter, StreamQuery};

use crate::error::{Error, Result};
use crate::inspector::answers::{document, problem};
use crate::inspector::assets::{ASSETS, Asset};
use crate::inspector::guard::{Guard, every, known};
use crate::inspector::live::Live;
use crate::inspector::reader::Reader;

/// The rows of a page, unless it says otherwise, and at most.
const PAGE_ROWS: usize = 100;
const MAX_PAGE_ROWS: usize = 500;

/// No text that is searched for is longer.
const MAX_SEARCH_BYTES: usize = 2048;

/// A body is a token and no more.
const MAX_BODY_BYTES: usize = 4096;

#[derive(Clone)]
struct Page {
    guard: Guard,
    reader: Arc<Reader>,
    live: Live,
}

/// Which events are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Search {
    /// An id, or a text in the caller's name.
    q: String,
    /// A text in `bucket/prefix/`.
    destination: String,
    /// Events before this time, in milliseconds since 1970.
    until: Option<u64>,
    /// The `next` of the page before.
    before: Option<EventId>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Presented {
    token: String,
}

pub(crate) fn router(guard: Guard, reader: Arc<Reader>, live: Live) -> Router {
    let page = Page { guard: guard.clone(), reader, live };
    let api = Router::new()
        .route("/api/overview", get(overview))
        .route("/api/events", get(events))
        .route("/api/events/{id}", get(event))
        .route("/api/events/{id}/payload", get(payload))
        .route("/api/live", get(async |State(page): State<Page>| page.live.listen()))
        .layer(from_fn_with_state(guard.clone(), known))
        .route("/api/session", post(session))
        .route("/healthz", get(async || "ok\n"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let assets = ASSETS
        .iter()
        .fold(Router::new(), |router, asset| router.route(asset.path, get(async || serve(asset))));
    let missing = async || problem(StatusCode::NOT_FOUND, "there is nothing here");
    api.merge(assets).fallback(missing).layer(from_fn_with_state(guard, every)).with_state(page)
}

fn serve(asset: &'static Asset) -> Response {
    let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, "no-cache")];
    (headers, asset.text).into_response()
}

async fn overview(State(page): State<Page>) -> Response {
    let is_watched = page.live.is_watched();
    answer(page.reader.read(move |reader| reader.overview(is_watched)).await)
}

async fn events(
    State(page): State<Page>,
    search: Result<Query<Search>, QueryRejection>,
) -> Response {
    let Ok(Query(search)) = search else {
        return problem(StatusCode::BAD_REQUEST, "the query is not one of the inspector's");
    };
    if search.q.len().max(search.destination.len()) > MAX_SEARCH_BYTES {
        return problem(StatusCode::BAD_REQUEST, "what is searched for is too long");
    }
    let is_watched = page.live.is_watched();
    let text = search.q.trim();
    if let Ok(id) = text.parse::<EventId>() {
        return answer(page.reader.read(move |reader| reader.page_of(id)).await);
    }
    let latest = UnixMillis::MAX.as_millis();
    let query = StreamQuery {
        before: search.before,
        until: search.until.map(|until| UnixMillis::new(until.min(latest))),
        name: (!text.is_empty()).then(|| NameFilter::Contains(text.to_owned())),
        destination: Some(search.destination.trim().to_owned()).filter(|text| !text.is_empty()),
        limit: search.limit.unwrap_or(PAGE_ROWS).clamp(1, MAX_PAGE_ROWS),
    };
    answer(page.reader.read(move |reader| reader.page(&query, is_watched)).await)
}

async fn event(State(page): State<Page>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<EventId>() else { return unknown() };
    match page.reader.read(move |reader| reader.event(id)).await {
        Ok(None) => unknown(),
        Ok(Some(json)) => document(json),
        Err(error) => answer(Err(error)),
    }
}

async fn payload(State(page): State<Page>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<EventId>() else { return unknown() };
    answer(page.reader.read(move |reader| reader.payload(id)).await)
}

async fn session(State(page): State<Page>, presented: Option<Json<Presented>>) -> Response {
    let token = presented.map(|Json(presented)| presented.token).unwrap_or_default();
    page.guard.session(&token).await
}

fn unknown() -> Response {
    let what = "no such event: it was never accepted, its receipt has expired, or it was a repeat";
    problem(StatusCode::NOT_FOUND, what)
}

fn answer(json: Result<Bytes>) -> Response {
    match json {
        Ok(json) => document(json),
        Err(Error::NotLookedAt(_)) => {
            let what = "too many looks at the log are under way: try again in a moment";
            problem(StatusCode::SERVICE_UNAVAILABLE, what)
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
