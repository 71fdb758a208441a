//! Nobody sleeps over what it waits for, whatever instruction it has come to when that happens.
//!
//! The sleeper runs under `ptrace`. It is held behind one instruction of the way to its sleep, what it waits
//! for happens, and it goes on: no sleep may then last until it looks again by itself. Which instructions
//! differs from run to run, but for the last one; `SHMSTREAM_STEPS` sets how many for each way of waiting.
#![cfg(target_arch = "x86_64")]

use std::process::Command;

use shmstream::{Start, Stream};
use shmstream_tests::{Child, DEADLINE, Dice, Name, hear, play, skip, tell};

type Number = Stream<u64, 1>;

/// The instructions before the sleep that are looked at. Those before them look without leaving word.
const LAST: usize = 1500;

#[test]
fn child_entry() {
    play(&[("sleeper", sleeper)]);
}

fn stop() {
    // SAFETY: `raise` asks for nothing; the signal goes to this thread, whose tracer catches it.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Waits in one way, between two stops.
fn sleeper(arguments: &[String]) {
    let [way, name] = [&arguments[0], &arguments[1]];
    let stream = Number::open(name).unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    let observer = Number::observe(name).unwrap();
    let held = stream.read_new().unwrap().unwrap();
    assert!(observer.read_new().unwrap().is_some());
    // SAFETY: `gettid` asks for nothing.
    tell(unsafe { libc::gettid() });
    let _ = hear();
    stop();
    match way.as_str() {
        "latest" => drop(stream.wait().unwrap()),
        "in order" => drop(frames.wait().unwrap()),
        "observer" => drop(observer.wait().unwrap()),
        "lock" => drop(stream.lock_timeout(DEADLINE).unwrap().unwrap()),
        other => panic!("{other}"),
    }
    stop();
    drop(held);
}

/// One thread of a child, traced by this thread.
struct Traced {
    child: Child,
    thread: libc::pid_t,
}

/// Why a traced thread stopped.
#[derive(Debug, PartialEq)]
enum Stopped {
    /// Behind an instruction.
    Stepped,
    /// At a system call, before or behind it.
    AtCall,
    /// By itself.
    BySignal(libc::c_int),
    Gone,
}

impl Traced {
    /// Starts a sleeper and lets it run to its first stop.
    fn start(way: &str, name: &Name) -> Self {
        let child = Child::spawn("sleeper", &[&way, name]);
        let thread = child.line().parse().unwrap();
        let mut traced = Self { child, thread };
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        traced.ptrace(libc::PTRACE_SEIZE, options.into());
        traced.child.say("go");
        assert_eq!(traced.stopped(), Stopped::BySignal(libc::SIGSTOP));
        traced
    }

    fn ptrace(&self, request: libc::c_uint, data: i64) {
        // SAFETY: the requests used here, `PTRACE_SEIZE`, `PTRACE_SINGLESTEP` and `PTRACE_SYSCALL`, take
        // numbers and no pointers, and fail for a thread that is not there.
        let result = unsafe { libc::ptrace(request, self.thread, 0_usize, data) };
        assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    fn stopped(&self) -> Stopped {
        let mut status = 0;
        // SAFETY: `waitpid` asks for room for a status: `status` has it.
        let pid = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
        if pid != self.thread || !libc::WIFSTOPPED(status) {
            return Stopped::Gone;
        }
        match libc::WSTOPSIG(status) {
            libc::SIGTRAP => Stopped::Stepped,
            signal if signal == libc::SIGTRAP | 0x80 => Stopped::AtCall,
            signal => Stopped::BySignal(signal),
        }
    }

    fn registers(&self) -> libc::user_regs_struct {
        let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
        // SAFETY: `PTRACE_GETREGS` asks for a stopped thread and room for its registers.
        let result = unsafe {
            libc::ptrace(
                libc::PTRACE_GETREGS,
                self.thread,
                0_usize,
                registers.as_mut_ptr(),
            )
        };
        assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
        // SAFETY: the call has succeeded, so all of them are there.
        unsafe { registers.assume_init() }
    }

    /// Lets the thread go on for so many instructions.
    fn step(&self, steps: usize) {
        for done in 0..steps {
            self.ptrace(libc::PTRACE_SINGLESTEP, 0);
            assert_eq!(
                self.stopped(),
                Stopped::Stepped,
                "behind {done} instructions"
            );
        }
    }

    /// Returns how many instructions there are before the thread sleeps.
    fn count(&self) -> usize {
        (0..)
            .find(|_| {
                let registers = self.registers();
                if is_sleep(registers.rax, registers.rsi) && self.is_at_call(registers.rip) {
                    return true;
                }
                self.step(1);
                false
            })
            .unwrap()
    }

    /// Returns whether the next instruction is a system call.
    fn is_at_call(&self, at: u64) -> bool {
        // SAFETY: `PTRACE_PEEKTEXT` takes an address in the stopped thread's memory, where its next
        // instruction is.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.thread, at, 0_usize) };
        word.to_ne_bytes()[..2] == [0x0f, 0x05]
    }

    /// Lets the thread go on until it stops by itself, and returns whether a sleep lasted until its time
    /// was over.
    fn overslept(&self) -> bool {
        let mut overslept = false;
        let mut before = true;
        loop {
            self.ptrace(libc::PTRACE_SYSCALL, 0);
            match self.stopped() {
                Stopped::AtCall => {
                    let registers = self.registers();
                    let timed_out = registers.rax.cast_signed() == -i64::from(libc::ETIMEDOUT);
                    overslept |=
                        !before && timed_out && is_sleep(registers.orig_rax, registers.rsi);
                    before = !before;
                }
                Stopped::BySignal(libc::SIGSTOP) => return overslept,
                other => panic!("{other:?}"),
            }
        }
    }

    fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.pid().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        while self.stopped() != Stopped::Gone {}
        self.child.kill();
    }
}

/// Returns whether a system call is a sleep on a word that processes share.
fn is_sleep(call: u64, operation: u64) -> bool {
    i64::try_from(call) == Ok(libc::SYS_futex) && operation == 0
}

/// Makes what a sleeper waits for, in a stream of two slots whose first frame the sleeper holds.
fn happen(way: &str, stream: &Number, lock: Option<shmstream::LockGuard<'_, u64, 1>>) {
    match way {
        "lock" => drop(lock),
        _ => drop(stream.write(&[2]).unwrap()),
    }
}

fn nobody_oversleeps(way: &str) {
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    if !traced.is_ok_and(|output| output.status.success()) {
        return skip(way, "strace is not there, or tracing is not allowed");
    }
    let prepare = || {
        let name = Name::new("sleeper");
        let observers = way == "observer";
        let stream = Number::builder(&name)
            .observers(observers)
            .create()
            .unwrap();
        stream.write(&[1]).unwrap();
        (name, stream)
    };
    let (name, stream) = prepare();
    let lock = (way == "lock").then(|| stream.lock().unwrap());
    let traced = Traced::start(way, &name);
    let all = traced.count();
    traced.end();
    drop(lock);
    let tries = std::env::var("SHMSTREAM_STEPS").ok();
    let tries = tries.map_or(3, |tries| tries.parse().expect("a number of instructions"));
    let mut dice = Dice::new(u64::from(std::process::id()) ^ 0x51ee);
    let (first, part) = (all.saturating_sub(LAST), (LAST.min(all) / tries).max(1));
    for i in 0..=tries {
        #[expect(clippy::cast_possible_truncation, reason = "below `part`")]
        let offset = dice.below(part as u64) as usize;
        // And right before it sleeps.
        let steps = (first + i * part + offset).min(all);
        let (name, stream) = prepare();
        let lock = (way == "lock").then(|| stream.lock().unwrap());
        let traced = Traced::start(way, &name);
        traced.step(steps);
        happen(way, &stream, lock);
        assert!(!traced.overslept(), "behind {steps} of {all} instructions");
        traced.end();
    }
}

#[test]
fn no_reader_sleeps_over_a_frame() {
    nobody_oversleeps("latest");
}

#[test]
fn no_subscription_sleeps_over_a_frame() {
    nobody_oversleeps("in order");
}

#[test]
fn no_observer_sleeps_over_a_frame() {
    nobody_oversleeps("observer");
}

#[test]
fn no_writer_sleeps_over_the_lock() {
    nobody_oversleeps("lock");
}
