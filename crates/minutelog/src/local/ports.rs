//! Addresses on loopback that are free.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::Failure;

/// The addresses of the three.
pub(crate) struct Ports {
    /// Bound already.
    pub(crate) s3: TcpListener,
    /// Of ingest, its ops page and the flusher's. Found free, and let go for the services to bind.
    pub(crate) services: [SocketAddr; 3],
}

impl Ports {
    /// Any ports that are free.
    pub(crate) fn any() -> Result<Self, Failure> {
        Self::prefer(0, [0, 0, 0])
    }

    /// These ports, and free ones in the place of those that are taken.
    pub(crate) fn prefer(s3: u16, services: [u16; 3]) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::io("a port on loopback", &error, "free some ports");
        let s3 = bind(s3).map_err(failed)?;
        // All are held until the last one is found, so that they differ.
        let [a, b, c] = services.map(bind);
        let (a, b, c) = (a.map_err(failed)?, b.map_err(failed)?, c.map_err(failed)?);
        let address = |listener: &TcpListener| listener.local_addr().map_err(failed);
        Ok(Self { services: [address(&a)?, address(&b)?, address(&c)?], s3 })
    }
}

/// Where a page of this machine's own is served: this port, or a free one where it is taken.
pub(crate) fn free_near(port: u16) -> SocketAddr {
    bind(port)
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_taken_ones_are_avoided() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = Ports::prefer(port, [port, 0, port]).unwrap();
        let mut all: Vec<_> = ports.services.iter().map(SocketAddr::port).collect();
        all.extend([port, ports.s3.local_addr().unwrap().port()]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }
}
