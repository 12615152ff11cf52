//! `[ingest.tls]`: TLS for clients.

use std::path::{Path, PathBuf};

use ingest::{TlsError, TlsFiles, Validity};
use serde::{Deserialize, Serialize};

use super::Config;
use super::place::{ConfigError, Places};

/// `[ingest.tls]`: PEM files. They are read anew when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// The certificate, followed by those that lead to the authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_key: Option<PathBuf>,
    /// The authorities of client certificates; with it, clients must have one. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_ca: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether clients are served in the clear.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How long the certificate is good, or why the files cannot be used; `None` where TLS is not
    /// configured. Reads the disk.
    pub(crate) fn validity(&self) -> Option<Result<Validity, TlsError>> {
        Some(self.files()?.check())
    }

    /// The files, where TLS is configured.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.certificate.clone()?,
            private_key: self.private_key.clone()?,
            client_ca: self.client_ca.clone(),
        })
    }
}

/// Checks that what is there is whole; reads no file.
pub(super) fn check(config: &Config, places: &Places) -> Result<(), ConfigError> {
    let tls = &config.ingest.tls;
    let keys = [
        ("ingest.tls.certificate", tls.certificate.as_deref()),
        ("ingest.tls.private_key", tls.private_key.as_deref()),
        ("ingest.tls.client_ca", tls.client_ca.as_deref()),
    ];
    for (key, path) in keys {
        if path.is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(places.refuse(&[key], "empty: name a file, or leave it out"));
        }
    }
    let given: Vec<&str> = keys.iter().filter(|(_, path)| path.is_some()).map(|it| it.0).collect();
    let missing = keys.iter().take(2).find(|(_, path): &&(&str, Option<&Path>)| path.is_none());
    match missing {
        Some((key, _)) if !given.is_empty() => {
            let why = format!("TLS needs {key} too: give both files, or no key of [ingest.tls]");
            Err(places.refuse(&given, why))
        }
        _ => Ok(()),
    }
}

/// Checks the files themselves.
pub(super) fn check_files(config: &Config, places: &Places) -> Result<(), ConfigError> {
    let Some(files) = config.ingest.tls.files() else { return Ok(()) };
    files.check().map(drop).map_err(|error| {
        places.refuse(&[error.setting], format!("{}: {}", error.file.display(), error.why))
    })
}
