//! Measuring contenders in turns.
//!
//! On a machine that others use as well, two figures measured one after the other differ by more than
//! what is looked for. Measured in turns they meet the same conditions.

use crate::Outcome;
use crate::contender::Contender;
use crate::figures::{Figure, Figures, LeftOut, Workload};
use crate::statistics::{Round, Series};

/// The contenders of a workload, set up and ready for their rounds.
pub(crate) struct Turns<'a> {
    workload: Workload,
    subjects: Vec<Subject<'a>>,
    left_out: Vec<LeftOut>,
}

/// One contender in one case.
struct Subject<'a> {
    case: String,
    contender: Contender,
    measure: Measure<'a>,
}

/// Measures one round.
type Measure<'a> = Box<dyn FnMut(&mut Round) -> Outcome<()> + 'a>;

impl<'a> Turns<'a> {
    pub(crate) const fn new(workload: Workload) -> Self {
        Self {
            workload,
            subjects: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Adds a contender whose rounds are measured by a closure.
    pub(crate) fn add(
        &mut self,
        case: impl Into<String>,
        contender: Contender,
        measure: impl FnMut(&mut Round) -> Outcome<()> + 'a,
    ) {
        self.subjects.push(Subject {
            case: case.into(),
            contender,
            measure: Box::new(measure),
        });
    }

    /// The same with one that may have failed to set up; then it is left out, with the reason.
    pub(crate) fn try_add<F>(
        &mut self,
        case: impl Into<String>,
        contender: Contender,
        measure: Outcome<F>,
    ) where
        F: FnMut(&mut Round) -> Outcome<()> + 'a,
    {
        match measure {
            Ok(measure) => self.add(case, contender, measure),
            Err(error) => self.leave_out(case.into(), contender, error.to_string()),
        }
    }

    fn leave_out(&mut self, case: String, contender: Contender, reason: String) {
        let contender = contender.name;
        eprintln!("  {case}: {contender} left out: {reason}");
        self.left_out.push(LeftOut {
            workload: self.workload,
            case,
            contender,
            reason,
        });
    }

    /// Measures `rounds` rounds of each, after one that is not counted.
    ///
    /// Each round begins with another contender, so that none always follows the same neighbour. If one
    /// fails it is left out, and the others start again: ratios compare what was measured in one turn.
    pub(crate) fn run(mut self, rounds: usize, figures: &mut Figures) {
        loop {
            match self.measure(rounds) {
                Ok(series) => return self.report(series, figures),
                Err((index, error)) => {
                    let Subject {
                        case, contender, ..
                    } = self.subjects.remove(index);
                    self.leave_out(case, contender, error.to_string());
                }
            }
        }
    }

    /// Returns a series for each subject, or the first that failed.
    fn measure(
        &mut self,
        rounds: usize,
    ) -> Result<Vec<Series>, (usize, Box<dyn std::error::Error>)> {
        let count = self.subjects.len();
        let mut series: Vec<_> = (0..count).map(|_| Series::new()).collect();
        for round in 0..=rounds {
            for turn in 0..count {
                let index = (round + turn) % count;
                let mut measured = Round::new();
                (self.subjects[index].measure)(&mut measured).map_err(|error| (index, error))?;
                if round > 0 {
                    series[index].add(&measured);
                }
            }
        }
        Ok(series)
    }

    fn report(self, series: Vec<Series>, figures: &mut Figures) {
        for (subject, series) in self.subjects.into_iter().zip(series) {
            let Subject {
                case, contender, ..
            } = subject;
            let typical = series.typical();
            eprintln!("  {case:<14} {:<34} {typical:>14.1} ns", contender.name);
            figures.figures.push(Figure {
                workload: self.workload,
                case,
                contender,
                series,
            });
        }
        figures.left_out.extend(self.left_out);
    }
}
