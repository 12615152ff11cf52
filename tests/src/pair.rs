//! The two services of one machine, under load, started again each time that they end.

use crate::load::Load;
use crate::service::Service;
use crate::site::{Kind, Site};

/// How a service came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was running, and was killed.
    Killed,
    /// Somebody took its port between the choice and the start.
    PortTaken,
    /// By itself: its exit code, where it has one, and its log.
    ByItself(Option<i32>, String),
}

/// Ingest and the flusher. The load is told where ingest is.
#[derive(Debug)]
pub struct Pair<'s> {
    site: &'s Site,
    load: &'s Load,
    environment: Vec<(&'s str, &'s str)>,
    ingest: Option<Service>,
    flusher: Option<Service>,
}

impl<'s> Pair<'s> {
    /// Two services that do not run yet.
    pub fn new(site: &'s Site, load: &'s Load) -> Self {
        Self { site, load, environment: Vec::new(), ingest: None, flusher: None }
    }

    /// The same with more in the environment of both.
    #[must_use]
    pub fn with(mut self, environment: &[(&'s str, &'s str)]) -> Self {
        self.environment = environment.to_vec();
        self
    }

    /// Starts one, and does not wait for it.
    pub fn start(&mut self, kind: Kind) {
        let service = self.site.spawn(kind, &self.environment);
        if kind == Kind::Ingest {
            self.load.aim(Some(service.address()));
        }
        *self.place(kind) = Some(service);
    }

    /// Starts both, and waits until they answer.
    pub fn start_both(&mut self) {
        for kind in Kind::BOTH {
            let service = self.site.start(kind, &self.environment);
            if kind == Kind::Ingest {
                self.load.aim(Some(service.address()));
            }
            *self.place(kind) = Some(service);
        }
    }

    /// The one that runs.
    pub fn service(&mut self, kind: Kind) -> Option<&mut Service> {
        self.place(kind).as_mut()
    }

    /// Takes one out, to go on without the other.
    pub fn take(&mut self, kind: Kind) -> Option<Service> {
        self.place(kind).take()
    }

    /// `kill -9`, or how it ended before.
    pub fn kill(&mut self, kind: Kind) -> Option<Ended> {
        let mut service = self.place(kind).take()?;
        Some(match service.has_ended() {
            None => {
                service.kill();
                Ended::Killed
            }
            Some(_) if service.log().contains("Address already in use") => Ended::PortTaken,
            Some(status) => Ended::ByItself(status.code(), service.log()),
        })
    }

    /// Kills one and starts it again. It fails if it had died by itself.
    #[track_caller]
    pub fn kill_and_start(&mut self, kind: Kind) {
        if let Some(Ended::ByItself(code, log)) = self.kill(kind) {
            panic!("{kind:?} died by itself with {code:?}: {log}");
        }
        self.start(kind);
    }

    /// Kills what runs, and tells the load that nobody listens.
    pub fn kill_both(&mut self) {
        self.load.aim(None);
        for kind in Kind::BOTH {
            if let Some(Ended::ByItself(code, log)) = self.kill(kind) {
                panic!("{kind:?} died by itself with {code:?}: {log}");
            }
        }
    }

    fn place(&mut self, kind: Kind) -> &mut Option<Service> {
        match kind {
            Kind::Ingest => &mut self.ingest,
            Kind::Flusher => &mut self.flusher,
        }
    }
}
