//! The problems that there are: what a program that reads them can tell apart.

use http::StatusCode;

/// What went wrong, as a program tells one problem from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body is not JSON.
    NotJson,
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is JSON of another form than the route takes.
    InvalidRequest,
    /// The query string can't be read.
    InvalidQuery,
    /// The body's compression or framing is damaged.
    BrokenBody,
    /// The body holds no event.
    NoEvents,
    /// No token, or one that nobody made.
    Unauthorized,
    /// A destination that the token does not reach.
    DestinationNotAllowed,
    /// No such route, or no such event.
    NotFound,
    /// A method that the route does not have.
    MethodNotAllowed,
    /// A body that came too slowly.
    SlowBody,
    /// One event over the limit.
    EventTooLarge,
    /// A body over the limit after decompression.
    RequestTooLarge,
    /// A content type that the route does not take.
    UnsupportedMediaType,
    /// A compression that is not known here.
    UnsupportedEncoding,
    /// A bucket that S3 would refuse.
    InvalidBucket,
    /// A prefix outside the rules.
    InvalidPrefix,
    /// An event name outside the rules.
    InvalidEventName,
    /// An `Idempotency-Key` outside the rules.
    InvalidIdempotencyKey,
    /// An event's id outside the rules.
    InvalidId,
    /// A key or an id that came before with something else.
    IdempotencyKeyReused,
    /// More events with an id in one request than allowed.
    TooManyIds,
    /// More keys and ids in this minute than allowed.
    TooManyKeys,
    /// More from one connection or with one token than it may send in a minute.
    RateLimited,
    /// More destinations in this minute than allowed.
    TooManyDestinations,
    /// More destinations in one request than a minute may have.
    TooManyDestinationsInRequest,
    /// The service has no memory for the body now.
    Overloaded,
    /// The log has reached its limit on disk.
    LogFull,
    /// The log is being emptied, or the service is stopping.
    Draining,
    /// The log stopped after a disk error.
    LogStopped,
    /// The log could not be read for a lookup.
    LookupFailed,
    /// A defect of the service.
    Internal,
}

impl Kind {
    /// The last part of the problem's type, its status, and its title.
    pub(crate) fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotJson => ("not-json", S::BAD_REQUEST, "The body is not JSON"),
            Self::NotUtf8 => ("not-utf-8", S::BAD_REQUEST, "The body is not UTF-8"),
            Self::InvalidRequest => {
                ("invalid-request", S::BAD_REQUEST, "The body has another form")
            }
            Self::InvalidQuery => ("invalid-query", S::BAD_REQUEST, "The query is not valid"),
            Self::BrokenBody => ("broken-body", S::BAD_REQUEST, "The body is damaged"),
            Self::NoEvents => ("no-events", S::BAD_REQUEST, "The body holds no event"),
            Self::Unauthorized => ("unauthorized", S::UNAUTHORIZED, "A token is needed"),
            Self::DestinationNotAllowed => {
                ("destination-not-allowed", S::FORBIDDEN, "The token does not reach it")
            }
            Self::NotFound => ("not-found", S::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", S::METHOD_NOT_ALLOWED, "The route has no such method")
            }
            Self::SlowBody => ("slow-body", S::REQUEST_TIMEOUT, "The body came too slowly"),
            Self::EventTooLarge => {
                ("event-too-large", S::PAYLOAD_TOO_LARGE, "An event is too large")
            }
            Self::RequestTooLarge => {
                ("request-too-large", S::PAYLOAD_TOO_LARGE, "The request is too large")
            }
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content type is not supported",
            ),
            Self::UnsupportedEncoding => (
                "unsupported-encoding",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content encoding is not supported",
            ),
            Self::InvalidBucket => {
                ("invalid-bucket", S::UNPROCESSABLE_ENTITY, "The bucket is not valid")
            }
            Self::InvalidPrefix => {
                ("invalid-prefix", S::UNPROCESSABLE_ENTITY, "The prefix is not valid")
            }
            Self::InvalidEventName => {
                ("invalid-event-name", S::UNPROCESSABLE_ENTITY, "The event name is not valid")
            }
            Self::InvalidIdempotencyKey => {
                ("invalid-idempotency-key", S::BAD_REQUEST, "The idempotency key is not valid")
            }
            Self::InvalidId => ("invalid-id", S::UNPROCESSABLE_ENTITY, "The id is not valid"),
            Self::IdempotencyKeyReused => {
                ("idempotency-key-reused", S::CONFLICT, "The key was sent with something else")
            }
            Self::TooManyIds => {
                ("too-many-ids", S::PAYLOAD_TOO_LARGE, "The request has too many ids")
            }
            Self::TooManyKeys => {
                ("too-many-keys", S::TOO_MANY_REQUESTS, "Too many idempotency keys")
            }
            Self::RateLimited => {
                ("rate-limited", S::TOO_MANY_REQUESTS, "The minute's share is used up")
            }
            Self::TooManyDestinations => {
                ("too-many-destinations", S::TOO_MANY_REQUESTS, "Too many destinations")
            }
            Self::TooManyDestinationsInRequest => (
                "too-many-destinations-in-request",
                S::PAYLOAD_TOO_LARGE,
                "The request has too many destinations",
            ),
            Self::Overloaded => ("overloaded", S::SERVICE_UNAVAILABLE, "The service is busy"),
            Self::LogFull => ("log-full", S::SERVICE_UNAVAILABLE, "The log is full"),
            Self::Draining => ("draining", S::SERVICE_UNAVAILABLE, "The service is draining"),
            Self::LogStopped => ("log-stopped", S::SERVICE_UNAVAILABLE, "The log has stopped"),
            Self::LookupFailed => {
                ("lookup-failed", S::SERVICE_UNAVAILABLE, "The log can't be read")
            }
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "The service failed"),
        }
    }
}
