//! The cases, in the order in which they are run.

mod big_minute;
mod clock;
mod damage;
mod dead_destination;
mod descriptors;
mod disk_errors;
mod disk_full;
mod every_syscall;
mod hostile;
mod kill;
mod many_destinations;
mod operations;
mod power_loss;
mod s3;
mod soak;
mod starts;

use crate::case::Case;

/// All of them.
pub(crate) const CASES: &[Case] = &[
    kill::CASE,
    clock::CASE,
    power_loss::CASE,
    s3::faults::CASE,
    s3::multipart::CASE,
    s3::outage::CASE,
    s3::stores::CASE,
    damage::CASE,
    dead_destination::CASE,
    many_destinations::CASE,
    big_minute::CASE,
    soak::CASE,
    starts::CASE,
    operations::CASE,
    disk_full::CASE,
    disk_errors::CASE,
    descriptors::CASE,
    every_syscall::CASE,
    hostile::CASE,
];
