//! Limits of processes and of the system.

use std::fs::{read_dir, read_to_string};

use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{Finding, isolation};
use crate::units;

/// A stream of ordinary frames fits in this.
const ROOMY: u64 = 1 << 30;

pub(super) fn check() -> Vec<Finding> {
    let soft = |resource| getrlimit(resource).current;
    let open = read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    vec![
        open_files(soft(Resource::Nofile), open),
        locked_memory(soft(Resource::Memlock), may_lock()),
        file_size(soft(Resource::Fsize)),
        address_space(soft(Resource::As)),
        mappings(number("/proc/sys/vm/max_map_count")),
        watches(
            number("/proc/sys/fs/inotify/max_user_instances"),
            number("/proc/sys/fs/inotify/max_user_watches"),
            inotify::init(inotify::CreateFlags::CLOEXEC).map(|_| ()),
        ),
    ]
}

fn number(path: &str) -> Option<u64> {
    read_to_string(path).ok()?.trim().parse().ok()
}

/// Says whether this process has CAP_IPC_LOCK, for which RLIMIT_MEMLOCK does not count.
fn may_lock() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    // In a user namespace of its own, a process has capabilities that the kernel does not mean here.
    if !isolation::in_first_user_namespace() {
        return false;
    }
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1)
}

fn figure(limit: Option<u64>) -> impl IntoIterator<Item = (&'static str, u64)> {
    limit.map(|limit| ("limit", limit))
}

/// A handle takes one descriptor.
fn open_files(limit: Option<u64>, open: u64) -> Finding {
    const CHECK: &str = "open files";
    const FEW: u64 = 256;
    let Some(most) = limit else {
        return Finding::ok(CHECK, "no limit");
    };
    let found = format!("{most} a process (RLIMIT_NOFILE); each handle takes one");
    let finding = if most.saturating_sub(open) < FEW {
        Finding::warn(
            CHECK,
            found,
            "raise it: ulimit -n 4096, or LimitNOFILE= in a unit file",
        )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with(figure(limit))
}

fn locked_memory(limit: Option<u64>, may_lock: bool) -> Finding {
    const CHECK: &str = "locked memory";
    let Some(most) = limit.filter(|_| !may_lock) else {
        let why = if may_lock {
            " for this user (CAP_IPC_LOCK)"
        } else {
            ""
        };
        return Finding::ok(CHECK, format!("no limit{why}")).with(figure(limit));
    };
    let found = format!(
        "{} a process (RLIMIT_MEMLOCK): only smaller streams can be locked into memory",
        units::bytes(most)
    );
    // Few programs lock memory, and those that do are told by the error.
    let finding = if most < 1 << 20 {
        let advice = "for streams with lock_memory: ulimit -l unlimited, or LimitMEMLOCK= in a unit \
                      file";
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with(figure(limit))
}

fn file_size(limit: Option<u64>) -> Finding {
    const CHECK: &str = "file size";
    let Some(most) = limit else {
        return Finding::ok(CHECK, "no limit");
    };
    let found = format!(
        "{} (RLIMIT_FSIZE): larger streams cannot be created",
        units::bytes(most)
    );
    let advice = "raise it: ulimit -f unlimited, or LimitFSIZE= in a unit file";
    let finding = match most {
        0..16_384 => Finding::problem(CHECK, found, advice),
        16_384..ROOMY => Finding::warn(CHECK, found, advice),
        _ => Finding::ok(CHECK, found),
    };
    finding.with(figure(limit))
}

fn address_space(limit: Option<u64>) -> Finding {
    const CHECK: &str = "address space";
    let Some(most) = limit else {
        return Finding::ok(CHECK, "no limit");
    };
    let found = format!(
        "{} a process (RLIMIT_AS); a handle that writes maps its stream twice",
        units::bytes(most)
    );
    let finding = if most < 4 * ROOMY {
        Finding::warn(
            CHECK,
            found,
            "raise it: ulimit -v unlimited, or LimitAS= in a unit file",
        )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with(figure(limit))
}

/// A handle takes two or three mappings.
fn mappings(limit: Option<u64>) -> Finding {
    const CHECK: &str = "mappings";
    const USUAL: u64 = 65_530;
    let Some(most) = limit else {
        return Finding::ok(CHECK, "the system does not say");
    };
    let found = format!("{most} a process (vm.max_map_count); each handle takes up to three");
    let finding = if most < USUAL {
        Finding::warn(
            CHECK,
            found,
            format!("as root: sysctl vm.max_map_count={USUAL}"),
        )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with(figure(limit))
}

/// Tasks and read-only observers that wait watch the stream's file.
fn watches(instances: Option<u64>, watches: Option<u64>, probe: Result<(), Errno>) -> Finding {
    const CHECK: &str = "file watches";
    let (Some(instances), Some(watches)) = (instances, watches) else {
        return Finding::warn(
            CHECK,
            "this kernel has no inotify",
            "asynchronous readers look every few milliseconds instead",
        );
    };
    let found = format!("{instances} inotify instances and {watches} watches a user");
    let finding = match probe {
        Ok(()) => Finding::ok(CHECK, found),
        Err(error) => Finding::warn(
            CHECK,
            format!("{found}, and no more can be had: {error}"),
            format!(
                "as root: sysctl fs.inotify.max_user_instances={}",
                instances.max(64) * 2
            ),
        ),
    };
    finding.with([("instances", instances), ("watches", watches)])
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Ok as Fine, Problem, Warn};
    use super::*;

    fn of(finding: &Finding) -> Verdict {
        finding.verdict
    }

    #[test]
    fn judges_limits() {
        assert_eq!(of(&open_files(Some(1024), 10)), Fine);
        assert_eq!(of(&open_files(Some(1024), 1000)), Warn);
        assert_eq!(of(&open_files(None, 1000)), Fine);
        assert_eq!(of(&locked_memory(Some(65_536), false)), Warn);
        assert_eq!(of(&locked_memory(Some(65_536), true)), Fine);
        assert_eq!(of(&locked_memory(Some(8 << 20), false)), Fine);
        assert_eq!(of(&file_size(None)), Fine);
        assert_eq!(of(&file_size(Some(1000))), Problem);
        assert_eq!(of(&file_size(Some(1 << 20))), Warn);
        assert_eq!(of(&address_space(Some(1 << 30))), Warn);
        assert_eq!(of(&mappings(Some(65_530))), Fine);
        assert_eq!(of(&mappings(Some(1000))), Warn);
        assert_eq!(of(&watches(Some(128), Some(8192), Ok(()))), Fine);
        assert_eq!(of(&watches(Some(128), Some(8192), Err(Errno::MFILE))), Warn);
        assert_eq!(of(&watches(None, None, Err(Errno::NOSYS))), Warn);
    }

    #[test]
    fn keeps_the_figures() {
        assert_eq!(open_files(Some(1024), 10).figures, [("limit", 1024)]);
    }
}
