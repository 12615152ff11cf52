//! An S3 that misbehaves: the server's front breaks what a real one, or the way to it, has broken.

pub(super) mod faults;
pub(super) mod multipart;
pub(super) mod outage;
pub(super) mod stores;

use std::time::Duration;

use tests::{Fault, LoadPlan, Random, Site, wait_for};

/// The bucket whose requests are broken, and one that nothing is broken for.
const BROKEN: &str = "broken-bucket";
const STEADY: &str = "steady-bucket";

/// Small events to one prefix of the one and to some of the other.
fn load_plan(seed: u64, prefixes: usize) -> LoadPlan {
    let broken = (0..prefixes).map(|number| (BROKEN.to_owned(), format!("p{number}")));
    let steady = std::iter::once((STEADY.to_owned(), "p".to_owned()));
    let (pad_bytes, rest) = (200, Duration::from_millis(20));
    let destinations = steady.chain(broken).collect();
    LoadPlan { destinations, pad_bytes, rest, ..LoadPlan::new(seed) }
}

/// E: what is not hit is delivered while the fault lasts, here the next minute and one more.
#[track_caller]
fn assert_others_go_on(site: &Site, while_what: &str) {
    let steady = || site.s3.objects_of(STEADY);
    let before = steady();
    wait_for(&format!("the steady bucket, with {while_what}"), || steady() >= before + 2);
}

/// Whether a request may be looked after with `HeadObject`: by half of the policies it may not.
fn may_look(random: &mut Random) -> bool {
    random.below(2) == 0
}

/// All that can be answered, or happen on the way, to one `PutObject`; what only a person mends is
/// told apart.
fn put_faults(random: &mut Random) -> Vec<(Fault, Mends)> {
    use Fault::{
        CutAnswer, CutBody, Delay, Drop, Empty, Flip, Foreign, Hang, LoseAnswer, Redirect, Refuse,
        Trickle, WrongETag,
    };
    let itself = [
        Refuse(500, "InternalError"),
        Refuse(500, "InternalError").done(),
        Refuse(503, "ServiceUnavailable"),
        Refuse(503, "SlowDown"),
        Refuse(429, "TooManyRequests"),
        Refuse(400, "RequestTimeout"),
        Refuse(409, "ConditionalRequestConflict"),
        Refuse(412, "PreconditionFailed").done(),
        Refuse(200, "InternalError"),
        Refuse(400, "ExpiredToken"),
        Refuse(403, "RequestTimeTooSkewed"),
        Empty,
        Empty.done(),
        LoseAnswer,
        Drop,
        Hang,
        Hang.done(),
        Delay(Duration::from_millis(random.below(900))),
        CutBody(usize::try_from(random.below(2000)).expect("it is small")),
        CutAnswer(usize::try_from(random.below(250)).expect("it is small")),
        Trickle(1 + u32::try_from(random.below(100)).expect("it is small")),
        Flip(random.number()),
        WrongETag,
    ];
    let person = [
        Refuse(403, "AccessDenied"),
        Refuse(404, "NoSuchBucket"),
        Refuse(400, "KMS.DisabledException"),
        Redirect("eu-west-1"),
        Foreign,
    ];
    let itself = itself.into_iter().map(|fault| (fault, Mends::Itself));
    itself.chain(person.into_iter().map(|fault| (fault, Mends::ByPerson))).collect()
}

/// Who mends a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mends {
    Itself,
    ByPerson,
}
