//! Streams, directories, children and runs of the program.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test counts as hanging.
const DEADLINE: Duration = Duration::from_secs(60);
const ROLE: &str = "SHMSTREAM_TEST_ROLE";
const NAME: &str = "SHMSTREAM_TEST_NAME";
/// Tells what a child says from what the test harness prints.
const MARK: &str = "@ ";

fn unique(label: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-tool-{label}-{}-{number}", std::process::id())
}

/// A stream's name that no other test uses; whatever has it is removed on drop.
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn new(label: &str) -> Self {
        Self(unique(label))
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(format!("shmstream.{}", self.0))
    }
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

impl Drop for Name {
    fn drop(&mut self) {
        let path = self.path();
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
}

/// A directory of streams that nobody else uses, removed on drop with what is in it.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let path = Path::new("/dev/shm").join(unique("dir"));
        fs::create_dir(&path).expect("make a directory");
        Self(path)
    }

    /// Runs the program on the streams in here.
    pub(crate) fn tool<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        Run::of(tool(arguments).env("SHMSTREAM_DIR", &self.0))
    }

    /// Returns the file of a stream with a plain name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("shmstream.{name}"))
    }

    /// Writes a file that declares streams, not among the streams.
    pub(crate) fn declare(&self, text: &str) -> PathBuf {
        let path = self.0.join("declared.toml");
        fs::write(&path, text).expect("write a file");
        path
    }

    /// Creates streams of four floats that nobody is attached to.
    pub(crate) fn create(&self, names: &[&str]) {
        let declare = |name| format!("[[stream]]\nname = '{name}'\npayload = '[f32; 4]'\n");
        let text: String = names.iter().map(declare).collect();
        let file = self.declare(&text);
        self.tool(&[OsStr::new("apply"), file.as_os_str()]).exits(0);
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program with these arguments, in an environment that says nothing about colours.
pub(crate) fn tool<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmstream"));
    command
        .args(arguments)
        .env_remove("SHMSTREAM_DIR")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// What came of a run.
pub(crate) struct Run(pub(crate) Output);

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self(command.output().expect("run the program"))
    }

    pub(crate) fn new<S: AsRef<OsStr>>(arguments: &[S]) -> Self {
        Self::of(&mut tool(arguments))
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).expect("text")
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).expect("text")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.out()))
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.0.status.code(),
            Some(code),
            "{}{}",
            self.out(),
            self.err()
        );
        self
    }

    /// Checks that the program failed with this code and said these words, and nothing else than
    /// one line.
    #[track_caller]
    pub(crate) fn complains(self, code: i32, words: &str) -> Self {
        let run = self.exits(code);
        let err = run.err();
        assert!(err.contains(words), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.starts_with("shmstream: "), "{err}");
        run
    }
}

/// What a child does with the stream of this name.
pub(crate) type Role = fn(&str);

/// Plays the role that the environment asks for; returns at once if it asks for none.
pub(crate) fn play(roles: &[(&str, Role)]) {
    if let (Ok(role), Ok(name)) = (std::env::var(ROLE), std::env::var(NAME)) {
        let found = roles.iter().find(|(known, _)| *known == role);
        found.expect("a known role").1(&name);
    }
}

/// Tells the parent a line.
pub(crate) fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}")
        .and_then(|()| out.flush())
        .expect("a parent");
}

/// Waits until the parent is gone.
pub(crate) fn hear() {
    let _ = std::io::stdin().lock().read(&mut [0]);
}

/// This test program in a role, killed and reaped on drop.
pub(crate) struct Child(std::process::Child);

impl Child {
    /// Starts a child and waits until it is ready.
    pub(crate) fn start(role: &str, name: &str, dir: Option<&Dir>) -> Self {
        let program = std::env::current_exe().expect("the test's own program");
        let mut command = Command::new(program);
        command
            .args(["--exact", "child_entry", "--nocapture", "--quiet"])
            .env(ROLE, role)
            .env(NAME, name)
            .env_remove("SHMSTREAM_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(dir) = dir {
            command.env("SHMSTREAM_DIR", &dir.0);
        }
        let mut child = Self(command.spawn().expect("start a child"));
        let out = child.0.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line == format!("{MARK}ready")),
            "the child ended"
        );
        child
    }

    /// Kills the child as the kernel would.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("kill a child");
        self.0.wait().expect("reap a child");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `done` holds.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Says, past the capture of the test harness, that a test was not run and why.
pub(crate) fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}
