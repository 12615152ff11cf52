//! `minutelog completions` and `minutelog man`: what the command line says of itself, for shells and for
//! `man`.

use std::fs;

use clap::{Command, CommandFactory as _};

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::output;

/// Prints a shell's completions.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "minutelog", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

/// Writes a page of section 1 for each command: `minutelog.1`, `minutelog-admin-log.1` and so on.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    let at = args.dir.display().to_string();
    let io = |error| Failure::io(&at, &error, "give a directory that may be written");
    fs::create_dir_all(&args.dir).map_err(io)?;
    for command in with_subcommands(root) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(io)?;
        fs::write(args.dir.join(format!("{name}.1")), page).map_err(io)?;
    }
    Ok(())
}

/// A command and all below it, but `help`.
fn with_subcommands(command: Command) -> Vec<Command> {
    let below: Vec<Command> = command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
        .flat_map(|below| with_subcommands(below.clone()))
        .collect();
    std::iter::once(command).chain(below).collect()
}
