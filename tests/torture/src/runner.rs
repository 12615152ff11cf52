//! Runs cases, one after the other, and tells how they went.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use tempfile::TempDir;

use crate::build;
use crate::case::{Case, Plan};
use crate::cases::CASES;
use crate::figures::Figures;

/// What is run, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Settings {
    /// Names of cases.
    cases: Vec<String>,
    /// The seed of all that is chosen by chance; from the process id, if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// As many rounds as each case has on demand, not just those of a short pass.
    #[arg(long)]
    long: bool,
    /// So many rounds of each case.
    #[arg(long, conflicts_with = "long")]
    rounds: Option<u64>,
    /// A binary to torture in place of a fresh build.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail where a case can't be run on this machine, rather than pass over it.
    #[arg(long)]
    all: bool,
    /// Print one JSON document at the end, in place of the table.
    #[arg(long)]
    json: bool,
}

/// As much of a failure's message as is told again at the end.
const MESSAGE_CHARS: usize = 2000;

/// How a case went.
#[derive(Debug)]
enum Outcome {
    Passed(Figures),
    Failed(String),
    Skipped(&'static str),
}

#[derive(Debug)]
struct Ran {
    case: Case,
    rounds: u64,
    seconds: u64,
    outcome: Outcome,
}

/// Runs the cases, and fails if one has failed.
pub(crate) fn run(settings: &Settings) -> Result<ExitCode> {
    let cases = chosen(&settings.cases)?;
    let seed = settings.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let dir = TempDir::with_prefix("minutelog-torture-").context("no temporary directory")?;
    let binary = build::place(dir.path());
    if let Some(given) = &settings.binary {
        build::copy(given, &binary)?;
    } else {
        let (target, _) = build::target()?;
        build::build(build::root(), &target, &binary)?;
    }
    tests::choose_binary(binary);
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    eprintln!(
        "torture: seed {seed}, long {}, rounds {:?}, binary {:?}, cases {}",
        settings.long,
        settings.rounds,
        settings.binary,
        names.join(" ")
    );
    let mut ran = Vec::new();
    for case in cases {
        let rounds = settings.rounds.unwrap_or(if settings.long { case.long } else { case.short });
        let start = Instant::now();
        let outcome = run_one(&case, seed, rounds);
        let one = Ran { case, rounds, seconds: start.elapsed().as_secs(), outcome };
        eprintln!("{}", line(&one));
        ran.push(one);
    }
    if settings.json {
        println!("{}", document(seed, &ran));
    } else {
        println!("seed {seed}");
        for one in &ran {
            println!("{}", line(one));
        }
    }
    let bad = |one: &Ran| match one.outcome {
        Outcome::Passed(_) => false,
        Outcome::Failed(_) => true,
        Outcome::Skipped(_) => settings.all,
    };
    Ok(if ran.iter().any(bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Lists the cases, with how many rounds they have in a short pass and in a long one.
pub(crate) fn list() -> ExitCode {
    // Programs read the lines below it.
    eprintln!("{:<18} {:>5} {:>6}", "CASE", "SHORT", "LONG");
    for Case { name, about, needs, short, long, .. } in CASES {
        let lacking = needs.iter().find_map(|need| need.lacking());
        let lacking = lacking.map_or(String::new(), |why| format!(" (not here: {why})"));
        println!("{name:<18} {short:>5} {long:>6}  {about}{lacking}");
    }
    ExitCode::SUCCESS
}

fn chosen(names: &[String]) -> Result<Vec<Case>> {
    if let Some(strange) = names.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        bail!("no case is called {strange}: `list` tells their names");
    }
    let wanted = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
    Ok(CASES.iter().filter(wanted).copied().collect())
}

fn run_one(case: &Case, seed: u64, rounds: u64) -> Outcome {
    if let Some(why) = case.needs.iter().find_map(|need| need.lacking()) {
        return Outcome::Skipped(why);
    }
    eprintln!("--- {}, {rounds} rounds: {}", case.name, case.about);
    let work = TempDir::with_prefix("minutelog-case-").expect("a temporary directory");
    let plan = Plan { seed, rounds, work: work.path() };
    match catch_unwind(AssertUnwindSafe(|| (case.run)(&plan))) {
        Ok(figures) => Outcome::Passed(figures),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let text = text.unwrap_or("a panic without a message");
            Outcome::Failed(text.chars().take(MESSAGE_CHARS).collect())
        }
    }
}

fn line(ran: &Ran) -> String {
    let (word, what) = match &ran.outcome {
        Outcome::Passed(figures) => ("passed", figures.to_string()),
        Outcome::Failed(why) => ("FAILED", why.clone()),
        Outcome::Skipped(why) => ("SKIPPED", (*why).to_owned()),
    };
    format!("{word:<8} {:<18} {:>5} rounds {:>5} s  {what}", ran.case.name, ran.rounds, ran.seconds)
}

fn document(seed: u64, ran: &[Ran]) -> serde_json::Value {
    let cases = ran.iter().map(|one| {
        let (outcome, figures, why) = match &one.outcome {
            Outcome::Passed(figures) => ("passed", Some(figures), None),
            Outcome::Failed(why) => ("failed", None, Some(why.as_str())),
            Outcome::Skipped(why) => ("skipped", None, Some(*why)),
        };
        let figures = figures.map(|figures| figures.iter().collect::<std::collections::BTreeMap<_, _>>());
        json!({"case": one.case.name, "rounds": one.rounds, "seconds": one.seconds, "outcome": outcome, "figures": figures, "why": why})
    });
    json!({"seed": seed, "cases": cases.collect::<Vec<_>>()})
}
