//! What the flusher counts, by Prometheus' conventions.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use model::UnixMillis;
use store::{Class, Confirmation, Object, Proof, PutError};

use crate::seal::SealedPart;

const ATTEMPTS: &str = "minutelog_flusher_upload_attempts_total";
const OBJECTS: &str = "minutelog_flusher_objects_delivered_total";
const EVENTS: &str = "minutelog_flusher_events_delivered_total";
const BYTES: &str = "minutelog_flusher_bytes_delivered_total";
const UPLOAD_SECONDS: &str = "minutelog_flusher_upload_duration_seconds";
const OBJECT_BYTES: &str = "minutelog_flusher_object_bytes";
const LAG_SECONDS: &str = "minutelog_flusher_delivery_lag_seconds";
const SEALED: &str = "minutelog_flusher_parts_sealed_total";
const SEAL_SECONDS: &str = "minutelog_flusher_seal_duration_seconds";
const SEALED_EVENTS: &str = "minutelog_flusher_events_sealed_total";
const REPEATS: &str = "minutelog_flusher_repeats_removed_total";
const LATE: &str = "minutelog_flusher_late_parts_total";
const QUARANTINED: &str = "minutelog_flusher_quarantined_total";
const PARKED: &str = "minutelog_flusher_parked_destinations";
const OLDEST: &str = "minutelog_flusher_oldest_undelivered_minute_age_seconds";
const LOG_BYTES: &str = "minutelog_flusher_log_bytes";
const RELOADS: &str = "minutelog_flusher_config_reloads_total";
const REFUSED: &str = "minutelog_flusher_config_refused";
const ERRORS: &str = "minutelog_flusher_errors_total";

/// Says what each metric means.
pub(crate) fn describe() {
    describe_counter!(ATTEMPTS, "Upload attempts by outcome");
    describe_counter!(OBJECTS, "Objects that S3 has confirmed");
    describe_counter!(EVENTS, "Events in objects that S3 has confirmed");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of objects that S3 has confirmed");
    describe_histogram!(UPLOAD_SECONDS, Unit::Seconds, "Duration of upload attempts");
    describe_histogram!(OBJECT_BYTES, Unit::Bytes, "Sizes of delivered objects");
    describe_histogram!(LAG_SECONDS, Unit::Seconds, "From a minute's end to S3's confirmation");
    describe_counter!(SEALED, "Parts sealed; one a minute unless a run came late");
    describe_histogram!(SEAL_SECONDS, Unit::Seconds, "Duration of sealing a minute");
    describe_counter!(SEALED_EVENTS, "Events sealed");
    describe_counter!(REPEATS, "Events left out of a seal: sent again under the same key");
    describe_counter!(LATE, "Parts made of runs that turned up after their minute was sealed");
    describe_counter!(QUARANTINED, "Runs, parts and objects that could not be read back whole");
    describe_gauge!(PARKED, "Destinations and buckets that wait for a person");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest minute not in S3; 0 if none");
    describe_gauge!(LOG_BYTES, Unit::Bytes, "Bytes of the log on disk, all states together");
    describe_counter!(ERRORS, "Errors of the disk that made the flusher try again");
    describe_counter!(RELOADS, "Configurations that were taken up after SIGHUP");
    describe_gauge!(REFUSED, "1 while the configuration that SIGHUP had read last can't be used");
    for outcome in ["delivered", "already_there", "retry", "parked", "damaged"] {
        counter!(ATTEMPTS, "outcome" => outcome).increment(0);
    }
    for name in
        [OBJECTS, EVENTS, BYTES, SEALED, SEALED_EVENTS, REPEATS, LATE, QUARANTINED, ERRORS, RELOADS]
    {
        counter!(name).increment(0);
    }
    for name in [PARKED, OLDEST, LOG_BYTES, REFUSED] {
        gauge!(name).set(0.0);
    }
}

pub(crate) fn attempt(result: &Result<Confirmation, PutError>, duration: Duration) {
    let outcome = match result {
        Ok(Confirmation { proof: Proof::Answered, .. }) => "delivered",
        Ok(Confirmation { proof: Proof::AlreadyThere, .. }) => "already_there",
        Err(error) => match error.class() {
            Class::Retry => "retry",
            Class::Park | Class::ParkBucket => "parked",
            Class::Damaged => "damaged",
        },
    };
    counter!(ATTEMPTS, "outcome" => outcome).increment(1);
    histogram!(UPLOAD_SECONDS).record(duration);
}

pub(crate) fn delivered(object: &Object, now: UnixMillis) {
    counter!(OBJECTS).increment(1);
    counter!(EVENTS).increment(object.events);
    counter!(BYTES).increment(object.extents.length());
    histogram!(OBJECT_BYTES).record(float(object.extents.length()));
    histogram!(LAG_SECONDS).record(now.since(object.minute.end()));
}

pub(crate) fn sealed(part: &SealedPart, duration: Duration) {
    counter!(SEALED).increment(1);
    counter!(SEALED_EVENTS).increment(part.events);
    repeats_removed(part.repeats);
    histogram!(SEAL_SECONDS).record(duration);
    if part.name.part > 0 {
        counter!(LATE).increment(1);
    }
}

pub(crate) fn repeats_removed(events: u64) {
    counter!(REPEATS).increment(events);
}

pub(crate) fn quarantined() {
    counter!(QUARANTINED).increment(1);
}

pub(crate) fn config_reloaded() {
    counter!(RELOADS).increment(1);
    gauge!(REFUSED).set(0.0);
}

pub(crate) fn config_refused() {
    gauge!(REFUSED).set(1.0);
}

pub(crate) fn error() {
    counter!(ERRORS).increment(1);
}

pub(crate) fn parked_destinations(count: usize) {
    gauge!(PARKED).set(float(count as u64));
}

pub(crate) fn log(bytes: u64, oldest_age: Duration) {
    gauge!(LOG_BYTES).set(float(bytes));
    gauge!(OLDEST).set(oldest_age.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no more than 53 bits")]
fn float(number: u64) -> f64 {
    number as f64
}
