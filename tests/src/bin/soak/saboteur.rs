//! A process that misbehaves, to prove that the soak notices. Nobody kills it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use shmstream::{Result, Start, Stream};

use crate::account::Account;
use crate::board::{Count, Stop};
use crate::frame::{Label, fill, fill_wrong};
use crate::life::Life;
use crate::plan::{MIDDLE, SMALL, Which};
use crate::sabotage::Sabotage;
use crate::write;

/// How often it does what it does.
const PAUSE: Duration = Duration::from_millis(20);

/// Misbehaves until it has to end.
pub(crate) fn misbehave(life: &Life) -> Result<()> {
    let stream = Stream::<u64, SMALL>::open(Which::Small.name())?;
    life.begin(stream.instance());
    let sabotage = life.sabotage.expect("something to do");
    match sabotage {
        Sabotage::Torn => publish(life, &stream, true, fill_wrong)?,
        Sabotage::Count => publish(life, &stream, true, |frame, label| {
            let count = label.count + 1;
            fill(frame, Label { count, ..label });
        })?,
        Sabotage::Lost => publish(life, &stream, false, fill)?,
        Sabotage::Order | Sabotage::Missed => miscount(life, sabotage)?,
        Sabotage::Hang => {
            let _guard = stream.lock()?;
            // To the end: how long a second is depends on how busy the machine is.
            pause_until(life, Stop::Resident);
        }
        Sabotage::Crash => panic!("as it was asked to"),
        Sabotage::Slot => {
            let _frame = stream.wait()?;
            forever();
        }
        Sabotage::Row => forever(),
        Sabotage::Lock => {
            pause_until(life, Stop::Resident);
            let _guard = stream.lock()?;
            forever();
        }
        Sabotage::File => drop(File::create(stray())),
        Sabotage::Descriptor | Sabotage::Mapping | Sabotage::Memory | Sabotage::Thread => {
            unreachable!("the resident does that")
        }
    }
    pause_until(life, Stop::Everybody);
    Ok(())
}

fn pause_until(life: &Life, stop: Stop) {
    while !life.board.must_end(stop) {
        std::thread::sleep(PAUSE);
    }
}

fn forever() {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn stray() -> std::path::PathBuf {
    let directory = std::env::var_os("SHMSTREAM_DIR").unwrap_or_default();
    Path::new(&directory).join("shmstream.stray")
}

/// Publishes what is not right, before those end who would find out.
fn publish(
    life: &Life,
    stream: &Stream<u64, SMALL>,
    counted: bool,
    fill: fn(&mut [u64], Label),
) -> Result<()> {
    while !life.board.must_end(Stop::Readers) {
        let guard = stream.lock()?;
        let mut frame = [0; SMALL];
        let label = write::next(life, &guard);
        fill(&mut frame, label);
        guard.write_with_id(label.number, &frame)?;
        drop(guard);
        life.words.add(Count::Written, counted.into());
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Reads in order, and takes a frame down twice, or not at all.
fn miscount(life: &Life, sabotage: Sabotage) -> Result<()> {
    let stream = Stream::<u64, MIDDLE>::open(Which::Ordered.name())?;
    let frames = stream.subscribe(Start::New)?;
    drop(stream);
    let mut account = Account::starting_at(frames.position());
    while !life.board.must_end(Stop::Readers) {
        let info = frames.wait()?.info();
        life.account(&mut account, |account| account.pass(info));
        let again = match sabotage {
            Sabotage::Order => info,
            _ => {
                drop(frames.wait()?);
                frames.wait()?.info()
            }
        };
        life.account(&mut account, |account| account.pass(again));
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
