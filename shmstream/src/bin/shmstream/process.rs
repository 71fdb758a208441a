//! Processes by their numbers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns the command of a process that has a stream's file mapped.
///
/// A number from a stream is the one that the process has in its own PID namespace, where it may
/// stand for another process here. So the answer is `None` unless the file is among its mappings,
/// and for processes that this user may not look into.
pub(crate) fn command(pid: u32, file: &Path) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let inode = fs::metadata(file).ok()?.ino().to_string();
    if !maps.lines().any(|line| maps_inode(line, &inode)) {
        return None;
    }
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(line(&arguments))
}

/// Writes a command line, its program without the directory.
fn line(arguments: &[u8]) -> String {
    let arguments = String::from_utf8_lossy(arguments);
    let mut arguments = arguments.trim_end_matches('\0').split('\0');
    let program = arguments.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or(program);
    let words = std::iter::once(program).chain(arguments);
    words.collect::<Vec<_>>().join(" ")
}

/// Says whether a line of `maps` is of shared memory with this inode number; its path may be that of
/// the file before it was given its name.
fn maps_inode(line: &str, inode: &str) -> bool {
    let mut words = line.split_whitespace();
    let shared = words.nth(1).is_some_and(|access| access.ends_with('s'));
    shared && words.nth(2) == Some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_mapping_by_its_inode() {
        let line = "7f0c00000000-7f0c00004000 rw-s 00001000 00:1a 4711    /dev/shm/#4711 (deleted)";
        assert!(maps_inode(line, "4711"));
        assert!(!maps_inode(line, "471"));
        assert!(!maps_inode(&line.replace("rw-s", "rw-p"), "4711"));
        assert!(!maps_inode("", "4711"));
    }

    #[test]
    fn leaves_out_the_directory_of_the_program() {
        assert_eq!(
            line(b"/usr/bin/python3\0/srv/sample.py\0--fast\0"),
            "python3 /srv/sample.py --fast"
        );
        assert_eq!(line(b""), "");
    }
}
