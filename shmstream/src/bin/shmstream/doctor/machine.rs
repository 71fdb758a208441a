//! The machine: kernel, memory, huge pages, clock.

use std::fs::read_to_string;
use std::path::Path;

use super::Finding;
use crate::units;

pub(super) fn check() -> Vec<Finding> {
    let read = |path| read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let pages = read("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let clock = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    vec![
        kernel(release.trim()),
        memory(machine_memory(&read("/proc/meminfo")), group_memory()),
        huge_pages(&pages),
        clock_source(clock.trim()),
    ]
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    let found = format!("Linux {release}, {}", std::env::consts::ARCH);
    if (next(), next()) < (3, 15) {
        return Finding::problem("kernel", found, "streams need Linux 3.15 or later");
    }
    Finding::ok("kernel", found)
}

/// Judges the memory that the machine and the control group have left, where they say so.
fn memory(machine: Option<u64>, group: Option<u64>) -> Finding {
    const CHECK: &str = "memory";
    const LITTLE: u64 = 64 << 20;
    let (available, limited_by) = match (machine, group) {
        (Some(machine), Some(group)) if group < machine => (group, "by the control group's limit"),
        (Some(machine), _) => (machine, "on the machine"),
        (None, Some(group)) => (group, "by the control group's limit"),
        (None, None) => return Finding::ok(CHECK, "the system does not say"),
    };
    let found = format!("{} available {limited_by}", units::bytes(available));
    let finding = if available < LITTLE {
        Finding::warn(
            CHECK,
            found,
            "end other programs, raise the limit, or use smaller frames and fewer slots: streams \
             reserve their memory when they are created",
        )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with([("available_bytes", available)])
}

fn machine_memory(info: &str) -> Option<u64> {
    let kib = |key: &str| -> Option<u64> {
        let rest = info.lines().find_map(|line| line.strip_prefix(key))?;
        rest.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let available = kib("MemAvailable:")? + kib("SwapFree:").unwrap_or(0);
    Some(available.saturating_mul(1024))
}

/// What the control group (version 2) that this process sees as its own leaves.
fn group_memory() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(path);
    let number =
        |file: &str| -> Option<u64> { read_to_string(group.join(file)).ok()?.trim().parse().ok() };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// Judges `shmem_enabled`, where the present setting stands in brackets.
fn huge_pages(setting: &str) -> Finding {
    const CHECK: &str = "huge pages";
    const ADVICE: &str = "for streams with huge pages, as root: \
                          echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let chosen = setting
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    match chosen.map(|(chosen, _)| chosen) {
        Some("deny") => Finding::warn(
            CHECK,
            "shared memory gets none: shmem_enabled is `deny`",
            ADVICE,
        ),
        Some("never") => Finding::ok(
            CHECK,
            "shmem_enabled is `never`: streams that ask for huge pages get them by collapsing small \
             ones when they are mapped, if at all",
        ),
        Some(other) => Finding::ok(
            CHECK,
            format!("streams that ask for them get them: shmem_enabled is `{other}`"),
        ),
        None => Finding::ok(CHECK, "this kernel has none for shared memory"),
    }
}

/// Judges the clock: each publish reads it.
fn clock_source(source: &str) -> Finding {
    const CHECK: &str = "clock";
    match source {
        "" => Finding::ok(CHECK, "the system does not say"),
        "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page" | "arch_sys_counter" => {
            Finding::ok(CHECK, format!("{source}, read without a system call"))
        }
        slow => Finding::warn(
            CHECK,
            format!("{slow}: reading it takes a system call, and each publish reads it"),
            "see /sys/devices/system/clocksource/clocksource0/available_clocksource for a faster one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok, Problem, Warn};
    use super::*;

    #[test]
    fn knows_kernels() {
        assert_eq!(kernel("6.18.44-fc").verdict, Ok);
        assert_eq!(kernel("3.15.0").verdict, Ok);
        assert_eq!(kernel("3.10.0-1160.el7").verdict, Problem);
    }

    #[test]
    fn takes_the_smaller_memory() {
        let info = "MemTotal: 100 kB\nMemAvailable:   2048 kB\nSwapFree:      1024 kB\n";
        assert_eq!(machine_memory(info), Some(3 << 20));
        assert_eq!(machine_memory(""), None);
        let finding = memory(Some(8 << 30), Some(32 << 20));
        assert_eq!(finding.verdict, Warn);
        assert!(finding.found.contains("control group"), "{}", finding.found);
        assert_eq!(memory(Some(8 << 30), None).verdict, Ok);
    }

    #[test]
    fn reads_the_setting_in_brackets() {
        let set = |setting| huge_pages(setting).verdict;
        assert_eq!(set("always within_size advise [never] deny force\n"), Ok);
        assert_eq!(set("always within_size [advise] never deny force\n"), Ok);
        assert_eq!(set("always within_size advise never [deny] force\n"), Warn);
        assert_eq!(set(""), Ok);
    }

    #[test]
    fn knows_slow_clocks() {
        assert_eq!(clock_source("tsc").verdict, Ok);
        assert_eq!(clock_source("acpi_pm").verdict, Warn);
    }
}
