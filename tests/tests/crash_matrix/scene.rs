//! One death: the stream, the others around it, and the victim.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use shmstream::__private::KillPoint;
use shmstream_tests::whole::{Frames, publish};
use shmstream_tests::{Child, Name};

use super::now_ns;
use super::roles::{Kind, Role};
use super::words::Words;

/// Who writes what the test publishes.
pub(crate) const TEST: u64 = 2;

/// A stream with those who use it.
pub(crate) struct Scene {
    pub(crate) role: &'static Role,
    pub(crate) name: Name,
    /// Attached before.
    pub(crate) stream: Option<Frames>,
    pub(crate) words: Option<Words>,
    /// Attached before, and in another process.
    pub(crate) reader: Option<Child>,
    /// The reader holds the first frame.
    pub(crate) held: bool,
    /// Handles that only have a row.
    pub(crate) attached: Vec<Frames>,
    /// Those whom the role asks for.
    pub(crate) others: Vec<Child>,
    /// Frames that there were when the victim was ready.
    pub(crate) before: u64,
    /// Frames that others published since.
    pub(crate) published: u64,
    pub(crate) died_ns: i64,
    /// From the death until its parent was told.
    pub(crate) reaped: Duration,
    /// From the death, or from the frame, until those went on that slept meanwhile.
    pub(crate) woke: Option<Duration>,
}

/// What a child says when it passes a kill point.
pub(crate) enum Word {
    Passes(KillPoint),
    Dies(KillPoint, i64),
    Asleep,
    Done,
}

impl Word {
    fn of(line: &str) -> Self {
        let point = |name: &str| {
            let mut all = KillPoint::ALL.iter();
            let found = all.find(|point| format!("{point:?}") == name);
            *found.unwrap_or_else(|| panic!("the point {name}"))
        };
        match *line.split(' ').collect::<Vec<_>>().as_slice() {
            ["passes", name, _] => Self::Passes(point(name)),
            ["dies", "at", name, ns] => Self::Dies(point(name), ns.parse().expect("a time")),
            ["asleep"] => Self::Asleep,
            ["done"] => Self::Done,
            _ => panic!("the victim says {line}"),
        }
    }
}

impl Scene {
    /// Makes the stream of a role, with two frames and somebody who reads, and holds the first frame if
    /// `held`.
    pub(crate) fn new(role: &'static Role, held: bool) -> Self {
        let mut scene = Self {
            role,
            name: Name::new("matrix"),
            stream: None,
            words: None,
            reader: None,
            held,
            attached: Vec::new(),
            others: Vec::new(),
            before: 0,
            published: 0,
            died_ns: 0,
            reaped: Duration::ZERO,
            woke: None,
        };
        if matches!(role.kind, Kind::User | Kind::Unlinker) {
            let builder = role.builder(&scene.name);
            let slots = role.slots + usize::from(held);
            scene.stream = Some(builder.slots(slots).create().unwrap());
            scene.people();
        }
        scene
    }

    /// Publishes two frames, and has somebody read them.
    pub(crate) fn people(&mut self) {
        self.words = Some(Words::of(&self.name.path()));
        publish(self.stream(), TEST);
        let mut reader = Child::spawn("bystander", &[&self.name]);
        reader.expect("attached");
        if self.held {
            reader.say("hold");
            reader.expect("held");
        }
        self.reader = Some(reader);
        publish(self.stream(), TEST);
    }

    // What roles ask for.

    pub(crate) fn stream(&self) -> &Frames {
        self.stream.as_ref().expect("a stream")
    }

    pub(crate) fn publish(&mut self) {
        publish(self.stream(), TEST);
        self.published += 1;
    }

    /// Has another process do something.
    pub(crate) fn start(&mut self, command: &str, reply: &str) {
        let mut other = Child::spawn("bystander", &[&self.name]);
        other.expect("attached");
        other.say(command);
        other.expect(reply);
        self.others.push(other);
    }

    /// Has another process sleep.
    pub(crate) fn start_asleep(&mut self, command: &str) {
        self.start(command, "asleep");
    }

    pub(crate) fn tell_started(&mut self, command: &str, reply: &str) {
        for other in &mut self.others {
            other.say(command);
            other.expect(reply);
        }
    }

    pub(crate) fn kill_started(&mut self) {
        self.others.iter_mut().for_each(Child::kill);
        self.others.clear();
    }

    /// Takes a row.
    pub(crate) fn attach(&mut self) {
        self.attached.push(Frames::open(&self.name).unwrap());
    }

    pub(crate) fn kill_another(&mut self, role: &str, point: KillPoint) {
        let mut other = start_victim(role, &self.name, &format!("{point:?}"));
        other.expect("ready");
        other.say("go");
        assert!(matches!(Word::of(&other.line()), Word::Dies(at, _) if at == point));
        assert_eq!(other.wait().signal(), Some(libc::SIGKILL));
    }

    /// Waits until others have published what they wanted to.
    pub(crate) fn expect_written(&mut self) {
        for other in &self.others {
            let line = other.line();
            let ns: Option<i64> = line.rsplit(' ').next().and_then(|ns| ns.parse().ok());
            let since = ns.unwrap_or_else(|| panic!("{line}")) - self.died_ns;
            // Zero for one that went on before the death.
            let since = Duration::from_nanos(since.try_into().unwrap_or(0));
            self.woke = self.woke.max(Some(since));
            self.published += 1;
        }
    }

    /// Waits until those who slept have the frame that they slept for.
    pub(crate) fn expect_woken(&mut self) {
        for other in &self.others {
            let line = other.line();
            let age = line.rsplit(' ').next().and_then(|ns| ns.parse().ok());
            let age = Duration::from_nanos(age.unwrap_or_else(|| panic!("{line}")));
            self.woke = self.woke.max(Some(age));
        }
    }

    /// Has a lossless subscription read everything.
    pub(crate) fn expect_drained(&mut self) {
        let count = self.stream().count();
        self.tell_started("drain", &format!("drained to {count}"));
        // The next writer notes that nobody awaits anything any more.
        self.publish();
    }

    // The death.

    fn since_death(&self) -> Duration {
        let ns = now_ns() - self.died_ns;
        Duration::from_nanos(ns.try_into().unwrap_or(0))
    }

    /// Has a victim play, and kills it at a passage of a point; without one, returns what it passes.
    /// `None` when it never came to the point.
    pub(crate) fn play(&mut self, kill: Option<(KillPoint, u32)>) -> Option<Vec<(KillPoint, u32)>> {
        (self.role.prepare)(self);
        let plan = kill.map_or("*".to_owned(), |(point, passage)| {
            format!("{point:?}:{passage}")
        });
        let mut victim = start_victim(self.role.name, &self.name, &plan);
        let mut passages = Vec::new();
        loop {
            match victim.line().as_str() {
                "ready" => break,
                line => match Word::of(line) {
                    Word::Passes(point) => passages.push(point),
                    _ => panic!("{line}, before it is ready"),
                },
            }
        }
        if self.role.kind == Kind::Owner {
            self.stream = Some(Frames::open(&self.name).unwrap());
            self.people();
        }
        self.published = 0;
        self.before = self.stream.as_ref().map_or(0, Frames::count);
        (self.role.ready)(self);
        let mut passed = Vec::new();
        victim.say("go");
        loop {
            match Word::of(&victim.line()) {
                Word::Asleep => (self.role.asleep)(self),
                Word::Passes(point) => {
                    passages.push(point);
                    let times = passages.iter().filter(|&&other| other == point).count();
                    let times = u32::try_from(times).unwrap();
                    let first = passed.iter().filter(|(other, _)| *other == point);
                    if first.count() < self.role.passages {
                        passed.push((point, times));
                    }
                }
                Word::Dies(point, ns) => {
                    assert_eq!(Some(point), kill.map(|(point, _)| point));
                    self.died_ns = ns;
                    break;
                }
                Word::Done => match kill {
                    None => {
                        victim.kill();
                        self.died_ns = now_ns();
                        break;
                    }
                    Some(_) => return None,
                },
            }
        }
        let status = victim.wait();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
        self.reaped = self.since_death();
        Some(passed)
    }
}

/// Starts a victim that is to die as `plan` says.
fn start_victim(role: &str, name: &Name, plan: &str) -> Child {
    let mut command = Child::command("victim", &[&role, name]);
    command.env("SHMSTREAM_KILL_POINT", plan);
    Child::start(command)
}
