//! What a case is.

use std::path::Path;

use tests::{Load, LoadPlan, Random};

use crate::figures::Figures;
use crate::need::Need;
use crate::witness::LedgerProcess;

/// One way to break things. It panics where something is not as it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What it is called by.
    pub(crate) name: &'static str,
    /// What it breaks, in a line.
    pub(crate) about: &'static str,
    /// What it needs of the machine, besides what a build needs.
    pub(crate) needs: &'static [Need],
    /// How many rounds in CI.
    pub(crate) short: u64,
    /// How many on demand.
    pub(crate) long: u64,
    pub(crate) run: fn(&Plan<'_>) -> Figures,
}

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'p> {
    pub(crate) seed: u64,
    /// What a round is, the case says.
    pub(crate) rounds: u64,
    /// A directory of this run of the case alone, gone after it.
    pub(crate) work: &'p Path,
}

impl Plan<'_> {
    /// Numbers of their own for each label.
    pub(crate) fn random(&self, label: &str) -> Random {
        let mix = |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Random::new(label.bytes().fold(self.seed, mix))
    }

    /// Runs the rounds on one machine after the other: `one_site` gets a number of its own and how many
    /// rounds it is to make.
    pub(crate) fn in_sites(
        &self,
        rounds_a_site: u64,
        one_site: impl Fn(&Self, u64, u64) -> Figures,
    ) -> Figures {
        let mut figures = Figures::default();
        let mut left = self.rounds;
        while left > 0 {
            let rounds = left.min(rounds_a_site);
            figures.join(&one_site(self, left, rounds));
            left -= rounds;
        }
        figures
    }

    /// A load whose acknowledgements are synced by processes of their own before they count.
    pub(crate) fn load(&self, plan: &LoadPlan) -> Load {
        Load::start_before(plan, |sender| {
            let file = self.work.join(format!("acknowledged-{sender}"));
            Some(Box::new(LedgerProcess::start(&file)))
        })
    }
}
