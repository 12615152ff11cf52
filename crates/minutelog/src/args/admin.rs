//! The command line of `minutelog admin`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use model::{Bucket, EventId, EventName, Prefix};

use super::time::{MinuteStart, Since};

/// What `admin` shows or does.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Every minute that is still on disk
    #[command(after_help = "Example:\n  minutelog admin log\n  minutelog admin log --json")]
    Log,
    /// The events of a minute still in the log, exactly as they will be delivered
    #[command(
        after_help = "Example:\n  minutelog admin show 2026-11-22T10:15Z\n  minutelog admin show 2026-11-22T10:15Z --bucket my-bucket --prefix test/ --limit 10"
    )]
    Show(ShowArgs),
    /// What became of events: one row an event
    #[command(
        after_help = "Example:\n  minutelog admin events --since 15m\n  minutelog admin events --event order-1001 --json"
    )]
    Events(EventsArgs),
    /// The objects delivered
    #[command(
        after_help = "Example:\n  minutelog admin receipts --since 1h --bucket my-bucket\n  minutelog admin receipts --json"
    )]
    Receipts(ReceiptsArgs),
    /// Read everything on disk back and check it; exit 65 where anything is damaged
    #[command(
        long_about = "Read everything on disk back and check it; exit 65 where anything is damaged. With --objects, \
download the objects that were delivered and compare them with their receipts instead: needs s3:GetObject, which \
delivery does without. Exit 65 where an object differs or is missing, 69 where one may not be read, 75 where one \
could not be read this time.",
        after_help = "Example:\n  minutelog admin verify\n  minutelog admin verify 2026-11-22T10:15Z\n  minutelog admin verify --objects --since 1h"
    )]
    Verify(VerifyArgs),
    /// Check this machine and every configured bucket: one line each, what is wrong and how to mend it
    #[command(
        long_about = "Check this machine and every bucket that is configured, allowed to a token, or in the log: \
reachable, region, permission for each call, conditional writes, clock skew, leftover multipart uploads. Leaves no \
object behind. Exit 69 where a bucket cannot be delivered to, 78 where this machine or the configuration must be \
mended.",
        after_help = "Example:\n  minutelog admin doctor\n  minutelog admin doctor --bucket my-bucket --write --json"
    )]
    Doctor(DoctorArgs),
    /// A web page of events, minutes and destinations: live, read-only
    #[command(
        long_about = "Serve a web page of events, minutes and destinations until Ctrl-C: live and read-only, while the \
services run and while they don't. On another address than loopback it asks for the token in the file that \
--token-file names; what it sends is not encrypted there: put a proxy with TLS before it.",
        after_help = "Example:\n  minutelog admin inspector\n  minutelog admin inspector --listen 0.0.0.0:9603 --token-file /etc/minutelog/inspector.token"
    )]
    Inspector(InspectorArgs),
    /// The same at a terminal: live, read-only
    #[command(
        long_about = "Show services, minutes, destinations and events at a terminal, as `admin inspector` does in a \
browser: live and read-only, while the services run and while they don't. `?` shows the keys, `q` leaves. Colours \
are left out where NO_COLOR is set. It needs a terminal: for scripts there are `admin log --json`, `admin events \
--json` and `admin receipts --json`.",
        after_help = "Example:\n  minutelog admin top --config /etc/minutelog/minutelog.toml\n  minutelog admin top --interval 5s"
    )]
    Top(TopArgs),
    /// Try parked destinations now
    #[command(
        after_help = "Example:\n  minutelog admin retry\n  minutelog admin retry --bucket my-bucket --prefix test/"
    )]
    Retry(DestinationArgs),
    /// Deliver again what was delivered, from the sealed bytes that are kept, under new keys
    #[command(
        long_about = "Deliver again what was delivered, from the sealed bytes that are kept \
(flusher.keep_delivered), under new keys. Each new key has the time of the old one and another identifier, which \
follows from the old key and the bucket: a replay that was broken off can be run again, and sends nothing twice. \
Needs no service to run or to stop. Exit 65 where something of it is not kept any more, 75 where something could not \
be sent.",
        after_help = "Example:\n  minutelog admin replay --since 2h --until 1h --dry-run\n  minutelog admin replay --since 2026-11-22T10:15Z --until 2026-11-22T11:00Z --bucket my-bucket --to-bucket my-copy"
    )]
    Replay(ReplayArgs),
    /// Seal the open minute early and deliver everything: for taking a machine out
    #[command(
        after_help = "Example:\n  minutelog admin drain --config /etc/minutelog/minutelog.toml\n  minutelog admin drain --timeout 1h     exit 0: the log is empty, 75: something is left"
    )]
    Drain(DrainArgs),
    /// Print the bucket policy (JSON) that minutelog needs and no more
    #[command(
        after_help = "Example:\n  minutelog admin policy --bucket my-bucket --principal arn:aws:iam::123456789012:role/minutelog"
    )]
    Policy(PolicyArgs),
    /// Make a token: print it once, and the block with its hash for the configuration
    #[command(
        after_help = "Example:\n  minutelog admin token checkout\n  minutelog admin token checkout --json"
    )]
    Token(TokenArgs),
}

/// `admin show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The start of the minute, as in 2026-11-22T10:15Z
    #[arg(value_name = "MINUTE")]
    pub(crate) minute: MinuteStart,
    #[command(flatten)]
    pub(crate) destination: DestinationArgs,
    /// At most that many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// `admin events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Accepted since then: RFC 3339, or back from now as in 15m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Since>,
    /// At most that many events, the latest ones
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// The event with this id
    #[arg(long, value_name = "ID", conflicts_with = "event")]
    pub(crate) id: Option<EventId>,
    /// The events that their callers gave this name
    #[arg(long, value_name = "EVENT", value_parser = event_name)]
    pub(crate) event: Option<EventName>,
}

/// `admin receipts`.
#[derive(Debug, Args)]
pub(crate) struct ReceiptsArgs {
    /// Delivered since then: RFC 3339, or back from now as in 15m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Since>,
    #[command(flatten)]
    pub(crate) destination: DestinationArgs,
}

/// `admin verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Only this minute, given by its start, as in 2026-11-22T10:15Z
    #[arg(value_name = "MINUTE")]
    pub(crate) minute: Option<MinuteStart>,
    /// Compare delivered objects with their receipts instead; needs s3:GetObject
    #[arg(long)]
    pub(crate) objects: bool,
    /// Only objects delivered since then: RFC 3339, or back from now as in 15m
    #[arg(long, value_name = "TIME", requires = "objects")]
    pub(crate) since: Option<Since>,
    /// Only objects in this bucket
    #[arg(long, value_name = "BUCKET", requires = "objects")]
    pub(crate) bucket: Option<Bucket>,
    /// Only objects under this prefix
    #[arg(long, value_name = "PREFIX", requires = "objects")]
    pub(crate) prefix: Option<Prefix>,
}

/// `admin doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Only this bucket, configured or not
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Option<Bucket>,
    /// Ask about keys under this prefix, where the permissions are for one only
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: Prefix,
    /// Write one small object twice to learn about conditional writes; deleted again where allowed
    #[arg(long)]
    pub(crate) write: bool,
}

/// `admin inspector`.
#[derive(Debug, Args)]
pub(crate) struct InspectorArgs {
    /// Where the page is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9603")]
    pub(crate) listen: SocketAddr,
    /// A file with the token that the page asks for; needed where ADDRESS is not on loopback
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `admin replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Events accepted since then, by whole minutes: RFC 3339, or back from now as in 15m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Since,
    /// Events accepted before then; until now if it is not given
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Since>,
    #[command(flatten)]
    pub(crate) destination: DestinationArgs,
    /// Deliver to this bucket, not to where it was before
    #[arg(long, value_name = "BUCKET")]
    pub(crate) to_bucket: Option<Bucket>,
    /// Say what there is, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `admin top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The pause between two looks at the data directory, from 100ms to 1h; longer where a look is slow
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = pause)]
    pub(crate) interval: Duration,
}

/// `admin drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Give up after that long; what is left is delivered by the next flusher
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// Which destinations are meant; all without a flag.
#[derive(Debug, Args)]
pub(crate) struct DestinationArgs {
    /// Only this bucket
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Option<Bucket>,
    /// Only this prefix
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<Prefix>,
}

/// `admin policy`.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The bucket
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Bucket,
    /// Who minutelog is to AWS: the ARN of a role, a user or an account
    #[arg(long, value_name = "ARN", value_parser = principal)]
    pub(crate) principal: String,
}

/// `admin token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// What the token is called in the configuration and in logs
    #[arg(value_name = "NAME")]
    pub(crate) name: crate::config::TokenName,
}

fn event_name(text: &str) -> Result<EventName, model::EventNameError> {
    EventName::new(text)
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(100)..=Duration::from_hours(1)).contains(&pause) {
        Ok(pause)
    } else {
        Err("give a duration from 100ms to 1h".to_owned())
    }
}

fn principal(text: &str) -> Result<String, &'static str> {
    if text.starts_with("arn:") && text.split(':').count() >= 6 {
        Ok(text.to_owned())
    } else {
        Err("give an ARN such as arn:aws:iam::123456789012:role/minutelog")
    }
}
