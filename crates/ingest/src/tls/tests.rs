use std::sync::atomic::{AtomicU64, Ordering};

use model::UnixMillis;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

/// An authority, and the files of a service with a certificate of it.
pub(crate) struct Made {
    pub(crate) directory: TempDir,
    pub(crate) files: TlsFiles,
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
}

impl Made {
    /// Files for `localhost`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = TlsFiles {
            certificate: directory.path().join("cert.pem"),
            private_key: directory.path().join("key.pem"),
            client_ca: None,
        };
        let made = Self { directory, files, authority };
        made.renew();
        made
    }

    /// A certificate for `localhost` and its key, in PEM.
    pub(crate) fn pair(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    /// Puts a certificate in its place that is good from the one year to the other.
    fn renew_for(&self, years: std::ops::Range<i32>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        fs::write(&self.files.certificate, certificate.pem()).unwrap();
        fs::write(&self.files.private_key, key.serialize_pem()).unwrap();
    }

    /// Puts a new certificate and its key in the place of the old ones.
    pub(crate) fn renew(&self) {
        let (certificate, key) = self.pair();
        fs::write(&self.files.certificate, certificate).unwrap();
        fs::write(&self.files.private_key, key).unwrap();
    }
}

fn refused(files: &TlsFiles, setting: &str, file: &Path, why: &str) {
    let error = files.check().unwrap_err();
    assert_eq!((error.setting, error.file.as_path()), (setting, file), "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn each_file_that_is_wrong_is_named() {
    let made = Made::new();
    assert!(made.files.check().is_ok());
    let dir = made.directory.path();
    let bad = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (missing, other) = (dir.join("missing.pem"), bad("other.pem", &made.pair().1));
    let key_text = fs::read_to_string(&made.files.private_key).unwrap();
    let broken = bad("broken.pem", &key_text.replace("-----END", "=====END"));
    let damaged = bad(
        "damaged.pem",
        &format!("{}\n{}", made.authority.pem(), "-----BEGIN CERTIFICATE-----\n*\n"),
    );
    let noise = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let noise = bad("noise.pem", noise);
    let large = bad("large.pem", &" ".repeat(1024 * 1024 + 1));
    let ec = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed25519 = bad("ed25519.pem", &ec.serialize_pem());

    for (file, why) in [
        (&missing, "No such file"),
        (&dir.to_owned(), "not a regular file"),
        (&large, "more than 1048576 bytes"),
        (&other, "no certificate in PEM"),
        (&damaged, "damaged PEM"),
        (&noise, "can't be read"),
    ] {
        let files = TlsFiles { certificate: file.clone(), ..made.files.clone() };
        refused(&files, CERTIFICATE, file, why);
        if file != &other && file != &noise {
            let files = TlsFiles { client_ca: Some(file.clone()), ..made.files.clone() };
            refused(&files, CLIENT_CA, file, why);
        }
    }
    let files = TlsFiles { client_ca: Some(noise.clone()), ..made.files.clone() };
    refused(&files, CLIENT_CA, &noise, "can't be read");
    for (file, why) in [
        (&missing, "No such file"),
        (&made.files.certificate, "no private key in PEM"),
        (&broken, "no private key in PEM"),
        (&other, "not the key of the certificate"),
        (&ed25519, "not the key of the certificate"),
    ] {
        let files = TlsFiles { private_key: file.clone(), ..made.files.clone() };
        refused(&files, PRIVATE_KEY, file, why);
    }
    let with_ca = bad("ca.pem", &made.authority.pem());
    assert!(TlsFiles { client_ca: Some(with_ca), ..made.files.clone() }.check().is_ok());
}

#[test]
fn nothing_of_a_key_is_in_an_error() {
    let made = Made::new();
    let key = fs::read_to_string(&made.files.private_key).unwrap();
    let secret = key.lines().nth(1).unwrap().to_owned();
    for broken in [
        key.replace("-----END", "=====END"),
        key.replace(&secret, &format!("{secret}*")),
        key.replace("-----BEGIN", &format!("{secret} -----BEGIN")),
        key.replace(&secret, &secret[4..]),
        key.replace("PRIVATE KEY-----\n", &format!("PRIVATE KEY-----{secret}\n")),
    ] {
        fs::write(&made.files.private_key, broken).unwrap();
        if let Err(error) = made.files.check() {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&secret[8..24]), "{shown}");
        }
    }
}

#[test]
fn files_that_change_are_taken_up_once_they_are_whole() {
    let made = Made::new();
    let metrics = Arc::new(Metrics::new());
    let opened = Reload::open(made.files.clone(), Arc::new(SystemClock), Arc::clone(&metrics));
    let (mut reload, mut served) = opened.unwrap();
    let mut look = |times: u32| {
        for _ in 0..times {
            reload.look();
        }
        let changed = served.has_changed().unwrap();
        served.mark_unchanged();
        let refused = metrics.render().contains("\nminutelog_ingest_tls_files_refused 1\n");
        (changed, refused)
    };
    assert_eq!(look(3), (false, false));
    // Between two looks both files change: the second look is the one that counts.
    made.renew();
    assert_eq!(look(1), (false, false));
    assert_eq!(look(1), (true, false));
    assert_eq!(look(2), (false, false));

    // A certificate without its key yet is waited for, and then said to be wrong.
    let (certificate, key) = made.pair();
    fs::write(&made.files.certificate, certificate).unwrap();
    assert_eq!(look(1), (false, false));
    assert_eq!(look(3), (false, true));
    fs::write(&made.files.private_key, key).unwrap();
    assert_eq!(look(1), (false, true));
    assert_eq!(look(1), (true, false));

    // A file that goes away and comes back as it was.
    let aside = made.directory.path().join("aside");
    fs::rename(&made.files.private_key, &aside).unwrap();
    assert_eq!(look(3), (false, true));
    fs::rename(&aside, &made.files.private_key).unwrap();
    assert_eq!(look(2), (false, false));
    assert!(metrics.render().contains("minutelog_ingest_tls_reloads_total 2"));
}

/// A clock that stands, in seconds.
#[derive(Debug)]
struct Held(AtomicU64);

impl Clock for Held {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_certificate_of_another_time_takes_no_good_one_s_place() {
    const YEAR: u64 = 31_557_600;
    let in_year = |year: u64| (year - 1970) * YEAR + YEAR / 2;
    let made = Made::new();
    made.renew_for(2025..2029);
    let (metrics, clock) = (Arc::new(Metrics::new()), Arc::new(Held(in_year(2026).into())));
    let of: Arc<dyn Clock> = Arc::<Held>::clone(&clock);
    let opened = Reload::open(made.files.clone(), of, Arc::clone(&metrics));
    let (mut reload, mut served) = opened.unwrap();
    let expires = "\nminutelog_ingest_tls_certificate_expiry_timestamp_seconds 1861920000\n";
    assert!(metrics.render().contains(expires), "2029-01-01: {}", metrics.render());
    let mut look = || {
        (0..3).for_each(|_| reload.look());
        let changed = served.has_changed().unwrap();
        served.mark_unchanged();
        (changed, metrics.render().contains("\nminutelog_ingest_tls_files_refused 1\n"))
    };
    let first = [&made.files.certificate, &made.files.private_key]
        .map(|file| (file.clone(), fs::read(file).unwrap()));
    made.renew_for(2020..2025);
    assert_eq!(look(), (false, true), "it has expired");
    for (file, bytes) in first {
        fs::write(file, bytes).unwrap();
    }
    assert_eq!(look(), (false, false), "the first one is there again");
    made.renew_for(2028..2035);
    assert_eq!(look(), (false, true), "it is too early");
    clock.0.store(in_year(2028), Ordering::Relaxed);
    assert_eq!(look(), (true, false), "its time has come");
    clock.0.store(in_year(2040), Ordering::Relaxed);
    made.renew_for(2020..2026);
    assert_eq!(look(), (true, false), "the one is no worse than the other");
    let problem = made.files.check().unwrap().problem(clock.now()).unwrap();
    assert_eq!(problem, "the certificate has expired at 2026-01-01T00:00:00.000Z");
}

#[test]
fn the_validity_of_client_certificates_is_by_the_service_s_clock() {
    let time = Time(Arc::new(Held(AtomicU64::new(7))));
    assert_eq!(time.current_time().unwrap().as_secs(), 7);
}
