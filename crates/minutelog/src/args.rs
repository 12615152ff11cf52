//! The command line.

pub(crate) mod admin;
pub(crate) mod time;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Events in over HTTP, one gzip object per destination and minute out to S3.
#[derive(Debug, Parser)]
#[command(
    name = "minutelog",
    version,
    propagate_version = true,
    after_help = "Example:\n  minutelog demo                               see the whole job done once\n  minutelog dev                                run it all on this machine\n  minutelog check --config minutelog.toml      validate a configuration\n\nExit codes: 64 usage, 65 bad data, 69 unavailable, 70 internal, 74 I/O, 75 try again, 78 configuration"
)]
pub(crate) struct Cli {
    #[command(flatten, next_help_heading = "Options of every command")]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "The configuration file (TOML) [env: MINUTELOG_CONFIG]"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Where the log lies; beats `data_dir` of the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print one JSON document instead of text; services log JSON
    #[arg(long, global = true, overrides_with = "json")]
    pub(crate) json: bool,
    /// Log lines on standard error: text or json [default: text on a terminal, else json]
    #[arg(long, global = true, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) log_format: Option<LogFormat>,
    /// trace, debug, info, warn, error, or directives [default: info for services, else warn]
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "MINUTELOG_LOG",
        hide_env_values = true
    )]
    pub(crate) log_level: Option<String>,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do the whole job once, with nothing to install or configure
    #[cfg(feature = "embedded")]
    #[command(
        long_about = "Do the whole job once, with nothing to install or configure: an embedded S3 server on \
loopback, ingest and flusher as processes of their own, events sent over HTTP, and after the end of the minute \
the one object read back from S3 and compared with what was sent. Exit 0 only if they are equal. It makes its \
own configuration: MINUTELOG__… variables have no say in it, and a warning names them.",
        after_help = "Example:\n  minutelog demo\n  minutelog demo --events 1000 --interval 2s     --interval 2s makes a minute shorter"
    )]
    Demo(DemoArgs),
    /// Run S3, ingest, flusher and inspector on this machine until Ctrl-C
    #[cfg(feature = "embedded")]
    #[command(
        long_about = "Run an embedded S3 server, ingest, flusher and the inspector (a page of events, minutes \
and destinations) on this machine until Ctrl-C. Data is kept in \
./minutelog-dev, or where --data-dir says. Everything listens on loopback only. It makes its own configuration: \
MINUTELOG__… variables have no say in it, and a warning names them. The embedded server keeps objects in files: \
unlike S3 it takes no more than 255 bytes between two slashes of a prefix, and no objects of over 16 MiB under \
long keys (with my-bucket, prefixes of over 24 bytes): they are parked. Under longer keys still (prefixes of over \
57 bytes) an object has no metadata.",
        after_help = "Example:\n  minutelog dev\n  minutelog dev --data-dir ./try --interval 10s"
    )]
    Dev(DevArgs),
    /// The ingest service: takes events over HTTP into the log
    #[command(after_help = "Example:\n  minutelog ingest --config /etc/minutelog/minutelog.toml")]
    Ingest(ServiceArgs),
    /// The flusher service: delivers finished minutes to S3
    #[command(
        after_help = "Example:\n  minutelog flusher --config /etc/minutelog/minutelog.toml\n  minutelog flusher --config /etc/minutelog/minutelog.toml --once     exit 0: log drained, 75: something is undelivered"
    )]
    Flusher(FlusherArgs),
    /// Validate the configuration and print it resolved, secrets redacted
    #[command(
        after_help = "Example:\n  minutelog check --config /etc/minutelog/minutelog.toml\n  MINUTELOG__LOG__INTERVAL=5m minutelog check --config /etc/minutelog/minutelog.toml --json"
    )]
    Check(CheckArgs),
    /// Inspect and repair
    #[command(
        arg_required_else_help = true,
        subcommand_value_name = "SUBCOMMAND",
        after_help = "Example:\n  minutelog admin log --config /etc/minutelog/minutelog.toml\n  minutelog admin events --since 15m --json"
    )]
    Admin {
        #[command(subcommand)]
        command: admin::AdminCommand,
    },
    /// Print what completes this command line in a shell
    #[command(
        after_help = "Example:\n  minutelog completions bash > /usr/share/bash-completion/completions/minutelog\n  minutelog completions zsh > ~/.zfunc/_minutelog"
    )]
    Completions(CompletionsArgs),
    /// Write a manual page of each command
    #[command(after_help = "Example:\n  minutelog man /usr/local/share/man/man1")]
    Man(ManArgs),
}

/// `minutelog completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// `minutelog man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where the pages go, one file a command; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// `minutelog demo`.
#[cfg(feature = "embedded")]
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many events to send
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) events: u32,
    /// The length of a minute: 1s 2s 5s 10s 15s 20s 30s 60s 5m 10m 15m
    #[arg(long, default_value_t, value_name = "LENGTH")]
    pub(crate) interval: model::Interval,
}

/// `minutelog dev`.
#[cfg(feature = "embedded")]
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The length of a minute: 1s 2s 5s 10s 15s 20s 30s 60s 5m 10m 15m
    #[arg(long, default_value_t, value_name = "LENGTH")]
    pub(crate) interval: model::Interval,
}

/// `minutelog check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Check what this service needs, and leave out what only the other one does [default: both]
    #[arg(long, value_name = "SERVICE", hide_possible_values = true)]
    pub(crate) service: Option<CheckedService>,
}

/// A service whose needs are checked: ingest or flusher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckedService {
    /// Tokens, secrets and TLS files too.
    Ingest,
    /// What both need.
    Flusher,
}

/// What both services take.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Stop gracefully when standard input ends, as for a child whose parent holds the other end
    #[arg(long, hide = true)]
    pub(crate) stop_with_parent: bool,
}

/// `minutelog flusher`.
#[derive(Debug, Args)]
pub(crate) struct FlusherArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Deliver all that is finished, then exit: 0 = log drained, 75 = something is undelivered
    #[arg(long)]
    pub(crate) once: bool,
}

impl Command {
    /// Whether the command is a service, which logs at `info` unless told otherwise.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Ingest(_) | Self::Flusher(_))
    }

    /// Whether the command draws on the whole terminal.
    pub(crate) fn is_screen(&self) -> bool {
        matches!(self, Self::Admin { command: admin::AdminCommand::Top(_) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:\n  "), "{} has none", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn global_flags_stand_before_and_after_the_command() {
        for line in [
            ["minutelog", "--config", "f", "--json", "check"],
            ["minutelog", "check", "--config", "f", "--json"],
            ["minutelog", "--config=f", "check", "--json", "--json"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.config, Some(PathBuf::from("f")));
            assert!(cli.global.json);
        }
    }
}
