//! Checks of one bucket, made of what its store answers.

use std::time::Duration;

use model::UnixMillis;
use store::{Aside, Probe, Trouble, TroubleKind, Unfinished};

use super::check::Check;
use crate::human;

/// S3, "Signature Version 4": a request may be 15 minutes old.
const MAX_SKEW_SECONDS: u64 = 15 * 60;

/// By so much a clock may be off before it is worth a look.
const SMALL_SKEW_SECONDS: u64 = 60;

const SET_CLOCK: &str = "synchronise this machine's clock";

/// An upload that takes longer is none any more.
const LEFT_OVER_AFTER: Duration = Duration::from_hours(24);

/// Asks one bucket everything, and says what came of it. Stops at what makes all else fail.
pub(super) async fn checks(probe: Probe, write: bool, now: UnixMillis) -> Vec<Check> {
    let mut checks = Vec::new();
    ask(&probe, write, now, &mut checks).await;
    checks.into_iter().map(|check| check.of(probe.bucket())).collect()
}

async fn ask(probe: &Probe, write: bool, now: UnixMillis, checks: &mut Vec<Check>) {
    let location = probe.location().await;
    if let Err(trouble) = &location {
        if let Some(check) = unreachable(probe, trouble) {
            checks.push(check);
            return;
        }
        checks.push(reached(probe));
        if let Some(check) = hopeless(probe, trouble) {
            checks.push(check);
            return;
        }
    } else {
        checks.push(reached(probe));
    }
    checks.extend(region(probe, location));
    let begun = probe.begin_upload(Aside::Nothing).await;
    if let Err(trouble) = &begun
        && let Some(check) = hopeless(probe, trouble)
    {
        checks.push(check);
        return;
    }
    let may_put = begun.is_ok();
    checks.extend(put(probe, begun).await);
    if may_put && probe.has_acl() {
        checks.push(aside(probe, Aside::Acl, "s3:PutObjectAcl").await);
    }
    if may_put && probe.has_tags() {
        checks.push(aside(probe, Aside::Tags, "s3:PutObjectTagging").await);
    }
    checks.extend(uploads(probe, now).await);
    checks.extend(conditions(probe, write && may_put).await);
    checks.push(clock(probe));
}

/// Whether no server was reached that gives sensible answers.
fn unreachable(probe: &Probe, trouble: &Trouble) -> Option<Check> {
    const CHECK: &str = "reachable";
    let server = probe.seen().server;
    let at = server.map(|server| format!("{server}: ")).unwrap_or_default();
    // What stands before it is how the client is built.
    let message = trouble.message.rsplit("(Connect): ").next().unwrap_or_default();
    let what = format!("{at}{message}");
    match trouble.kind {
        TroubleKind::NoCredentials => Some(
            Check::fail("credentials", trouble.message.clone())
                .advise("give minutelog AWS credentials: environment, profile, or instance role"),
        ),
        TroubleKind::NotConnected => Some(
            Check::fail(CHECK, what)
                .advise("see that the endpoint is right, its name is known, and it is up"),
        ),
        TroubleKind::NoAnswer => Some(
            Check::fail(CHECK, what).advise("see what listens there, and what is on the way to it"),
        ),
        TroubleKind::Refused if trouble.status.is_some_and(|status| status >= 500) => {
            (trouble.status != Some(501))
                .then(|| Check::fail(CHECK, what).advise("wait, or see to the store"))
        }
        TroubleKind::Refused => None,
    }
}

fn reached(probe: &Probe) -> Check {
    const CHECK: &str = "reachable";
    let seen = probe.seen();
    let server = seen.server.unwrap_or_default();
    let millis = seen.latency.unwrap_or_default().as_millis();
    let what = format!("{server} answered in {millis} ms");
    let host =
        server.strip_prefix("http://").map(|host| host.rsplit_once(':').map_or(host, |it| it.0));
    let is_loopback = |host: &str| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host.ends_with("localhost") || address.is_ok_and(|address| address.is_loopback())
    };
    match host {
        Some(host) if !is_loopback(host) => Check::warn(CHECK, format!("{what}, without TLS"))
            .advise("give an endpoint with https://: events pass in the clear"),
        _ => Check::ok(CHECK, what),
    }
}

/// Whether an answer means that no other question has a better one.
fn hopeless(probe: &Probe, trouble: &Trouble) -> Option<Check> {
    let what = trouble.message.clone();
    let code = trouble.code.as_deref().unwrap_or_default();
    let configured = probe.region();
    match (code, trouble.status) {
        ("NoSuchBucket" | "InvalidBucketName", _) | ("", Some(404)) => Some(
            Check::fail("exists", what)
                .advise("create the bucket, or correct its name or the endpoint"),
        ),
        _ if trouble.is_of_credentials() => Some(
            Check::fail("credentials", what)
                .advise("mend the credentials that minutelog runs with"),
        ),
        (
            "PermanentRedirect"
            | "Redirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, Some(301 | 307 | 308)) => {
            let is_in = trouble.region.as_ref().map(|region| format!("; it is in {region}"));
            let what = format!("configured is {configured}{}: {what}", is_in.unwrap_or_default());
            let right = trouble.region.as_deref().unwrap_or("…");
            Some(Check::fail("region", what).advise(region_advice(probe, right)))
        }
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            let seen = clock(probe).detail;
            Some(Check::fail("clock", format!("{what}; {seen}")).advise(SET_CLOCK))
        }
        _ => None,
    }
}

fn region_advice(probe: &Probe, region: &str) -> String {
    format!(
        "give it region = \"{region}\" in a [[bucket]] block with name = \"{}\"",
        probe.bucket()
    )
}

fn grant(probe: &Probe) -> String {
    format!("grant it, see `minutelog admin policy --bucket {} --principal ARN`", probe.bucket())
}

/// A permission that delivery can do without, and why it should have it.
fn lacking(probe: &Probe, check: &'static str, trouble: &Trouble, so: &str) -> Check {
    let what = format!("{}: {so}", trouble.message);
    if trouble.is_denied() {
        Check::warn(check, what).advise(grant(probe))
    } else {
        Check::unknown(check, what)
    }
}

fn region(probe: &Probe, location: Result<String, Trouble>) -> Vec<Check> {
    const PERMISSION: &str = "s3:GetBucketLocation";
    let configured = probe.region();
    match location {
        Ok(found) if found == configured => {
            vec![Check::ok(PERMISSION, "granted"), Check::ok("region", found)]
        }
        Ok(found) => {
            let what = format!("configured is {configured}, the bucket is in {found}");
            let is_aws =
                probe.seen().server.is_some_and(|server| server.contains(".amazonaws.com"));
            // Stores other than AWS's have regions in name only.
            let check =
                if is_aws { Check::fail("region", what) } else { Check::warn("region", what) };
            vec![Check::ok(PERMISSION, "granted"), check.advise(region_advice(probe, &found))]
        }
        Err(trouble) => vec![
            lacking(probe, PERMISSION, &trouble, "the region cannot be compared"),
            Check::unknown("region", format!("configured is {configured}")),
        ],
    }
}

/// What an upload that was begun proves, and aborting it.
async fn put(probe: &Probe, begun: Result<String, Trouble>) -> Vec<Check> {
    const PUT: &str = "s3:PutObject";
    let id = match begun {
        Ok(id) => id,
        Err(trouble) => return vec![refused(probe, PUT, &trouble)],
    };
    let granted = Check::ok(PUT, "granted: a multipart upload was begun, which needs it");
    vec![granted, aborted(probe, &id).await]
}

async fn aborted(probe: &Probe, id: &str) -> Check {
    const ABORT: &str = "s3:AbortMultipartUpload";
    match probe.abort_upload(id).await {
        Ok(()) => Check::ok(ABORT, "granted: it was aborted"),
        Err(trouble) => {
            let so = format!("an empty upload is left under {}", probe.key());
            lacking(probe, ABORT, &trouble, &so)
        }
    }
}

async fn aside(probe: &Probe, aside: Aside, permission: &'static str) -> Check {
    match probe.begin_upload(aside).await {
        Ok(id) => match probe.abort_upload(&id).await {
            Ok(()) => Check::ok(permission, "granted: an upload was begun with it, and aborted"),
            Err(_) => Check::ok(permission, "granted: an upload was begun with it, and is left"),
        },
        Err(trouble) => refused(probe, permission, &trouble),
    }
}

/// Why nothing can be delivered.
fn refused(probe: &Probe, check: &'static str, trouble: &Trouble) -> Check {
    let what = trouble.message.clone();
    let code = trouble.code.as_deref().unwrap_or_default();
    let advice = match code {
        "AccessControlListNotSupported" => {
            "remove acl from the configuration: the bucket has ACLs switched off".to_owned()
        }
        "NotImplemented" => {
            "the store lacks what is sent: see storage_class, sse, acl and tags".to_owned()
        }
        "InvalidStorageClass" | "InvalidTag" | "InvalidEncryptionAlgorithmError" => {
            "correct what is configured for the bucket".to_owned()
        }
        _ if code.starts_with("KMS.") => {
            "let this identity use the KMS key, or correct kms_key_id".to_owned()
        }
        _ if trouble.is_denied() => grant(probe),
        _ if trouble.may_pass() => return Check::unknown(check, what).advise("run this again"),
        _ => "see the store's documentation of this error".to_owned(),
    };
    Check::fail(check, what).advise(advice)
}

async fn uploads(probe: &Probe, now: UnixMillis) -> Vec<Check> {
    const LIST: &str = "s3:ListBucketMultipartUploads";
    const LEFT: &str = "leftover-uploads";
    let rule = "give the bucket a lifecycle rule with AbortIncompleteMultipartUpload";
    let found = match probe.unfinished_uploads().await {
        Ok(found) => found,
        Err(trouble) => {
            let so = "what a lost upload leaves is not aborted";
            let list = lacking(probe, LIST, &trouble, so);
            return vec![list, Check::unknown(LEFT, "they cannot be listed").advise(rule)];
        }
    };
    let Unfinished { count, oldest, are_more } = found;
    let age = oldest.map(|oldest| now.since(oldest));
    let of_age = age.map(|age| format!(", the oldest begun {} ago", human::age(age.as_secs())));
    let at_least = if are_more { "at least " } else { "" };
    let what = format!(
        "{at_least}{} unfinished{}",
        human::count(count, "upload"),
        of_age.unwrap_or_default()
    );
    let left = if age.is_some_and(|age| age >= LEFT_OVER_AFTER) || are_more {
        Check::warn(LEFT, format!("{what}: they cost, and nobody goes on with them")).advise(rule)
    } else {
        Check::ok(LEFT, what)
    };
    vec![Check::ok(LIST, "granted"), left]
}

async fn conditions(probe: &Probe, write: bool) -> Vec<Check> {
    const CHECK: &str = "conditional-writes";
    const SWITCH: &str = "s3.conditional_writes = false";
    if !write {
        return vec![if probe.has_conditions() {
            let advice = format!("`admin doctor --write` writes {} and deletes it", probe.key());
            Check::unknown(CHECK, "only an object that is written can tell").advise(advice)
        } else {
            Check::ok(CHECK, format!("switched off by {SWITCH}"))
        }];
    }
    if let Err(trouble) = probe.put().await {
        let is_lacking = trouble.has_code("NotImplemented") || trouble.status == Some(501);
        return vec![match (is_lacking, probe.has_conditions()) {
            (false, _) => refused(probe, CHECK, &trouble),
            (true, false) => Check::ok(CHECK, format!("the store refuses them, and {SWITCH}")),
            (true, true) => {
                Check::fail(CHECK, format!("the store refuses them: {}", trouble.message))
                    .advise(format!("set {SWITCH}"))
            }
        }];
    }
    let check = match probe.put().await {
        Err(trouble) if trouble.status == Some(412) && probe.has_conditions() => {
            Check::ok(CHECK, "a second write under one key was refused")
        }
        Err(trouble) if trouble.status == Some(412) => {
            Check::warn(CHECK, format!("the store knows them, and {SWITCH}"))
                .advise("remove the key")
        }
        Err(trouble) => Check::unknown(CHECK, trouble.message).advise("run this again"),
        Ok(()) => {
            let check = "the store ignores them: a second write under one key went through";
            if probe.has_conditions() {
                Check::warn(CHECK, check).advise(format!("set {SWITCH}"))
            } else {
                Check::ok(CHECK, format!("ignored by the store, and switched off by {SWITCH}"))
            }
        }
    };
    let written = match probe.delete().await {
        Ok(()) => Check::ok("written-object", "written, and deleted again"),
        Err(trouble) => Check::warn(
            "written-object",
            format!("s3://{}/{} is left: {}", probe.bucket(), probe.key(), trouble.message),
        )
        .advise("delete it: delivery needs no s3:DeleteObject"),
    };
    vec![check, written]
}

fn clock(probe: &Probe) -> Check {
    const CHECK: &str = "clock";
    let Some(ahead) = probe.seen().ahead_seconds else {
        return Check::unknown(CHECK, "the answers have no date");
    };
    let off = ahead.unsigned_abs();
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    let what = format!("this machine's is {} {side} the store's", human::age(off));
    match off {
        0..=1 => Check::ok(CHECK, "as the store's, to the second"),
        _ if off <= SMALL_SKEW_SECONDS => Check::ok(CHECK, what),
        _ if off < MAX_SKEW_SECONDS => {
            Check::warn(CHECK, format!("{what}: from 15 minutes on requests are refused"))
                .advise(SET_CLOCK)
        }
        _ => Check::fail(CHECK, format!("{what}: requests are refused")).advise(SET_CLOCK),
    }
}
