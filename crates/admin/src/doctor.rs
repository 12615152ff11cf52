//! `admin doctor`: whether this machine and every bucket are fit for delivery; one line a check, what
//! is wrong and how to mend it.
//!
//! Nothing is guessed: what cannot be learnt without leaving something behind is `unknown`, unless a
//! person allows it. Where a check fails on which others rest, those are left out.

mod bucket;
mod check;
mod machine;
mod print;
mod streams;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use indicatif::ProgressStyle;
use model::{Bucket, Clock, Prefix, UnixMillis};
use serde::Serialize;
use store::S3Store;
use tokio::task::spawn_blocking;
use wal::Inspector;

pub use self::machine::{Certificate, Listener, Machine};
pub use self::streams::Streams;

use self::check::{Check, State};
use crate::error::{Error, Result};
use crate::progress::Late;
use crate::screen::Screen;

/// So many buckets are asked at a time.
const BUCKETS_AT_ONCE: usize = 8;

/// Buckets of receipts count as configured for this long after their minute.
const RECENT: Duration = Duration::from_hours(24);

/// What the doctor is to look at.
#[derive(Clone, Debug)]
pub struct DoctorPlan {
    /// This machine, as it is configured.
    pub machine: Machine,
    /// The buckets that the configuration names; those of the log are added.
    pub buckets: BTreeSet<Bucket>,
    /// This bucket and no other.
    pub only: Option<Bucket>,
    /// Where the keys lie that are asked about.
    pub prefix: Prefix,
    /// Whether an object may be written.
    pub write: bool,
    /// Makes the keys unique; no other doctor ever had it.
    pub nonce: String,
}

#[derive(Serialize)]
struct Document<'d> {
    checks: &'d [Check],
}

/// Looks at this machine and at the buckets, and prints a line for each check.
///
/// [`Error::Misconfigured`] once that is done where a check of this machine failed, else
/// [`Error::Unusable`] where one of a bucket did.
pub async fn doctor(
    plan: DoctorPlan,
    store: &S3Store,
    clock: Arc<dyn Clock>,
    screen: &mut Screen<'_>,
) -> Result<()> {
    let (machine, now) = (plan.machine.clone(), clock.now());
    let mut checks = spawn_blocking(move || machine.checks(now)).await?;
    let buckets = match &plan.only {
        Some(bucket) => BTreeSet::from([bucket.clone()]),
        None => buckets(&plan, now, &mut checks).await?,
    };
    let bar = bar(buckets.len(), screen);
    let asked = stream::iter(buckets).map(|bucket| {
        let probe = store.probe(&bucket, &plan.prefix, &plan.nonce, Arc::clone(&clock));
        bucket::checks(probe, plan.write, now)
    });
    let mut asked = std::pin::pin!(asked.buffered(BUCKETS_AT_ONCE));
    while let Some(of_bucket) = bar.while_waiting(asked.next()).await {
        checks.extend(of_bucket);
        bar.bar().inc(1);
    }
    bar.end();
    if screen.json {
        screen.document(&Document { checks: &checks })?;
    } else {
        print::print(&checks, screen)?;
    }
    verdict(&checks)
}

/// The buckets that the configuration names, and those in the log and in recent receipts.
async fn buckets(
    plan: &DoctorPlan,
    now: UnixMillis,
    checks: &mut Vec<Check>,
) -> Result<BTreeSet<Bucket>> {
    let inspector = Inspector::new(plan.machine.data_dir.clone());
    let recent = u64::try_from(RECENT.as_millis()).unwrap_or(u64::MAX);
    let since = UnixMillis::new(now.as_millis().saturating_sub(recent));
    let mut buckets = plan.buckets.clone();
    let name_it = "name such buckets with --bucket";
    match spawn_blocking(move || inspector.buckets(since)).await? {
        Ok(found) => {
            buckets.extend(found.rows);
            let unread = found.warnings.into_iter();
            checks.extend(unread.map(|what| Check::unknown("buckets", what).advise(name_it)));
        }
        Err(error) => {
            checks.push(Check::unknown("buckets", error.to_string()).advise(name_it));
        }
    }
    if buckets.is_empty() {
        let none = "none is configured, allowed to a token, or in the log";
        checks.push(Check::warn("buckets", none).advise("name one with --bucket"));
    }
    Ok(buckets)
}

fn bar(buckets: usize, screen: &Screen<'_>) -> Late {
    if !screen.moving || screen.json {
        return Late::never();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} buckets");
    Late::new(buckets as u64, style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn verdict(checks: &[Check]) -> Result<()> {
    let failed = || checks.iter().filter(|check| check.state == State::Fail);
    let of_machine = failed().filter(|check| check.bucket.is_none()).count() as u64;
    let buckets: BTreeSet<_> = failed().filter_map(|check| check.bucket.as_ref()).collect();
    match (of_machine, buckets.len() as u64) {
        (0, 0) => Ok(()),
        (0, buckets) => Err(Error::Unusable(buckets)),
        (of_machine, _) => Err(Error::Misconfigured(of_machine)),
    }
}
