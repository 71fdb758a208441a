//! What logind would remove: with `RemoveIPC=yes`, its default, all files of a user in `/dev/shm`
//! when the user's last session ends.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use super::Finding;
use super::directory::Place;
use super::streams::Streams;
use crate::units;

const CHECK: &str = "RemoveIPC";
/// Where configuration is looked for, the most important first.
const PLACES: [&str; 4] = [
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
];
/// Users from here on have sessions; those below are the system's, whose files stay.
const FIRST_USER: u32 = 1000;

pub(super) fn check(place: &Place, streams: &Streams) -> Finding {
    if !place.path.starts_with("/dev/shm") {
        return Finding::ok(CHECK, "logind does not look into this directory");
    }
    if !Path::new("/run/systemd/seats").exists() {
        return Finding::ok(CHECK, "no logind runs here");
    }
    if !removes(&configuration()) {
        return Finding::ok(CHECK, "no: streams outlive the sessions of their users");
    }
    let mut doomed: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for status in &streams.usable {
        if is_removed(status.owner) {
            let names = doomed.entry(status.owner).or_default();
            names.push(status.name.to_string());
        }
    }
    let this = rustix::process::geteuid().as_raw();
    judge(&doomed, is_removed(this).then(|| units::user(this)))
}

fn judge(doomed: &BTreeMap<u32, Vec<String>>, this: Option<String>) -> Finding {
    let advice = "set RemoveIPC=no in /etc/systemd/logind.conf, or `loginctl enable-linger USER`, or \
                  use a system user";
    if !doomed.is_empty() {
        let lists = doomed.iter().map(|(owner, names)| {
            format!(
                "{} of {} ({})",
                units::count(names.len(), "stream"),
                units::user(*owner),
                names.join(", ")
            )
        });
        let lists = lists.collect::<Vec<_>>().join("; ");
        let found = format!("yes: logind removes, when the user's last session ends, {lists}");
        return Finding::warn(CHECK, found, advice);
    }
    match this {
        Some(user) => Finding::warn(
            CHECK,
            format!(
                "yes: logind removes the streams of {user} when the last session of {user} ends"
            ),
            advice,
        ),
        None => Finding::ok(CHECK, "yes, and no stream of a user with sessions is there"),
    }
}

fn is_removed(owner: u32) -> bool {
    const NOBODY: u32 = 65_534;
    if owner < FIRST_USER || owner == NOBODY {
        return false;
    }
    !Path::new("/var/lib/systemd/linger")
        .join(units::user(owner))
        .exists()
}

/// Reads the files that count, the one that decides last.
fn configuration() -> Vec<String> {
    let main = PLACES.iter().find_map(|place| {
        let file = Path::new(place).join("logind.conf");
        read_to_string(file).ok()
    });
    let mut pieces: BTreeMap<_, PathBuf> = BTreeMap::new();
    for place in PLACES.iter().rev() {
        let entries = read_dir(Path::new(place).join("logind.conf.d"));
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "conf")
            {
                pieces.insert(entry.file_name(), path);
            }
        }
    }
    let pieces = pieces
        .into_values()
        .filter_map(|path| read_to_string(path).ok());
    main.into_iter().chain(pieces).collect()
}

/// Says what the last word on `RemoveIPC` is.
fn removes(files: &[String]) -> bool {
    let mut answer = true;
    for file in files {
        let mut in_section = false;
        for line in file.lines().map(str::trim) {
            if line.starts_with('[') {
                in_section = line == "[Login]";
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if in_section && key.trim() == "RemoveIPC" {
                let value = value.trim().to_ascii_lowercase();
                answer = !matches!(value.as_str(), "no" | "n" | "0" | "false" | "f" | "off");
            }
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn finds_the_last_word() {
        let of = |files: &[&str]| {
            let files: Vec<_> = files.iter().map(|&file| file.to_owned()).collect();
            removes(&files)
        };
        assert!(of(&[]));
        assert!(of(&["[Login]\n#RemoveIPC=no\n"]));
        assert!(!of(&["[Login]\nRemoveIPC = no\n"]));
        assert!(of(&["[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC=yes\n"]));
        assert!(of(&["[Other]\nRemoveIPC=no\n"]));
    }

    #[test]
    fn names_what_would_go() {
        let doomed = BTreeMap::from([(4_000_000, vec!["imu".to_owned(), "camera".to_owned()])]);
        let finding = judge(&doomed, None);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(
            finding.found.contains("2 streams of 4000000 (imu, camera)"),
            "{}",
            finding.found
        );
        let nothing = BTreeMap::new();
        assert_eq!(judge(&nothing, None).verdict, Verdict::Ok);
        assert_eq!(
            judge(&nothing, Some("bob".to_owned())).verdict,
            Verdict::Warn
        );
    }
}
