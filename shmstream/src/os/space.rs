//! Whether there is room for a stream.

use std::fs::read_to_string;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, fstatfs, fstatvfs};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, Result};
use crate::name::StreamName;

/// `f_type` of tmpfs.
const TMPFS: u64 = 0x0102_1994;

/// Gives `file` its size and reserves memory for all of it.
///
/// Asks before it reserves: the kernel fills a tmpfs page by page and, where that is larger than
/// memory, would end processes before it ran into the end of the file system.
pub(crate) fn reserve(name: &StreamName, dir: &Path, file: impl AsFd, size: u64) -> Result<()> {
    let file = file.as_fd();
    if let Some(limit) = getrlimit(Resource::Fsize)
        .current
        .filter(|&limit| limit < size)
    {
        return Err(Error::TooLarge {
            name: name.clone(),
            needed: size,
            limit,
            limited_by: "RLIMIT_FSIZE (`ulimit -f`)",
        });
    }
    let room = |error: Errno| Error::os(name, "ask for the free space", error);
    let in_memory = u64::try_from(fstatfs(file).map_err(room)?.f_type).is_ok_and(|t| t == TMPFS);
    if in_memory && let Some(limit) = all_memory().filter(|&limit| limit < size) {
        return Err(Error::TooLarge {
            name: name.clone(),
            needed: size,
            limit,
            limited_by: "the memory of this machine, swap included,",
        });
    }
    let system = fstatvfs(file).map_err(room)?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let total = system.f_blocks.saturating_mul(system.f_frsize);
    // A tmpfs without a limit says that it has no blocks at all.
    if free < size && total > 0 {
        return Err(no_space(name, dir, size, free, remedy(dir, total, size)));
    }
    if in_memory && let Some(available) = available_memory().filter(|&available| available < size) {
        let remedy = "the machine's memory, or that of the container, has no more to give; end \
                      other programs, use smaller frames or fewer slots";
        return Err(no_space(name, dir, size, available, remedy.to_owned()));
    }
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, size) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            // Somebody else was faster.
            Err(Errno::NOSPC | Errno::DQUOT) => {
                let left =
                    fstatvfs(file).map_or(0, |now| now.f_bavail.saturating_mul(now.f_frsize));
                return Err(no_space(name, dir, size, left, remedy(dir, total, size)));
            }
            Err(error) => return Err(Error::os(name, "reserve memory for the stream", error)),
        }
    }
}

/// Returns whether this process may write to a file up to `end`.
///
/// The kernel ends a process that writes behind the limit (SIGXFSZ), also where the file is longer than that.
pub(crate) fn may_write(end: u64) -> bool {
    let limit = getrlimit(Resource::Fsize).current;
    limit.is_none_or(|limit| end <= limit)
}

#[cold]
fn no_space(name: &StreamName, dir: &Path, needed: u64, free: u64, remedy: String) -> Error {
    Error::NoSpace {
        name: name.clone(),
        needed,
        free,
        dir: dir.to_owned(),
        remedy,
    }
}

/// Says what to raise.
fn remedy(dir: &Path, total: u64, needed: u64) -> String {
    const MIB: u64 = 1 << 20;
    let wanted = total.saturating_add(needed).div_ceil(MIB);
    // A container's runtime sizes `/dev/shm`; another directory is a mount that somebody made.
    let what = if dir == Path::new("/dev/shm") && in_container() {
        format!(
            "this is a container: raise Docker's --shm-size (to {wanted}m, say) or the sizeLimit \
             of Kubernetes' emptyDir with medium Memory"
        )
    } else {
        format!(
            "enlarge it (mount -o remount,size={wanted}m {})",
            dir.display()
        )
    };
    format!("{what}, or unlink streams that nobody needs")
}

/// Says whether this process seems to run in a container; for the wording of a hint only.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || read_to_string("/proc/1/cgroup").is_ok_and(|groups| {
            ["docker", "kubepods", "containerd", "lxc"]
                .iter()
                .any(|name| groups.contains(name))
        })
}

/// Returns the memory that can still be had, in bytes, or `None` where nothing says.
fn available_memory() -> Option<u64> {
    [machine_memory(), group_memory()]
        .into_iter()
        .flatten()
        .min()
}

/// What `/proc/meminfo` says is available, swap included.
fn machine_memory() -> Option<u64> {
    memory_info("MemAvailable:", "SwapFree:")
}

/// What `/proc/meminfo` says there is in all, swap included.
fn all_memory() -> Option<u64> {
    memory_info("MemTotal:", "SwapTotal:")
}

/// Adds two lines of `/proc/meminfo`, in bytes. The second may be missing.
fn memory_info(memory: &str, swap: &str) -> Option<u64> {
    let info = read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| -> Option<u64> {
        let rest = info.lines().find_map(|line| line.strip_prefix(key))?;
        rest.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let sum = kib(memory)? + kib(swap).unwrap_or(0);
    Some(sum.saturating_mul(1024))
}

/// What the control group that this process sees as its own leaves, version 2.
fn group_memory() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(path);
    let number = |file: &str| -> io::Result<Option<u64>> {
        Ok(read_to_string(group.join(file))?.trim().parse().ok())
    };
    let max = number("memory.max").ok()??;
    let used = number("memory.current").ok()??;
    // Files in the cache count as used and are given up for a stream; so says `machine_memory` too.
    let stat = read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cached: u64 = ["inactive_file ", "active_file "]
        .iter()
        .filter_map(|key| stat.lines().find_map(|line| line.strip_prefix(key)))
        .filter_map(|bytes| bytes.trim().parse::<u64>().ok())
        .sum();
    Some(max.saturating_sub(used.saturating_sub(cached)))
}
