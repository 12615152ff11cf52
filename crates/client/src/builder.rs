//! How a client is made.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::address::Address;
use crate::client::{Client, Shared};
use crate::key::Keys;
use crate::post::Post;
use crate::queue::Queue;
use crate::tls::{self, Identity};
use crate::unsent::{Report, Unsent};
use crate::worker::{Sizes, Worker};

/// As many as the service takes with an id each.
const MOST_EVENTS: usize = 10_000;
const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
const LINGERS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_millis(100);
/// As many as one semaphore counts.
const QUEUED_EVENTS: RangeInclusive<usize> = 1..=(usize::MAX >> 3);

/// What a client is made of. What is impossible is refused by [`build`](Self::build); nothing is
/// corrected.
///
/// ```no_run
/// # fn example(token: String, ca: Vec<u8>) -> Result<(), minutelog_client::ConnectError> {
/// let client = minutelog_client::Client::builder("https://minutelog.internal:9600")
///     .token(token)
///     .ca_pem(ca)
///     .on_error(|unsent| eprintln!("{}: {}", unsent.error(), unsent.body()))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "it makes a client when it is built"]
pub struct Builder {
    url: String,
    token: Option<String>,
    ca: Option<Vec<u8>>,
    identity: Option<Identity>,
    timeout: Duration,
    request_timeout: Duration,
    linger: Duration,
    max_queued_events: usize,
    max_queued_bytes: u32,
    max_request_events: usize,
    max_request_bytes: usize,
    report: Report,
}

/// Why no client can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address can't be used.
    #[error("the address {url} can't be used: {why}: give one as in http://127.0.0.1:9600")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// An option can't be used.
    #[error("the option {option} can't be used: {why}")]
    Option {
        /// The method of [`Builder`].
        option: &'static str,
        /// What is wrong with it, and what can be given.
        why: String,
    },
    /// TLS can't be had with these certificates and keys, or with those of the system.
    #[error("TLS can't be had: {why}")]
    Tls {
        /// What is wrong.
        why: String,
    },
    /// There is no tokio runtime to send from.
    #[error("there is no tokio runtime: make the client within one")]
    NoRuntime,
    /// The system has no randomness, which idempotency keys are made of.
    #[error("the system has no randomness for idempotency keys")]
    NoRandomness,
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            token: None,
            ca: None,
            identity: None,
            timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            linger: Duration::from_millis(1),
            max_queued_events: 50_000,
            max_queued_bytes: 64 * 1024 * 1024,
            max_request_events: MOST_EVENTS,
            max_request_bytes: 1024 * 1024,
            report: Report::default(),
        }
    }

    /// The token, as `minutelog admin token` printed it.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// For `https`: the authorities that are trusted, in PEM, in place of those that the system trusts.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// For `https`: the client's certificate, followed by those that lead to its authority, and its key,
    /// in PEM, where the service asks for one.
    pub fn identity_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some(Identity { certificate: certificate.into(), key: key.into() });
        self
    }

    /// How long an event may take, from the call on: waiting, all tries, and the pauses between them.
    /// 120 s by default, 1 ms to 24 h. Keep it below the service's `ingest.idempotency_window` (15
    /// minutes): beyond that, a repeat is another event.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long the service may take to answer one request; then it is sent again. 30 s by default, 1 ms
    /// to 24 h.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long an event waits for others to travel with. 1 ms by default, 0 to 100 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How many events may be in the queue and under way; calls beyond that wait. 50,000 by default.
    pub fn max_queued_events(mut self, events: usize) -> Self {
        self.max_queued_events = events;
        self
    }

    /// How many bytes of events, likewise. 64 MiB by default.
    pub fn max_queued_bytes(mut self, bytes: u32) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    /// How many events one request may have, at most 10,000, which is the default.
    pub fn max_request_events(mut self, events: usize) -> Self {
        self.max_request_events = events;
        self
    }

    /// How large a request may be, in bytes; no larger than the service's `ingest.max_request_bytes`. An
    /// event that is larger alone travels alone. 1 MiB by default.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }

    /// Is called with each failure that nobody waits for. By default it is a warning in the log (of
    /// `tracing`). It is called on the task that sends: what takes long holds that up.
    pub fn on_error(mut self, on_error: impl Fn(&Unsent) + Send + Sync + 'static) -> Self {
        self.report = Report::new(on_error);
        self
    }

    /// Makes the client. It connects with the first event.
    pub fn build(self) -> Result<Client, ConnectError> {
        let address = Address::parse(&self.url)?;
        self.check(&address)?;
        let authorization = self.token.as_deref().map(authorization).transpose()?;
        let tls = tls::config(address.is_https(), self.ca.as_deref(), self.identity.as_ref())?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| ConnectError::NoRandomness)?;
        let runtime = Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (ended_sender, ended) = watch::channel(());
        let worker = Worker {
            inbox,
            held: None,
            post: Post::new(address.clone(), authorization, tls, self.request_timeout),
            sizes: Sizes {
                events: self.max_request_events,
                bytes: self.max_request_bytes,
                linger: self.linger,
            },
            keys: Keys::new(random),
            _ended: ended_sender,
        };
        runtime.spawn(worker.run());
        let queue = Queue::new(outbox, self.max_queued_events, self.max_queued_bytes);
        let (timeout, report) = (self.timeout, self.report);
        Ok(Client::new(Shared { address, queue, timeout, report, ended }))
    }

    fn check(&self, address: &Address) -> Result<(), ConnectError> {
        within("timeout", &self.timeout, &TIMES)?;
        within("request_timeout", &self.request_timeout, &TIMES)?;
        within("linger", &self.linger, &LINGERS)?;
        within("max_queued_events", &self.max_queued_events, &QUEUED_EVENTS)?;
        within("max_queued_bytes", &self.max_queued_bytes, &(1..=u32::MAX))?;
        within("max_request_events", &self.max_request_events, &(1..=MOST_EVENTS))?;
        within("max_request_bytes", &self.max_request_bytes, &(1..=usize::MAX))?;
        let tls = [("ca_pem", self.ca.is_some()), ("identity_pem", self.identity.is_some())];
        match tls.into_iter().find(|(_, given)| *given && !address.is_https()) {
            Some((option, _)) => Err(refuse(option, "the address is not https".to_owned())),
            None => Ok(()),
        }
    }
}

fn within<T: PartialOrd + fmt::Debug>(
    option: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), ConnectError> {
    if range.contains(value) {
        return Ok(());
    }
    let why = format!("it is {value:?}: give {:?} to {:?}", range.start(), range.end());
    Err(refuse(option, why))
}

fn authorization(token: &str) -> Result<HeaderValue, ConnectError> {
    let why = "it is not a token: give the text that `minutelog admin token` printed";
    let refused = || refuse("token", why.to_owned());
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused());
    }
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| refused())?;
    value.set_sensitive(true);
    Ok(value)
}

fn refuse(option: &'static str, why: String) -> ConnectError {
    ConnectError::Option { option, why }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: Builder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_is_impossible_is_refused() {
        let http = || Client::builder("http://localhost");
        let https = || Client::builder("https://localhost");
        for (builder, why) in [
            (http().token("a b"), "the option token"),
            (http().token(""), "the option token"),
            (http().timeout(Duration::ZERO), "the option timeout"),
            (http().request_timeout(Duration::MAX), "the option request_timeout"),
            (http().linger(Duration::from_secs(1)), "the option linger"),
            (http().max_queued_events(0), "the option max_queued_events"),
            (http().max_queued_events(usize::MAX), "the option max_queued_events"),
            (http().max_queued_bytes(0), "the option max_queued_bytes"),
            (http().max_request_events(10_001), "the option max_request_events"),
            (http().max_request_bytes(0), "the option max_request_bytes"),
            (http().ca_pem("x"), "the address is not https"),
            (http().identity_pem("x", "y"), "the address is not https"),
            (https().ca_pem("x"), "no certificate is there"),
            (Client::builder("x"), "the address x"),
        ] {
            let text = refusal(builder);
            assert!(text.contains(why), "{text}: not {why}");
        }
    }

    #[test]
    fn there_must_be_a_runtime() {
        assert_eq!(Client::connect("http://localhost").unwrap_err(), ConnectError::NoRuntime);
    }

    #[test]
    fn no_secret_is_shown() {
        let builder = Client::builder("http://localhost").token("secret");
        assert!(!format!("{builder:?}").contains("secret"));
        let value = authorization("secret").unwrap();
        assert!(!format!("{value:?}").contains("secret"));
    }
}
