//! The front: takes connections, records requests, breaks what the script says.

use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::service::S3Service;
use tokio::net::TcpListener;

use super::fault::{Fault, Meeting};
use super::{Seen, Shared, lock};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, service: S3Service, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let handle =
                service_fn(move |request| handle(service.clone(), Arc::clone(&shared), request));
            let http = Builder::new(TokioExecutor::new());
            // A connection that ends in an error is what half of the tests are about.
            drop(http.serve_connection(TokioIo::new(socket), handle).await);
        });
    }
}

async fn handle(
    service: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, BoxError> {
    let seen = seen(&request);
    let meeting = shared.script.meet(seen.call, &seen.bucket, &seen.key);
    lock(&shared.seen).push(seen);
    // Read to its end whatever happens: else it would depend on timing whether the client sees the
    // answer or a connection that broke while it was sending.
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = Request::from_parts(head, s3s::Body::from(body));
    match meeting {
        None => Ok(service.call(request).await?),
        Some(meeting) => break_it(&service, request, &meeting).await,
    }
}

async fn break_it(
    service: &S3Service,
    request: Request<s3s::Body>,
    meeting: &Meeting,
) -> Result<Response<s3s::Body>, BoxError> {
    match meeting.fault {
        Fault::Refuse(status, code) => {
            let body = format!("<Error><Code>{code}</Code><Message>by script</Message></Error>");
            Ok(Response::builder().status(status).body(s3s::Body::from(body))?)
        }
        Fault::Hang => {
            let mut in_force = meeting.ended.clone();
            in_force.wait_for(|in_force| !in_force).await?;
            Err("held until the rule ended".into())
        }
        Fault::Drop => Err("dropped by script".into()),
        Fault::LoseAnswer => {
            service.call(request).await?.into_body().collect().await?;
            Err("lost by script".into())
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            Ok(service.call(request).await?)
        }
    }
}

fn seen(request: &Request<Incoming>) -> Seen {
    let path = request.uri().path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    Seen {
        call: call(request, key),
        bucket: bucket.to_owned(),
        key: decoded(key),
        headers: request.headers().clone(),
    }
}

fn call(request: &Request<Incoming>, key: &str) -> &'static str {
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match *request.method() {
        Method::HEAD if !key.is_empty() => "HeadObject",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::GET if has("uploads") => "ListMultipartUploads",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        Method::PUT if has("partNumber") => "UploadPart",
        Method::PUT if !key.is_empty() => "PutObject",
        _ => "another",
    }
}

/// A path as it was before it was encoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = if *first == b'%' { after.split_at_checked(2) } else { None };
        let value = digits.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = value.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
