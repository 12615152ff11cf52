//! TLS of the listener for clients: which files it is made of, and what is wrong with them.
//!
//! rustls with ring's cryptography, TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, SystemClock};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

mod reload;
mod validity;

pub(crate) use reload::Reload;
pub use validity::Validity;

const CERTIFICATE: &str = "ingest.tls.certificate";
const PRIVATE_KEY: &str = "ingest.tls.private_key";
const CLIENT_CA: &str = "ingest.tls.client_ca";
/// More than any chain or list of authorities takes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The PEM files that TLS is made of. They are read anew when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The service's certificate, followed by those that lead to the authority.
    pub certificate: PathBuf,
    /// The key of the first certificate: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub private_key: PathBuf,
    /// The authorities of client certificates. With it, whoever has no certificate of one of them
    /// is not let in.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with one of the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {}: {why}", file.display())]
pub struct TlsError {
    /// The key of the configuration.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and after a colon what to do. Nothing of a key's text is in it.
    pub why: String,
}

impl TlsFiles {
    /// Checks that TLS can be had with the files as they are: all there, in PEM, and the key the
    /// certificate's. Tells how long that is good, which it need not be now. Reads the disk.
    pub fn check(&self) -> Result<Validity, TlsError> {
        let contents = Contents::read(self)?;
        server_config(self, &contents, Arc::new(SystemClock))?;
        contents.validity(self)
    }
}

/// What stands in the files.
pub(crate) struct Contents {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    /// Reads the files.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let client_ca = files.client_ca.as_deref().map(|file| read(CLIENT_CA, file)).transpose()?;
        let certificate = read(CERTIFICATE, &files.certificate)?;
        let private_key = read(PRIVATE_KEY, &files.private_key)?;
        Ok(Self { certificate, private_key, client_ca })
    }

    /// How long the service's own certificate is good.
    pub(crate) fn validity(&self, files: &TlsFiles) -> Result<Validity, TlsError> {
        let chain = certificates(CERTIFICATE, &files.certificate, &self.certificate)?;
        chain.first().and_then(Validity::of).ok_or_else(|| {
            let why = "the times of its first certificate can't be read: have it made again";
            refusal(files, why.to_owned())
        })
    }

    /// By what they are known again.
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for part in [Some(&self.certificate), Some(&self.private_key), self.client_ca.as_ref()] {
            let part = part.map(Vec::as_slice).unwrap_or_default();
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }
}

/// What is wrong with the service's certificate.
fn refusal(files: &TlsFiles, why: String) -> TlsError {
    TlsError { setting: CERTIFICATE, file: files.certificate.clone(), why }
}

fn read(setting: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let refuse = |why: String| TlsError { setting, file: file.to_owned(), why };
    let bytes = read_bounded(file).map_err(|error| {
        refuse(format!("{error}: name a file that the service's user can read"))
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let why = format!("more than {MAX_FILE_BYTES} bytes: name a file of PEM texts");
        return Err(refuse(why));
    }
    Ok(bytes)
}

fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    // To open a pipe would be to wait for its other end.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What connections are served with.
pub(crate) fn server_config(
    files: &TlsFiles,
    contents: &Contents,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let identity = identity(files, contents, &provider)?;
    let authorities = match (&files.client_ca, &contents.client_ca) {
        (Some(file), Some(pem)) => Some(client_verifier(file, pem, &provider)?),
        _ => None,
    };
    let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has cipher suites for both versions");
    let builder = match authorities {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn identity(
    files: &TlsFiles,
    contents: &Contents,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(CERTIFICATE, &files.certificate, &contents.certificate)?;
    let of_key =
        |why: String| TlsError { setting: PRIVATE_KEY, file: files.private_key.clone(), why };
    // The parser's own words may have a part of the key in them.
    let key = PrivateKeyDer::from_pem_slice(&contents.private_key).map_err(|_| {
        of_key("no private key in PEM: give one in PKCS#8, PKCS#1 or SEC1, not encrypted".into())
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        of_key(
            "a key of a kind that is not supported: give RSA, ECDSA P-256, P-384 or Ed25519".into(),
        )
    })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => Err(of_key(format!(
            "not the key of the certificate {}: give the key that it was made for",
            files.certificate.display()
        ))),
        Err(error) => {
            let why = format!("the first certificate can't be read: {error}: have it made again");
            Err(refusal(files, why))
        }
    }
}

fn client_verifier(
    file: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refuse = |why: String| TlsError { setting: CLIENT_CA, file: file.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, file, pem)? {
        roots.add(certificate).map_err(|error| {
            refuse(format!("a certificate can't be read: {error}: have it made again"))
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| refuse(format!("no authority: {error}: name a file of certificates")))
}

fn certificates(
    setting: &'static str,
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |why: String| TlsError { setting, file: file.to_owned(), why };
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| refuse("damaged PEM: write the file anew".to_owned()))?;
    if chain.is_empty() {
        return Err(refuse("no certificate in PEM: name a file that has one".to_owned()));
    }
    Ok(chain)
}

/// The service's clock, for the validity of client certificates.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = Duration::from_millis(self.0.now().as_millis());
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}

#[cfg(test)]
pub(crate) mod tests;
