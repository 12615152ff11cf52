//! `admin inspector`: a page that shows events, minutes and destinations, live and read-only.
//!
//! It reads the data directory and asks the services through their sockets in it, so that it shows
//! what there is whichever of them runs. It changes nothing: no request but `GET` has an effect,
//! except for the one that trades the token for a cookie.
//!
//! # Promises
//! - **I1** Nothing is served to whoever has no token where one is set, and one has to be set where
//!   the address is not on loopback.
//! - **I2** On loopback only requests to this machine's own names are answered, so that a page of
//!   somebody else's cannot read it through the reader's browser.
//! - **I3** What comes from events reaches the page as text: never as markup, never as a script.
//! - **I4** Connections, readers of the disk and listeners are bounded; one look at the directory
//!   serves all of them.

mod answers;
mod api;
mod assets;
mod guard;
mod live;
mod reader;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use model::Clock;
use tokio_util::sync::CancellationToken;
use wal::DataDir;

use crate::error::{Error, Result};
use crate::place;
use crate::view::View;

/// What the page is served with.
#[derive(Clone, Debug)]
pub struct InspectionOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where ingest takes events: the page says how to send the first one.
    pub ingest: String,
    /// The token that whoever looks must have; `None` for everybody on this machine.
    pub token: Option<String>,
}

/// A page that is about to be served.
#[derive(Debug)]
pub struct Inspection {
    listener: std::net::TcpListener,
    address: SocketAddr,
    options: InspectionOptions,
}

/// A token of fewer characters could be guessed.
const MIN_TOKEN_CHARS: usize = 16;

impl Inspection {
    /// Takes the address. Refuses one that is not on loopback where there is no token.
    pub fn bind(listen: SocketAddr, options: InspectionOptions) -> Result<Self> {
        place::check(&options.data_dir)?;
        DataDir::at(&options.data_dir).check_format()?;
        // I1
        match &options.token {
            None if !listen.ip().is_loopback() => return Err(Error::Open(listen)),
            Some(token) if token.chars().count() < MIN_TOKEN_CHARS => {
                return Err(Error::ShortToken);
            }
            _ => {}
        }
        let bind = |source| Error::Bind { address: listen, source };
        let listener = std::net::TcpListener::bind(listen).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address, options })
    }

    /// Where the page is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the page until `stop`.
    pub async fn serve(self, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<()> {
        let bind = |source| Error::Bind { address: self.address, source };
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(bind)?;
        let guard = guard::Guard::new(self.address, self.options.token.as_deref())?;
        let data = DataDir::at(self.options.data_dir);
        let view = View::new(data, self.options.ingest, clock);
        let reader = Arc::new(reader::Reader::new(view));
        let live = live::Live::start(Arc::clone(&reader), stop.clone());
        let router = api::router(guard, reader, live);
        server::serve(listener, router, stop).await;
        Ok(())
    }
}
