//! Processes: the other ends of what is measured, each on a core of its own.
//!
//! A child is told what to do by lines on its standard input, and answers with lines on its standard
//! output. Between two rounds it sleeps in `read`, so only one contender is ever awake.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// How long a child may take to answer.
const PATIENCE: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};
/// How long a child that has nothing more to do may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// The variable that tells a child its processor, and what it says.
const CORE: &str = "SHMSTREAM_COMPARE_CORE";
static THERE: AtomicUsize = AtomicUsize::new(0);

/// The two processors that everything runs on.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    /// This process: whoever is timed.
    pub(crate) here: usize,
    /// The children.
    pub(crate) there: usize,
    /// How many there are.
    pub(crate) count: u32,
}

impl Cores {
    /// Takes the first and the last processor that this process may use.
    pub(crate) fn choose() -> Outcome<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (cores.next(), cores.next_back()) {
            (Some(here), Some(there)) => {
                THERE.store(there, Ordering::Relaxed);
                Ok(Self {
                    here,
                    there,
                    count: allowed.count(),
                })
            }
            _ => Err("two processors are needed, and this process may use one".into()),
        }
    }
}

/// Keeps the calling thread, and what it starts from now on, on one processor.
pub(crate) fn pin(core: usize) -> Outcome<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Does what a child does first: goes to its processor, and has the kernel end it with its parent.
pub(crate) fn begin() -> Outcome<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    pin(std::env::var(CORE)?.parse()?)
}

/// A child, ended and reaped when it is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    /// Taken when the child is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program in another role, on the other processor.
    pub(crate) fn role(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(CORE, THERE.load(Ordering::Relaxed).to_string());
        Self::start(command.args(arguments))
    }

    /// The same, with a directory of its own for streams.
    pub(crate) fn role_in(directory: &Path, arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(CORE, THERE.load(Ordering::Relaxed).to_string());
        command.env("SHMSTREAM_DIR", directory);
        Self::start(command.args(arguments))
    }

    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("no pipe to the child")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// Sends a line.
    pub(crate) fn tell(&mut self, line: impl Display) -> Outcome<()> {
        let input = self.input.as_mut().ok_or("the child was told to end")?;
        // In one piece, or the child would wake for a part of it.
        Ok(input.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Waits for a line.
    pub(crate) fn hear(&mut self) -> Outcome<String> {
        if self.output.buffer().is_empty() {
            let mut ready = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
            if poll(&mut ready, Some(&PATIENCE))? == 0 {
                return Err("a child did not answer".into());
            }
        }
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.process.wait()?;
            return Err(format!("a child ended: {status}").into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Sends a line and waits for the answer.
    pub(crate) fn ask(&mut self, line: impl Display) -> Outcome<String> {
        self.tell(line)?;
        self.hear()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The end of its input tells the child to clean up and go.
        drop(self.input.take());
        let deadline = Instant::now() + FAREWELL;
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > deadline {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs a child's part: answers every line of the input, until there is none.
pub(crate) fn serve(mut answer: impl FnMut(&str) -> Outcome<String>) -> Outcome<()> {
    say("ready")?;
    for line in std::io::stdin().lines() {
        say(&answer(&line?)?)?;
    }
    Ok(())
}

fn say(line: &str) -> Outcome<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
