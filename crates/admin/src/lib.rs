//! What people see of the log, and the two things they can tell the services to do.
//!
//! Every report is a table for people or, on demand, one JSON document for programs. Reports need
//! no service to run or to stop, refuse a data directory that does not exist, and write nothing into
//! one that does. [`retry`] and [`drain`] ask the flusher that runs; where none does, they
//! hand the work to one that their caller starts. [`doctor`] and [`verify_objects`] ask S3 as well.

mod compare;
mod doctor;
mod drain;
mod error;
mod events;
#[cfg(test)]
mod fixture;
mod human;
mod inspector;
mod kept;
mod minutes;
mod objects;
mod place;
mod printable;
mod progress;
mod receipts;
#[cfg(test)]
mod repair_tests;
mod replay;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod report_tests;
mod retry;
mod screen;
mod show;
mod table;
mod top;
mod unread;
mod verify;
mod view;

pub use doctor::{Certificate, DoctorPlan, Listener, Machine, Streams, doctor};
pub use drain::drain;
pub use error::{Error, Result};
pub use events::events;
pub use inspector::{Inspection, InspectionOptions};
pub use minutes::minutes;
pub use objects::{ObjectsQuery, verify_objects};
pub use receipts::receipts;
pub use replay::{ReplayQuery, replay};
pub use retry::retry;
pub use screen::Screen;
pub use show::show;
pub use top::{TopOptions, top};
pub use verify::verify;
