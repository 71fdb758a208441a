//! What must be true after a death.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use shmstream::{Error, Link, Start, list, stat};
use shmstream_tests::checked::check;
use shmstream_tests::whole::{Frames, assert_rows_free, assert_slots_free, assert_whole, publish};

use super::roles::Kind;
use super::scene::{Scene, TEST};
use super::words::Left;

/// When something was put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// When the others went on that were there.
    Settled,
    /// When others read the latest frame, one of them attached for that.
    Read,
    /// When others published.
    Written,
    /// When all slots were needed.
    SlotsNeeded,
    /// When all rows were needed.
    RowsNeeded,
    /// When the name was taken away once more.
    Unlinked,
}

/// What came of a death.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many of the victim's frames are published.
    pub(crate) published: u64,
    /// Whether the stream has its name.
    pub(crate) named: bool,
    /// What the victim left, and when that was put right.
    pub(crate) left: Vec<(Left, Stage)>,
    /// From the death until another has published.
    pub(crate) publish: Duration,
    /// From the death, or from the frame, until those went on that slept meanwhile.
    pub(crate) woke: Option<Duration>,
}

/// What was left, and when it was found to be gone.
#[derive(Default)]
struct Remains {
    there: BTreeSet<Left>,
    gone: BTreeMap<Left, Stage>,
}

impl Remains {
    fn look(&mut self, stage: Stage, now: &BTreeSet<Left>) {
        let late: Vec<_> = now.iter().filter(|left| last(**left) <= stage).collect();
        assert!(late.is_empty(), "{late:?} behind {stage:?}");
        let gone: Vec<_> = self.there.difference(now).copied().collect();
        self.gone.extend(gone.into_iter().map(|left| (left, stage)));
        let mut new: Vec<_> = now.difference(&self.there).collect();
        if self.gone.contains_key(&Left::Ahead) {
            // Recovery makes a slot without a frame of one with a count to come.
            new.retain(|left| **left != Left::GivenUp);
        }
        assert!(new.is_empty(), "{new:?} came with {stage:?}");
        self.there.retain(|left| now.contains(left));
    }
}

/// Returns when something that is left must be put right at the latest.
const fn last(left: Left) -> Stage {
    match left {
        Left::Signature
        | Left::Marked
        | Left::Ahead
        | Left::NotifyArmed
        | Left::ReleasedArmed
        | Left::FreedArmed => Stage::Written,
        Left::Pins | Left::Needs | Left::Awaited | Left::GivenUp => Stage::SlotsNeeded,
        Left::Row | Left::RowBegun => Stage::RowsNeeded,
        Left::UnlinkMark => Stage::Unlinked,
    }
}

impl Scene {
    /// Checks everything that must be true after the death of the victim.
    pub(crate) fn aftermath(mut self) -> Outcome {
        if self.role.kind != Kind::Creator {
            return self.after_use();
        }
        if self.name.path().exists() {
            // Complete: it can be used at once.
            let begun = Instant::now();
            let stream = Frames::open(&self.name).unwrap();
            assert_eq!(stream.slots(), self.role.slots);
            assert!(stream.read().unwrap().is_none());
            publish(&stream, TEST);
            self.reaped += begun.elapsed();
            self.stream = Some(stream);
            self.people();
            self.before = self.stream().count();
            return self.after_use();
        }
        self.after_no_creation()
    }

    fn assert_no_name(&self) {
        let listed = list().unwrap();
        let name = self.name.as_str();
        assert!(listed.iter().all(|one| one.as_bytes() != name.as_bytes()));
        assert!(matches!(
            Frames::open(&self.name),
            Err(Error::NotFound { .. })
        ));
        assert!(matches!(stat(&self.name), Err(Error::NotFound { .. })));
    }

    fn after_no_creation(self) -> Outcome {
        self.assert_no_name();
        let begun = Instant::now();
        let stream = self.role.builder(&self.name).create().unwrap();
        publish(&stream, TEST);
        let publish = self.reaped + begun.elapsed();
        assert_whole(&stream);
        Outcome {
            published: 0,
            named: false,
            left: Vec::new(),
            publish,
            woke: None,
        }
    }

    /// Returns what is left now. Until `rested`, the living that sleep by the role's will are no remains.
    fn left(&self, rested: bool) -> BTreeSet<Left> {
        let status = self.stream().status().unwrap();
        let mut left = self.words.as_ref().expect("a stream").left(&status);
        if (self.role.awaited || self.role.raced) && !rested {
            left.retain(|left| !left.is_armed());
        }
        left
    }

    fn after_use(mut self) -> Outcome {
        let mut remains = Remains::default();
        if self.role.raced {
            (self.role.settle)(&mut self);
            remains.there = self.left(false);
        } else {
            remains.there = self.left(false);
            (self.role.settle)(&mut self);
            remains.look(Stage::Settled, &self.left(false));
        }
        let named = self.stream().link().unwrap() == Link::Current;
        assert!(named || matches!(self.role.kind, Kind::Unlinker | Kind::Owner));
        let count = self.stream().count();
        let published = count.checked_sub(self.before + self.published);
        let published = published.expect("no frame is lost");
        assert!(published <= self.role.frames, "{published} frames");
        self.assert_latest(count, named);
        remains.look(Stage::Read, &self.left(false));
        // Whoever sleeps over a frame that is out wakes by itself: before another publishes.
        let finish = self.role.finish;
        if published > 0 {
            finish(&mut self);
        }
        let publish = self.reaped + self.time_to_publish(named);
        if published == 0 {
            finish(&mut self);
        }
        let woke = self.woke;
        remains.look(Stage::Written, &self.left(true));
        self.assert_held();
        self.end_others();
        assert_slots_free(self.stream());
        remains.look(Stage::SlotsNeeded, &self.left(true));
        self.attached.clear();
        // This handle and the reader.
        assert_rows_free(self.stream(), 2);
        remains.look(Stage::RowsNeeded, &self.left(true));
        self.assert_at_rest();
        self.assert_name_goes(named);
        remains.look(Stage::Unlinked, &self.left(true));
        Outcome {
            published,
            named,
            left: remains.gone.into_iter().collect(),
            publish,
            woke,
        }
    }

    /// Checks that everybody reads the latest frame: who was attached before, here and in another
    /// process, who attaches now, and who only looks.
    fn assert_latest(&mut self, count: u64, named: bool) {
        let frame = self.stream().read().unwrap().unwrap();
        assert_eq!((frame.info().count, check(&frame).1), (count, count));
        drop(frame);
        let reader = self.reader.as_mut().expect("a reader");
        reader.say("read");
        reader.expect(&format!("read {count}"));
        if named {
            // This one stays, and never reads: what the last owner of its row left must not speak for
            // it.
            self.attach();
            let new = Frames::open(&self.name).unwrap();
            assert_eq!(check(&new.read().unwrap().unwrap()).1, count);
            let observer = Frames::observe(&self.name).unwrap();
            assert_eq!(check(&observer.read().unwrap().unwrap()).1, count);
        }
    }

    /// Publishes from here, from another process and through a new handle, and returns how long the
    /// longest took.
    fn time_to_publish(&mut self, named: bool) -> Duration {
        let begun = Instant::now();
        publish(self.stream(), TEST);
        let here = begun.elapsed();
        self.assert_in_order();
        let reader = self.reader.as_mut().expect("a reader");
        reader.say("write");
        let line = reader.line();
        let ns = line.rsplit(' ').next().and_then(|ns| ns.parse().ok());
        let there = Duration::from_nanos(ns.unwrap_or_else(|| panic!("{line}")));
        let begun = Instant::now();
        let new = match named {
            true => Frames::open(&self.name).unwrap(),
            false => self.stream().try_clone().unwrap(),
        };
        publish(&new, TEST);
        here.max(there).max(begun.elapsed())
    }

    /// Checks that whoever reads in order gets the frame that was just published from here, and not one
    /// of the victim that had the same count to come.
    fn assert_in_order(&self) {
        let count = self.stream().count();
        let frames = self.stream().subscribe(Start::Count(count)).unwrap();
        let frame = frames.read().unwrap().unwrap();
        assert_eq!(check(&frame), (TEST, count));
    }

    /// Checks that a frame that was held all the time did not change, however much is published.
    fn assert_held(&mut self) {
        for _ in 0..self.stream().slots() + 2 {
            publish(self.stream(), TEST);
        }
        if self.held {
            let reader = self.reader.as_mut().expect("a reader");
            reader.say("check");
            reader.expect("same");
            reader.say("release");
            reader.expect("released");
        }
    }

    fn end_others(&mut self) {
        for mut other in self.others.drain(..) {
            other.say("end");
            other.expect("ended");
            other.finish();
        }
    }

    /// Checks that nothing tells of the death any more.
    fn assert_at_rest(&self) {
        drop(self.stream().try_lock().unwrap().expect("the lock is free"));
        let status = self.stream().status().unwrap();
        assert!(status.participants.iter().all(|one| one.alive), "{status}");
        assert_eq!(status.participants.len(), 2, "{status}");
        assert_eq!(status.lock_holder, None, "{status}");
    }

    /// Checks that the name can be taken away, or is gone for good.
    fn assert_name_goes(&self, named: bool) {
        if named {
            self.stream().unlink().unwrap();
            self.assert_no_name();
            return;
        }
        self.assert_no_name();
        let new = self.role.builder(&self.name).create().unwrap();
        // The victim told before it took the name.
        let replaced = self.stream().loan();
        assert!(matches!(replaced, Err(Error::Replaced { .. })));
        assert_whole(&new);
    }
}
