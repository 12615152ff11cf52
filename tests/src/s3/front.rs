//! The front: takes connections, records requests, breaks what the script says.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::service::S3Service;
use tokio::net::TcpListener;

use super::fault::{Fault, Meeting};
use super::wire::{Control, Wire};
use super::{Seen, Shared, lock};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, service: S3Service, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let control = Control::default();
        let wire = Wire::new(socket, control.clone());
        let front = Front { service: service.clone(), shared: Arc::clone(&shared), control };
        tokio::spawn(async move {
            let handle = service_fn(move |request| front.clone().handle(request));
            let http = Builder::new(TokioExecutor::new());
            // A connection that ends in an error is what half of the tests are about.
            drop(http.serve_connection(TokioIo::new(wire), handle).await);
        });
    }
}

/// What stands before the store on one connection.
#[derive(Clone)]
struct Front {
    service: S3Service,
    shared: Arc<Shared>,
    control: Control,
}

impl Front {
    async fn handle(self, request: Request<Incoming>) -> Result<Response<s3s::Body>, BoxError> {
        let seen = seen(&request);
        let meeting = self.shared.script.meet(&seen);
        lock(&self.shared.seen).push(seen.clone());
        self.control.mend();
        let fault = meeting.as_ref().map(|meeting| meeting.fault.clone());
        let (head, mut body) = request.into_parts();
        match fault {
            Some(Fault::CutBody(bytes)) => return cut(&mut body, bytes).await,
            Some(Fault::Trickle(rate)) => self.trickle(rate, meeting.as_deref()),
            _ => {}
        }
        // Read to its end whatever happens: else it would depend on timing whether the client sees
        // the answer or a connection that broke while it was sending.
        let mut body = body.collect().await?.to_bytes().to_vec();
        if let Some(Fault::Flip(which)) = fault {
            flip(&mut body, which);
        }
        if let Some(Fault::Foreign) = fault {
            lock(&self.shared.contents).store_foreign(&seen.bucket, &seen.key, body.len());
        }
        let request = Request::from_parts(head, s3s::Body::from(Bytes::from(body)));
        match meeting {
            None => self.pass(request).await,
            Some(meeting) => self.break_it(request, &meeting).await,
        }
    }

    /// Slow, until the rule ends.
    fn trickle(&self, rate: u32, meeting: Option<&Meeting>) {
        self.control.slow_down(rate);
        if let Some(mut in_force) = meeting.map(|meeting| meeting.ended.clone()) {
            let control = self.control.clone();
            tokio::spawn(async move {
                if in_force.wait_for(|in_force| !in_force).await.is_ok() {
                    control.mend();
                }
            });
        }
    }

    async fn pass(&self, request: Request<s3s::Body>) -> Result<Response<s3s::Body>, BoxError> {
        Ok(self.service.call(request).await?)
    }

    async fn break_it(
        &self,
        request: Request<s3s::Body>,
        meeting: &Meeting,
    ) -> Result<Response<s3s::Body>, BoxError> {
        match &meeting.fault {
            Fault::Done(fault) => {
                self.pass(request).await?.into_body().collect().await?;
                instead(fault, meeting).await
            }
            Fault::LoseAnswer => {
                self.pass(request).await?.into_body().collect().await?;
                instead(&Fault::Drop, meeting).await
            }
            Fault::Delay(time) => {
                tokio::time::sleep(*time).await;
                self.pass(request).await
            }
            Fault::CutAnswer(bytes) => {
                let answer = self.pass(request).await?;
                self.control.cut_after(*bytes);
                Ok(answer)
            }
            Fault::WrongETag => with_wrong_etag(self.pass(request).await?).await,
            Fault::Trickle(_) | Fault::Flip(_) | Fault::Foreign => self.pass(request).await,
            fault => instead(fault, meeting).await,
        }
    }
}

/// What the client gets in place of the store's answer.
async fn instead(fault: &Fault, meeting: &Meeting) -> Result<Response<s3s::Body>, BoxError> {
    let error =
        |code: &str| format!("<Error><Code>{code}</Code><Message>by script</Message></Error>");
    match fault {
        Fault::Refuse(status, code) => {
            Ok(Response::builder().status(*status).body(s3s::Body::from(error(code)))?)
        }
        Fault::Redirect(region) => {
            let answer = Response::builder().status(301).header("x-amz-bucket-region", *region);
            Ok(answer.body(s3s::Body::from(error("PermanentRedirect")))?)
        }
        Fault::Empty => Ok(Response::new(s3s::Body::empty())),
        Fault::Hang => {
            let mut in_force = meeting.ended.clone();
            in_force.wait_for(|in_force| !in_force).await?;
            Err("held until the rule ended".into())
        }
        Fault::Drop => Err("dropped by script".into()),
        fault => panic!("{fault:?} is no answer"),
    }
}

/// Takes so many bytes of a body, then drops the connection.
async fn cut<T>(body: &mut Incoming, bytes: usize) -> Result<T, BoxError> {
    let mut taken = 0;
    while taken < bytes
        && let Some(frame) = body.frame().await
    {
        taken += frame?.data_ref().map_or(0, Bytes::len);
    }
    Err("cut by script".into())
}

fn flip(body: &mut [u8], which: u64) {
    let bits = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_mul(8);
    if let Some(bit) = which.checked_rem(bits) {
        let at = usize::try_from(bit / 8).expect("it is less than the length");
        body[at] ^= 1 << (bit % 8);
    }
}

async fn with_wrong_etag(answer: Response<s3s::Body>) -> Result<Response<s3s::Body>, BoxError> {
    const WRONG: &str = "\"0123456789abcdef0123456789abcdef\"";
    let (mut head, body) = answer.into_parts();
    if let Some(etag) = head.headers.get_mut(ETAG) {
        *etag = HeaderValue::from_static(WRONG);
    }
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    let body = match body.split_once("<ETag>").zip(body.split_once("</ETag>")) {
        Some(((before, _), (_, after))) => format!("{before}<ETag>{WRONG}</ETag>{after}"),
        None => body,
    };
    head.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(head, s3s::Body::from(body)))
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
