//! Calls that a test wants to fail: `STANDIN_FAIL=NAME[:FROM[-TO]]=CODE,…`.
//!
//! The calls of a name are counted from 1. Without a range every call fails, with one number that call
//! and all later ones. `lost` in place of a code loses the context at that call. `*` stands for any
//! function.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::config;
use crate::status::Status;

/// What is to happen at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Refuse(Status),
    LoseContext,
}

/// Which calls fail, and how.
pub(crate) struct Rule {
    name: String,
    from: u64,
    to: u64,
    fault: Fault,
    calls: AtomicU64,
}

impl Rule {
    /// Reads a rule.
    pub(crate) fn parse(rule: &str) -> Option<Self> {
        let (calls, fault) = rule.split_once('=')?;
        let (name, range) = calls.split_once(':').unwrap_or((calls, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None => (range.parse().ok()?, u64::MAX),
        };
        let fault = match fault {
            "lost" => Fault::LoseContext,
            code => Fault::Refuse(Status(code.parse().ok()?)),
        };
        Some(Self {
            name: name.to_owned(),
            from,
            to,
            fault,
            calls: AtomicU64::new(0),
        })
    }

    /// Counts a call, and tells whether it fails.
    fn judge(&self, name: &str) -> Option<Fault> {
        if self.name != "*" && self.name != name {
            return None;
        }
        // Relaxed: a count that orders nothing.
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        (self.from..=self.to).contains(&call).then_some(self.fault)
    }
}

/// Returns what is to happen at this call.
pub(crate) fn fault(name: &str) -> Option<Fault> {
    // Every rule counts, also behind one that applies.
    let faults = config().rules.iter().filter_map(|rule| rule.judge(name));
    faults.fold(None, |first, next| first.or(Some(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_its_calls() {
        let rule = Rule::parse("cuMemFree_v2:2-3=1").expect("a rule");
        let refuse = Some(Fault::Refuse(Status::INVALID_VALUE));
        let judged = [1, 2, 3, 4].map(|_| rule.judge("cuMemFree_v2"));
        assert_eq!(judged, [None, refuse, refuse, None]);
        assert_eq!(rule.judge("cuInit"), None);
    }

    #[test]
    fn a_rule_without_a_range_always_applies() {
        let rule = Rule::parse("*=lost").expect("a rule");
        assert_eq!(rule.judge("cuInit"), Some(Fault::LoseContext));
    }

    #[test]
    fn malformed_rules_are_refused() {
        for rule in ["", "cuInit", "cuInit=", "cuInit:x=1", "cuInit:1-=1"] {
            assert!(Rule::parse(rule).is_none(), "{rule}");
        }
    }
}
