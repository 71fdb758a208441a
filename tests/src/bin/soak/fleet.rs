//! The children: started, killed, reaped.

use std::io::{self, PipeWriter};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::board::{Board, now_ns};
use crate::life::REPORTED;
use crate::place::Place;
use crate::plan::{PLAN, RESIDENT, Role, SEATS, Seat, Which};
use crate::sabotage::Sabotage;

/// The user and group `nobody`, as whom observers come.
const NOBODY: u32 = 65534;

pub(crate) struct Fleet<'a> {
    place: &'a Place,
    board: &'static Board,
    /// Where children tell what failed.
    tells: PipeWriter,
    sabotage: Option<Sabotage>,
    children: [Option<Child>; SEATS],
    /// Killed and not gone yet, and since when.
    dying: Vec<(usize, Child, Instant)>,
    /// What takes a seat as soon as the one before is gone.
    next: [Option<u64>; SEATS],
    kills: [u64; SEATS],
    /// How long it took at most until one that was killed was gone.
    deaths: [Duration; SEATS],
    /// Those that ended by themselves when they should not have, and how.
    crashed: Vec<String>,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(
        place: &'a Place,
        board: &'static Board,
        tells: PipeWriter,
        sabotage: Option<Sabotage>,
    ) -> Self {
        Self {
            place,
            board,
            tells,
            sabotage,
            children: [const { None }; SEATS],
            dying: Vec::new(),
            next: [None; SEATS],
            kills: [0; SEATS],
            deaths: [Duration::ZERO; SEATS],
            crashed: Vec::new(),
        }
    }

    /// Has a process take a seat, once the one before is gone. A process that was killed holds its
    /// locks until the kernel has taken it down.
    pub(crate) fn start(&mut self, seat: usize, seed: u64) -> io::Result<()> {
        self.next[seat] = Some(seed);
        self.start_next(seat)
    }

    fn start_next(&mut self, seat: usize) -> io::Result<()> {
        let free = self.children[seat].is_none() && !self.is_dying(seat);
        match self.next[seat].take_if(|_| free) {
            Some(seed) => self.spawn(seat, seed),
            None => Ok(()),
        }
    }

    fn is_dying(&self, seat: usize) -> bool {
        self.dying.iter().any(|&(dying, ..)| dying == seat)
    }

    fn spawn(&mut self, seat: usize, seed: u64) -> io::Result<()> {
        // Not by its path, which another user may not be allowed to walk, and where a new program
        // may lie by now.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("child")
            .arg(seat.to_string())
            .arg(seed.to_string())
            .arg(std::process::id().to_string())
            .arg(self.place.path())
            .env("SHMSTREAM_DIR", self.place.streams())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.tells.try_clone()?)
            // Ctrl-C is for the supervisor alone.
            .process_group(0);
        let its = self
            .sabotage
            .filter(|it| it.is_residents() == (seat == RESIDENT));
        if let Some(sabotage) = its.and_then(|it| clap::ValueEnum::to_possible_value(&it)) {
            command.arg("--sabotage").arg(sabotage.get_name());
        }
        if PLAN[seat].role == Role::Observer && rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        self.children[seat] = Some(command.spawn()?);
        Ok(())
    }

    /// Kills the processes in some seats at once.
    pub(crate) fn kill(&mut self, seats: &[usize]) -> io::Result<()> {
        for &seat in seats {
            self.look(seat)?;
            self.next[seat] = None;
            if let Some(mut child) = self.children[seat].take() {
                let words = &self.board.streams[PLAN[seat].which.index()];
                words.killed_ns.store(now_ns(), Ordering::SeqCst);
                child.kill()?;
                self.dying.push((seat, child, Instant::now()));
            }
        }
        Ok(())
    }

    /// Reaps those that were killed and are gone, and starts who comes next. Returns for how long the
    /// one has been dying that was killed first of those that are left.
    pub(crate) fn reap(&mut self) -> io::Result<Duration> {
        let mut left = Vec::new();
        for (seat, mut child, since) in std::mem::take(&mut self.dying) {
            let Some(status) = child.try_wait()? else {
                left.push((seat, child, since));
                continue;
            };
            self.deaths[seat] = self.deaths[seat].max(since.elapsed());
            // One that ended by itself before the signal came was not killed.
            match status.signal() {
                Some(9) => self.kills[seat] += 1,
                _ => self.crashed(seat, child.id(), status),
            }
        }
        self.dying = left;
        for seat in 0..SEATS {
            self.start_next(seat)?;
        }
        let dying = self.dying.iter().map(|(.., since)| since.elapsed());
        Ok(dying.max().unwrap_or_default())
    }

    /// Notices processes that ended by themselves.
    pub(crate) fn look_at_all(&mut self) -> io::Result<()> {
        (0..SEATS).try_for_each(|seat| self.look(seat))
    }

    fn look(&mut self, seat: usize) -> io::Result<()> {
        if let Some(child) = &mut self.children[seat]
            && let Some(status) = child.try_wait()?
        {
            let pid = child.id();
            self.children[seat] = None;
            self.crashed(seat, pid, status);
        }
        Ok(())
    }

    /// Returns whether the processes in some seats, which were told to end, have done so.
    pub(crate) fn have_ended(&mut self, seats: &[usize]) -> io::Result<bool> {
        self.reap()?;
        let mut all = !seats
            .iter()
            .any(|&seat| self.is_dying(seat) || self.next[seat].is_some());
        for &seat in seats {
            if let Some(child) = &mut self.children[seat] {
                match child.try_wait()? {
                    None => all = false,
                    Some(status) => {
                        let pid = child.id();
                        self.children[seat] = None;
                        if !status.success() {
                            self.crashed(seat, pid, status);
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    fn crashed(&mut self, seat: usize, pid: u32, status: ExitStatus) {
        // It has counted and told why.
        if status.code() == Some(REPORTED.into()) {
            return;
        }
        let Seat { which, role } = PLAN[seat];
        let (role, which) = (role.name(), which.name());
        self.crashed
            .push(format!("{role} {which} ({pid}) ended: {status}"));
    }

    /// Returns which processes ended by themselves since the last time.
    pub(crate) fn take_crashed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.crashed)
    }

    /// Returns whether nobody is in a seat, nor comes next.
    pub(crate) const fn is_empty(&self, seat: usize) -> bool {
        self.children[seat].is_none() && self.next[seat].is_none()
    }

    /// Returns the process in a seat.
    pub(crate) fn pid(&self, seat: usize) -> Option<u32> {
        self.children[seat].as_ref().map(Child::id)
    }

    /// Returns how many processes in a seat were killed.
    pub(crate) const fn kills(&self, seat: usize) -> u64 {
        self.kills[seat]
    }

    /// Returns how long it took at most until a killed process in a seat was gone.
    pub(crate) const fn longest_death(&self, seat: usize) -> Duration {
        self.deaths[seat]
    }

    pub(crate) fn kills_in_all(&self) -> u64 {
        self.kills.iter().sum()
    }

    /// Returns how many of a stream's writers were killed.
    pub(crate) fn killed_writers(&self, which: Which) -> u64 {
        let its = |seat: &usize| PLAN[*seat].which == which && PLAN[*seat].role.writes();
        (0..SEATS).filter(its).map(|seat| self.kills[seat]).sum()
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        let dying = self.dying.iter_mut().map(|(_, child, _)| child);
        for child in self.children.iter_mut().flatten().chain(dying) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
