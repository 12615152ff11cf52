//! `minutelog admin`: what the command line says, told to the crate that does it.

use super::{load_config, token};
use crate::args::Global;
use crate::args::admin::{AdminCommand, PolicyArgs};
use crate::failure::Failure;
use crate::output;

/// Runs an `admin` subcommand.
pub(crate) fn run(global: &Global, command: AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::Token(args) => token::run(global, &args),
        AdminCommand::Policy(args) => policy(global, &args),
        AdminCommand::Log
        | AdminCommand::Show(_)
        | AdminCommand::Events(_)
        | AdminCommand::Receipts(_)
        | AdminCommand::Verify(_)
        | AdminCommand::Retry(_)
        | AdminCommand::Drain => Err(unwired()),
    }
}

/// The policy is JSON with `--json` and without.
fn policy(global: &Global, args: &PolicyArgs) -> Result<(), Failure> {
    let config = load_config(global)?.config;
    let with_acl =
        config.buckets.iter().any(|bucket| bucket.name == args.bucket && bucket.acl.is_some());
    output::print_json(&store::bucket_policy(&args.bucket, &args.principal, with_acl))
}

fn unwired() -> Failure {
    Failure::new(crate::failure::Code::Unavailable, "admin: not wired: see crates/admin")
}
