//! The directory of a run: a folder for the streams, and the board.
#![allow(unsafe_code)]
// This file guarantees that the environment changes while the process has one thread.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use shmstream::StreamName;

use crate::plan::Which;

/// The directory, removed when dropped.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Makes the directory, and has the library use it in this process. To be called before a thread
    /// is started.
    pub(crate) fn create() -> io::Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/soak-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| {
            io::Error::other(format!("make the directory {}: {error}", path.display()))
        })?;
        let place = Self(path);
        std::fs::create_dir(place.streams())?;
        // Other users come to observe, whatever the umask.
        for path in [place.path(), &place.streams()] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
        }
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        assert_eq!(threads, 1, "no thread was started before");
        // SAFETY: `set_var` asks that no other thread looks at the environment meanwhile: there is
        // none (asserted).
        unsafe { std::env::set_var("SHMSTREAM_DIR", place.streams()) };
        Ok(place)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the directory of the streams.
    pub(crate) fn streams(&self) -> PathBuf {
        self.0.join("streams")
    }

    /// Returns the files in the directory of the streams that are no streams of the plan.
    pub(crate) fn strays(&self) -> io::Result<Vec<String>> {
        let expected = Which::ALL.map(|which| {
            let name = StreamName::new(which.name()).map(|name| name.file_name().to_string());
            name.unwrap_or_default()
        });
        let mut files = self.files()?;
        files.retain(|file| !expected.contains(file));
        Ok(files)
    }

    /// Returns the files in the directory of the streams.
    pub(crate) fn files(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.streams())?;
        entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

/// Returns where the board is in the directory of a run.
pub(crate) fn board(place: &Path) -> PathBuf {
    place.join("board")
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
