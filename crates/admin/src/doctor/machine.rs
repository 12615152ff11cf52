//! Checks of this machine: the data directory, the services, who reaches them.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use model::UnixMillis;
use wal::{DataDir, FORMAT_VERSION, Inspector, Room};

use super::check::Check;
use super::streams::Streams;
use crate::human;

/// From this part of `log.max_bytes` on, in percent, the log is worth a look.
const FULL_PERCENT: u64 = 70;

/// A certificate that is good for less than that should have been renewed.
const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// What a file's mode gives its group and everybody else.
const OF_OTHERS: u32 = 0o077;

/// An address that a service listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its key in the configuration.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
}

/// The certificate of the listener for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Ingest can serve it.
    Usable {
        /// It is good from then on.
        not_before: UnixMillis,
        /// It is good until then.
        not_after: UnixMillis,
    },
    /// It, its key or the authorities of clients are of no use: ingest does not start.
    Unusable {
        /// Which file, and what is wrong with it.
        why: String,
        /// How to mend it.
        advice: String,
    },
}

/// This machine, as it is configured.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The directory of the log.
    pub data_dir: PathBuf,
    /// `log.max_bytes`.
    pub max_bytes: u64,
    /// Where clients send to.
    pub clients: Listener,
    /// Where metrics and health are.
    pub ops: Vec<Listener>,
    /// How many tokens there are; `None` where everybody may send.
    pub tokens: Option<usize>,
    /// The certificate, where TLS is configured.
    pub certificate: Option<Certificate>,
    /// The streams of senders of Firehose's records, and their keys.
    pub streams: Streams,
}

impl Certificate {
    fn check(&self, now: UnixMillis) -> Check {
        const CHECK: &str = "certificate";
        let advice = "put a renewed one in its place: ingest takes it up by itself";
        let (not_before, not_after) = match self {
            Self::Usable { not_before, not_after } => (*not_before, *not_after),
            Self::Unusable { why, advice } => return Check::fail(CHECK, why).advise(advice),
        };
        if now > not_after {
            return Check::fail(CHECK, format!("has expired at {not_after}")).advise(advice);
        }
        if now < not_before {
            let what = format!("is not valid before {not_before}");
            return Check::fail(CHECK, what)
                .advise("see the machine's clock, or have it made again");
        }
        let what = format!("valid until {not_after}");
        if not_after.since(now) < EXPIRES_SOON {
            return Check::warn(CHECK, what).advise(advice);
        }
        Check::ok(CHECK, what)
    }
}

impl Machine {
    /// Looks at everything.
    pub(super) fn checks(&self, now: UnixMillis) -> Vec<Check> {
        let (place, is_there) = self.place();
        let mut checks = vec![place];
        if is_there {
            checks.push(self.mode());
            checks.push(self.room());
            checks.push(self.log(now));
            checks.extend(self.services());
        }
        checks.push(self.tokens());
        checks.extend(self.streams.check());
        checks.extend(self.certificate.as_ref().map(|certificate| certificate.check(now)));
        checks.push(self.ops());
        checks
    }

    fn place(&self) -> (Check, bool) {
        const CHECK: &str = "data-directory";
        let path = self.data_dir.display();
        let right = "correct data_dir, or run this as the services' user";
        match fs::read_dir(&self.data_dir) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return (self.no_place(), false),
            Err(error) => {
                return (Check::fail(CHECK, format!("{path}: {error}")).advise(right), false);
            }
        }
        match DataDir::at(&self.data_dir).examine() {
            Ok(()) => (Check::ok(CHECK, format!("{path}, format {FORMAT_VERSION}")), true),
            Err(error @ wal::Error::Format { .. }) => {
                let advice = "run the version that wrote it, `drain` with it, then upgrade";
                (Check::fail(CHECK, error.to_string()).advise(advice), false)
            }
            Err(error) => (Check::fail(CHECK, error.to_string()).advise(right), false),
        }
    }

    /// A directory that is not there is made at the first start; the one above it is not.
    fn no_place(&self) -> Check {
        const CHECK: &str = "data-directory";
        let what = format!("{} is not there", self.data_dir.display());
        match DataDir::at(&self.data_dir).examine() {
            Ok(()) => Check::warn(CHECK, what)
                .advise("ingest makes it when it first starts; if it has, correct data_dir"),
            Err(error) => Check::fail(CHECK, format!("{what}, nor can it be made: {error}"))
                .advise(
                    "mount what belongs there, make the directory above it, or correct data_dir",
                ),
        }
    }

    fn mode(&self) -> Check {
        const CHECK: &str = "modes";
        match fs::metadata(&self.data_dir) {
            Ok(found) => {
                let mode = found.permissions().mode() & 0o7777;
                let what = format!("the data directory has mode {mode:04o}");
                if mode & OF_OTHERS != 0 {
                    let advice = format!("chmod 0700 {}", self.data_dir.display());
                    return Check::warn(CHECK, format!("{what}: others reach the events in it"))
                        .advise(advice);
                }
                Check::ok(CHECK, what)
            }
            Err(error) => Check::unknown(CHECK, error.to_string()),
        }
    }

    fn room(&self) -> Check {
        const CHECK: &str = "room";
        let room = match Room::measure(&DataDir::at(&self.data_dir)) {
            Ok(room) => room,
            Err(error) => return Check::unknown(CHECK, error.to_string()),
        };
        let size = human::size;
        let log = format!("the log takes {} of {}", size(room.log_bytes), size(self.max_bytes));
        let free = format!("{} are free", size(room.free_bytes));
        if room.free_bytes < room.needed_bytes {
            let needed = size(room.needed_bytes);
            let what = format!("{free}, and sealing the largest minute may need {needed}");
            return Check::fail(CHECK, what)
                .advise("give the file system more room: ingest refuses events meanwhile");
        }
        if room.log_bytes >= self.max_bytes {
            return Check::fail(CHECK, format!("{log}: ingest refuses events"))
                .advise("see why nothing goes out, or raise log.max_bytes");
        }
        if room.log_bytes.saturating_mul(100) >= self.max_bytes.saturating_mul(FULL_PERCENT) {
            return Check::warn(CHECK, format!("{log}: at the limit ingest refuses events"))
                .advise("see why nothing goes out, or raise log.max_bytes");
        }
        if room.free_bytes < self.max_bytes.saturating_sub(room.log_bytes) {
            return Check::warn(CHECK, format!("{log}, and only {free}"))
                .advise("give the file system more room, or lower log.max_bytes");
        }
        Check::ok(CHECK, format!("{log}; {free}"))
    }

    fn log(&self, now: UnixMillis) -> Check {
        const CHECK: &str = "log";
        let found = match Inspector::new(self.data_dir.clone()).minutes(now) {
            Ok(found) => found,
            Err(error) => return Check::unknown(CHECK, error.to_string()),
        };
        let count = |state: &str| {
            let rows = found.rows.iter().filter(|row| row.state.as_str() == state);
            rows.count() as u64
        };
        let (quarantined, parked) = (count("quarantined"), count("parked"));
        if quarantined > 0 {
            let what = format!("{} quarantined", human::count(quarantined, "minute"));
            return Check::warn(CHECK, what).advise("see `minutelog admin verify`");
        }
        if parked > 0 {
            let what = format!("{} parked", human::count(parked, "minute"));
            return Check::warn(CHECK, what)
                .advise("mend what is wrong with its buckets, then `minutelog admin retry`");
        }
        let minutes = human::count(found.rows.len() as u64, "minute");
        Check::ok(CHECK, format!("{minutes} on disk, none parked or quarantined"))
    }

    fn services(&self) -> [Check; 2] {
        let data = DataDir::at(&self.data_dir);
        let look = "look at the service's log";
        let ingest = match wal::live_ingests(&data) {
            Ok(0) => Check::warn("ingest", "does not run: no events are taken")
                .advise("start it: `minutelog ingest`"),
            Ok(1) => Check::ok("ingest", "runs"),
            Ok(many) => Check::ok("ingest", format!("{many} processes run")),
            Err(error) => Check::warn("ingest", error.to_string()).advise(look),
        };
        let flusher = match flusher::is_running(&data) {
            Ok(false) => Check::warn("flusher", "does not run: nothing is delivered")
                .advise("start it: `minutelog flusher`"),
            Ok(true) => Check::ok("flusher", "runs"),
            Err(error) => Check::warn("flusher", error.to_string()).advise(look),
        };
        [ingest, flusher]
    }

    fn tokens(&self) -> Check {
        const CHECK: &str = "tokens";
        let clients = self.clients;
        match self.tokens {
            Some(0) if self.streams.access_keys > 0 => {
                Check::ok(CHECK, "there is none: who has an access key can send, to streams")
            }
            Some(0) => Check::fail(CHECK, "there is none, so nobody can send")
                .advise("make one: `minutelog admin token NAME`"),
            Some(many) => {
                let tokens = human::count(many as u64, "token");
                Check::ok(CHECK, format!("{tokens}, every hash well-formed and used once"))
            }
            None if clients.address.ip().is_loopback() => {
                Check::ok(CHECK, "everybody on this machine may send (ingest.auth = \"none\")")
            }
            None => {
                let Listener { key, address } = clients;
                Check::warn(CHECK, format!("everybody who reaches {key} = \"{address}\" may send"))
                    .advise("set ingest.auth = \"tokens\"")
            }
        }
    }

    fn ops(&self) -> Check {
        const CHECK: &str = "ops-listeners";
        let open = self.ops.iter().filter(|listener| !listener.address.ip().is_loopback());
        let open: Vec<String> =
            open.map(|Listener { key, address }| format!("{key} = \"{address}\"")).collect();
        if open.is_empty() {
            return Check::ok(CHECK, "on loopback only");
        }
        Check::warn(CHECK, format!("{} can be reached without a token", open.join(", ")))
            .advise("set an address on loopback, or let a firewall keep others out")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(data_dir: PathBuf) -> Machine {
        let clients = Listener { key: "ingest.listen", address: ([127, 0, 0, 1], 1).into() };
        Machine {
            data_dir,
            max_bytes: 1,
            clients,
            ops: vec![],
            tokens: None,
            certificate: None,
            streams: Streams::default(),
        }
    }

    #[test]
    fn a_directory_that_no_service_can_make_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let new = machine(dir.path().join("new")).place().0;
        assert_eq!(new.state, super::super::check::State::Warn, "{new:?}");
        let nowhere = machine(dir.path().join("no/such/dir")).place().0;
        assert_eq!(nowhere.state, super::super::check::State::Fail, "{nowhere:?}");
        assert!(nowhere.advice.unwrap().contains("make the directory above it"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn somebody_with_an_access_key_can_send_without_a_token() {
        let mut machine = Machine { tokens: Some(0), ..machine(PathBuf::new()) };
        assert_eq!(machine.tokens().state, super::super::check::State::Fail);
        machine.streams.access_keys = 1;
        assert_eq!(machine.tokens().state, super::super::check::State::Ok);
    }

    #[test]
    fn a_certificate_is_told_before_it_expires() {
        let day = |day: u64| UnixMillis::from_seconds(day * 86_400);
        let certificate = Certificate::Usable { not_before: day(100), not_after: day(200) };
        for (now, state) in [(99, "fail"), (100, "ok"), (185, "ok"), (187, "warn"), (201, "fail")] {
            let check = serde_json::to_value(certificate.check(day(now))).unwrap();
            assert_eq!(check["state"], state, "{now}: {check}");
        }
        let (why, advice) = ("cert.pem: damaged PEM".to_owned(), "write the file anew".to_owned());
        let check = Certificate::Unusable { why, advice }.check(day(150));
        assert_eq!(
            check,
            Check::fail("certificate", "cert.pem: damaged PEM").advise("write the file anew")
        );
    }
}
