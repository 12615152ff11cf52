//! Requests of clients, on their way to the one who answers them.
//!
//! `POST /v1/send/s3` is most often one small event a request, and then a router's layers cost more
//! than the event. It goes past them: it is counted, observed and answered by the same functions,
//! only that these are called, rather than boxed and cloned for each request. All others are routed.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::Method;
use tower::ServiceExt;

use crate::meter::Meter;
use crate::observe::Observed;
use crate::problem::{Kind, Problem};
use crate::routes::{ConnectionMeter, SEND, send, unrouted};
use crate::service::Service;

/// Answers the requests of a listener.
pub(crate) trait Answers: Clone + Send + Sync + 'static {
    /// Counts for a new connection; `None` where nothing of it is limited.
    fn connection(&self) -> Option<Arc<Meter>>;

    /// The answer to a request on a connection with this meter.
    fn answer(
        &self,
        request: Request,
        connection: Option<Arc<Meter>>,
    ) -> impl Future<Output = Response> + Send + 'static;
}

impl Answers for Router {
    fn connection(&self) -> Option<Arc<Meter>> {
        None
    }

    fn answer(
        &self,
        mut request: Request,
        connection: Option<Arc<Meter>>,
    ) -> impl Future<Output = Response> + Send + 'static {
        if connection.is_some() {
            request.extensions_mut().insert(ConnectionMeter(connection));
        }
        self.clone().oneshot(request).map(|answer: Result<Response, Infallible>| match answer {
            Ok(response) => response,
            Err(never) => match never {},
        })
    }
}

/// Answers clients.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    service: Arc<Service>,
    router: Router,
}

impl Clients {
    /// With a router for all but what goes past it; it has that route as well, for its other methods.
    pub(crate) fn new(service: Arc<Service>, router: Router) -> Self {
        Self { service, router }
    }
}

impl Answers for Clients {
    fn connection(&self) -> Option<Arc<Meter>> {
        self.service.judge().connection()
    }

    fn answer(
        &self,
        request: Request,
        connection: Option<Arc<Meter>>,
    ) -> impl Future<Output = Response> + Send + 'static {
        if request.method() == Method::POST && request.uri().path() == SEND {
            sent(Arc::clone(&self.service), request, connection).left_future()
        } else {
            self.router.answer(request, connection).right_future()
        }
    }
}

/// What the layers of a router do, from the outside in: observe, catch panics, count.
async fn sent(service: Arc<Service>, request: Request, connection: Option<Arc<Meter>>) -> Response {
    let observed = Observed::new(Method::POST, SEND);
    let answer = AssertUnwindSafe(counted(&service, request, connection)).catch_unwind();
    let response = answer.await.unwrap_or_else(panicked);
    observed.answered(&service.metrics, response.status());
    response
}

async fn counted(service: &Service, request: Request, connection: Option<Arc<Meter>>) -> Response {
    match connection.as_ref().map_or(Ok(()), |meter| meter.request()) {
        Ok(()) => send(service, request, connection).await,
        Err(problem) => unrouted(problem, request),
    }
}

/// The answer to a request that is a defect's.
#[expect(
    clippy::needless_pass_by_value,
    reason = "this is the form that a router's layer asks for"
)]
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request failed");
    Problem::new(Kind::Internal, "the request failed: report this as a defect").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RateLimits;
    use crate::fixture::{Fixture, post};
    use crate::routes::router;

    /// By each way the same is counted, for the connection and for the metrics.
    #[tokio::test]
    async fn what_goes_past_the_router_is_counted_as_what_goes_through_it() {
        let fixture = Fixture::new(|_| {});
        let clients = router(&fixture.service);
        let event = r#"{"bucket": "my-bucket", "payload": 1}"#;
        for past in [true, false] {
            let limits = RateLimits { requests_per_minute: Some(2), ..RateLimits::default() };
            let meter = Meter::new("this connection", limits);
            for (body, status) in [("{", 400), (event, 200), (event, 429)] {
                let request = post(SEND, &[], body);
                let answer = if past {
                    clients.answer(request, meter.clone()).await
                } else {
                    clients.router.answer(request, meter.clone()).await
                };
                assert_eq!(answer.status(), status, "past the router: {past}");
            }
        }
        let text = fixture.service.metrics.render();
        for status in [200, 400, 429] {
            let line = format!("requests_total{{route=\"{SEND}\",status=\"{status}\"}} 2");
            assert!(text.contains(&line), "no `{line}` in\n{text}");
        }
    }

    #[tokio::test]
    async fn a_defect_costs_one_request_its_answer_and_no_more() {
        let panic = async { panic!("of no {}", "use") };
        let response = AssertUnwindSafe(panic).catch_unwind().await.unwrap_or_else(panicked);
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
