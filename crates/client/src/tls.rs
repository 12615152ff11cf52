//! TLS as the client speaks it: rustls with ring's cryptography, TLS 1.2 and 1.3.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, ClientConfig, RootCertStore};

use crate::builder::ConnectError;

/// A certificate with those that lead to its authority, and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What connections are made with. Without `authorities`, those that the system trusts are trusted;
/// where TLS is not spoken, none.
pub(crate) fn config(
    is_https: bool,
    authorities: Option<&[u8]>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, ConnectError> {
    let roots = match authorities {
        Some(pem) => named(pem)?,
        None if is_https => system()?,
        None => RootCertStore::empty(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?
        .with_root_certificates(roots);
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key)
        .map_err(|error| refuse(format!("the client's key can't be read: {error}")))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| refuse(format!("the client's certificate and key can't be used: {error}")))
}

fn named(pem: &[u8]) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| refuse(format!("an authority can't be trusted: {error}")))?;
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(
            || "there are none".to_owned(),
            |error| format!("they can't be read: {error}"),
        );
        return Err(refuse(format!("of the authorities that the system trusts, {why}")));
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| refuse(format!("a certificate can't be read: {error}")))?;
    if read.is_empty() {
        return Err(refuse("no certificate is there: give PEM texts".to_owned()));
    }
    Ok(read)
}

fn refuse(why: String) -> ConnectError {
    ConnectError::Tls { why }
}

/// Whether one of the two ends does not trust the other, which another try does not change. While a
/// connection is made, every error of TLS is of this kind; afterwards only the other end's word that it
/// does not take the client's certificate.
pub(crate) fn is_distrust(error: &(dyn StdError + 'static), connecting: bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return connecting || is_refused_certificate(error);
        }
        // An error of I/O tells the source of what it wraps, and not what it wraps.
        next = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    false
}

fn is_refused_certificate(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrust_is_found_however_deep_it_is_wrapped() {
        let wrapped = |error: rustls::Error| io::Error::other(io::Error::other(error));
        let unknown = rustls::CertificateError::UnknownIssuer;
        let untrusted = wrapped(rustls::Error::InvalidCertificate(unknown));
        assert!(is_distrust(&untrusted, true));
        assert!(!is_distrust(&untrusted, false));
        let asked = wrapped(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(is_distrust(&asked, false));
        assert!(!is_distrust(&io::Error::other("broken off"), true));
        assert!(!is_distrust(&io::Error::from(io::ErrorKind::ConnectionRefused), true));
    }
}
