//! The supervisor: starts, kills, watches, and at the end looks what is left.

use std::io::{BufRead, BufReader, PipeReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use shmstream::Stream;

use crate::board::{Board, Count, Stop};
use crate::cli::Options;
use crate::control::BEATS;
use crate::failures::Failure;
use crate::fleet::Fleet;
use crate::leaks;
use crate::place::{self, Place};
use crate::plan::{CONTROL, KILLED, LARGE, MIDDLE, PLAN, RESIDENT, SABOTEUR, SEATS, SMALL, Which};
use crate::report::{self, Findings, Report};
use crate::schedule::{Event, Schedule};
use crate::table;
use crate::units::{bytes, number, seconds};
use crate::usage::Usage;
use crate::watch::Watch;

/// How often to look for hangs and for processes that ended by themselves.
const LOOK: Duration = Duration::from_millis(20);
/// How often to look whether the killed are gone.
const REAP: Duration = Duration::from_millis(1);
/// How often to say how it goes.
const TELL: Duration = Duration::from_secs(5);
/// How long those that are told to end may take, by the clock and by the control process.
const ENDING: Duration = Duration::from_secs(2);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs the soak, and says how it went.
pub(crate) fn run(options: &Options) -> ExitCode {
    let seed = options.seed.unwrap_or_else(drawn_seed);
    if let Some(events) = options.schedule {
        for due in Schedule::new(seed, options.rate).take(events) {
            println!("{due}");
        }
        return ExitCode::SUCCESS;
    }
    match soak(options, seed) {
        Ok(report) => {
            match options.json {
                true => println!(
                    "{}",
                    serde_json::to_string_pretty(&report).unwrap_or_default()
                ),
                false => table::write(&report),
            }
            match (report.ok, report.interrupted) {
                (false, _) => ExitCode::FAILURE,
                (true, true) => ExitCode::from(130),
                (true, false) => ExitCode::SUCCESS,
            }
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Short enough to be typed.
    RandomState::new().hash_one(0) % 1_000_000_000
}

fn soak(options: &Options, seed: u64) -> Outcome<Report> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let place = Place::create()?;
    let board = Board::create(&place::board(place.path()))?;
    let mut soak = Soak::new(options, seed, &place, board, interrupted)?;
    eprintln!(
        "soak: seed {seed}, {} s, about {} kills a second, in {}",
        options.seconds,
        options.rate,
        place.path().display()
    );
    soak.kill_and_restart()?;
    soak.end()?;
    soak.look_what_is_left(&place)?;
    Ok(soak.report())
}

struct Soak<'a> {
    options: &'a Options,
    seed: u64,
    board: &'static Board,
    interrupted: Arc<AtomicBool>,
    fleet: Fleet<'a>,
    watch: Watch,
    tells: Receiver<String>,
    findings: Findings,
    usage: Usage,
    begun: Instant,
    looked: Instant,
    told: Instant,
    ran: Duration,
    /// Of the control process in that time.
    beats: u64,
    events: u64,
    /// The counts of the streams that last, once all have ended.
    frames: [u64; Which::ALL.len()],
}

impl<'a> Soak<'a> {
    fn new(
        options: &'a Options,
        seed: u64,
        place: &'a Place,
        board: &'static Board,
        interrupted: Arc<AtomicBool>,
    ) -> Outcome<Self> {
        for which in Which::LASTING {
            match which.words() {
                SMALL => create::<SMALL>(which)?,
                MIDDLE => create::<MIDDLE>(which)?,
                _ => create::<LARGE>(which)?,
            }
        }
        let (reader, writer) = std::io::pipe()?;
        let tells = listen(reader);
        Ok(Self {
            options,
            seed,
            board,
            interrupted,
            fleet: Fleet::new(place, board, writer, options.sabotage),
            watch: Watch::new(board)?,
            tells,
            findings: Findings::default(),
            usage: Usage::of_this_process(),
            begun: Instant::now(),
            looked: Instant::now(),
            told: Instant::now(),
            ran: Duration::ZERO,
            beats: 0,
            events: 0,
            frames: [0; Which::ALL.len()],
        })
    }

    /// Follows the schedule until the time is over.
    fn kill_and_restart(&mut self) -> Outcome<()> {
        self.fleet.start(CONTROL, 0)?;
        self.fleet.start(RESIDENT, self.seed)?;
        if self.options.sabotage.is_some_and(|it| !it.is_residents()) {
            self.fleet.start(SABOTEUR, self.seed)?;
        }
        self.begun = Instant::now();
        let end = Duration::from_secs(self.options.seconds);
        for due in Schedule::new(self.seed, self.options.rate) {
            if due.at >= end || !self.sleep_until(due.at, end)? {
                break;
            }
            self.events += 1;
            match due.event {
                Event::Kill(seats) => self.fleet.kill(&seats)?,
                Event::Start(seat, seed) => self.fleet.start(seat, seed)?,
            }
        }
        self.sleep_until(end, end)?;
        self.ran = self.begun.elapsed();
        self.beats = self.board.beats.load(Ordering::SeqCst);
        // Those who wait for frames end when one comes: somebody has to write.
        for seat in 0..KILLED {
            if self.fleet.is_empty(seat) {
                self.fleet.start(seat, self.seed)?;
            }
        }
        Ok(())
    }

    /// Looks around until it is time, and says whether to go on.
    fn sleep_until(&mut self, at: Duration, end: Duration) -> Outcome<bool> {
        loop {
            let dying = self.fleet.reap()?;
            self.watch.note_dying(dying);
            if self.looked.elapsed() >= LOOK {
                self.look()?;
            }
            let now = self.begun.elapsed();
            if self.interrupted.load(Ordering::SeqCst) || now >= end {
                return Ok(false);
            }
            if now >= at {
                return Ok(true);
            }
            std::thread::sleep((at - now).min(REAP));
        }
    }

    fn look(&mut self) -> Outcome<()> {
        self.looked = Instant::now();
        for hang in self.watch.look(&self.fleet)? {
            self.findings.add(Failure::Hang, 1, hang);
        }
        self.fleet.look_at_all()?;
        self.take_down();
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            self.tell();
        }
        Ok(())
    }

    /// Takes down what children told, and which of them ended by themselves.
    fn take_down(&mut self) {
        for line in self.tells.try_iter() {
            self.findings.tell(line);
        }
        for crashed in self.fleet.take_crashed() {
            self.findings.add(Failure::Crash, 1, crashed);
        }
    }

    fn tell(&self) {
        let sum = |count| self.board.sum(count);
        let failures: u64 = Failure::ALL.iter().map(|&kind| self.failures(kind)).sum();
        eprintln!(
            "{:>8}  {:>7} kills  {:>11} written  {:>12} read  {:>10} checked  {} failures",
            seconds(self.begun.elapsed()),
            number(self.fleet.kills_in_all()),
            number(sum(Count::Written)),
            number(sum(Count::Read)),
            bytes(sum(Count::Bytes)),
            number(failures),
        );
    }

    fn failures(&self, kind: Failure) -> u64 {
        self.findings.count(kind) + self.board.failures(kind)
    }

    /// Has all processes end, in the order in which they need each other.
    fn end(&mut self) -> Outcome<()> {
        for stop in [Stop::Readers, Stop::Writers, Stop::Resident] {
            self.end_those(stop)?;
        }
        let outlives = self.options.sabotage.is_some_and(|it| it.outlives());
        if !outlives {
            self.end_those(Stop::Everybody)?;
        }
        self.take_down();
        Ok(())
    }

    fn end_those(&mut self, stop: Stop) -> Outcome<()> {
        let seats: Vec<_> = (0..SEATS)
            .filter(|&seat| PLAN[seat].role.stop() == stop)
            .collect();
        let (begun, beat) = (Instant::now(), self.board.beats.load(Ordering::SeqCst));
        self.board.order(stop);
        while !self.fleet.have_ended(&seats)? {
            let beats = self.board.beats.load(Ordering::SeqCst) - beat;
            let late = begun.elapsed() > ENDING && beats > BEATS * ENDING.as_secs();
            // The control process may be the one that does not end.
            let left = seats.iter().filter(|&&seat| self.fleet.pid(seat).is_some());
            let names: Vec<_> = left.map(|&seat| PLAN[seat].role.name()).collect();
            if !names.is_empty() && (late || begun.elapsed() > 30 * ENDING) {
                let text = format!("told to end and did not: {}", names.join(", "));
                self.findings.add(Failure::Hang, names.len() as u64, text);
                self.fleet.kill(&seats)?;
            }
            for hang in self.watch.look(&self.fleet)? {
                self.findings.add(Failure::Hang, 1, hang);
            }
            self.take_down();
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Looks at the streams, the directory and the long-lived processes once all have ended.
    fn look_what_is_left(&mut self, place: &Place) -> Outcome<()> {
        for which in Which::LASTING {
            self.compare_counts(which)?;
        }
        for which in Which::ALL {
            for (failure, number, text) in leaks::of_stream(which) {
                self.findings.add(failure, number, text);
            }
        }
        let board = self.board;
        for (failure, more, text) in board.resident[1].growth(&board.resident[0]) {
            self.findings
                .add(failure, more, format!("resident: {text}"));
        }
        for (failure, more, text) in Usage::of_this_process().growth(&self.usage) {
            self.findings
                .add(failure, more, format!("supervisor: {text}"));
        }
        for stray in place.strays()? {
            self.findings.add(
                Failure::File,
                1,
                format!("{stray} is no stream of the soak"),
            );
            std::fs::remove_file(place.streams().join(stray))?;
        }
        for which in Which::ALL {
            match shmstream::unlink(which.name()) {
                Err(shmstream::Error::NotFound { .. }) if which == Which::Brief => {}
                unlinked => unlinked?,
            }
        }
        for left in place.files()? {
            self.findings
                .add(Failure::File, 1, format!("{left} is left after unlinking"));
        }
        Ok(())
    }

    /// Compares what the writers of a stream have counted with the stream's own count.
    fn compare_counts(&mut self, which: Which) -> Outcome<()> {
        let count = shmstream::stat(which.name())?.count;
        self.frames[which.index()] = count;
        let its = PLAN.iter().zip(&self.board.seats);
        let its = its.filter(|(seat, _)| seat.which == which);
        let written: u64 = its.map(|(_, words)| words.count(Count::Written)).sum();
        // A writer can be killed behind publishing and before counting.
        let most = written + self.fleet.killed_writers(which);
        let off = written.saturating_sub(count) + count.saturating_sub(most);
        if off > 0 {
            let text = format!(
                "{}: {count} frames, where writers counted {written} to {most}",
                which.name()
            );
            self.findings.add(Failure::Lost, off, text);
        }
        Ok(())
    }

    fn report(&self) -> Report {
        report::make(&report::Sources {
            seed: self.seed,
            options: self.options,
            ran: self.ran,
            beats: self.beats,
            events: self.events,
            interrupted: self.interrupted.load(Ordering::SeqCst),
            board: self.board,
            fleet: &self.fleet,
            findings: &self.findings,
            frames: self.frames,
        })
    }
}

fn create<const N: usize>(which: Which) -> shmstream::Result<()> {
    which
        .plan(Stream::<u64, N>::builder(which.name()))
        .create()
        .map(drop)
}

/// Collects the lines that children tell.
fn listen(reader: PipeReader) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
