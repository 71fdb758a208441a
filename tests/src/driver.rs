//! The CUDA driver that children of a test load: the stand-in, unless a real one is asked for.
//!
//! The stand-in is built once, into a directory of its own inside the target directory, and linked there
//! as `libcuda.so`. Only a child whose command went through [`Driver::apply`] finds it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::PrivateDir;

/// Kernels that the machine's driver compiles, and that the stand-in has too. Their text says what they
/// do.
pub const KERNELS: &str = include_str!("../cuda-stand-in/kernels.ptx");

const PACKAGE: &str = "shmstream-cuda-stand-in";
const FILE: &str = "libshmstream_cuda_stand_in.so";
/// The names by which programs look for the driver.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];
/// Set to `1`, tests run with the machine's own driver.
const REAL: &str = "SHMSTREAM_TEST_GPU";
/// A stand-in that is built already.
const BUILT: &str = "SHMSTREAM_TEST_STAND_IN";

/// A driver for children. Must live as long as they may still load it.
#[derive(Debug)]
pub struct Driver {
    /// Where its file lies; none for the machine's own.
    directory: Option<PathBuf>,
    _private: Option<PrivateDir>,
}

impl Driver {
    /// Returns the machine's own driver if `SHMSTREAM_TEST_GPU` is `1`, else the stand-in.
    #[must_use]
    pub fn new() -> Self {
        if std::env::var(REAL).as_deref() == Ok("1") {
            return Self {
                directory: None,
                _private: None,
            };
        }
        Self::stand_in()
    }

    /// Returns the stand-in, for a test that needs its settings.
    #[must_use]
    pub fn stand_in() -> Self {
        Self {
            directory: Some(linked().to_owned()),
            _private: None,
        }
    }

    /// Returns the stand-in without one of its functions, as an old driver lacks new ones.
    ///
    /// # Panics
    ///
    /// When it does not have that function, and when the file cannot be written.
    #[must_use]
    pub fn without(function: &str) -> Self {
        let mut library = std::fs::read(linked().join(NAMES[0])).expect("read the stand-in");
        let name = [b"\0", function.as_bytes(), b"\0"].concat();
        let places: Vec<_> = library
            .windows(name.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == name)
            .map(|(place, _)| place)
            .collect();
        assert!(!places.is_empty(), "the stand-in has no {function}");
        for place in places {
            // Under another name it is not found, since names are compared in full.
            library[place + 1] = b'-';
        }
        let private = PrivateDir::new();
        for file in NAMES {
            std::fs::write(private.path().join(file), &library).expect("write the stand-in");
        }
        Self {
            directory: Some(private.path().to_owned()),
            _private: Some(private),
        }
    }

    /// Returns whether this is the machine's own driver.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.directory.is_none()
    }

    /// Makes a child load this driver.
    ///
    /// # Panics
    ///
    /// When the search path has a form that cannot be extended.
    pub fn apply(&self, command: &mut Command) {
        let Some(directory) = &self.directory else {
            return;
        };
        let before = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let mut path = vec![directory.clone()];
        path.extend(std::env::split_paths(&before).filter(|each| !each.as_os_str().is_empty()));
        let path = std::env::join_paths(path).expect("a search path");
        command.env("LD_LIBRARY_PATH", path);
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

/// The calls that children make to the stand-in. A real driver notes none.
#[derive(Debug, Default)]
pub struct CallLog(PrivateDir);

impl CallLog {
    /// Makes an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a child note its calls.
    pub fn apply(&self, command: &mut Command) {
        command.env("STANDIN_LOG", self.path());
    }

    /// Returns where the log ends now, for a later look at what came behind.
    #[must_use]
    pub fn end(&self) -> usize {
        self.text().len()
    }

    /// Returns the functions that a process called since the log ended at `from`, in order.
    #[must_use]
    pub fn calls(&self, pid: u32, from: usize) -> Vec<String> {
        self.lines(pid, "call", from)
    }

    /// Returns the functions in which a process waited for a queue since the log ended at `from`,
    /// whether that is their purpose or not.
    #[must_use]
    pub fn waits(&self, pid: u32, from: usize) -> Vec<String> {
        self.lines(pid, "waits", from)
    }

    /// Returns the functions that a process called from inside host functions, which is forbidden.
    #[must_use]
    pub fn violations(&self, pid: u32) -> Vec<String> {
        self.lines(pid, "violation", 0)
    }

    /// Returns the calls of a process that failed, as name and code.
    #[must_use]
    pub fn refusals(&self, pid: u32, from: usize) -> Vec<String> {
        self.lines(pid, "refused", from)
    }

    fn lines(&self, pid: u32, kind: &str, from: usize) -> Vec<String> {
        let beginning = format!("{pid} {kind} ");
        let text = self.text();
        let lines = text[from..].lines();
        let found = lines.filter_map(|line| line.strip_prefix(&beginning));
        found.map(str::to_owned).collect()
    }

    fn text(&self) -> String {
        // Not there before the first call.
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("calls")
    }
}

/// Builds the stand-in, and returns the directory where it lies under the driver's names.
fn linked() -> &'static Path {
    static LINKED: OnceLock<PathBuf> = OnceLock::new();
    LINKED.get_or_init(|| {
        let built = std::env::var_os(BUILT).map_or_else(build, PathBuf::from);
        let built = std::path::absolute(built).expect("the path of the stand-in");
        let directory = own_directory().join("driver");
        std::fs::create_dir_all(&directory).expect("make a directory for the stand-in");
        for name in NAMES {
            link(&built, &directory.join(name));
        }
        directory
    })
}

/// Puts a link to the file, in one step, since other test programs do the same.
fn link(file: &Path, name: &Path) {
    let fresh = name.with_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(file, &fresh).expect("link the stand-in");
    std::fs::rename(&fresh, name).expect("link the stand-in");
}

fn build() -> PathBuf {
    let target = own_directory();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--package", PACKAGE])
        // Work on large payloads would take its time otherwise.
        .args(["--config", "profile.dev.opt-level=1", "--target-dir"])
        .arg(&target)
        // A test program that is built in a special way does not make its driver special.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .status()
        .expect("start cargo");
    assert!(status.success(), "building the stand-in failed: {status}");
    target.join("debug").join(FILE)
}

/// Returns a directory in the target directory that nothing else uses, so that no lock of cargo is
/// waited for that a cargo around this test may hold. One beside a program that was taken elsewhere.
fn own_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the test's own program");
    let profile = program
        .ancestors()
        .find(|path| path.ends_with("deps"))
        .and_then(Path::parent)
        .and_then(Path::parent);
    let beside = profile.or(program.parent());
    beside
        .expect("a program lies in a directory")
        .join("cuda-stand-in")
}
