//! What was measured, by workload, case and contender.

use serde::Serialize;

use crate::contender::Contender;
use crate::statistics::Series;

/// A row of the table in the issue: what is timed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    RoundTrip,
    Latency,
    Wake,
    Task,
    Paced,
    FanOut,
    Product,
    Growth,
    Idle,
}

/// One contender in one case of a workload.
pub(crate) struct Figure {
    pub(crate) workload: Workload,
    pub(crate) case: String,
    pub(crate) contender: Contender,
    pub(crate) series: Series,
}

/// Something that was not measured, and why.
#[derive(Clone, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) workload: Workload,
    pub(crate) case: String,
    pub(crate) contender: &'static str,
    pub(crate) reason: String,
}

/// A figure that has no duration.
#[derive(Clone, Serialize)]
pub(crate) struct Fact {
    pub(crate) workload: Workload,
    pub(crate) case: String,
    pub(crate) contender: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) figures: Vec<Figure>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Figures {
    pub(crate) fn find(&self, workload: Workload, case: &str, contender: &str) -> Option<&Figure> {
        self.of(workload)
            .find(|figure| figure.case == case && figure.contender.name == contender)
    }

    pub(crate) fn of(&self, workload: Workload) -> impl Iterator<Item = &Figure> {
        self.figures
            .iter()
            .filter(move |figure| figure.workload == workload)
    }

    pub(crate) fn fact(&self, workload: Workload, case: &str, contender: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| {
            fact.workload == workload && fact.case == case && fact.contender == contender
        })
    }

    /// Returns the cases of a workload, in the order in which they were measured.
    pub(crate) fn cases(&self, workload: Workload) -> Vec<&str> {
        let mut cases = Vec::new();
        for figure in self.of(workload) {
            if !cases.contains(&figure.case.as_str()) {
                cases.push(&figure.case);
            }
        }
        cases
    }

    /// Returns the contenders of a workload, in the order in which they were measured.
    pub(crate) fn contenders(&self, workload: Workload) -> Vec<Contender> {
        let mut contenders = Vec::new();
        for figure in self.of(workload) {
            if !contenders.contains(&figure.contender) {
                contenders.push(figure.contender);
            }
        }
        contenders
    }
}
