//! TLS on the listener for clients: who gets in, with which certificate, and a certificate that is
//! replaced while the service runs.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tests::{Authority, Identity, Setup, Site, TlsClient, wait_for};

/// The files that a configuration names.
struct Files(TempDir);

impl Files {
    fn new(pair: &Identity) -> Self {
        let files = Self(TempDir::with_prefix("minutelog-tls-").unwrap());
        files.put("cert.pem", &pair.certificate);
        files.put("key.pem", &pair.key);
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn config(&self, more: &str) -> String {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        format!("[ingest.tls]\ncertificate = \"{certificate}\"\nprivate_key = \"{key}\"\n{more}\n")
    }
}

fn der(pair: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

#[test]
fn events_come_over_tls_and_not_beside_it() {
    let authority = Authority::new();
    let files = Files::new(&authority.pair());
    let site = Site::with(&Setup { rest: files.config(""), ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let client = TlsClient::new(ingest.address(), &authority, None);
    assert_eq!(client.send(None, "over TLS").unwrap(), 200);
    assert!(ingest.client().try_get("/v1/events/x").is_err(), "there is no HTTP without TLS");
    let stranger = TlsClient::new(ingest.address(), &Authority::new(), None);
    assert!(stranger.send(None, "to somebody else").is_err());
    wait_for("both to be counted", || {
        ingest.metric("minutelog_ingest_tls_handshakes_failed_total") >= 2.0
    });
    assert_eq!(client.send(None, "after them").unwrap(), 200);
    site.wait_until_drained();
    let mut lines = Vec::new();
    for object in site.wait_for_objects(1).0 {
        lines.extend(object.lines);
    }
    assert_eq!(lines, ["over TLS", "after them"]);
}

#[test]
fn a_certificate_is_replaced_while_the_service_runs() {
    let authority = Authority::new();
    let (first, second, third) = (authority.pair(), authority.pair(), authority.pair());
    let files = Files::new(&first);
    let site = Site::with(&Setup { rest: files.config(""), ..Setup::long_minute() });
    let ingest = site.ingest();
    let client = TlsClient::new(ingest.address(), &authority, None);
    let served = || client.connect().unwrap().certificate();
    let mut kept = client.connect().unwrap();
    assert_eq!(kept.certificate(), der(&first));

    files.put("cert.pem", &second.certificate);
    files.put("key.pem", &second.key);
    wait_for("the second certificate to be served", || served() == der(&second));
    assert_eq!(kept.send(None, "on the connection from before").unwrap(), 200);

    // A certificate with another one's key changes nothing, and is said.
    files.put("cert.pem", &third.certificate);
    wait_for("the wrong pair to be noticed", || {
        ingest.metric("minutelog_ingest_tls_files_refused") > 0.0
    });
    assert_eq!(served(), der(&second));
    assert_eq!(client.send(None, "meanwhile").unwrap(), 200);
    assert!(ingest.log().contains("not the key of the certificate"), "{}", ingest.log());

    files.put("key.pem", &third.key);
    wait_for("the third certificate to be served", || served() == der(&third));
    assert!(ingest.metric("minutelog_ingest_tls_files_refused") < 1.0);
    assert_eq!(kept.send(None, "still").unwrap(), 200);
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["events"], 3);
}

#[test]
fn with_an_authority_for_clients_a_certificate_and_a_token_are_needed() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.pair());
    files.put("clients.pem", &clients.pem());
    let made = Site::new().admin(&["token", "checkout"]).exits(0).json();
    let token = made["token"].as_str();
    let more = format!(
        "client_ca = \"{}\"\n[[token]]\nname = \"checkout\"\nhash = {}\nallow = [\"my-bucket/*\"]\n",
        files.path("clients.pem"),
        made["hash"]
    );
    let rest = files.config(&more);
    let site = Site::with(&Setup { ingest: String::new(), rest, ..Setup::long_minute() });
    let ingest = site.ingest();
    let with = |identity: Option<&Identity>| TlsClient::new(ingest.address(), &authority, identity);
    assert!(with(None).send(token, "without a certificate").is_err());
    let wrong = authority.pair();
    assert!(with(Some(&wrong)).send(token, "with one of another authority").is_err());
    let right = clients.pair();
    assert_eq!(with(Some(&right)).send(None, "without a token").unwrap(), 401);
    assert_eq!(with(Some(&right)).send(token, "with both").unwrap(), 200);
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["events"], 1);
}

#[test]
fn files_that_do_not_fit_are_named_before_anything_starts() {
    let authority = Authority::new();
    let (pair, other) = (authority.pair(), authority.pair());
    let files = Files::new(&pair);
    let site = Site::with(&Setup { rest: files.config(""), ..Setup::default() });
    site.run(&["check"]).exits(0);
    let refused = |file: &str, key: &str, why: &str| {
        for command in ["check", "ingest"] {
            let output = site.run(&[command]);
            output.exits(78);
            let stderr = &output.stderr;
            assert!(stderr.contains("minutelog.toml:"), "{stderr}");
            for part in [&format!("{key}: {}: ", files.path(file)), why] {
                assert!(stderr.contains(part), "no {part} in {stderr}");
            }
        }
        let document = site.admin(&["doctor", "--bucket", "my-bucket"]).exits(78).json();
        let checks = document["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == "certificate").unwrap();
        let detail = format!("{}: {}", check["detail"], check["advice"]);
        assert_eq!((&check["state"], detail.contains(why)), (&"fail".into(), true), "{check}");
        assert!(detail.contains(&format!("{key}: {}: ", files.path(file))), "{check}");
        assert!(check["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{check}");
    };
    files.put("key.pem", &other.key);
    refused("key.pem", "ingest.tls.private_key", &files.path("cert.pem"));
    files.put("key.pem", "no key");
    refused("key.pem", "ingest.tls.private_key", "no private key in PEM");
    fs::remove_file(files.path("key.pem")).unwrap();
    refused("key.pem", "ingest.tls.private_key", "No such file");
    files.put("key.pem", &pair.key);
    files.put("cert.pem", "");
    refused("cert.pem", "ingest.tls.certificate", "no certificate in PEM");
    assert!(!site.data().join("open").exists(), "nothing was begun");
}
