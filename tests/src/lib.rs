//! The harness of the end-to-end tests: the real binary as real processes on real files, a server
//! that speaks S3's protocol and can be broken by script, clients, and a ledger of what was
//! acknowledged to judge by what stands in S3 at the end.
//!
//! A test that fails panics; so does whatever is written here when something is not as it must be.
//! No test waits for a wall-clock minute, and none asserts on a duration: every wait is a poll
//! ([`until`]) that gives up after a time that is far beyond what it takes.

#![allow(
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "a harness panics: that is how a test fails, and it says where"
)]

mod binary;
mod browser;
mod client;
mod ledger;
mod load;
mod objects;
mod output;
mod pair;
mod poll;
mod proxy;
mod random;
mod s3;
mod service;
mod site;
mod terminal;
mod tls;

pub use binary::{binary, choose_binary};
pub use browser::Browser;
pub use client::{Answer, Client, encoded};
pub use ledger::{Ledger, Sent};
pub use load::{Load, LoadPlan, Witness};
pub use objects::{Object, Objects, minute_of, run_of, time_of};
pub use output::{Output, run, run_for};
pub use pair::{Ended, Pair};
pub use poll::{PATIENCE, until, until_for, wait_for, while_it_goes_on};
pub use proxy::Proxy;
pub use random::Random;
pub use s3::{Fault, Rule, RuleId, S3Server, Seen, Snapshot};
pub use service::Service;
pub use site::{Kind, Setup, Site};
pub use terminal::Terminal;
pub use tls::{Authority, Identity, TlsClient, TlsSession};
