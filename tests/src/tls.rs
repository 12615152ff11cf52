//! TLS as clients see it: an authority of the test's own, and a client that trusts it.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::poll::PATIENCE;

/// What every certificate of an authority is for.
const NAME: &str = "localhost";

/// Makes certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// An authority that nobody else knows.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        Self(CertifiedIssuer::self_signed(params, key).expect("the parameters are good"))
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new certificate for `localhost`, good for servers and for clients.
    pub fn pair(&self) -> Identity {
        let key = KeyPair::generate().expect("there is randomness");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("it is a name");
        let certificate = params.signed_by(&key, &self.0).expect("the parameters are good");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Connects to one address over TLS.
#[derive(Clone, Debug)]
pub struct TlsClient {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// One connection over TLS.
#[derive(Debug)]
pub struct TlsSession(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    /// A client that trusts `authority`, and shows `identity` where it is asked for one.
    pub fn new(address: SocketAddr, authority: &Authority, identity: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("it is a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for them")
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("it is PEM");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is PEM");
                builder.with_client_auth_cert(chain, key).expect("they fit each other")
            }
        };
        Self { address, config: Arc::new(config) }
    }

    /// Connects and shakes hands.
    pub fn connect(&self) -> io::Result<TlsSession> {
        let name = NAME.try_into().expect("it is a name");
        let tls = ClientConnection::new(Arc::clone(&self.config), name);
        let tls = tls.expect("the configuration is good");
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut session = StreamOwned::new(tls, socket);
        while session.conn.is_handshaking() {
            session.conn.complete_io(&mut session.sock)?;
        }
        Ok(TlsSession(session))
    }

    /// Sends one text to `my-bucket` on a connection of its own: the status of the answer.
    pub fn send(&self, token: Option<&str>, text: &str) -> io::Result<u16> {
        self.connect()?.send(token, text)
    }
}

impl TlsSession {
    /// The certificate that the server showed, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.0.conn.peer_certificates().and_then(|chain| chain.first());
        shown.expect("a server shows its certificate").to_vec()
    }

    /// Sends one text to `my-bucket`: the status of the answer.
    pub fn send(&mut self, token: Option<&str>, text: &str) -> io::Result<u16> {
        let authorization =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "POST /v1/s3/my-bucket HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: text/plain\r\n\
             {authorization}Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        // Every answer of this route is one JSON object on one line.
        while !answer.ends_with(b"}") {
            match self.0.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
        let head = String::from_utf8_lossy(&answer);
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        status.and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other(head))
    }
}
