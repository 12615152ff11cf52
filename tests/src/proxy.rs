//! What lies between a client and a service: it can lead elsewhere, and lose answers.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Passes connections on, from a port of loopback that stays the same.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    to_lose: AtomicU32,
    lost: AtomicU32,
    stop: AtomicBool,
}

impl Proxy {
    /// Leads to this address.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let this = Self { address, shared: Arc::clone(&shared) };
        this.aim(target);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                // A target that is not there is a connection that breaks.
                drop(shared.pass(&client));
            }
        });
        this
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads elsewhere: new connections.
    pub fn aim(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// Cuts so many connections when an answer comes over them, of which the client gets nothing.
    pub fn lose_answers(&self, count: u32) {
        self.shared.to_lose.fetch_add(count, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub fn lost(&self) -> u32 {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which then looks.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn pass(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let target = target.ok_or(io::ErrorKind::NotConnected)?;
        let service = TcpStream::connect(target)?;
        let (client_in, client_out) = (client.try_clone()?, client.try_clone()?);
        let (service_in, service_out) = (service.try_clone()?, service);
        let this = Arc::clone(self);
        thread::spawn(move || copy(client_in, service_out, || true));
        thread::spawn(move || copy(service_in, client_out, || !this.loses()));
        Ok(())
    }

    /// Whether what has come is an answer to be lost.
    fn loses(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        let loses = self.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        if loses {
            self.lost.fetch_add(1, Ordering::SeqCst);
        }
        loses
    }
}

/// Copies until one side ends, or `goes_on` says no to a piece; then both end.
fn copy(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn() -> bool) {
    let mut piece = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if !goes_on() || to.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            break;
        }
    }
    for end in [from, to] {
        drop(end.shutdown(Shutdown::Both));
    }
}
