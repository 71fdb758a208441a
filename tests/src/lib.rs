//! What the tests of shmstream share: names that vanish, children that die with their test, and
//! private directories for streams.
//!
//! A child is the test binary once more. Each test file has a `#[test] fn child_entry()` that calls
//! [`play`] with its roles; in the test run itself that does nothing. Parent and child talk in lines:
//! [`tell`] and [`hear`] in the child, [`Child::say`] and [`Child::expect`] in the parent.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub mod checked;
pub mod driver;
pub mod whole;

/// How long anything may take before a test counts as hanging. Generous: machines are busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

const ROLE: &str = "SHMSTREAM_TEST_ROLE";
const ARGUMENTS: &str = "SHMSTREAM_TEST_ARGUMENTS";
/// Tells a line of the talk from what the test harness prints.
const MARK: &str = "@ ";

/// A stream name that no other test uses; the stream is unlinked on drop, also by a panic.
#[derive(Debug)]
pub struct Name(String);

impl Name {
    /// Makes a name that says which test it belongs to.
    #[must_use]
    pub fn new(label: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("test-{label}-{}-{number}", std::process::id()))
    }

    /// Returns the name as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the stream's file.
    ///
    /// # Panics
    ///
    /// When the name is not valid, which does not happen.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_of(&self.0)
    }
}

/// Returns the file of a stream in the directory that is set now.
///
/// # Panics
///
/// When the name is not valid.
#[must_use]
pub fn path_of(name: &str) -> PathBuf {
    let name = shmstream::StreamName::new(name).expect("a valid name");
    directory().join(name.file_name())
}

/// Returns the directory of the streams.
#[must_use]
pub fn directory() -> PathBuf {
    std::env::var_os("SHMSTREAM_DIR").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsRef<OsStr> for Name {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Whatever stands there, stream or not.
        let path = self.path();
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
    }
}

/// A directory for streams that nobody else uses, removed on drop with what is in it.
#[derive(Debug)]
pub struct PrivateDir(PathBuf);

impl PrivateDir {
    /// Makes the directory in `/dev/shm`.
    ///
    /// # Panics
    ///
    /// When that is not possible.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/dev/shm/test-dir-{}-{number}", std::process::id());
        std::fs::create_dir(&path).expect("make a directory in /dev/shm");
        Self(path.into())
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the names of the files in the directory, sorted.
    ///
    /// # Panics
    ///
    /// When the directory cannot be read.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("read the directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Default for PrivateDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a child does, given its arguments.
pub type Role = fn(&[String]);

/// Plays the role that the environment asks for; returns at once if it asks for none.
///
/// # Panics
///
/// When the role is unknown, and when it fails.
pub fn play(roles: &[(&str, Role)]) {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let arguments = std::env::var(ARGUMENTS).unwrap_or_default();
    let arguments: Vec<_> = arguments.lines().map(str::to_owned).collect();
    let (_, play) = roles
        .iter()
        .find(|(name, _)| *name == role)
        .expect("a known role");
    play(&arguments);
}

/// Returns one of a child's arguments as a value.
///
/// # Panics
///
/// When there is no such argument.
#[must_use]
pub fn argument<T: FromStr>(arguments: &[String], index: usize) -> T {
    let value = arguments[index].parse();
    value.unwrap_or_else(|_| panic!("argument {index} is {:?}", arguments[index]))
}

/// Tells the parent a line. A parent that is gone ends the child.
pub fn tell(line: impl fmt::Display) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "\n{MARK}{line}")
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Waits for a line from the parent. A parent that is gone ends the child.
#[must_use]
pub fn hear() -> String {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(1..) => line.trim_end().to_owned(),
        _ => std::process::exit(0),
    }
}

/// A child process, killed and reaped on drop.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    label: String,
}

impl Child {
    /// Starts a child in a role.
    #[must_use]
    pub fn spawn(role: &str, arguments: &[&dyn fmt::Display]) -> Self {
        Self::start(Self::command(role, arguments))
    }

    /// Returns the command that starts a child, for a test that wants to change it first.
    ///
    /// # Panics
    ///
    /// When the test does not know its own program.
    #[must_use]
    pub fn command(role: &str, arguments: &[&dyn fmt::Display]) -> Command {
        let program = std::env::current_exe().expect("the test's own program");
        Self::command_of(program.as_os_str(), &[], role, arguments)
    }

    /// Returns the command that starts a child under another program, such as a tracer.
    ///
    /// # Panics
    ///
    /// When the test does not know its own program.
    #[must_use]
    pub fn command_under(tracer: &[&str], role: &str, arguments: &[&dyn fmt::Display]) -> Command {
        let program = std::env::current_exe().expect("the test's own program");
        let mut before: Vec<&OsStr> = tracer[1..].iter().map(OsStr::new).collect();
        before.push(program.as_os_str());
        Self::command_of(OsStr::new(tracer[0]), &before, role, arguments)
    }

    fn command_of(
        program: &OsStr,
        before: &[&OsStr],
        role: &str,
        arguments: &[&dyn fmt::Display],
    ) -> Command {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let mut command = Command::new(program);
        command
            .args(before)
            .args([
                "--exact",
                "child_entry",
                "--nocapture",
                "--test-threads=1",
                "--quiet",
            ])
            .env(ROLE, role)
            .env(ARGUMENTS, arguments.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    /// Starts a child.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let label = format!("{:?}", command.get_envs().collect::<Vec<_>>());
        let mut process = command.spawn().expect("start a child");
        let input = process.stdin.take();
        let output = process.stdout.take().expect("a pipe");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK)
                    && send.send(line.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self {
            process,
            input,
            lines,
            label,
        }
    }

    /// Returns the child's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Says a line to the child.
    ///
    /// # Panics
    ///
    /// When the child is gone.
    pub fn say(&mut self, line: impl fmt::Display) {
        let input = self.input.as_mut().expect("a pipe");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.label));
    }

    /// Waits for the child's next line.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[must_use]
    pub fn line(&self) -> String {
        self.line_within(DEADLINE)
            .unwrap_or_else(|| panic!("{} is silent", self.label))
    }

    /// Waits for the child's next line for a while.
    ///
    /// # Panics
    ///
    /// When the child ended without a line.
    #[must_use]
    pub fn line_within(&self, timeout: Duration) -> Option<String> {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("{} ended", self.label),
        }
    }

    /// Waits for the child's next line, which must be this one.
    ///
    /// # Panics
    ///
    /// When it is another.
    pub fn expect(&self, line: &str) {
        assert_eq!(self.line(), line, "from {}", self.label);
    }

    /// Kills the child as the kernel would, without a chance to tidy up, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits until the child ends by itself, and returns how.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().expect("wait for a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.label);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until the child ends by itself, with success.
    ///
    /// # Panics
    ///
    /// When it fails, or does not end.
    pub fn finish(mut self) {
        let status = self.wait();
        assert!(status.success(), "{} failed: {status}", self.label);
    }

    /// Returns whether the child is still alive.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().expect("ask for a child").is_none()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `done` holds.
///
/// # Panics
///
/// When it does not in time.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Says, where it can be seen, that a test was not run and why.
pub fn skip(test: &str, why: &str) {
    // Past the capture of the test harness: a pass that checked nothing must not look like one.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// A generator of numbers for tests that want variety and not secrets (xorshift).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Makes a generator; the same seed gives the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Returns the next number below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Returns the next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
