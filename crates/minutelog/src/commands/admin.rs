//! `minutelog admin`: what the command line says, told to the crate that does it.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Arc;

use model::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;
use wal::inspect::{Destinations, ReceiptQuery, ShowQuery};
use wal::{EventQuery, Inspector};

use super::{doctor, flusher::service_config, inspector, load_config, runtime, s3, token, top};
use crate::args::Global;
use crate::args::admin::{
    AdminCommand, DestinationArgs, DrainArgs, EventsArgs, PolicyArgs, ReceiptsArgs, ReplayArgs,
    ShowArgs, VerifyArgs,
};
use crate::args::time::{MinuteStart, Since};
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::output;

/// Runs an `admin` subcommand.
pub(crate) fn run(global: &Global, command: AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::Token(args) => return token::run(global, &args),
        AdminCommand::Policy(args) => return policy(global, &args),
        _ => {}
    }
    let config = load_config(global)?.config;
    if let AdminCommand::Inspector(args) = command {
        return inspector::run(&config, &args, global.json).or_else(Stop::into_result);
    }
    if let AdminCommand::Top(args) = command {
        return top::run(&config, &args, global.json).or_else(Stop::into_result);
    }
    let (mut out, mut err) = (BufWriter::new(io::stdout().lock()), io::stderr());
    let mut screen = admin::Screen {
        out: &mut out,
        err: &mut err,
        json: global.json,
        colour: io::stdout().is_terminal() && no_color_is_unset(),
        moving: io::stderr().is_terminal(),
    };
    let done = report(&config, command, &mut screen);
    let flushed = out.flush().map_err(admin::Error::from);
    done.and_then(|()| flushed.map_err(Stop::from)).or_else(Stop::into_result)
}

/// <https://no-color.org>: set to anything but an empty text, it takes the colours away.
pub(super) fn no_color_is_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn report(
    config: &Config,
    command: AdminCommand,
    screen: &mut admin::Screen<'_>,
) -> Result<(), Stop> {
    let inspector = Inspector::new(config.data_dir.clone());
    let now = SystemClock.now();
    match command {
        AdminCommand::Log => admin::minutes(&inspector, now, screen)?,
        AdminCommand::Show(args) => admin::show(&inspector, &show(args), screen)?,
        AdminCommand::Events(args) => admin::events(&inspector, &events(args), screen)?,
        AdminCommand::Receipts(args) => admin::receipts(&inspector, &receipts(args), screen)?,
        AdminCommand::Verify(args) if args.objects => {
            verify_objects(config, &inspector, args, screen)?;
        }
        AdminCommand::Verify(args) => {
            admin::verify(&inspector, args.minute.map(MinuteStart::time), screen)?;
        }
        AdminCommand::Doctor(args) => doctor::run(config, args, screen)?,
        AdminCommand::Retry(args) => retry(config, args, screen)?,
        AdminCommand::Replay(args) => replay(config, args, screen)?,
        AdminCommand::Drain(args) => drain(config, &args, screen)?,
        AdminCommand::Policy(_)
        | AdminCommand::Token(_)
        | AdminCommand::Inspector(_)
        | AdminCommand::Top(_) => {}
    }
    Ok(())
}

fn destinations(args: DestinationArgs) -> Destinations {
    Destinations { bucket: args.bucket, prefix: args.prefix }
}

fn show(args: ShowArgs) -> ShowQuery {
    let destinations = destinations(args.destination);
    ShowQuery { time: args.minute.time(), destinations, limit: args.limit }
}

fn events(args: EventsArgs) -> EventQuery {
    let since = args.since.map(|since| since.resolve(SystemClock.now()));
    EventQuery { since, limit: args.limit, id: args.id, event: args.event }
}

fn receipts(args: ReceiptsArgs) -> ReceiptQuery {
    let since = args.since.map(|since| since.resolve(SystemClock.now()));
    ReceiptQuery { since, destinations: destinations(args.destination) }
}

fn verify_objects(
    config: &Config,
    inspector: &Inspector,
    args: VerifyArgs,
    screen: &mut admin::Screen<'_>,
) -> Result<(), Stop> {
    let since = args.since.map(|since| since.resolve(SystemClock.now()));
    let destinations = Destinations { bucket: args.bucket, prefix: args.prefix };
    let receipts = ReceiptQuery { since, destinations };
    let query = admin::ObjectsQuery { receipts, time: args.minute.map(MinuteStart::time) };
    runtime()?.block_on(async {
        let store = Arc::new(s3::connect(config).await?);
        Ok(admin::verify_objects(inspector, &query, store, screen).await?)
    })
}

fn retry(
    config: &Config,
    args: DestinationArgs,
    screen: &mut admin::Screen<'_>,
) -> Result<(), Stop> {
    let wanted = destinations(args);
    let deliver = async |filter| deliver(config, filter).await;
    runtime()?.block_on(admin::retry(&config.data_dir, &wanted, deliver, screen))
}

fn replay(config: &Config, args: ReplayArgs, screen: &mut admin::Screen<'_>) -> Result<(), Stop> {
    let now = SystemClock.now();
    let retention = config.flusher.receipt_retention.as_duration();
    let query = admin::ReplayQuery {
        since: args.since.resolve(now),
        until: args.until.map_or(now, |until| until.resolve(now)),
        destinations: destinations(args.destination),
        to_bucket: args.to_bucket,
        known_since: Since::Ago(retention).resolve(now),
    };
    if query.since >= query.until {
        let why = "--since is not before --until: give a time before it";
        return Err(Failure::new(Code::Usage, why).into());
    }
    runtime()?.block_on(async {
        let store: Option<Arc<dyn store::Store>> =
            if args.dry_run { None } else { Some(Arc::new(s3::connect(config).await?)) };
        Ok(admin::replay(&config.data_dir, &query, store, screen).await?)
    })
}

fn drain(config: &Config, args: &DrainArgs, screen: &mut admin::Screen<'_>) -> Result<(), Stop> {
    let deliver = async |filter| deliver(config, filter).await;
    let drain = admin::drain(&config.data_dir, args.timeout, &SystemClock, deliver, screen);
    runtime()?.block_on(drain)
}

/// Does the flusher's work where none runs; `None` where one does. A signal ends it at once, which is
/// safe: the next flusher goes on with it.
async fn deliver(
    config: &Config,
    filter: flusher::DestinationFilter,
) -> Result<Option<flusher::Drained>, Stop> {
    let store = Arc::new(s3::connect(config).await?);
    let (service, clock) = (service_config(config), Arc::new(SystemClock));
    let shutdown = CancellationToken::new();
    match flusher::run_once_for(service, store, clock, shutdown, filter).await {
        Err(flusher::Error::SecondFlusher(_)) => Ok(None),
        result => result.map(Some).map_err(|error| Stop::Failure(error.into())),
    }
}

/// The policy is JSON with `--json` and without.
fn policy(global: &Global, args: &PolicyArgs) -> Result<(), Failure> {
    let config = load_config(global)?.config;
    let with_acl =
        config.buckets.iter().any(|bucket| bucket.name == args.bucket && bucket.acl.is_some());
    output::print_json(&store::bucket_policy(&args.bucket, &args.principal, with_acl))
}

/// Why a report ends early.
pub(crate) enum Stop {
    /// Its reader has seen enough and closed the pipe: no failure.
    Seen,
    Failure(Failure),
}

impl Stop {
    fn into_result(self) -> Result<(), Failure> {
        match self {
            Self::Seen => Ok(()),
            Self::Failure(failure) => Err(failure),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<admin::Error> for Stop {
    fn from(error: admin::Error) -> Self {
        let code = match &error {
            admin::Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Self::Seen;
            }
            admin::Error::Log(error) => return Self::Failure(Failure::log("admin", error)),
            admin::Error::Output(_) | admin::Error::NoDataDir(_) => Code::Io,
            admin::Error::Damaged { .. }
            | admin::Error::Differ { .. }
            | admin::Error::Gone(_)
            | admin::Error::NoBucket { .. } => Code::Data,
            admin::Error::NotLookedAt(_)
            | admin::Error::Undelivered(_)
            | admin::Error::NotReplayed(_)
            | admin::Error::NotCompared(_) => Code::TryAgain,
            admin::Error::Unreadable(_) | admin::Error::Unusable(_) | admin::Error::Bind { .. } => {
                Code::Unavailable
            }
            admin::Error::Open(_) | admin::Error::ShortToken => Code::Usage,
            admin::Error::Misconfigured(_) => Code::Config,
            admin::Error::Internal(_) | admin::Error::ReaderEnded => Code::Internal,
        };
        Self::Failure(Failure::new(code, error.to_string()))
    }
}
