//! Namespaces and containers: whom streams can be shared with, and what numbers mean.

use std::fs::{read_link, read_to_string};
use std::path::Path;

use super::Finding;

/// The inode numbers of the namespaces that the machine starts with, fixed in the kernel.
const FIRST_IPC: &str = "ipc:[4026531839]";
const FIRST_USER: &str = "user:[4026531837]";
const FIRST_PID: &str = "pid:[4026531836]";

pub(super) fn check() -> Vec<Finding> {
    let read = |path| read_to_string(path).unwrap_or_default();
    vec![
        pid(namespace("pid").as_deref()),
        ipc(namespace("ipc").as_deref()),
        user(namespace("user").as_deref(), &read("/proc/self/uid_map")),
        time(&read("/proc/self/timens_offsets")),
        contained(container()),
    ]
}

/// Returns what identifies a namespace of this process.
fn namespace(kind: &str) -> Option<String> {
    let target = read_link(format!("/proc/self/ns/{kind}")).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// Says whether users and capabilities are those of the machine.
pub(super) fn in_first_user_namespace() -> bool {
    namespace("user").as_deref() == Some(FIRST_USER)
}

fn pid(namespace: Option<&str>) -> Finding {
    let found = match namespace {
        Some(FIRST_PID) => "the machine's own: process numbers mean what they say",
        _ => {
            "one of its own: process numbers in messages are those that each process has in its \
             own namespace; streams work across"
        }
    };
    Finding::ok("PID namespace", found)
}

fn ipc(namespace: Option<&str>) -> Finding {
    let found = match namespace {
        Some(FIRST_IPC) => "the machine's own; streams do not depend on it",
        _ => "one of its own; streams do not depend on it, only on sharing the directory",
    };
    Finding::ok("IPC namespace", found)
}

fn user(namespace: Option<&str>, map: &str) -> Finding {
    const CHECK: &str = "user namespace";
    if namespace == Some(FIRST_USER) {
        return Finding::ok(CHECK, "the machine's own");
    }
    let mapped: Vec<_> = map.lines().collect();
    Finding::ok(
        CHECK,
        format!(
            "one of its own, with {}: streams of users outside it show as owned by `nobody`",
            match mapped.as_slice() {
                [] => "no users mapped".to_owned(),
                lines => lines
                    .iter()
                    .map(|line| range(line))
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        ),
    )
}

/// Puts a line of `uid_map` into words.
fn range(line: &str) -> String {
    let numbers: Vec<_> = line.split_whitespace().collect();
    match numbers.as_slice() {
        [inside, outside, "1"] => format!("user {inside} being {outside} outside"),
        [inside, outside, len] => format!("{len} users from {inside} being {outside} on outside"),
        _ => line.to_owned(),
    }
}

/// Judges `timens_offsets`; ages compare monotonic clocks.
fn time(offsets: &str) -> Finding {
    const CHECK: &str = "time namespace";
    let shifted = offsets.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("monotonic") && words.any(|offset| offset != "0")
    });
    if shifted {
        return Finding::warn(
            CHECK,
            "the monotonic clock is shifted against the machine's: ages of frames from processes \
             outside are wrong",
            "compare realtime publish times, or run all processes in one time namespace",
        );
    }
    Finding::ok(CHECK, "clocks agree with the machine's")
}

fn contained(container: Option<String>) -> Finding {
    let found = match container {
        Some(kind) => format!(
            "{kind}: streams are shared with other containers only if they share the directory"
        ),
        None => "none detected".to_owned(),
    };
    Finding::ok("container", found)
}

/// Names the kind of container that this process seems to run in.
pub(super) fn container() -> Option<String> {
    if let Ok(kind) = read_to_string("/run/systemd/container") {
        return Some(kind.trim().to_owned());
    }
    if Path::new("/run/.containerenv").exists() {
        return Some("podman".to_owned());
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("kubernetes".to_owned());
    }
    if Path::new("/.dockerenv").exists() {
        return Some("docker".to_owned());
    }
    let groups = read_to_string("/proc/1/cgroup").unwrap_or_default();
    let known = ["docker", "kubepods", "containerd", "lxc"];
    let kind = known.into_iter().find(|kind| groups.contains(kind))?;
    Some(kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn tells_namespaces_apart() {
        assert!(pid(Some(FIRST_PID)).found.contains("machine's own"));
        assert!(
            pid(Some("pid:[4026532211]"))
                .found
                .contains("one of its own")
        );
        assert!(ipc(None).found.contains("one of its own"));
        let found = user(Some("user:[1]"), "         0       1000          1\n").found;
        assert!(found.contains("user 0 being 1000 outside"), "{found}");
    }

    #[test]
    fn sees_shifted_clocks() {
        let none = "monotonic           0         0\nboottime            0         0\n";
        assert_eq!(time(none).verdict, Verdict::Ok);
        assert_eq!(time("").verdict, Verdict::Ok);
        let some = "monotonic       86400         0\nboottime            0         0\n";
        assert_eq!(time(some).verdict, Verdict::Warn);
    }
}
