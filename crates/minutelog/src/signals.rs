//! Signals: the first SIGTERM or SIGINT asks for a graceful end, the second one ends at once.
//! SIGHUP asks a service to read its configuration again, and all others for a graceful end.

use std::future::pending;
use std::io;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// A token that the first SIGTERM, SIGINT or SIGHUP cancels. Must be called within a tokio runtime.
///
/// A second signal leaves with `128 + signal`, as a shell reports it. That is safe: the log is made
/// for processes that die at any moment.
pub(crate) fn shutdown_token() -> Result<CancellationToken, Failure> {
    token(Some(hangups()?))
}

/// The same for a service, which SIGHUP does not end: each asks for the configuration to be read again.
pub(crate) fn of_service() -> Result<(CancellationToken, Signal), Failure> {
    Ok((token(None)?, hangups()?))
}

fn token(mut hangup: Option<Signal>) -> Result<CancellationToken, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => pending().await,
                }
            };
            let (name, kind) = tokio::select! {
                _ = terminate.recv() => ("SIGTERM", SignalKind::terminate()),
                _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
                _ = hung_up => ("SIGHUP", SignalKind::hangup()),
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "leaving at once");
                std::process::exit(128 + kind.as_raw_value());
            }
            tracing::info!(signal = name, "shutting down; a second signal leaves at once");
            shutdown.cancel();
        }
    });
    Ok(token)
}

fn hangups() -> Result<Signal, Failure> {
    signal(SignalKind::hangup()).map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Failure {
    Failure::io("signal handlers", error, "check the limits of the process")
}

/// Cancels `shutdown` when standard input ends: the end of a parent that holds its other end,
/// however that parent ends.
pub(crate) fn follow_parent(shutdown: &CancellationToken) {
    let shutdown = shutdown.clone();
    // A thread of its own: a blocked read on tokio's pool would hold up the runtime's end.
    thread::spawn(move || {
        if let Err(error) = io::copy(&mut io::stdin().lock(), &mut io::sink()) {
            tracing::warn!(%error, "standard input, which stands for the parent, failed");
        }
        shutdown.cancel();
    });
}
