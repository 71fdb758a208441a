//! Damaged and forged files under the commands that look into streams: each ends with an answer or an
//! error, whose text and output are bounded, without a panic, a hang or much memory.
//!
//! `SHMSTREAM_MUTATIONS` says how many files are tried, and `SHMSTREAM_SEED` with which to begin. The
//! commands run in one process, in a child of the test; `tests/tool/mutated.rs` runs the program itself.

#[path = "../../../tests/tool/damage.rs"]
mod damage;

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, abort, exit};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::cli::{self, Cli};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use damage::{Dice, mutate, setting, templates};

const MUTATIONS: u64 = 2000;
const TEST: &str = "damaged::no_file_brings_a_command_down";
const CHILD: &str = "SHMSTREAM_TEST_DAMAGED";
const NAME: &str = "damaged";
/// The address space of the process that looks. The files are far smaller.
const SPACE: u64 = 1 << 30;
/// How long one file may take before the child counts as hanging.
const DEADLINE: Duration = Duration::from_secs(60);
/// How much an answer may be longer than the file that it is about, and how long an error may be.
const TIMES: usize = 64;
const ERROR: usize = 4096;

/// What is done with each file.
const COMMANDS: [&str; 10] = [
    "list",
    "list --json",
    "info NAME",
    "info --json NAME",
    "dump NAME",
    "dump --full NAME",
    "dump --full -f json NAME",
    "dump -f npy -o /dev/null NAME",
    "dump --field parts.gain NAME",
    "dump --field parts -f json NAME",
];
/// What is done with few: it waits, or leaves something behind in this process.
const RARE: [&str; 3] = [
    "watch -n 1 --timeout 0.001 NAME",
    "watch -n 1 --timeout 0.001 --values --json NAME",
    "watch -n 1 --timeout 0.001 --values NAME",
];
const RARITY: u64 = 100;

/// Counts what is written.
#[derive(Clone, Default)]
struct Count(Rc<Cell<usize>>);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A directory of streams, removed on drop.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_file_brings_a_command_down() {
    let mutations = setting("SHMSTREAM_MUTATIONS", MUTATIONS);
    if let Ok(dir) = std::env::var(CHILD) {
        try_all(Path::new(&dir), mutations);
        // Past the test harness, which would say that a test has passed.
        exit(0);
    }
    let dir = Dir(format!("/dev/shm/test-damaged-{}", std::process::id()).into());
    fs::create_dir(&dir.0).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture", "--quiet"])
        .env(CHILD, &dir.0)
        .env("SHMSTREAM_DIR", &dir.0)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    let last: Vec<_> = errors.lines().rev().take(12).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    assert!(
        child.status.success(),
        "{}:\n{said}\n{}",
        child.status,
        last.join("\n")
    );
    let counts = said.lines().find_map(|line| line.strip_prefix("@ "));
    let counts = counts.expect("the child's account");
    println!("{counts}");
    let [files, shown, refused] = counts
        .split(' ')
        .map(|count| count.parse().unwrap())
        .collect::<Vec<u64>>()[..]
    else {
        panic!("{counts}");
    };
    assert_eq!(files, mutations);
    assert!(
        files < 100 || shown.min(refused) > 0,
        "both kinds are tried"
    );
}

fn try_all(dir: &Path, mutations: u64) {
    let templates = templates();
    let first = setting("SHMSTREAM_SEED", 0x7001);
    let limit = Some(SPACE);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::As, limit).unwrap();
    let at = Arc::new(AtomicU64::new(first));
    watch_over(Arc::clone(&at));
    let (commands, rare) = (COMMANDS.map(parse), RARE.map(parse));
    let (mut shown, mut refused) = (0, 0);
    for seed in (0..mutations).map(|i| first.wrapping_add(i)) {
        at.store(seed, Ordering::Relaxed);
        let mut dice = Dice::new(seed);
        let template = &templates[dice.place(0, templates.len() as u64)];
        let bytes = mutate(template, &mut dice);
        fs::write(dir.join(format!("shmstream.{NAME}")), &bytes).unwrap();
        let rare = rare.iter().filter(|_| seed.is_multiple_of(RARITY));
        for command in commands.iter().chain(rare) {
            let tried = AssertUnwindSafe(|| execute(command, bytes.len()));
            let result = catch_unwind(tried);
            match result {
                Ok(true) => shown += 1,
                Ok(false) => refused += 1,
                Err(_) => {
                    eprintln!("{command:?} with SHMSTREAM_SEED={seed} SHMSTREAM_MUTATIONS=1");
                    abort();
                }
            }
        }
    }
    // Where the harness has begun a line.
    println!("\n@ {mutations} {shown} {refused}");
}

/// Ends a process that makes no progress.
fn watch_over(at: Arc<AtomicU64>) {
    thread::spawn(move || {
        loop {
            let before = at.load(Ordering::Relaxed);
            thread::sleep(DEADLINE);
            if at.load(Ordering::Relaxed) == before {
                eprintln!("hangs with SHMSTREAM_SEED={before} SHMSTREAM_MUTATIONS=1");
                abort();
            }
        }
    });
}

fn parse(command: &str) -> cli::Command {
    let words = command.split(' ').map(|word| match word {
        "NAME" => NAME,
        _ => word,
    });
    let cli = Cli::try_parse_from(["shmstream"].into_iter().chain(words));
    cli.unwrap().command
}

/// Runs a command, and returns whether it had something to show.
fn execute(command: &cli::Command, len: usize) -> bool {
    let written = Count::default();
    let mut out = Output::to(written.clone());
    let result = crate::run(command, &mut out);
    out.flush().unwrap();
    let written = written.0.get();
    assert!(
        written < len * TIMES + (64 << 10),
        "{written} bytes of output"
    );
    result.inspect_err(check).is_ok()
}

/// Checks what the user would read, and the exit code.
fn check(failure: &Failure) {
    let text = failure.to_string();
    assert!(text.len() < ERROR, "{} bytes of error", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(failure.exit() != Exit::Absent, "it is there: {text}");
    if let Failure::Output(error) = failure {
        panic!("{error}");
    }
}
