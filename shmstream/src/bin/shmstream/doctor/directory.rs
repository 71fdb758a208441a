//! The directory of the streams: what it is on, how much fits, who may do what.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    FileType, Mode, OFlags, Stat, StatVfs, StatVfsMountFlags, fstat, fstatfs, fstatvfs, open,
};
use rustix::io::Errno;

use super::Finding;
use super::isolation::container;
use crate::units;

const DEFAULT: &str = "/dev/shm";
const TMPFS: u64 = 0x0102_1994;
const MIB: u64 = 1 << 20;
/// What Docker gives a container unless told otherwise.
const DOCKER_DEFAULT: u64 = 64 * MIB;

/// The directory, and what the system says about it.
pub(super) struct Place {
    pub(super) path: PathBuf,
    opened: Result<Opened, Errno>,
}

struct Opened {
    stat: Stat,
    space: StatVfs,
    in_memory: bool,
    /// What came of creating a file without a name in it.
    created: Result<(), Errno>,
}

impl Place {
    pub(super) fn look() -> Self {
        let set = std::env::var_os("SHMSTREAM_DIR").filter(|dir| !dir.is_empty());
        let path = set.map_or_else(|| PathBuf::from(DEFAULT), PathBuf::from);
        let path = std::path::absolute(&path).unwrap_or(path);
        let opened = look(&path);
        Self { path, opened }
    }
}

fn look(path: &Path) -> Result<Opened, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir: OwnedFd = open(path, flags, Mode::empty())?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(Opened {
        stat: fstat(&dir)?,
        space: fstatvfs(&dir)?,
        in_memory: u64::try_from(fstatfs(&dir)?.f_type).is_ok_and(|kind| kind == TMPFS),
        created: open(path, flags, Mode::RUSR | Mode::WUSR).map(|_| ()),
    })
}

pub(super) fn check(place: &Place) -> Vec<Finding> {
    let dir = place.path.display();
    match &place.opened {
        Ok(opened) => vec![
            kind(place, opened),
            permissions(place, opened),
            space(&place.path, Space::of(&opened.space), container().is_some()),
        ],
        Err(Errno::NOENT | Errno::NOTDIR) => vec![Finding::problem(
            "directory",
            format!("{dir} is not a directory"),
            "mount a tmpfs there, or set SHMSTREAM_DIR to a directory that exists",
        )],
        Err(error) => vec![Finding::problem(
            "directory",
            format!("{dir} cannot be read: {error}"),
            "set SHMSTREAM_DIR to a directory of this user's",
        )],
    }
}

fn kind(place: &Place, opened: &Opened) -> Finding {
    const CHECK: &str = "directory";
    let dir = place.path.display();
    if opened.space.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Finding::problem(
            CHECK,
            format!("{dir} is mounted read-only"),
            format!("mount -o remount,rw {dir}, or set SHMSTREAM_DIR to another directory"),
        );
    }
    if opened.in_memory {
        return Finding::ok(CHECK, format!("{dir} is a tmpfs"));
    }
    Finding::warn(
        CHECK,
        format!(
            "{dir} is not a tmpfs: streams there are written back to a disk, and outlive a restart"
        ),
        "set SHMSTREAM_DIR to a directory on a tmpfs, or leave it unset",
    )
}

fn permissions(place: &Place, opened: &Opened) -> Finding {
    const CHECK: &str = "permissions";
    let dir = place.path.display();
    let mode = opened.stat.st_mode;
    debug_assert_eq!(FileType::from_raw_mode(mode), FileType::Directory);
    let owner = units::user(opened.stat.st_uid);
    let access = format!(
        "{dir} has mode {:04o} and belongs to {owner}",
        mode & 0o7777
    );
    match opened.created {
        Err(Errno::ACCESS | Errno::PERM) => {
            return Finding::problem(
                CHECK,
                format!("{access}: this user cannot create streams there"),
                format!("chmod 1777 {dir}, or set SHMSTREAM_DIR to a directory of this user's"),
            );
        }
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            return Finding::problem(
                CHECK,
                format!("{dir} is on a file system without O_TMPFILE"),
                "set SHMSTREAM_DIR to a directory on a tmpfs",
            );
        }
        Err(error) if error != Errno::ROFS => {
            return Finding::problem(
                CHECK,
                format!("{access}: creating a file fails: {error}"),
                "look at the limits and the free space below",
            );
        }
        _ => {}
    }
    if mode & 0o1002 == 0o002 {
        return Finding::warn(
            CHECK,
            format!("{access}: every user can remove the streams of others"),
            format!("chmod +t {dir}"),
        );
    }
    Finding::ok(CHECK, access)
}

/// Room on a file system; a total of zero means that it has no limit.
struct Space {
    total: u64,
    free: u64,
    files: u64,
    files_free: u64,
}

impl Space {
    fn of(system: &StatVfs) -> Self {
        Self {
            total: system.f_blocks.saturating_mul(system.f_frsize),
            free: system.f_bavail.saturating_mul(system.f_frsize),
            files: system.f_files,
            files_free: system.f_favail,
        }
    }
}

fn space(dir: &Path, space: Space, contained: bool) -> Finding {
    const CHECK: &str = "space";
    let shown = dir.display();
    let Space { total, free, .. } = space;
    let figures = [("total_bytes", total), ("free_bytes", free)];
    if space.files > 0 && space.files_free < 16 {
        return Finding::problem(
            CHECK,
            format!("{shown} has room for {} more files", space.files_free),
            format!(
                "mount -o remount,nr_inodes={} {shown}, or remove files",
                2 * space.files
            ),
        )
        .with(figures);
    }
    if total == 0 {
        return Finding::ok(CHECK, format!("{shown} has no limit of its own"));
    }
    let found = format!(
        "{} of {} free in {shown}",
        units::bytes(free),
        units::bytes(total)
    );
    let enlarge = if contained && dir == Path::new(DEFAULT) {
        "raise Docker's --shm-size, or the sizeLimit of Kubernetes' emptyDir with medium Memory"
            .to_owned()
    } else {
        let wanted = total.saturating_mul(2).div_ceil(MIB);
        format!("enlarge it (mount -o remount,size={wanted}m {shown})")
    };
    let advice = format!("{enlarge}, or `shmstream purge` streams that nobody uses");
    let finding = if free < MIB {
        Finding::problem(CHECK, format!("{found}: it is full"), advice)
    } else if free < total / 10 {
        Finding::warn(CHECK, format!("{found}: it is almost full"), advice)
    } else if contained && total <= DOCKER_DEFAULT {
        Finding::warn(
            CHECK,
            format!("{found}: what a container gets by default, too little for large frames"),
            enlarge,
        )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with(figures)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn verdict(total: u64, free: u64, files_free: u64, contained: bool) -> (Verdict, String) {
        let room = Space {
            total,
            free,
            files: 1000,
            files_free,
        };
        let finding = space(Path::new(DEFAULT), room, contained);
        (finding.verdict, finding.advice.unwrap_or_default())
    }

    #[test]
    fn judges_the_room() {
        assert_eq!(verdict(1000 * MIB, 500 * MIB, 100, true).0, Verdict::Ok);
        assert_eq!(verdict(0, 0, 100, true).0, Verdict::Ok);
        let (found, advice) = verdict(1000 * MIB, 50 * MIB, 100, false);
        assert_eq!(found, Verdict::Warn);
        assert!(advice.contains("size=2000m /dev/shm"), "{advice}");
        assert_eq!(verdict(1000 * MIB, 0, 100, false).0, Verdict::Problem);
        assert_eq!(verdict(1000 * MIB, 500 * MIB, 3, false).0, Verdict::Problem);
        let (found, advice) = verdict(64 * MIB, 60 * MIB, 100, true);
        assert_eq!(found, Verdict::Warn);
        assert!(advice.contains("--shm-size"), "{advice}");
        assert_eq!(verdict(64 * MIB, 60 * MIB, 100, false).0, Verdict::Ok);
    }
}
