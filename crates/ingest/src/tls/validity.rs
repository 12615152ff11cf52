//! From when to when a certificate is good.

use std::time::Duration;

use model::UnixMillis;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// The times that stand in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// It is good from then on.
    pub not_before: UnixMillis,
    /// It is good until then.
    pub not_after: UnixMillis,
}

impl Validity {
    /// What a certificate says; `None` where it can't be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate.validity;
        let millis = |since_epoch: Duration| {
            UnixMillis::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
        };
        Some(Self {
            not_before: millis(validity.not_before.to_unix_duration()),
            not_after: millis(validity.not_after.to_unix_duration()),
        })
    }

    /// Why clients would not take it at `now`; `None` where they would.
    pub fn problem(&self, now: UnixMillis) -> Option<String> {
        if now < self.not_before {
            Some(format!("the certificate is not valid before {}", self.not_before))
        } else if now > self.not_after {
            Some(format!("the certificate has expired at {}", self.not_after))
        } else {
            None
        }
    }
}
